"""Whether a metric works on this model, data and method: one that fails does not vote."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

DOSES = (0.25, 0.5, 0.75, 1.0)  # shares of noise in the map; 0 is the map itself
SLACK = 0.05  # by which a map of pure noise may differ from chance
CLEAR = 2.0  # so many standard errors of a domain's mean must pure noise in the map cost


@dataclass(frozen=True)
class Admission:
    """How a metric answers to noise in the map; the smaller, the better the map.

    noise: the standard error of a domain's mean, the mean over domains.  halves: the mean absolute difference of the
    means of two halves of the units.  doses: the mean with a share λ of noise in the map, from λ = 0 to 1, evenly spaced.
    chance: the mean of random rankings.  p: of Page's test that it rises with λ.
    """

    noise: float
    halves: float
    doses: tuple[float, ...]
    chance: float
    p: float

    @property
    def fault(self) -> str:
        """Why the metric does not vote; "" where it does."""
        if not self.p < 0.05:
            return f"it does not get worse as noise is mixed into the map (Page's test, p = {self.p:.2g})"
        if not (cost := self.doses[-1] - self.doses[0]) > CLEAR * self.noise:
            return f"a map of noise is worse by {cost:.2f} only, which is below {CLEAR:.0f} standard errors of {self.noise:.2f}"
        if abs(self.doses[-1] - self.chance) > SLACK:
            return f"it is {self.doses[-1]:.2f} for a map of noise, and {self.chance:.2f} by chance"
        return ""


def admission(doses: NDArray[np.float64], chance: NDArray[np.float64], errors: NDArray[np.float64]) -> Admission:
    """The admission of the selection error, or of the gain with its sign turned.

    doses: of each unit and λ = 0, …, 1, means over domains, (units, doses).  chance: of random rankings, (units,).
    errors: of each unit and domain, (units, domains).

    >>> rng = np.random.default_rng(0)
    >>> doses = np.linspace(0.2, 0.8, 5) + rng.normal(0, 0.01, (30, 5))
    >>> admission(doses, np.full(30, 0.8), doses[:, :1]).fault
    ''
    >>> admission(doses[:, ::-1], np.full(30, 0.2), doses[:, :1]).fault[:26]
    'it does not get worse as n'
    """
    known = doses[np.isfinite(doses).all(1)]
    trend = stats.page_trend_test(known, method="asymptotic").pvalue if len(known) > 1 else 1.0
    half = len(errors) // 2
    return Admission(
        noise=float((errors.std(0, ddof=1) / np.sqrt(len(errors))).mean()) if len(errors) > 1 else float("nan"),
        halves=float(np.abs(errors[:half].mean(0) - errors[half:].mean(0)).mean()) if half else float("nan"),
        doses=tuple(map(float, doses.mean(0))),
        chance=float(chance.mean()),
        p=float(trend),
    )
