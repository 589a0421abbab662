"""What the command prints: text of the user as it is, on any terminal, also when its reader leaves early."""

import contextlib
import contextvars
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .files import plain

LONGEST = 300  # characters of a message
FEW, MAIN = 4, ("report.html", "results.csv", "summary.json")  # names of files in a line, and those that matter most
# Without markup, because names of files may hold brackets and colons.
PLAIN: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
console = Console(**PLAIN)
_TYPED: contextvars.ContextVar[str] = contextvars.ContextVar("command line", default="")


def show(text: object) -> None:
    """Prints a text or a report as it is, however long its lines are."""
    console.print(plain(text, keep="\n"), soft_wrap=True)


def show_wrapped(text: object) -> None:
    """Prints sentences, wrapped at the width of the terminal."""
    console.print(plain(text))


def show_files(out: Path, files: Sequence[str]) -> None:
    """Prints where the results are: all files where they are few, else those that matter most, or the first ones."""
    chosen = list(files) if len(files) <= FEW else [name for name in MAIN if name in files] or list(files[:FEW])
    more = f", and {len(files) - len(chosen)} more" if len(files) > len(chosen) else ""
    show(f"results in {plain(out)}: {', '.join(chosen)}{more}")


def show_table(title: str | None, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a table; a cell of several words may have several lines."""
    table = Table(*head, title=title and plain(title), title_justify="left")
    for row in rows:
        table.add_row(*map(plain, row))
    console.print(table)


def complain(text: object) -> None:
    """One line on standard error; a long one loses its middle."""
    line = plain(" ".join(str(text).split("\n")))
    if len(line) > LONGEST:  # the first words say what is wrong, the last ones what to do
        line = f"{line[: LONGEST - 120]} … {line[-100:]}"
    Console(stderr=True, **PLAIN).print(f"pullback: {line}", style="red", soft_wrap=True)


def tell(text: object) -> None:
    """One line on standard error that is no complaint."""
    Console(stderr=True, **PLAIN).print(plain(text), soft_wrap=True)


@contextlib.contextmanager
def typed(arguments: Sequence[str]) -> Iterator[None]:
    """Inside, `command_line` gives the command with these arguments.

    >>> with typed(["compare", "--data", "my photos"]):
    ...     command_line()
    "pullback compare --data 'my photos'"
    """
    token = _TYPED.set(shlex.join(["pullback", *arguments]))
    try:
        yield
    finally:
        _TYPED.reset(token)


def command_line() -> str:
    """The command that runs, as a shell takes it; "" where the library is called from Python."""
    return _TYPED.get()


class _Stream:
    """A text stream that replaces what its terminal has no letters for, and goes on in silence when its reader has gone."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream or open(os.devnull, "w")  # noqa: SIM115  (there is none where it was closed)
        if hasattr(self.stream, "reconfigure"):
            self.stream.reconfigure(errors="replace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> Any:
        return self._while_read(self.stream.write, text)

    def flush(self) -> None:
        self._while_read(self.stream.flush)

    def _while_read(self, call: Callable[..., Any], *args: Any) -> Any:
        try:
            return call(*args)
        except BrokenPipeError:  # as in `pullback axioms | head -1`: the work and the exit status stay the same
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
            return call(*args)


@contextlib.contextmanager
def plain_streams() -> Iterator[None]:
    """Inside, all that is printed goes through `_Stream`, and a warning is one line."""
    out, err = _Stream(sys.stdout), _Stream(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.showwarning = lambda message, *where, **more: complain(f"warning: {message}")
        try:
            yield
        finally:
            out.flush()
            err.flush()
