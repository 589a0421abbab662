"""Whether the coefficients that a map ranks first carry the score, compared with rankings that do not use the model."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..attribution import Attribution, open_engine
from ..attribution.engine.engine import Engine, Points
from ..attribution.engine.faster_form import choose_form
from ..attribution.engine.open_engine import read_checked
from ..attribution.engine.random import fill, keys
from ..attribution.engine.score import Target
from ..attribution.result import coefficient_count, keep_only
from ..core.tensors import ranks

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
    model_args: Sequence[Any] = (),
    model_kwargs: Mapping[str, Any] | None = None,
) -> Tensor:
    """f(T⁻¹(z₀ + mask ⊙ (z - z₀))), the score when only the first coefficients of a ranking are kept.

    fractions: of the number of signal samples, so that every domain keeps equally many coefficients.
    ranking: "attribution" by |a|; "coefficient" by |z - z₀|, the energy that the transform alone compacts; "random",
    keyed by seed and content. The last two are the controls: where |coefficient| ranks as well as the attribution,
    the score says nothing about the attribution.
    target, batch_size, model_args, model_kwargs: as in `attribute`.

    Shape: (batch, fractions), in units of the score.  Source of the controls: Brüsch et al. 2025 (FreqRISE).

    Raises: ValueError for an unknown ranking, no fraction or one outside (0, 1], and for a model that is in training
    mode, mixes examples or draws random numbers; TypeError or ValueError for a wrong target.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1) @ torch.tensor([2.0, -1.0, 0.0])
    >>> att = pb.attribute(f, torch.ones(1, 1, 3), method="input_x_gradient")
    >>> kept_score(f, att, fractions=(0.34, 1.0))
    tensor([[2., 1.]])
    """
    if ranking not in RANKINGS:
        raise ValueError(f"kept_score: expected ranking in {', '.join(RANKINGS)}; got {ranking!r}.")
    if not isinstance(attribution, Attribution):
        got = type(attribution).__name__
        raise TypeError(f"kept_score: expected one Attribution, got {got}; call it once for each of several.")
    counts = [coefficient_count(fraction, attribution.transform) for fraction in _listed(fractions)]
    signal = attribution.transform.inverse(attribution.coefficients)
    rank = ranks(_order(attribution, ranking, seed))
    # The most coefficients first: the model is checked on the first rows, where a fault shows best.
    falling = sorted(set(counts), reverse=True)
    options: Any = {"batch_size": batch_size, "model_args": model_args, "model_kwargs": model_kwargs}
    with open_engine(model, signal, target, **options) as engine:
        found = _scores(engine, attribution, rank, falling)
    return found[[falling.index(count) for count in counts]].T.contiguous()


def _scores(engine: Engine, attribution: Attribution, rank: Tensor, counts: Sequence[int]) -> Tensor:
    """f where the coefficients of a rank below each count are kept.  counts: falling. Shape: (counts, batch)."""
    batch = len(rank)
    example = torch.arange(batch, device=rank.device).repeat(len(counts))
    most = torch.tensor(counts, device=rank.device).repeat_interleave(batch).reshape(-1, *[1] * (rank.ndim - 1))
    points: Points = lambda part: keep_only(attribution, rank[example[part]] < most[part], example[part])
    engine.equalise(len(example))
    start = min(2, len(counts)) * batch
    ends = points(slice(0, start)).unflatten(0, (start // batch, batch)).transpose(0, 1)
    run = read_checked(engine, ends, evaluations=len(example))
    if start == len(example):
        return run.known
    choose_form(run, len(example), gradients=False, invariant=True)
    with engine.prepared.numerics():
        rest = engine.scores(example[start:], lambda part: points(slice(part.start + start, part.stop + start)))
    run.finish()
    return torch.cat([run.known, rest.reshape(-1, batch)])


def _listed(fractions: Iterable[float]) -> list[float]:
    """`fractions` as numbers in (0, 1].  Raises: TypeError where one is not a number, ValueError for others or none."""
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


def _order(attribution: Attribution, ranking: str, seed: int) -> Tensor:
    """The number by which each coefficient is ranked, (batch, *coeff)."""
    if ranking == "attribution":
        return attribution.values.abs()
    if ranking == "coefficient":
        return attribution.displacement.abs()
    names = keys(attribution.coefficients)
    return fill(torch.empty_like(attribution.values), Tensor.normal_, seed, names, [0] * len(names))
