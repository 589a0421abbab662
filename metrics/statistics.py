"""Means over examples, with intervals."""

from collections.abc import Sequence

import numpy as np
from scipy import stats


def mean_interval(values: Sequence[float] | np.ndarray, *, level: float = 0.95, seed: int = 0) -> tuple[float, float, float]:
    """(mean, low, high): the mean of one number per example and its bootstrap interval (BCa, 2,000 resamples).

    NaN and infinities are left out. With fewer than two numbers, or with equal ones, low = mean = high; without any,
    all three are NaN. In units of the values.

    level: in (0, 1).  Raises: ValueError where it is not.  Source: Efron 1987 (BCa), through SciPy.

    >>> mean_interval([1.0, 1.0, float("nan")])
    (1.0, 1.0, 1.0)
    >>> mean, low, high = mean_interval([0.0, 1.0, 1.0, 2.0])
    >>> mean, 0 < low < mean < high < 2
    (1.0, True)
    """
    if not 0 < level < 1:
        raise ValueError(f"mean_interval: level must be between 0 and 1, as in 0.95; got {level!r}.")
    array = np.asarray(values, dtype=float)
    array = array[np.isfinite(array)]
    mean = float(array.mean()) if len(array) else float("nan")
    if len(array) < 2 or np.ptp(array) == 0:
        return mean, mean, mean
    rng = np.random.default_rng(seed)
    found = stats.bootstrap((array,), np.mean, confidence_level=level, n_resamples=2000, rng=rng).confidence_interval
    return mean, float(found.low), float(found.high)
