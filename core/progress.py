"""Progress of long work: rows done, rows to do, time left."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

Progress = Callable[[int, int], None]


class TimeLeft(ProgressColumn):
    """At the pace of this run: what an earlier one had done already does not count, and one step may take minutes."""

    def render(self, task: Task) -> Text:
        """Hours, minutes and seconds, once something has been done."""
        seconds = time_left(task.elapsed or 0.0, task.fields.get("first"), task.completed, task.total)
        return Text("left -:--:--" if seconds is None else f"left {timedelta(seconds=round(seconds))}")


def time_left(elapsed: float, first: tuple[float, float] | None, done: float, planned: float | None) -> float | None:
    """Seconds, or None before anything was done.  first: (elapsed, done) when the first word came.

    >>> time_left(40.0, (10.0, 50.0), 60.0, 80.0)
    60.0
    """
    if first is None or planned is None or done <= first[1]:
        return None
    return (elapsed - first[0]) / (done - first[1]) * max(0.0, planned - done)


@contextmanager
def bar(
    description: str, console: Console | None = None, *, early: bool = False
) -> Iterator[Callable[[float, float], None]]:
    """A terminal bar with an estimate of the time left, fed by (done, planned). It writes to standard error.

    early: what was planned is the most that may be needed; the bar ends full where less was enough.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeLeft())
    # What is printed while a bar is shown must not be led away from a file that standard output goes to.
    shown = RichProgress(*columns, console=console or Console(stderr=True), redirect_stdout=sys.stdout.isatty())
    task, started = shown.add_task(description, total=None, first=None), False

    def report(done: float, planned: float) -> None:
        nonlocal started
        if not started:  # a mistake in what was asked shows before there is anything to wait for
            shown.start()
            started = True
        now = shown.tasks[0]
        first = now.fields["first"] or (now.elapsed or 0.0, done)
        shown.update(task, completed=done, total=planned, first=first)

    try:
        yield report
        if early:
            shown.update(task, total=shown.tasks[0].completed)
    finally:
        if started:
            shown.stop()


@contextmanager
def reporter(progress: Progress | bool | None) -> Iterator[Progress | None]:
    """What `progress=` means: a callable is used as it is, True draws a bar, None and False are silent."""
    if progress is True:
        with bar("model rows", early=True) as report:
            yield report
    else:
        yield progress or None
