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
    """ours / bare, pair by pair: the median, and the smallest and largest pair. Seconds are medians."""

    ratio: float
    low: float
    high: float
    ours_s: float
    bare_s: float
    rounds: int

    def record(self, benchmark: Any) -> None:
        """Adds the numbers to what pytest-benchmark stores."""
        benchmark.extra_info.update({key: round(value, 5) for key, value in asdict(self).items()})


def seconds(job: Callable[[], object]) -> float:
    """Time of one call: by the wall on a CPU; on an accelerator between two of its events, with nothing queued before."""
    if not torch.cuda.is_available():
        start = time.perf_counter()
        job()
        return time.perf_counter() - start
    torch.cuda.synchronize()
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    job()
    last.record()
    torch.cuda.synchronize()
    return float(first.elapsed_time(last)) / 1e3


def paired(ours: Callable[[], object], bare: Callable[[], object], rounds: int = 5, warm: bool = False,
           most: float = float("inf")) -> Ratio:  # fmt: skip
    """Runs A B, B A, A B, … after one warm-up of each, and compares neighbours.

    warm: whether both have run already.  most: seconds after which no further pair begins, once there are two.
    """
    if not warm:
        ours(), bare()
    pairs: list[tuple[float, float]] = []
    start = time.perf_counter()
    while len(pairs) < rounds and (len(pairs) < LEAST_ROUNDS or time.perf_counter() - start < most):
        if len(pairs) % 2 == 0:
            a, b = seconds(ours), seconds(bare)
        else:
            b, a = seconds(bare), seconds(ours)
        pairs.append((a, b))
    ratios = sorted(a / b for a, b in pairs)
    return Ratio(statistics.median(ratios), ratios[0], ratios[-1], statistics.median(a for a, _ in pairs),
                 statistics.median(b for _, b in pairs), len(pairs))  # fmt: skip


def median_seconds(job: Callable[[], object], rounds: int = 5) -> float:
    """Median time of a call, after a warm-up."""
    job()
    return statistics.median(seconds(job) for _ in range(rounds))
