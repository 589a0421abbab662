"""Times as ratios: two jobs take turns in one run, so that a noisy or a different machine cancels out."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

LEAST_ROUNDS = 2
Progress = Callable[[int, int], None]
Step = tuple[int, Callable[[], object]]


@dataclass(frozen=True)
class Ratio:
    """The time of ours over that of the other job ("bare"), and the smallest and largest ratio of its rounds.

    `paired` takes the median of the pairs. `interleaved` sums the medians of the turns, so that its ratio may lie outside
    of low to high, which are the ratios of single rounds.
    """

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
    """The time of one call: by the wall on a CPU, on an accelerator between two of its events, its queue emptied before."""
    if not torch.cuda.is_available():
        start = time.perf_counter()
        job()
        return time.perf_counter() - start
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    before.record()
    job()
    after.record()
    torch.cuda.synchronize()
    return float(before.elapsed_time(after)) / 1e3


def median_seconds(job: Callable[[], object], rounds: int = 5, queued: int = 1) -> float:
    """The median time of a call, after a warm-up.  queued: calls at a time, so that an accelerator does not wait."""
    job()
    return statistics.median(seconds(lambda: [job() for _ in range(queued)]) for _ in range(rounds)) / queued


def paired(
    ours: Callable[[], object], bare: Callable[[], object], rounds: int = 5, warm: bool = False, most: float = 1e9
) -> Ratio:
    """Runs A B, B A, A B, … after one warm-up of each, and compares neighbours.

    warm: whether both have run already.  most: seconds after which no further pair begins, once there are two.
    """
    if not warm:
        ours(), bare()
    pairs: list[tuple[float, float]] = []
    start = time.perf_counter()
    while _goes_on(len(pairs), rounds, start, most):
        if len(pairs) % 2 == 0:
            a, b = seconds(ours), seconds(bare)
        else:
            b, a = seconds(bare), seconds(ours)
        pairs.append((a, b))
    ratios = sorted(a / max(b, 1e-9) for a, b in pairs)
    ours_s, bare_s = map(statistics.median, zip(*pairs))
    return Ratio(statistics.median(ratios), ratios[0], ratios[-1], ours_s, bare_s, len(pairs))


def interleaved(ours: Callable[[Progress], object], steps: Sequence[Step], rounds: int = 5, most: float = 1e9) -> Ratio:
    """As `paired`, but the jobs take turns within a round: ours reports each forward pass, and the other job catches up.

    A machine whose speed drifts within a second drifts for both. The time of each side is the sum, over its turns, of the
    median round. Both must have run before, and neither on an accelerator, whose queue would have to be emptied each turn.

    ours: called with the function that it calls with (rows done, rows planned).  steps: the other job, (its rows, what
    runs them).  most: seconds after which no further round begins, once there are two.
    Raises: ValueError where ours does not take the same number of turns in each round.
    """
    turns: list[_Turns] = []
    start = time.perf_counter()
    while _goes_on(len(turns), rounds, start, most):
        turns.append(_Turns(steps))
        turns[-1].run(ours)
    total = lambda sides: sum(map(statistics.median, zip(*sides, strict=True)))
    ours_s, bare_s = total([turn.ours for turn in turns]), total([turn.bare for turn in turns])
    ratios = sorted(sum(turn.ours) / sum(turn.bare) for turn in turns)
    return Ratio(ours_s / bare_s, ratios[0], ratios[-1], ours_s, bare_s, len(turns))


def _goes_on(done: int, rounds: int, start: float, most: float) -> bool:
    return done < rounds and (done < LEAST_ROUNDS or time.perf_counter() - start < most)


class _Turns:
    """One round: the time of each turn of ours and of each step of the other job."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.ours: list[float] = []
        self.bare: list[float] = []
        self._left, self._rows = list(steps), sum(rows for rows, _ in steps)
        self._since = 0.0

    def run(self, ours: Callable[[Progress], object]) -> None:
        self._since = time.perf_counter()
        ours(self._passed)
        self.ours.append(time.perf_counter() - self._since)
        self._catch_up(1.0)

    def _passed(self, done: int, planned: int) -> None:
        self.ours.append(time.perf_counter() - self._since)
        self._catch_up(done / planned)
        self._since = time.perf_counter()

    def _catch_up(self, share: float) -> None:
        """Runs steps until the other job has done this share of its rows."""
        while self._left and sum(rows for rows, _ in self._left) > (1 - share) * self._rows:
            start = time.perf_counter()
            self._left.pop(0)[1]()
            self.bare.append(time.perf_counter() - start)
