"""Finished pieces of a study on disk, so that an interrupted study continues where it stopped."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...core.files import read_json, write_texts

_NAME = re.compile(r"([0-9a-f]{24})-([0-9a-f]{24})\.json")  # of a piece: the digests of its question and its key


class Store:
    """Finished pieces of work in `folder`, one JSON file each; pieces of another question are never read.

    question: everything that the pieces depend on, as plain data.  A key (text or a number) names a piece of it.
    Several processes may use the same folder at one time.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store, other = (Store(folder, {"seed": seed}) for seed in (0, 1))
    ...     store.write("dct", {"records": [1]})
    ...     store.read("dct"), other.read("dct"), other.foreign(), other.foreign(["pixel"])
    ({'records': [1]}, None, 1, 0)
    """

    def __init__(self, folder: str | Path, question: Any) -> None:
        self.folder, self.digest = Path(folder), digest(question)

    def read(self, key: str | int) -> Any:
        """The piece, or None where it is missing or its file is damaged."""
        return read_json(self.path(key))

    def write(self, key: str | int, piece: Any) -> None:
        """Stores a piece: the whole file or nothing."""
        self.write_all({key: piece})

    def write_all(self, pieces: Mapping[Any, Any]) -> None:
        """Stores pieces that were made together, so that a kill leaves all of them or none, but for a moment."""
        write_texts({self.path(key): json.dumps(piece) for key, piece in pieces.items()})

    def foreign(self, keys: Iterable[str | int] | None = None) -> int:
        """The number of stored pieces that belong to other questions: all of them, or those with one of `keys`."""
        names = [match.groups() for path in self.folder.glob("*-*.json") if (match := _NAME.fullmatch(path.name))]
        wanted = None if keys is None else {digest(key) for key in keys}
        return sum(question != self.digest and (wanted is None or key in wanted) for question, key in names)

    def path(self, key: str | int) -> Path:
        """The file of a piece."""
        return self.folder / f"{self.digest}-{digest(key)}.json"


def digest(data: Any) -> str:
    """A digest of plain data, in which the order of names does not matter."""
    return hashlib.blake2b(json.dumps(data, sort_keys=True, default=str).encode(), digest_size=12).hexdigest()
