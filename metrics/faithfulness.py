"""Whether the coefficients that a map ranks first carry the score, against rankings that know nothing of the model."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..attribution import Attribution, Score
from ..attribution.engine import random as keyed
from ..attribution.engine.check_model import check_model, feed_dtype
from ..attribution.engine.chunks import budget as row_budget
from ..attribution.engine.dry_run import FEW, DryRun, Read
from ..attribution.engine.execution import Execution, Prepared
from ..attribution.engine.model_args import Extras
from ..attribution.engine.rows import Points, Rows
from ..attribution.engine.score import Target
from ..attribution.result import budget as coefficients
from ..attribution.result import keep_only

RANKINGS = ("attribution", "coefficient", "random")


def kept_score(
    model: Callable[..., Any],
    attribution: Attribution,
    target: Target = None,
    *,
    fractions: Iterable[float] = (0.01, 0.05, 0.1),
    ranking: str = "attribution",
    batch_size: int | str = "auto",
    seed: int = 0,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Tensor:
    """f(T⁻¹(z₀ + mask ⊙ (z - z₀))), the score when only the first coefficients of a ranking are kept.

    fractions: of the number of signal samples, so that every domain keeps equally many coefficients.
    ranking: "attribution" by |a|; "coefficient" by |z - z₀|, the energy that a transform compacts by itself; "random",
    keyed by seed and content. The last two are the controls: a domain whose |coefficient| ranking does as well says
    nothing about the attribution.
    target, args, kwargs: as in `attribute`.

    Shape: (batch, fractions), in units of the score.  Source of the controls: Brüsch et al. 2024 (FreqRISE).

    Raises: ValueError that lists the rankings, where there is no fraction or one outside (0, 1], for a model in training
    mode, and, from 16 rows on, for one that mixes examples or draws random numbers; TypeError or ValueError for what is no
    target.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1) @ torch.tensor([2.0, -1.0, 0.0])
    >>> att = pb.attribute(f, torch.ones(1, 1, 3), method="input_x_gradient")
    >>> kept_score(f, att, fractions=(0.34, 1.0))
    tensor([[2., 1.]])
    """
    if ranking not in RANKINGS:
        raise ValueError(f"kept_score: expected ranking in {', '.join(RANKINGS)}; got {ranking!r}.")
    if not isinstance(attribution, Attribution):
        raise TypeError(
            f"kept_score: expected one Attribution, got {type(attribution).__name__}; of several, ask one by one."
        )
    counts = [coefficients(fraction, attribution.transform) for fraction in _listed(fractions)]
    check_model(model)
    signal = attribution.transform.inverse(attribution.coefficients)
    prepared = Execution().of(model, signal)
    runner = Rows(
        prepared,
        Score.of(target, len(signal), signal.device),
        row_budget(batch_size, attribution.transform.shape, signal.device),
        feed_dtype(model, signal.dtype),
        extras=Extras(tuple(args), dict(kwargs or {}), len(signal)),
    )
    with prepared.exactly():
        runner.settle(signal)
    # The most coefficients first: what a model does shows where there is most to see.
    falling = sorted(set(counts), reverse=True)
    found = _scores(prepared, runner, attribution, _places(_order(attribution, ranking, seed)), falling)
    return found[[falling.index(count) for count in counts]].T.contiguous()


def _scores(
    prepared: Prepared, runner: Rows, attribution: Attribution, places: Tensor, counts: Sequence[int]
) -> Tensor:
    """f where coefficients of a place below a count are kept.  counts: falling. Shape: (counts, batch)."""
    batch = len(places)
    example = torch.arange(batch, device=places.device).repeat(len(counts))
    most = torch.tensor(counts, device=places.device).repeat_interleave(batch).reshape(-1, *[1] * (places.ndim - 1))
    points: Points = lambda part: keep_only(attribution, places[example[part]] < most[part], example[part])
    runner.level(len(example))
    if len(example) < FEW:
        with prepared.exactly():
            return runner.values(example, points).reshape(-1, batch)
    start = min(2, len(counts)) * batch
    first, of = points(slice(0, start)), example[:start]
    # Last example first: what a row makes of those before it shows then.
    read: Read = lambda values: values(of.flip(0), first.flip(0).__getitem__).flip(0).reshape(-1, batch)
    known = DryRun(prepared, runner, first[:batch], gradients=False).ends(read, probe=False)
    with prepared.numerics():
        rest = runner.values(example[start:], lambda part: points(slice(part.start + start, part.stop + start)))
    return torch.cat([known, rest.reshape(-1, batch)])


def _listed(fractions: Iterable[float]) -> list[float]:
    """`fractions` as numbers in (0, 1].  Raises: TypeError where they are no numbers, ValueError for others or none."""
    try:
        found = [float(fraction) for fraction in ((None,) if isinstance(fractions, str) else fractions)]
    except TypeError:
        raise TypeError(f"kept_score: expected fractions such as (0.05, 0.1), got {fractions!r}.") from None
    if not found:
        raise ValueError("kept_score: expected at least one fraction, got none.")
    wrong = [fraction for fraction in found if not 0 < fraction <= 1]
    if wrong:
        raise ValueError(f"kept_score: expected fractions in (0, 1], got {wrong[0]}.")
    return found


def _places(score: Tensor) -> Tensor:
    """The place of every entry of an example in the order of falling score, ties by position. Shape: as score."""
    flat = score.flatten(1)
    order = flat.argsort(dim=1, descending=True, stable=True)
    place = torch.arange(flat.shape[1], device=score.device, dtype=torch.int32).expand_as(order)
    return torch.empty_like(place).scatter_(1, order, place).reshape(score.shape)


def _order(attribution: Attribution, ranking: str, seed: int) -> Tensor:
    if ranking == "attribution":
        return attribution.values.abs()
    if ranking == "coefficient":
        return attribution.displacement.abs()
    names = keyed.keys(attribution.coefficients)
    return keyed.normal(torch.empty_like(attribution.values), seed, names, [0] * len(names))
