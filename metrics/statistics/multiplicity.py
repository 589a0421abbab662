"""Correction of p-values for how many were looked at."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .units import Numbers, per_unit


def holm(p: ArrayLike) -> Numbers:
    """p-values corrected for their number by Holm's step-down method: claims below α hold together with chance 1 - α.

    A NaN, a test that could not be made, stays NaN; it counts in the number of tests, as it was declared.
    Shape: (tests,).  Raises: ValueError for numbers outside [0, 1].  Source: Holm 1979.
    Formula: of p₁ ≤ … ≤ pₘ, the k-th becomes min(1, max over j ≤ k of (m - j + 1) pⱼ).

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    found = _probabilities("holm", p)
    order = np.argsort(found)  # NaN come last
    corrected = np.empty_like(found)
    corrected[order] = np.maximum.accumulate(found[order] * np.arange(len(found), 0, -1)).clip(max=1)
    return corrected


def false_discovery(p: ArrayLike) -> Numbers:
    """p-values corrected by Benjamini and Hochberg: of what is below α, a fraction α is false on average. For exploration only.

    NaN and errors: as in `holm`.  Shape: (tests,).  Source: Benjamini and Hochberg 1995, through SciPy.

    >>> false_discovery([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    found = _probabilities("false_discovery", p)
    if not len(found):
        return found
    return np.where(np.isnan(found), np.nan, stats.false_discovery_control(np.nan_to_num(found, nan=1.0)))


def _probabilities(who: str, p: ArrayLike) -> Numbers:
    found = per_unit(who, p)
    wrong = found[~np.isnan(found) & ~((found >= 0) & (found <= 1))]
    if len(wrong):
        raise ValueError(f"{who}: expected p-values in [0, 1], got {wrong[0]}.")
    return found
