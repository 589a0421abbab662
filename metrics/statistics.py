"""Means over examples, with intervals."""

from collections.abc import Sequence

import numpy as np
from scipy import stats


def mean_interval(
    values: Sequence[float] | np.ndarray, *, level: float = 0.95, seed: int = 0
) -> tuple[float, float, float]:
    """(mean, low, high): the mean of one number per example and its bootstrap interval (BCa, 2,000 resamples).

    With fewer than two finite values, or all equal, the interval has no width. NaN is left out.

    >>> mean_interval([1.0, 1.0, 1.0])
    (1.0, 1.0, 1.0)
    """
    array = np.asarray(values, dtype=float)
    array = array[np.isfinite(array)]
    if len(array) == 0:
        return float("nan"), float("nan"), float("nan")
    mean = float(array.mean())
    if len(array) < 2 or np.ptp(array) == 0:
        return mean, mean, mean
    found = stats.bootstrap(
        (array,), np.mean, confidence_level=level, n_resamples=2000, rng=np.random.default_rng(seed)
    )
    return mean, float(found.confidence_interval.low), float(found.confidence_interval.high)
