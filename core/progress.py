"""Progress of long work: how it is reported, a terminal bar with the time left, and interruption."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from .imports import needs

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[int, int], None]  # called with (units done, units planned)


class Interrupted(KeyboardInterrupt):
    """The user interrupted long work; `done` of `planned` pieces are stored and will not be computed again.

    >>> Interrupted(4, 20).done
    4
    """

    def __init__(self, done: int, planned: int) -> None:
        super().__init__(done, planned)
        self.done, self.planned = done, planned


def time_left(elapsed: float, first: tuple[float, int], done: int, planned: int) -> float | None:
    """Seconds left at the pace of this run, or None while nothing has been done.

    first: (elapsed, done) at the first report; what an earlier run had finished does not count.

    >>> time_left(40.0, (10.0, 50), 60, 80)
    60.0
    """
    return None if done <= first[1] else (elapsed - first[0]) / (done - first[1]) * max(0, planned - done)


@contextmanager
def bar(description: str, console: "Console | None" = None, *, early: bool = False) -> Iterator[Progress]:
    """A terminal bar on standard error with an estimate of the time left. It appears with the first report.

    early: the work may need less than planned; the bar then ends full.  Raises: ImportError without rich.
    """
    with needs("The progress bar", "'pullback[cli]'"):
        from rich import console as terminal
        from rich import progress as rich
    units = rich.TextColumn("{task.description}"), rich.BarColumn(), rich.MofNCompleteColumn()
    times = rich.TimeElapsedColumn(), rich.TextColumn("left {task.fields[left]}")
    # If standard output goes to a file, text that is printed while the bar is shown must still go there.
    redirect = sys.stdout.isatty()
    shown = rich.Progress(*units, *times, console=console or terminal.Console(stderr=True), redirect_stdout=redirect)
    task = shown.add_task(description, total=None, left="-:--:--")
    first: list[tuple[float, int]] = []

    def report(done: int, planned: int) -> None:
        if not first:  # wrong arguments raise before the first report, so that their error shows without a bar
            first.append((time.monotonic(), done))
            shown.start()
        seconds = time_left(time.monotonic(), first[0], done, planned)
        left = "-:--:--" if seconds is None else str(timedelta(seconds=round(seconds)))
        shown.update(task, completed=done, total=planned, left=left)

    try:
        yield report
        if early:
            shown.update(task, total=shown.tasks[0].completed)
    finally:
        if first:
            shown.stop()


@contextmanager
def reporter(progress: Progress | bool | None) -> Iterator[Progress | None]:
    """The callable that `progress=` stands for: itself, a bar for True, and nothing for None and False."""
    if progress is True:
        with bar("model evaluations", early=True) as report:
            yield report
    else:
        yield progress or None
