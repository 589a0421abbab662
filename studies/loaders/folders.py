"""The files of a folder: which are entries of a data set, and why the others are not."""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...core.files import read_json

SOFTWARE = "pullback"  # figures name it in their PNG metadata, so that a later run does not take them for photos


@dataclass(frozen=True)
class Found:
    """A file or folder below the one that is listed.

    name: its path from there, parts joined by "/"; that of a folder ends with "/".  fault: why it is left out, "" for an entry.
    """

    name: str
    path: Path
    fault: str = ""

    @property
    def group(self) -> str:
        """The folder of the first level that holds it, "" for a file of the listed folder itself.

        >>> Found("cat/black/1.png", Path("data/cat/black/1.png")).group
        'cat'
        """
        return self.name.partition("/")[0] if "/" in self.name else ""


def files_below(folder: Path) -> Iterator[Found]:
    """Every file below `folder`, sorted by the parts of its path; links to folders are followed.

    Left out, with the reason: what is hidden, figures of this library, links that lead nowhere or to a folder that was read
    before, folders that cannot be opened, and what is neither a file nor a folder.
    """
    seen: dict[tuple[int, int], str] = {}
    waiting = [Found("", folder)]
    while waiting:
        here = waiting.pop()
        if here.fault or (here.name and not here.name.endswith("/")):
            yield here
            continue
        try:
            inside = sorted(os.scandir(here.path), key=lambda entry: entry.name, reverse=True)
            first = seen.setdefault(_identity(here.path), here.name)
        except OSError as error:
            yield Found(here.name, here.path, f"a folder that cannot be opened: {error.strerror}")
            continue
        if here.name and first != here.name:
            yield Found(here.name, here.path, f"a link to a folder that is read before: {first or 'the data folder'}")
            continue
        own = written_files(here.path)
        waiting += [_found(here, entry, own) for entry in inside]


def _found(folder: Found, entry: os.DirEntry[str], own: Collection[str]) -> Found:
    try:
        kind = "/" if entry.is_dir() else ""
        fault = "a file that pullback wrote" if entry.name in own and entry.name[-4:] != ".png" else _fault(entry)
    except OSError as error:
        kind, fault = "", f"cannot be opened: {error.strerror}"
    return Found(folder.name + entry.name + kind, Path(entry.path), fault)


def _fault(entry: os.DirEntry[str]) -> str:
    """Why a file or folder is left out; "" if it is not."""
    if entry.name.startswith("."):
        return "hidden, as its name begins with a dot"
    if not entry.is_dir() and not entry.is_file():
        return "neither a file nor a folder" if os.path.exists(entry.path) else "a link that leads nowhere"
    return "a figure that pullback wrote" if entry.name.endswith(".png") and is_own_figure(Path(entry.path)) else ""


def written_files(folder: Path) -> Collection[str]:
    """The files that the summaries of `explain` and of `compare` in a folder list."""
    found: set[str] = set()
    for name in (".summary.json", "summary.json"):
        summary = read_json(folder / name)
        files = summary.get("files") if isinstance(summary, dict) and isinstance(summary.get("pullback"), str) else None
        found.update(file for file in files or () if isinstance(file, str))
    return found


def is_own_figure(path: Path) -> bool:
    """Whether a PNG says in its metadata, which stand before the pixels, that this library wrote it."""
    try:
        with path.open("rb") as file:
            return f"tEXtSoftware\0{SOFTWARE}".encode() in file.read(1024)
    except OSError:
        return False


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
