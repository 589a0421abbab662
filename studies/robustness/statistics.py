"""The statistics of the robustness study: thresholds, contrasts of groups, correlations of models, areas under ROC curves."""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import optimize, stats

from ...metrics.statistics.intervals import t_interval as student

Interval = tuple[float, float, float]  # estimate, low, high


def t_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> Interval:
    """The mean and its t interval; without limits (NaN) for fewer than two values.

    >>> [round(number, 3) for number in t_interval([1.0, 2.0, 3.0])]
    [2.0, -0.484, 4.484]
    """
    mean, low, high = student(np.asarray(values, dtype=float), level)
    return (mean, low, high) if len(values) > 1 else (mean, math.nan, math.nan)


def against_first(groups: Sequence[np.ndarray], level: float) -> list[Interval]:
    """Each group's mean minus that of the first, with intervals that hold at `level` for all of them together.

    t intervals with the pooled variance of all groups, corrected by Bonferroni.  groups: two values each or more.

    >>> [round(number, 2) for number in against_first([np.array([1.0, 1.2]), np.array([2.0, 2.2])], 0.95)[0]]
    [1.0, 0.39, 1.61]
    """
    freedom = sum(len(group) - 1 for group in groups)
    variance = sum(float(((group - group.mean()) ** 2).sum()) for group in groups) / freedom
    quantile = float(stats.t.ppf(1 - (1 - level) / (len(groups) - 1) / 2, freedom))
    halves = [quantile * math.sqrt(variance * (1 / len(group) + 1 / len(groups[0]))) for group in groups[1:]]
    differences = [float(group.mean() - groups[0].mean()) for group in groups[1:]]
    return [(mean, mean - half, mean + half) for mean, half in zip(differences, halves)]


def correlation(first: np.ndarray, second: np.ndarray, level: float) -> Interval:
    """Pearson's r and its interval by Fisher's z; NaN where a variable is constant, no limits for fewer than four values.

    >>> [round(number, 2) for number in correlation(np.arange(5.0), np.array([1.0, 2, 3, 5, 4]), 0.95)]
    [0.9, 0.09, 0.99]
    """
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan, math.nan, math.nan
    found = stats.pearsonr(first, second)
    if len(first) < 4:
        return float(found.statistic), math.nan, math.nan
    limits = found.confidence_interval(level)
    return float(found.statistic), float(limits.low), float(limits.high)


def shuffled_extreme(first: np.ndarray, second: np.ndarray, level: float = 0.95, most: int = 2_000) -> float:
    """The largest |r| among all pairs of columns that re-pairing the rows exceeds in a share 1 - level of cases.

    All re-pairings where there are at most `most`, else as many random ones. A larger |r| is significant after correction for
    all pairs (max-T, Westfall & Young 1993).  Shapes: first (models, variables), second (models, other variables).
    """
    count, rng = len(first), np.random.default_rng(0)
    every = math.factorial(count) <= most
    orders = list(itertools.permutations(range(count))) if every else [rng.permutation(count) for _ in range(most)]
    one, other = (_standard(each) for each in (first, second))
    largest = [float(np.abs(one.T @ other[list(order)] / count).max()) for order in orders]
    return float(np.quantile(largest, level, method="higher"))


def _standard(columns: np.ndarray) -> np.ndarray:
    spread = columns.std(0)
    return np.where(spread > 0, (columns - columns.mean(0)) / np.where(spread > 0, spread, 1), 0)


def roc(score: np.ndarray, outcome: np.ndarray) -> tuple[float, np.ndarray]:
    """The area under the ROC curve, and each example's influence on it, whose mean square / n estimates the variance.

    Ties count one half.  Source: DeLong, DeLong & Clarke-Pearson 1988 (the influences are their placements).

    >>> area, influence = roc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    >>> area, abs(float(influence.mean())) < 1e-12
    (0.75, True)
    """
    positive, negative, ranks = score[outcome], score[~outcome], stats.rankdata(score)
    own = np.empty(len(score))
    own[outcome] = (ranks[outcome] - stats.rankdata(positive)) / len(negative)
    own[~outcome] = 1 - (ranks[~outcome] - stats.rankdata(negative)) / len(positive)
    area = float(own[outcome].mean())
    share = np.where(outcome, outcome.mean(), 1 - outcome.mean())
    return area, (own - area) / share


def mean_area(found: Sequence[tuple[float, np.ndarray]], level: float) -> Interval:
    """The mean of areas of the same examples, and its interval. The examples are drawn; models and filters are fixed."""
    area = float(np.mean([one for one, _ in found]))
    influence = np.mean([own for _, own in found], axis=0)
    half = stats.norm.ppf((1 + level) / 2) * float(np.sqrt(np.mean(influence**2) / len(influence)))
    return area, area - float(half), area + float(half)


def critical_band(octaves: np.ndarray, thresholds: np.ndarray) -> tuple[float, float, float]:
    """The octave µ to which a model is most sensitive, the width of the band in octaves, and the error of the fit.

    A Gaussian A exp(-(o - µ)² / 2σ²) is fitted to the sensitivities 1 / threshold; the width at half height is 2 √(2 ln 2) σ.
    error: the root mean square of what the fit leaves, over the largest sensitivity. NaN where the fit fails or fewer than
    four octaves are known, and where the Gaussian has its peak outside of them.
    Source: Subramanian et al. 2023.

    >>> octaves = np.array([1.0, 2.0, 3.0, 4.0])
    >>> [round(number, 3) for number in critical_band(octaves, 1 / np.exp(-((octaves - 2.2) ** 2) / 2))]
    [2.2, 2.355, 0.0]
    """
    sensitivity = 1 / thresholds
    if len(octaves) < 4 or np.isnan(thresholds).any() or not sensitivity.max() > 0:
        return math.nan, math.nan, math.nan
    gauss: Callable[..., np.ndarray] = lambda o, height, middle, width: height * np.exp(-((o - middle) ** 2) / (2 * width**2))
    start = (sensitivity.max(), octaves[sensitivity.argmax()], 1.0)
    bounds = ([0, octaves.min() - 1, 0.2], [10 * sensitivity.max(), octaves.max() + 1, 10])
    try:
        (height, middle, width), _ = optimize.curve_fit(gauss, octaves, sensitivity, start, bounds=bounds)
    except RuntimeError:
        return math.nan, math.nan, math.nan
    error = float(np.sqrt(np.mean((gauss(octaves, height, middle, width) - sensitivity) ** 2)) / sensitivity.max())
    inside = octaves.min() <= middle <= octaves.max()
    return (float(middle), float(2 * math.sqrt(2 * math.log(2)) * width), error) if inside else (math.nan, math.nan, error)
