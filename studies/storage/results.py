"""`Results`: a folder for the results of a command, and the summary.json in it that says whose they are."""

import contextlib
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ...core.files import plain, read_json, remove_leftovers, write_text
from ...core.terminal import command_line
from .store import digest

SUMMARY = "summary.json"  # its key "pullback" holds the version that wrote the folder
HIDDEN = ("explain",)  # commands whose folder shows figures only: their summary's name begins with a dot
_LOCK = ".lock"


class Results:
    """The folder `out` with the results of a `command`. Nothing that answers another question is overwritten in it.

    summary.json (of `explain`: .summary.json) says what runs while it runs, by which command, and how it ended: "running",
    "finished", "interrupted" or "failed". The lock belongs to a process and is free once that has ended, however it ended.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as out:
    ...     results = Results(out, "explain")
    ...     with results.run({"model": "net:make"}):
    ...         results.held()["state"]
    ...     results.held()["state"]
    'running'
    'finished'
    """

    def __init__(self, out: str | Path, command: str) -> None:
        self.out, self.command = Path(out), command
        self.summary = f".{SUMMARY}" if command in HIDDEN else SUMMARY

    def held(self) -> dict[str, Any]:
        """The summary of what this command has written here; {} where there is none.

        Raises: ValueError where the folder holds the summary of something else.
        """
        path = self.out / self.summary
        if not os.path.lexists(path):
            return {}
        found = read_json(path)
        if isinstance(found, dict) and isinstance(found.get("pullback"), str) and found.get("command") == self.command:
            return found
        other = f"results of pullback {found['command']}" if isinstance(found, dict) and "command" in found else "other things"
        raise ValueError(f"{self._name} holds {plain(other)[:60]} ({self.summary} says it); choose another folder with --out.")

    @property
    def _name(self) -> str:
        return plain(self.out)[:120]

    @contextlib.contextmanager
    def run(self, about: Mapping[str, Any], alone: bool = False) -> Iterator[None]:
        """Inside, summary.json says what runs.  about: more of its entries.  alone: no other run may use the folder.

        A folder to which a failed run has added nothing is afterwards as before.
        Raises: ValueError where another run uses the folder.
        """
        before, missing = self.held(), [part for part in (self.out, *self.out.parents) if not part.exists()]
        with self._locked(wait=False) if alone else contextlib.nullcontext():
            for folder in (self.out, self.out / ".parts", self.out / "cells"):
                remove_leftovers(folder)
            process = {"id": os.getpid(), "machine": platform.node(), "started": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
            about = {"command_line": command_line(), **about}
            self.update({"state": "running", "process": process, **about}, alone)
            try:
                yield
            except BaseException as error:
                interrupted = isinstance(error, KeyboardInterrupt)
                with contextlib.suppress(OSError, ValueError):
                    self.update({"state": "interrupted" if interrupted else "failed"}, alone)
                    if not (before or interrupted):
                        self._forget(missing)
                raise
            self.update({"state": "finished"}, alone)

    def _forget(self, missing: Sequence[Path]) -> None:
        """Removes summary.json if it is alone, and the folders that were missing before."""
        if {path.name for path in self.out.iterdir()} <= {self.summary, _LOCK}:
            (self.out / self.summary).unlink()
            (self.out / _LOCK).unlink(missing_ok=True)
            for part in missing:
                part.rmdir()

    def update(self, changes: Mapping[str, Any], alone: bool = False) -> None:
        """Writes these entries of summary.json; "files" are added to those that it has.  alone: this run holds the lock."""
        with contextlib.nullcontext() if alone else self._locked(wait=True):
            held = self.held()
            if isinstance(changes.get("files"), dict) and isinstance(held.get("files"), dict):
                changes = {**changes, "files": held["files"] | changes["files"]}
            first = {"pullback": importlib.metadata.version("pullback"), "command": self.command}
            write_text(self.out / self.summary, json.dumps(first | held | first | dict(changes), indent=1))

    def free_name(self, name: str, question: Any, taken: Mapping[str, Any]) -> str:
        """`name`, or where that file answers another question, `name` with a digest of the question.

        question: all that the file depends on, as plain data.  taken: {name: {"question": digest}} of further files.
        """
        known, own = dict(self.held().get("files") or {}) | dict(taken), digest(question)
        there = {path.name.casefold(): path.name for path in self.out.iterdir()} if self.out.is_dir() else {}
        there |= {other.casefold(): other for other in taken}
        found = there.get(name.casefold())
        entry = known.get(found, {}) if found else {"question": own}
        if isinstance(entry, dict) and entry.get("question") == own:
            return name
        return f"{Path(name).stem}-{own[:8]}{Path(name).suffix}"

    @contextlib.contextmanager
    def _locked(self, wait: bool) -> Iterator[None]:
        """Holds the lock of the folder."""
        self.out.mkdir(parents=True, exist_ok=True)
        path = self.out / _LOCK
        file = self._open(path, wait)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                if _is(path, file):
                    path.unlink()
            file.close()

    def _open(self, path: Path, wait: bool) -> IO[str]:
        """The open and locked file.  Raises: ValueError where another run holds it."""
        while True:
            file = path.open("a")
            try:
                _lock(file, wait)
            except BlockingIOError:
                file.close()
                raise ValueError(self._in_use()) from None
            except OSError:  # a file system without locks
                return file
            if _is(path, file):  # and not that of a run which has just ended
                return file
            file.close()

    def _in_use(self) -> str:
        process = self.held().get("process")
        known = process if isinstance(process, dict) else {}
        words = {"id": "process", "machine": "on", "started": "since"}
        who = " ".join(f"{word} {plain(known.get(name))[:40]}" for name, word in words.items())
        return f"{self._name} is in use by another run ({who}); wait for it, or choose another folder with --out."


def _is(path: Path, file: IO[str]) -> bool:
    """Whether `path` is this open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except OSError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str], wait: bool) -> None:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except PermissionError:
            raise BlockingIOError from None
else:
    import fcntl

    def _lock(file: IO[str], wait: bool) -> None:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
