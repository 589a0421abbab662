"""Whether the coefficients that a map ranks first carry the score, against rankings that know nothing of the model."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..attribution import Attribution, Score
from ..attribution import noise as keyed
from ..attribution.chunks import budget as row_budget
from ..attribution.model import check_model, feed_dtype
from ..attribution.result import budget as coefficients
from ..attribution.result import keep_only, top
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

    Raises: ValueError that lists the rankings, for a fraction outside (0, 1], for a model that mixes examples or draws
    random numbers; TypeError or ValueError for what is no target.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1) @ torch.tensor([2.0, -1.0, 0.0])
    >>> att = pb.attribute(f, torch.ones(1, 1, 3), method="input_x_gradient")
    >>> kept_score(f, att, fractions=(0.34, 1.0))
    tensor([[2., 1.]])
    """
    if ranking not in RANKINGS:
        raise ValueError(f"kept_score: expected ranking in {', '.join(RANKINGS)}; got {ranking!r}.")
    check_model(model)
    signal = attribution.transform.inverse(attribution.coefficients[:1])
    batch = len(attribution.values)
    runner = Rows(model, Score.of(target, batch, signal.device), row_budget(rows, attribution.transform.shape, signal.device),
                  feed_dtype(model, signal.dtype))  # fmt: skip
    example = torch.arange(batch, device=signal.device)
    order = _order(attribution, ranking, seed)
    columns = []
    for fraction in fractions:
        count = coefficients(fraction, attribution.transform)
        inputs = keep_only(attribution, top(order, count))
        columns.append(runner.values(example, lambda part: inputs[part]))  # noqa: B023  (used before the next turn)
    return torch.stack(columns, 1)


def _order(attribution: Attribution, ranking: str, seed: int) -> Tensor:
    if ranking == "attribution":
        return attribution.values.abs()
    if ranking == "coefficient":
        return attribution.displacement.abs()
    names = keyed.keys(attribution.coefficients)
    return keyed.normal(torch.empty_like(attribution.values), seed, names, [0] * len(names))
