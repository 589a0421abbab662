"""Several domains at once: which are near-duplicates, and how they rank."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from ...core.checks import is_number
from .units import Numbers, matrix

ALIKE = 0.95  # cosine of selected signals above which two domains are near-duplicates


def near_duplicates(cosines: ArrayLike, names: Sequence[str], *, alike: float = ALIKE) -> tuple[tuple[str, ...], ...]:
    """Groups of domains that select nearly the same signal; the first name of each group represents it.

    Average linkage of 1 - cosine: groups are joined while the mean cosine between them is above `alike`. The representative
    is the member with the largest mean cosine to its group, the first of several.  Groups stand in the order of `names`.

    cosines: symmetric, (domains, domains), for example of signals rebuilt from the first 10 % of coefficients, averaged over
    photos.  Raises: ValueError where it is not a matrix of cosines of as many domains as names, or names repeat.

    >>> near_duplicates([[1, 0.99, 0.2], [0.99, 1, 0.1], [0.2, 0.1, 1]], ["db4", "sym8", "pixel"])
    (('db4', 'sym8'), ('pixel',))
    """
    found = _cosines(cosines, names, alike)
    if len(found) < 2:
        return tuple((str(name),) for name in names)
    distance = squareform(np.maximum(0, 1 - found), checks=False)
    labels = hierarchy.fcluster(hierarchy.linkage(distance, "average"), 1 - alike, "distance")
    groups = [np.flatnonzero(labels == label) for label in dict.fromkeys(labels)]
    first = [group[found[np.ix_(group, group)].mean(1).round(12).argmax()] for group in groups]
    return tuple(tuple(str(names[i]) for i in (one, *group[group != one])) for one, group in zip(first, groups))


def _cosines(cosines: ArrayLike, names: Sequence[str], alike: float) -> Numbers:
    found = matrix("near_duplicates", cosines) if len(names) else np.zeros((0, 0))
    count = len(names)
    if isinstance(names, str) or len(set(names)) < count or found.shape != (count, count):
        raise ValueError(f"near_duplicates: expected a matrix for {count} different names, got shape {found.shape}.")
    if not (np.abs(found) <= 1 + 1e-6).all() or np.abs(found - found.T).max(initial=0) > 1e-6:
        raise ValueError("near_duplicates: expected a symmetric matrix of cosines in [-1, 1] without NaN.")
    if np.abs(np.diag(found) - 1).max(initial=0) > 1e-6:
        raise ValueError("near_duplicates: expected 1 on the diagonal, the cosine of a domain with itself.")
    if not is_number(alike) or not -1 <= alike <= 1:
        raise ValueError(f"near_duplicates: expected alike in [-1, 1], a cosine; got {alike!r}.")
    return (found + found.T) / 2


@dataclass(frozen=True)
class Ranking:
    """Average ranks over units (1 is best), a description, and Friedman's test that all are alike.

    ranks: by name, the best first.  statistic, p: of Friedman's test, NaN for fewer than three names.
    units, dropped: units with all numbers, and without.
    """

    ranks: dict[str, float]
    statistic: float
    p: float
    units: int
    dropped: int


def average_ranks(scores: ArrayLike, names: Sequence[str], *, higher_is_better: bool = True) -> Ranking:
    """The average rank of each column. It describes; claims come from `family`, since ranks depend on which others are there.

    scores: (units, names). A unit with a NaN or an infinity is dropped.
    Raises: ValueError where the columns are not as many as the names.  Source: Friedman 1937, through SciPy.

    >>> average_ranks([[3, 2, 1], [3, 1, 2], [9, 5, 4]], ["a", "b", "c"]).ranks
    {'a': 1.0, 'b': 2.3333333333333335, 'c': 2.6666666666666665}
    """
    found = matrix("average_ranks", scores)
    if found.ndim != 2 or found.shape[1] != len(names):
        raise ValueError(f"average_ranks: expected a column for each of {len(names)} names, got shape {found.shape}.")
    kept = found[np.isfinite(found).all(1)]
    ranks = stats.rankdata(-kept if higher_is_better else kept, axis=1)
    order = {str(name): float(rank) for name, rank in zip(names, ranks.mean(0) if len(kept) else [np.nan] * len(names))}
    statistic, p = np.nan, np.nan
    if len(names) > 2 and len(kept) > 1:
        told_apart = bool(np.ptp(ranks, axis=1).any())  # SciPy divides by zero where all numbers of every unit are equal
        statistic, p = stats.friedmanchisquare(*kept.T) if told_apart else (0.0, 1.0)
    ranked = dict(sorted(order.items(), key=lambda one: one[1]))
    return Ranking(ranked, float(statistic), float(p), len(kept), len(found) - len(kept))
