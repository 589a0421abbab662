"""How cost grows: with pixels, batch, samples, domains and wavelet levels. Log-log slopes with a 95 % interval.

A slope of 1 is in proportion, 0 is for nothing. Sizes come in turn, several times over, so that a slow moment of the
machine falls on all of them, and the least time of each is taken. What a call costs whatever the size, and what each one
more adds, are stored beside the slope, which fixed costs pull down.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.stats
from direct import Direct
from guard import Counted, check_input, check_result, counted, exact
from laws import check_transform
from models import QUICK, network, signals
from planned import planned
from references import carried, check_map
from timing import seconds
from torch import Tensor

import pullback as pb
from pullback.studies.compare.grid import DOMAINS

SIDES = (32, 64) if QUICK else (64, 96, 128, 192, 256)
COUNTS = (1, 2, 3) if QUICK else (1, 2, 4, 8, 16)
MANY = (2, 4, 6) if QUICK else (4, 8, 16, 32, 64)  # samples: fewer say more of fixed costs than of samples
LEVELS = (1, 2) if QUICK else (1, 2, 3, 4, 5)
DOMAIN_COUNTS = (1, 2, 3) if QUICK else (1, 2, 4, 7, 10)
SAMPLES = 4 if QUICK else 16
# What is grown, and between which slopes it ought to lie. Fixed costs pull slopes down, caches that overflow push them up.
EXPECTED = {
    "pixels": (0.8, 1.25),
    "batch": (0.8, 1.15),
    "samples": (0.8, 1.15),
    "domains": (-0.05, 0.2),
    "levels": (-0.1, 0.35),
}


@dataclass(frozen=True)
class Job:
    """What is timed at one size, and the signals that it looks at."""

    x: Tensor
    run: Callable[[], Any]


def smoothgrad(model: Counted, x: Tensor, domains: Sequence[str] = (DOMAINS[3],), samples: int = SAMPLES) -> Job:
    """SmoothGrad on these signals."""
    method = f"smoothgrad(samples={samples})"
    return Job(x, lambda: pb.attribute(model, x, 0, method=method, transform=list(domains)))


def jobs(what: str, device: str) -> tuple[Counted, dict[int, Job]]:
    """The network, and a job for each size."""
    # An accelerator needs work enough to be busy; ten domains are for nothing next to a real network only.
    name, images = ("small", 2) if device == "cpu" else ("resnet50", 16)
    model = Counted(
        network("efficientnet-lite0" if what == "domains" and device == "cpu" else name, device, (3, 224, 224))
    )
    x = lambda images, side: signals((images, 3, side, side)).to(device)
    side = SIDES[len(SIDES) // 2]
    if what == "pixels":
        return model, {side**2: smoothgrad(model, x(images, side)) for side in SIDES}
    if what == "batch":
        return model, {count: smoothgrad(model, x(count, side)) for count in COUNTS}
    if what == "samples":
        return model, {count: smoothgrad(model, x(images, side), samples=count) for count in MANY}
    if what == "domains":
        return model, {count: smoothgrad(model, x(images, side), DOMAINS[:count]) for count in DOMAIN_COUNTS}
    largest = x(4, SIDES[-1])
    return model, {
        level: Job(largest, functools.partial(_there_and_back, _levels(largest, level), largest)) for level in LEVELS
    }


def _levels(x: Tensor, level: int) -> pb.transforms.Transform:
    return pb.transforms.get(f"dwt(db4, level={level})", tuple(x.shape[1:]))


def _there_and_back(transform: pb.transforms.Transform, x: Tensor) -> tuple[Tensor, Tensor]:
    """(T x, its adjoint of x), after as many as a clock can tell apart."""
    for _ in range(5):
        found = transform(x), transform.adjoint(x)
    return found


def guard(what: str, model: Counted, size: int, job: Job) -> Callable[[], Any]:
    """The job, checked: rows as planned, and the map of the first signal as its formula has it; or the laws of T.

    The first domain's map is held against SmoothGrad on f∘T⁻¹; one gradient serves all others, and is carried to them.
    """
    check_input(job.x)
    with exact():
        result = job.run()
        if what == "levels":
            z, adjoint = result
            check_transform(_levels(job.x, size), job.x, z, None, adjoint)
            return job.run
        method = f"smoothgrad(samples={size if what == 'samples' else SAMPLES})"
        assert len(result) == (size if what == "domains" else 1)
        check_map(result[0], method, Direct(model.model, result[0].transform, job.x[:1], 0))
    for att in result:
        check_result(att.values, carried(att.covector, att))
    return counted(job.run, model.tally, *planned(method, [att.transform for att in result], len(job.x)))


def slope(sizes: Sequence[float], times: Sequence[float]) -> tuple[float, float, float]:
    """Of log time over log size: (slope, low, high) of its 95 % interval, by Student's t; one more point than two."""
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
    model, by_size = jobs(what, device)
    ready = {size: guard(what, model, size, job) for size, job in by_size.items()}
    times: dict[int, list[float]] = {size: [] for size in ready}
    for turn in range(min(rounds, 3)):
        for size in list(ready)[:: 1 if turn % 2 == 0 else -1]:
            times[size].append(seconds(ready[size]))
    least = {size: min(taken) for size, taken in times.items()}  # what else runs on the machine only adds
    found, low, high = slope(list(least), list(least.values()))
    expected = EXPECTED[what]
    fixed, each = line(list(least), list(least.values()))
    benchmark.extra_info.update(
        fixed_s=round(fixed, 5),
        each_s=round(each, 9),
        slope=round(found, 3),
        expected=list(expected),
        within=expected[0] <= found <= expected[1],
        seconds={str(size): round(time, 5) for size, time in least.items()},
    )
    if math.isfinite(high - low):
        benchmark.extra_info.update(slope_low=round(low, 3), slope_high=round(high, 3))
    benchmark.pedantic(ready[min(ready)], rounds=1)
