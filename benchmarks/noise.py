"""How far ratios move between two runs of the same code: by what the pairs of a run show, and by what they cannot show.

Each entry of a run notes its ratio and the lowest and highest of so many pairs. Two pairs say little of their spread, all
pairs of a suite say much. So the variance of an entry is the mean of its own and its suite's, weighted by degrees of
freedom, of which the suite's has PRIOR (a moderated t statistic; Smyth 2004, doi:10.2202/1544-6115.1027). What is drawn
once for a whole run, such as where its memory lies, differs between runs only, and is added as a stated number.

Of `timing.paired` the ratio is the median of the pairs; of `timing.interleaved` it is one of sums of medians, and may lie
outside of the range of the rounds. Both err as medians of so many pairs do.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import scipy.stats

# Root of the mean square range of n normal numbers of variance 1, n = 2, 3, … 10 (Duncan 1955, d2*).
RANGES = (1.414, 1.912, 2.239, 2.481, 2.673, 2.830, 2.963, 3.078, 3.179)
MEDIAN = math.pi / 2  # how much larger the variance of a median is than that of a mean; of two they are the same
# Degrees of freedom that a suite's variance has in that of each entry. The variances of 58 limits scatter as 10 would have
# it (two whole runs on 2 CPU cores, the estimate of Smyth), those of 25 transforms as 3 would, of others too few to say.
PRIOR = 8
# Standard deviation, from run to run, of the log ratio. Measured on two whole runs of the same code, an hour apart, on 2 CPU
# cores: the part of the changes that the spread within them does not explain is 0.00 in 58 limits, whose two sides take
# turns within a job; 0.09 in transforms (25 ratios, of jobs of milliseconds); 0.08 in peers (6) and 0.07 in accelerator (4).
BETWEEN = {"limits": 0.01}
BETWEEN_WHOLE_JOBS = 0.09

Noted = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """log (new / stored) of a ratio, or of several together, its variance by chance, and the degrees of freedom of that."""

    log: float
    variance: float
    free: float

    def allowed(self, confidence: float, floor: float = 0.0) -> float:
        """The log change that chance exceeds in 1 - confidence of all cases, one-sided; at least log (1 + floor)."""
        return max(math.log(1 + floor), float(scipy.stats.t.ppf(confidence, self.free)) * math.sqrt(self.variance))


def spread(noted: Noted) -> tuple[float, int]:
    """(variance of the log ratio between pairs, its degrees of freedom); no degree of freedom where no pairs are noted."""
    rounds = min(int(noted.get("rounds", 1)), len(RANGES) + 1)
    if rounds < 2 or "low" not in noted:
        return 0.0, 0
    return (math.log(noted["high"] / noted["low"]) / RANGES[rounds - 2]) ** 2, rounds - 1


def pooled(spreads: Iterable[tuple[float, int]]) -> tuple[float, int]:
    """Mean variance by degrees of freedom, and their sum; (0.0, 0) of nothing."""
    found = list(spreads)
    free = sum(own for _, own in found)
    return sum(variance * own for variance, own in found) / max(free, 1), free


def changes(suite: str, stored: Mapping[str, Noted], new: Mapping[str, Noted]) -> dict[str, Change]:
    """The change of each ratio that both runs of a suite noted, by name; nothing where neither noted a spread."""
    both = [name for name in stored if name in new and "ratio" in stored[name] and "ratio" in new[name]]
    own = {name: pooled([spread(stored[name]), spread(new[name])]) for name in both}
    prior, known = pooled(own.values())
    luck = 2 * BETWEEN.get(suite, BETWEEN_WHOLE_JOBS) ** 2  # each of the two runs draws its own
    return {
        name: _change(stored[name], new[name], pooled([(prior, min(PRIOR, known)), own[name]]), luck)
        for name in both
        if known
    }


def _change(stored: Noted, new: Noted, moderated: tuple[float, int], luck: float) -> Change:
    """Luck is taken as known: the degrees of freedom grow with its part of the variance (Satterthwaite)."""
    variance, free = moderated
    within = max(variance * (_of_ratio(stored) + _of_ratio(new)), 1e-12)
    return Change(math.log(new["ratio"] / stored["ratio"]), within + luck, free * (1 + luck / within) ** 2)


def _of_ratio(noted: Noted) -> float:
    """Variance of the noted ratio over that of one pair."""
    rounds = int(noted.get("rounds", 1))
    return (1 if rounds < 3 else MEDIAN) / rounds


def together(found: Collection[Change]) -> Change:
    """Their mean, each weighted by the inverse of its variance; as sure of that as of the least sure of them.

    Raises: ValueError where there is none.
    """
    if not found:
        raise ValueError("no change to take the mean of.")
    weight = sum(1 / change.variance for change in found)
    mean = sum(change.log / change.variance for change in found) / weight
    return Change(mean, 1 / weight, min(change.free for change in found))
