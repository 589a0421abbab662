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
Times = tuple[float, float]  # by the wall (on an accelerator: between two of its events), and of the processor


@dataclass(frozen=True)
class Ratio:
    """The time of ours over that of the other job ("bare"), and the smallest and largest ratio of its rounds.

    `paired` takes the median of the pairs. `interleaved` sums the medians of the turns, so that its ratio may lie outside
    of low to high, which are the ratios of single rounds.
    processor: the same ratio of the process' own time, which other work on the machine disturbs less. It does not see an
    accelerator.
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


def clock(job: Callable[[], object]) -> Times:
    """The time of one call, with the accelerator's queue emptied before and after."""
    events = [torch.cuda.Event(enable_timing=True) for _ in range(2 * torch.cuda.is_available())]
    _wait()
    start = _now()
    if events:
        events[0].record()
    job()
    if events:
        events[1].record()
    _wait()
    wall, processor = (now - then for now, then in zip(_now(), start))
    return float(events[0].elapsed_time(events[1])) / 1e3 if events else wall, processor


def seconds(job: Callable[[], object]) -> float:
    """The elapsed time of one call."""
    return clock(job)[0]


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _now() -> Times:
    return time.perf_counter(), time.process_time()


def median_seconds(job: Callable[[], object], rounds: int = 5, queued: int = 1) -> float:
    """The median time of a call, after a warm-up.  queued: calls at a time, so that an accelerator does not wait."""
    job()
    return statistics.median(seconds(lambda: [job() for _ in range(queued)]) for _ in range(rounds)) / queued


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
    pairs: list[tuple[Times, Times]] = []
    start = time.perf_counter()
    while len(pairs) < rounds and (len(pairs) < LEAST_ROUNDS or time.perf_counter() - start < most):
        if len(pairs) % 2 == 0:
            a, b = clock(ours), clock(bare)
        else:
            b, a = clock(bare), clock(ours)
        pairs.append((a, b))
    wall, processor = (sorted(a[kind] / max(b[kind], 1e-9) for a, b in pairs) for kind in (0, 1))
    ours_s, bare_s = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
    middle = statistics.median
    return Ratio(middle(wall), wall[0], wall[-1], ours_s, bare_s, len(pairs), middle(processor))


def interleaved(
    ours: Callable[[Progress], object], steps: Sequence[Step], rounds: int = 5, most: float = float("inf")
) -> Ratio:
    """As `paired`, but the jobs take turns within a round: ours reports each forward pass, and the other job catches up.

    A machine whose speed drifts within a second drifts for both. The time of each side is the sum, over its turns, of the
    median round. Both must have run before, and neither on an accelerator, whose queue would have to be emptied each turn.

    ours: called with the function that it calls with (rows done, rows planned).  steps: the other job, (its rows, what
    runs them).  most: seconds after which no further round begins, once there are two.
    Raises: ValueError where ours does not take the same number of turns in each round.
    """
    turns: list[_Turns] = []
    start = time.perf_counter()
    while len(turns) < rounds and (len(turns) < LEAST_ROUNDS or time.perf_counter() - start < most):
        turns.append(_Turns(steps))
        turns[-1].run(ours)
    total = lambda sides: sum(map(statistics.median, zip(*sides, strict=True)))
    (ours_s, bare_s), (ours_cpu, bare_cpu) = (
        (total([turn.ours[kind] for turn in turns]), total([turn.bare[kind] for turn in turns])) for kind in (0, 1)
    )
    pairs = sorted(sum(turn.ours[0]) / sum(turn.bare[0]) for turn in turns)
    return Ratio(ours_s / bare_s, pairs[0], pairs[-1], ours_s, bare_s, len(turns), ours_cpu / max(bare_cpu, 1e-9))


class _Turns:
    """One round: the time of each turn of ours and of each step of the other job, (by the wall, of the processor)."""

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
        """Runs steps until the other job has done this share of its rows."""
        while self._left and sum(rows for rows, _ in self._left) > (1 - share) * self._rows:
            self._since = _now()
            self._left.pop(0)[1]()
            self._stop(self.bare)

    def _stop(self, side: tuple[list[float], list[float]]) -> None:
        for times, now, since in zip(side, _now(), self._since):
            times.append(now - since)
