"""Whether the coefficients that a map ranks first carry the score, against rankings that know nothing of the model."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..attribution import Attribution, Score
from ..attribution import noise as keyed
from ..attribution.chunks import budget as row_budget
from ..attribution.execution import Execution
from ..attribution.model import check_model, feed_dtype
from ..attribution.rehearsal import FEW, Read, Rehearsal
from ..attribution.result import budget as coefficients
from ..attribution.result import keep_only
from ..attribution.rows import Rows
from ..attribution.score import Target

RANKINGS = ("attribution", "coefficient", "random")


def kept_score(model: Callable[..., Any], attribution: Attribution, target: Target = None, *,
               fractions: Sequence[float] = (0.01, 0.05, 0.1), ranking: str = "attribution", rows: int | str = "auto",
               seed: int = 0) -> Tensor:  # fmt: skip
    """f(T⁻¹(z₀ + mask ⊙ (z - z₀))), the score when only the first coefficients of a ranking are kept.

    fractions: of the number of signal samples, so that every domain keeps equally many coefficients.
    ranking: "attribution" by |a|; "coefficient" by |z - z₀|, the energy that a transform compacts by itself; "random",
    keyed by seed and content. The last two are the controls: a domain whose |coefficient| ranking does as well says
    nothing about the attribution.

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
    if not fractions:
        raise ValueError("kept_score: expected at least one fraction, got none.")
    check_model(model)
    signal = attribution.transform.inverse(attribution.coefficients[:1])
    batch = len(attribution.values)
    prepared = Execution().of(model, signal)
    runner = Rows(prepared, Score.of(target, batch, signal.device),
                  row_budget(rows, attribution.transform.shape, signal.device), feed_dtype(model, signal.dtype))  # fmt: skip
    places = _places(_order(attribution, ranking, seed))
    counts = torch.tensor(
        [coefficients(fraction, attribution.transform) for fraction in fractions], device=signal.device
    )
    most = counts.repeat_interleave(batch)  # one fraction after another, so that a chunk may hold several
    example = torch.arange(batch, device=signal.device).repeat(len(counts))

    def points(part: slice) -> Tensor:
        of = example[part]
        kept = places[of] < most[part].reshape(-1, *[1] * (places.ndim - 1))
        return keep_only(attribution, kept, of)

    read: Read = lambda values: values(example, points).reshape(-1, batch)
    runner.level(len(example))
    if len(example) < FEW:
        with prepared.exactly():
            return read(runner.values).T
    return Rehearsal(prepared, runner, points(slice(0, batch)), gradients=False).ends(read, probe=False).T


def _places(score: Tensor) -> Tensor:
    """The place of every entry of an example in the order of falling score, ties by position. Shape: as score."""
    flat = score.flatten(1)
    order = flat.argsort(dim=1, descending=True, stable=True)
    place = torch.arange(flat.shape[1], device=score.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, place).reshape(score.shape)


def _order(attribution: Attribution, ranking: str, seed: int) -> Tensor:
    if ranking == "attribution":
        return attribution.values.abs()
    if ranking == "coefficient":
        return attribution.displacement.abs()
    names = keyed.keys(attribution.coefficients)
    return keyed.normal(torch.empty_like(attribution.values), seed, names, [0] * len(names))
