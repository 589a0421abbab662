"""Times as ratios: two ways of doing a job, in turn, in one run. A noisy or different machine cancels out."""

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
    """ours / bare, and the smallest and largest of its rounds. What the ratio and the seconds are depends on who took it.

    `paired`: medians, the ratio that of the pairs. `interleaved`: sums over the turns of a job of the median round, and the
    ratio that of the sums; it may lie outside of low to high, which are the ratios of single rounds, but errs as they do.
    processor: the same ratio of the process' own time, which a machine busy with other work disturbs less; it says nothing
    of work on an accelerator.
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


def paired(
    ours: Callable[[], object],
    bare: Callable[[], object],
    rounds: int = 5,
    warm: bool = False,
    most: float = float("inf"),
) -> Ratio:
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
    return Ratio(
        statistics.median(wall),
        wall[0],
        wall[-1],
        statistics.median(a[0] for a, _ in pairs),
        statistics.median(b[0] for _, b in pairs),
        len(pairs),
        statistics.median(processor),
    )


def interleaved(
    ours: Callable[[Progress], object], steps: Sequence[Step], rounds: int = 5, most: float = float("inf")
) -> Ratio:
    """As `paired`, but taking turns within a job: ours tells of each pass through the model, and the other catches up.

    A machine whose speed drifts within a second does so for both. Each side's time is the sum, over its turns, of the median
    round. Both must have run before, and neither on an accelerator: there each turn would have to wait for the queue.

    ours: called with what it is to call with (rows done, rows planned).  steps: the other job, (its rows, what runs them).
    most: seconds after which no further round begins, once there are two.
    Raises: ValueError where ours does not take the same number of turns in each round.
    """
    turns: list[_Turns] = []
    start = time.perf_counter()
    while len(turns) < rounds and (len(turns) < LEAST_ROUNDS or time.perf_counter() - start < most):
        turns.append(_Turns(steps))
        turns[-1].run(ours)
    totals = [
        [
            sum(map(statistics.median, zip(*sides, strict=True)))
            for sides in ([t.ours[kind] for t in turns], [t.bare[kind] for t in turns])
        ]
        for kind in (0, 1)
    ]
    pairs = sorted(sum(t.ours[0]) / sum(t.bare[0]) for t in turns)
    (ours_s, bare_s), processor = totals[0], totals[1][0] / max(totals[1][1], 1e-9)
    return Ratio(ours_s / bare_s, pairs[0], pairs[-1], ours_s, bare_s, len(turns), processor)


class _Turns:
    """One round: the time of each turn of ours and of each step of the other, (by the wall, of the processor)."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.ours: tuple[list[float], list[float]] = ([], [])
        self.bare: tuple[list[float], list[float]] = ([], [])
        self._left, self._rows = list(steps), sum(rows for rows, _ in steps)
        self._since = (0.0, 0.0)

    def run(self, ours: Callable[[Progress], object]) -> None:
        self._since = _now()
        ours(self._passed)
        self._stop(self.ours)
        self._catch_up(1.0)

    def _passed(self, done: int, planned: int) -> None:
        self._stop(self.ours)
        self._catch_up(done / planned)
        self._since = _now()

    def _catch_up(self, share: float) -> None:
        """Runs steps until the other side has done this share of its rows."""
        while self._left and sum(rows for rows, _ in self._left) > (1 - share) * self._rows:
            self._since = _now()
            self._left.pop(0)[1]()
            self._stop(self.bare)

    def _stop(self, side: tuple[list[float], list[float]]) -> None:
        for times, now, since in zip(side, _now(), self._since):
            times.append(now - since)


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def median_seconds(job: Callable[[], object], rounds: int = 5, queued: int = 1) -> float:
    """Median time of a call, after a warm-up.  queued: so many calls at a time, so that an accelerator need not wait."""
    job()
    return statistics.median(seconds(lambda: [job() for _ in range(queued)]) for _ in range(rounds)) / queued
