"""Times as ratios: two ways of doing a job, in turn, in one run. A noisy or different machine cancels out."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

LEAST_ROUNDS = 2


@dataclass(frozen=True)
class Ratio:
    """ours / bare, pair by pair: the median, and the smallest and largest pair. Seconds are medians.

    processor: the median ratio of the process' own time, which a machine busy with other work disturbs less; it says
    nothing of work on an accelerator.
    """

    ratio: float
    low: float
    high: float
    ours_s: float
    bare_s: float
    rounds: int
    processor: float

    def record(self, benchmark: Any) -> None:
        """Adds the numbers to what pytest-benchmark stores."""
        benchmark.extra_info.update({key: round(value, 5) for key, value in asdict(self).items()})


def seconds(job: Callable[[], object]) -> float:
    """Time of one call, with the accelerator's queue emptied before and after."""
    return clock(job)[0]


def clock(job: Callable[[], object]) -> tuple[float, float]:
    """(elapsed, processor) seconds of one call: by the wall on a CPU, on an accelerator between two of its events."""
    events = [torch.cuda.Event(enable_timing=True) for _ in range(2 * torch.cuda.is_available())]
    _wait()
    wall, processor = time.perf_counter(), time.process_time()
    if events:
        events[0].record()
    job()
    if events:
        events[1].record()
    _wait()
    elapsed = float(events[0].elapsed_time(events[1])) / 1e3 if events else time.perf_counter() - wall
    return elapsed, time.process_time() - processor


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def paired(ours: Callable[[], object], bare: Callable[[], object], rounds: int = 5, warm: bool = False,
           most: float = float("inf")) -> Ratio:  # fmt: skip
    """Runs A B, B A, A B, … after one warm-up of each, and compares neighbours.

    warm: whether both have run already.  most: seconds after which no further pair begins, once there are two.
    """
    if not warm:
        ours(), bare()
    pairs: list[tuple[tuple[float, float], tuple[float, float]]] = []
    start = time.perf_counter()
    while len(pairs) < rounds and (len(pairs) < LEAST_ROUNDS or time.perf_counter() - start < most):
        if len(pairs) % 2 == 0:
            a, b = clock(ours), clock(bare)
        else:
            b, a = clock(bare), clock(ours)
        pairs.append((a, b))
    wall, processor = (sorted(a[kind] / max(b[kind], 1e-9) for a, b in pairs) for kind in (0, 1))
    return Ratio(statistics.median(wall), wall[0], wall[-1], statistics.median(a[0] for a, _ in pairs),
                 statistics.median(b[0] for _, b in pairs), len(pairs), statistics.median(processor))  # fmt: skip


def median_seconds(job: Callable[[], object], rounds: int = 5, queued: int = 1) -> float:
    """Median time of a call, after a warm-up.  queued: so many calls at a time, so that an accelerator need not wait."""
    job()
    return statistics.median(seconds(lambda: [job() for _ in range(queued)]) for _ in range(rounds)) / queued
