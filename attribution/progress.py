"""Progress of long work: rows done, rows to do, time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

Progress = Callable[[int, int], None]


@contextmanager
def bar(description: str, console: Console | None = None) -> Iterator[Callable[[float, float], None]]:
    """A terminal bar with an estimate of the time left, fed by (done, planned). It writes to standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    with RichProgress(*columns, console=console or Console(stderr=True)) as progress:
        task = progress.add_task(description, total=None)
        yield lambda done, planned: progress.update(task, completed=done, total=planned)


@contextmanager
def reporter(progress: Progress | bool | None) -> Iterator[Progress | None]:
    """What `progress=` means: a callable is used as it is, True draws a bar, None and False are silent."""
    if progress is True:
        with bar("model rows") as report:
            yield report
    else:
        yield progress or None
