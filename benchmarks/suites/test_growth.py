"""How cost grows: with pixels, batch, samples, domains and wavelet levels. Log-log slopes with a 95 % interval.

A slope of 1 is in proportion, 0 is no growth. Sizes come in turn, several times over, so that a slow moment of the machine
falls on all of them, and the least time of each is taken. What a call costs whatever the size, and what each one more adds,
are stored beside the slope, which fixed costs pull down.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.stats
from torch import Tensor

from benchmarks.measure import calls
from benchmarks.measure.checks import check_evaluations, check_input, check_map, check_transform
from benchmarks.measure.counting import Counted, counted
from benchmarks.measure.timing import seconds
from benchmarks.subjects.models import QUICK, Subject, network, signals
from pullback.core.precision import tf32
from pullback.studies.compare.grid import DOMAINS
from pullback.transforms import get

SIDES = (32, 64) if QUICK else (64, 96, 128, 192, 256)
COUNTS = (1, 2, 3) if QUICK else (1, 2, 4, 8, 16)
MANY = (2, 4, 6) if QUICK else (4, 8, 16, 32, 64)  # samples: fewer say more of fixed costs than of samples
LEVELS = (1, 2) if QUICK else (1, 2, 3, 4, 5)
DOMAIN_COUNTS = (1, 2, 3) if QUICK else (1, 2, 4, 7, 10)
SAMPLES = 4 if QUICK else 16
# What is grown, and between which slopes it ought to lie. Fixed costs pull slopes down, caches that overflow push them up.
EXPECTED = {"pixels": (0.8, 1.25), "batch": (0.8, 1.15), "samples": (0.8, 1.15)}
EXPECTED |= {"domains": (-0.05, 0.2), "levels": (-0.1, 0.35)}


@dataclass(frozen=True)
class Job:
    """SmoothGrad on these signals: what is timed at one size."""

    model: Counted
    x: Tensor
    domains: Sequence[str] = (DOMAINS[3],)
    samples: int = SAMPLES

    @property
    def method(self) -> str:
        return f"smoothgrad(samples={self.samples})"

    def run(self) -> Any:
        return calls.attribute(self.model, self.x, 0, self.method, list(self.domains))

    def checked(self) -> Callable[[], Any]:
        """The job, which runs its planned evaluations each time; the maps of its first signal equal untimed ones."""
        check_input(self.x)
        case = Subject("", self.model.model, self.x)
        with tf32(False):
            found, spent = self.model.tally.during(self.run)
            check_evaluations(spent, found, calls.planned(self.method, [att.transform for att in found], len(self.x)))
            for att in found:
                check_map(att, case, self.method)
        return counted(self.run, self.model.tally, spent)


def jobs(what: str, device: str) -> dict[int, Callable[[], Any]]:
    """A checked job for each size."""
    if what == "levels":
        largest = signals((4, 3, SIDES[-1], SIDES[-1])).to(device)
        return {level: there_and_back(largest, level) for level in LEVELS}
    # An accelerator needs work enough to be busy, and domains are cheap beside a real network only.
    name, images = ("small", 2) if device == "cpu" else ("resnet50", 16)
    name = "efficientnet-lite0" if what == "domains" and device == "cpu" else name
    model = Counted(network(name, device, (3, 224, 224)))
    x = lambda images, side: signals((images, 3, side, side)).to(device)
    middle = SIDES[len(SIDES) // 2]
    made = {
        "pixels": {side**2: Job(model, x(images, side)) for side in SIDES},
        "batch": {count: Job(model, x(count, middle)) for count in COUNTS},
        "samples": {count: Job(model, x(images, middle), samples=count) for count in MANY},
        "domains": {count: Job(model, x(images, middle), DOMAINS[:count]) for count in DOMAIN_COUNTS},
    }
    return {size: job.checked() for size, job in made[what].items()}


def there_and_back(x: Tensor, level: int) -> Callable[[], Any]:
    """T and its adjoint, checked, as many times as a clock needs."""
    transform = get(f"dwt(db4, level={level})", tuple(x.shape[1:]))
    check_transform(transform, x, transform(x), None, transform.adjoint(x))
    return lambda: [(transform(x), transform.adjoint(x)) for _ in range(5)][-1]


def slope(sizes: Sequence[float], times: Sequence[float]) -> tuple[float, float, float]:
    """Of log time over log size: (slope, low, high) of its 95 % interval, by Student's t; needs three points."""
    fit = scipy.stats.linregress([math.log(size) for size in sizes], [math.log(time) for time in times])
    free = len(sizes) - 2
    half = scipy.stats.t.ppf(0.975, free) * fit.stderr if free else math.inf
    return float(fit.slope), float(fit.slope - half), float(fit.slope + half)


def line(sizes: Sequence[float], times: Sequence[float]) -> tuple[float, float]:
    """(a, b) of time = a + b size, by least squares of relative errors."""
    each, fixed = np.polyfit(sizes, times, 1, w=1 / np.asarray(times))
    return float(fixed), float(each)


@pytest.mark.parametrize("what", EXPECTED)
def test_growth(benchmark: Any, what: str, device: str, rounds: int) -> None:
    """The slope ought to lie in EXPECTED; it is stored with its interval, the times, and whether it does."""
    ready = jobs(what, device)
    times: dict[int, list[float]] = {size: [] for size in ready}
    for turn in range(min(rounds, 3)):
        for size in list(ready)[:: 1 if turn % 2 == 0 else -1]:
            times[size].append(seconds(ready[size]))
    sizes, least = list(times), [min(taken) for taken in times.values()]  # what else runs on the machine only adds
    (found, low, high), (fixed, each) = slope(sizes, least), line(sizes, least)
    info, expected = benchmark.extra_info, EXPECTED[what]
    info.update(fixed_s=round(fixed, 5), each_s=round(each, 9), slope=round(found, 3), expected=list(expected))
    info["within"] = expected[0] <= found <= expected[1]
    info["seconds"] = {str(size): round(time, 5) for size, time in zip(sizes, least)}
    if math.isfinite(high - low):
        info.update(slope_low=round(low, 3), slope_high=round(high, 3))
    benchmark.pedantic(ready[min(ready)], rounds=1)
