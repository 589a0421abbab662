"""How good domains are on examples that they were not fitted on, and whether a difference counts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from ..attribution import Attribution
from ..attribution.engine.score import Target
from ..metrics import kept_score
from ..metrics.statistics import contrast as paired
from ..transforms import Transform
from .objectives import BUDGETS
from .pairs import Pairs


def selection_error(
    model: Callable[..., Any],
    pairs: Pairs,
    transforms: Mapping[str, Transform],
    target: Target = None,
    *,
    budgets: Sequence[float] = BUDGETS,
    ranking: str = "attribution",
    **options: Any,
) -> dict[str, Tensor]:
    """The two-sided selection error of each example in each domain, the mean over budgets, {name: (examples,)}.

    ½ (|f(x_S) - f(x)| + |f(x without S) - f(x₀)|) / |f(x) - f(x₀)|, where S are the coefficients of largest |a|, as many as
    a budget's fraction of the signal samples. The model is run: 2 · budgets forwards for each example and domain.
    ranking, options: as in `kept_score`.

    >>> f = lambda x: x.flatten(1)[:, 0]
    >>> pairs = Pairs.of(pb.attribute(f, torch.tensor([[[5.0, 7.0, 7.0, 7.0]]])))
    >>> selection_error(f, pairs, {"pixel": pb.transforms.get("pixel", (1, 4))}, budgets=[0.25])
    {'pixel': tensor([0.])}
    """
    more: dict[str, Any] = {"target": target, **options}
    whole = kept_score(model, pairs.as_attribution(), fractions=(1.0,), **more)
    found = {}
    for name, transform in transforms.items():
        att = attribution_in(transform, pairs)
        base, moved = att.coefficients - att.displacement, -att.displacement
        kept = kept_score(model, att, fractions=budgets, ranking=ranking, **more)
        # What is left without S is the baseline with the other coefficients kept: the roles of x and x₀ change.
        left = kept_score(
            model, replace(att, coefficients=base, displacement=moved), fractions=budgets, ranking=ranking, **more
        )
        errors = (kept - whole).abs() + (left - whole + pairs.score_difference[:, None]).abs()
        found[name] = (errors / 2 / pairs.score_difference.abs()[:, None]).mean(1)
    return found


def attribution_in(transform: Transform, pairs: Pairs) -> Attribution:
    """The attribution of the pairs in a linear domain."""
    pixels, displacement = pairs.as_attribution(), transform(pairs.displacement)
    values, coefficients = pairs.values(transform), transform(pairs.signal)
    return replace(pixels, values=values, coefficients=coefficients, displacement=displacement, transform=transform)


def contrast(better: np.ndarray, worse: np.ndarray, group: np.ndarray, seed: int = 0) -> dict[str, float]:
    """How much less `better` is than `worse`, from one number for each example; see `metrics.statistics.contrast`.

    difference: the mean over groups of the mean of worse - better in a group.  low, high: its 95 % t interval over groups.
    p: two-sided, by flipping signs.  groups: their number.  detectable: the smallest difference that a run with this spread
    and this number of groups sees with a power of 80 %; NaN for so few groups that no signs are evidence.

    >>> found = contrast(np.zeros(6), np.array([1.0, 1.2, 0.9, 1.1, 1.0, 0.8]), np.arange(6))
    >>> round(found["difference"], 3), bool(found["low"] > 0), found["p"]
    (1.0, True, 0.03125)
    """
    one = paired(worse - better, cluster=list(group), seed=seed)
    found = {"difference": one.mean, "low": one.low, "high": one.high, "p": one.p, "groups": one.units}
    return found | {"detectable": one.detectable}
