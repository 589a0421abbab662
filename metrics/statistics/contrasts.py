"""Paired contrasts, and what can be concluded from a declared family of them."""

import dataclasses
import functools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from ...core.checks import is_number
from .intervals import t_interval
from .multiplicity import holm
from .units import ENOUGH, Numbers, check_level, per_unit

ROPE = 0.02  # differences of up to two points are equal in practice
POWER = 0.8  # chance with which the detectable difference is found
EXACT = 16  # units up to which all sign patterns are tried
PATTERNS = 100_000  # sign patterns that are drawn for more units
_PAIRS = 2000  # units up to which all pairs are averaged
_BLOCK = 1 << 21  # numbers that are held at a time


@dataclass(frozen=True)
class Contrast:
    """The paired difference between two sides, unit by unit, and what can be concluded from it.

    mean, shift: the mean difference, and its Hodges–Lehmann estimate (the median of the means of all pairs of units), which
        few odd units cannot move.  superiority: the share of units with a positive difference; ties count one half.
    low, high: Student's t interval of the mean at level 1 - (1 - level) / comparisons, so that all intervals of the family
        hold together. Differences are mostly symmetric, where it keeps its level with 8 units already (docs/statistics.md).
    p, p_corrected: of the sign-flip test, by itself and after Holm's correction over the family.
    detectable: the smallest mean difference that a run with this spread finds with 80 % power at the corrected level; NaN
        for so few units that even the same sign in all of them is no evidence at that level.
    units, dropped: how many numbers were used, and how many were NaN or infinite.
    comparisons, level, rope: how many contrasts the family has; 1 - the chance of a false claim in it; what is equal.

    The differences are in units of the score, and positive where the first side is better.
    """

    mean: float
    low: float
    high: float
    p: float
    p_corrected: float
    shift: float
    superiority: float
    detectable: float
    units: int
    dropped: int = 0
    comparisons: int = 1
    level: float = 0.95
    rope: float = ROPE

    @property
    def contains_zero(self) -> bool:
        """Whether 0 lies in the interval, also of a claimed difference: all intervals hold together (Bonferroni, Student's t),
        whereas the sign-flip test is corrected step by step (Holm), which finds more with the same chance of a false claim.
        """
        return self.low <= 0 <= self.high

    @property
    def verdict(self) -> str:
        """What can be claimed: "better", "worse", "equal" or "open".

        equal: the interval, at the corrected level, lies within ± rope: two one-sided tests (Schuirmann 1987).  better, worse:
        p_corrected ≤ 1 - level, and not equal.  open: neither, or fewer than 20 units.
        """
        if self.units < ENOUGH:
            return "open"
        if -self.rope <= self.low and self.high <= self.rope:
            return "equal"
        if self.p_corrected > 1 - self.level:
            return "open"
        return "better" if self.mean > 0 else "worse"


def contrast(
    differences: ArrayLike,
    *,
    level: float = 0.95,
    rope: float = ROPE,
    comparisons: int = 1,
    cluster: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Contrast:
    """The contrast of one number per unit, corrected by Bonferroni for `comparisons`; `family` corrects by Holm.

    differences: first side - second side of each unit, in units of the score. NaN and infinities are dropped and counted.
    level: 1 - the chance of a false claim.  rope: differences up to this size are equal in practice.
    comparisons: the number of contrasts in the declared family.  cluster: as in `per_unit`: the clusters are the units then.

    Raises: TypeError or ValueError for differences or labels as in `per_unit`, and for another level, rope or number of
    comparisons. 100,000 sign patterns cannot show a p below 1e-5: a family that needs one is refused.

    >>> found = contrast(np.linspace(0.05, 0.15, 24))
    >>> round(found.mean, 3), found.superiority, found.verdict
    (0.1, 1.0, 'better')
    """
    raw = per_unit("contrast", differences, cluster)
    return _contrasts([raw], seed, level=level, rope=rope, comparisons=comparisons)[0]


def _contrasts(raw: Sequence[Numbers], seed: int, *, level: float, rope: float, comparisons: int) -> list[Contrast]:
    alpha = _alpha(level, rope, comparisons)
    found = [np.sort(one[np.isfinite(one)]) for one in raw]  # the order of the units changes nothing
    made = []
    for one, kept, p in zip(raw, found, _flipped(found, seed)):
        unit = float(np.abs(kept).max(initial=0)) or 1.0  # so that no sum is too large
        scaled = kept / unit
        mean, low, high = t_interval(scaled, 1 - alpha)
        new = Contrast(
            mean=unit * mean,
            low=unit * low,
            high=unit * high,
            p=p,
            p_corrected=float(np.minimum(1.0, comparisons * p)),
            shift=unit * _shift(scaled, seed),
            superiority=float(((scaled > 0) + 0.5 * (scaled == 0)).mean()) if len(kept) else np.nan,
            detectable=unit * detectable_difference(scaled, alpha=alpha) if 2.0 ** (1 - len(kept)) <= alpha else np.nan,
            units=len(kept),
            dropped=len(one) - len(kept),
            comparisons=comparisons,
            level=level,
            rope=rope,
        )
        made.append(new)
    return made


def family(
    differences: Mapping[str, ArrayLike],
    *,
    level: float = 0.95,
    rope: float = ROPE,
    cluster: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> dict[str, Contrast]:
    """The contrasts of one declared question, by name, with p corrected by Holm over all of them.

    In the whole family, the chance of any false "better" or "worse" is at most 1 - level, and so is that of any false
    "equal". Two-sided sign-flip tests are exact where the two sides may be exchanged, or differences are symmetric.
    Arguments, errors: as in `contrast`.  Source: Holm 1979.

    >>> rng = np.random.default_rng(0)
    >>> found = family({"dct": rng.normal(0.1, 0.1, 50), "dft": rng.normal(0, 0.001, 50)})
    >>> {name: one.verdict for name, one in found.items()}
    {'dct': 'better', 'dft': 'equal'}
    """
    if not isinstance(differences, Mapping):
        raise TypeError(f"family: expected differences by name, a dict, got {type(differences).__name__}.")
    raw = [per_unit("family", one, cluster) for one in differences.values()]
    found = _contrasts(raw, seed, level=level, rope=rope, comparisons=max(1, len(raw)))
    corrected = holm([one.p for one in found])
    return {name: dataclasses.replace(one, p_corrected=float(p)) for name, one, p in zip(differences, found, corrected)}


def _alpha(level: float, rope: float, comparisons: int) -> float:
    """The chance of a false claim that each contrast may have."""
    alpha = (1 - check_level("contrast", level)) / max(1, comparisons)
    if not is_number(rope) or not 0 <= rope < np.inf:
        raise ValueError(f"contrast: expected rope ≥ 0, the largest difference that counts as none; got {rope!r}.")
    if comparisons < 1 or alpha * PATTERNS < 1:
        most = int((1 - level) * PATTERNS)
        why = f"{PATTERNS:,} sign patterns cannot show a smaller p"
        raise ValueError(f"contrast: expected 1 to {most:,} comparisons at level {level}, got {comparisons:,}; {why}.")
    return alpha


def sign_flip(differences: ArrayLike, *, seed: int = 0) -> float:
    """Two-sided p of the mean difference under random signs: of all 2ⁿ patterns for n ≤ 16 units, else of 100,000 drawn ones.

    Neither the order of the units nor the sign of all differences changes it. It is NaN without units. Equal to
    `scipy.stats.permutation_test(permutation_type="samples")`, and about 20 times as fast.
    Source: Fisher 1935; for drawn patterns, (1 + hits) / (1 + 100,000), Phipson and Smyth 2010.

    >>> sign_flip([1.0, 1.0, 1.0])
    0.25
    """
    found = per_unit("sign_flip", differences)
    return _flipped([found[np.isfinite(found)]], seed)[0]


def _flipped(found: Sequence[Numbers], seed: int) -> list[float]:
    """p of each of several contrasts; those with equally many units share the patterns of signs."""
    p = np.full(len(found), np.nan)
    for units in {len(one) for one in found} - {0}:
        chosen = [i for i, one in enumerate(found) if len(one) == units]
        values = np.array([found[i] / (np.abs(found[i]).max() or 1.0) for i in chosen])
        size = np.sort(np.abs(values), axis=1).T
        observed = np.abs(np.sort(values, axis=1).sum(1)) - 1e-12 * size.sum(0)  # equal sums may be rounded differently
        hits = sum((np.abs(sums) >= observed).sum(0) for sums in _sums(size, seed))
        p[chosen] = hits / 2**units if units <= EXACT else (1 + hits) / (1 + PATTERNS)
    return [float(one) for one in p]


def _sums(size: Numbers, seed: int) -> Iterator[Numbers]:
    """Sums of `size` (units, columns) under all patterns of signs, or drawn ones, in blocks (patterns, columns)."""
    units, columns = size.shape
    rng, block, groups = np.random.default_rng(seed), max(1, _BLOCK // max(units, columns)), -(-units // 8)
    signs = 2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1) - 1
    # A byte holds eight signs, whose sum is looked up: a pattern of signs is never written out.
    known = signs @ np.pad(size, ((0, 8 * groups - units), (0, 0))).reshape(groups, 8, columns)
    every, unused, places = 2**units if units <= EXACT else PATTERNS, 8 * groups - units, 8 * np.arange(groups)[::-1]
    for start in range(0, every, block):
        number = np.arange(start, min(start + block, every))[:, None]
        drawn = rng.integers(0, 256, (len(number), groups), np.uint8) if units > EXACT else number << unused >> places & 255
        yield sum(table[place] for table, place in zip(known, drawn.T))


def _shift(found: Numbers, seed: int) -> float:
    """The median of (d_i + d_j) / 2 over all pairs i ≤ j; of two million drawn pairs for more than 2,000 units."""
    if not len(found):
        return float("nan")
    draw, units = np.random.default_rng(seed).integers, len(found)
    pairs = np.triu_indices(units) if units <= _PAIRS else draw(0, units, (2, _BLOCK))
    return float(np.median((found[pairs[0]] + found[pairs[1]]) / 2))


def detectable_difference(differences: ArrayLike, *, alpha: float = 0.05, power: float = POWER) -> float:
    """The smallest mean difference that a two-sided paired t test at level alpha finds with this power, given the spread.

    δ = s ν / √n, with P(T > t_(1 - α/2)) = power for T noncentral t with n - 1 degrees of freedom and noncentrality ν.
    It speaks of the design, not of what was found: a difference that is truly this large is missed in a fifth of such runs.
    NaN with fewer than two units.  In units of the differences.  Raises: ValueError for alpha or power outside (0, 1).

    >>> round(detectable_difference([-1.0, 1.0] * 10), 2)
    0.68
    """
    check_level("detectable_difference", power), check_level("detectable_difference", alpha)
    found = per_unit("detectable_difference", differences)
    found = found[np.isfinite(found)]
    if len(found) < 2:
        return float("nan")
    return _noncentrality(len(found) - 1, alpha, power) * float(found.std(ddof=1) / np.sqrt(len(found)))


@functools.lru_cache(maxsize=1024)
def _noncentrality(freedom: int, alpha: float, power: float) -> float:
    """ν with P(T > t_(1 - α/2)) = power; SciPy's noncentral t fails for few units and a small α."""
    quantiles = stats.chi2.ppf((np.arange(4000) + 0.5) / 4000, freedom)  # of the square of S, where T = (Z + ν) / S
    border = stats.t.isf(alpha / 2, freedom) * np.sqrt(quantiles / freedom)
    missing = lambda shift: float(special.ndtr(shift - border).mean()) - power
    return float(optimize.brentq(missing, -10.0, border.max() + 10.0))
