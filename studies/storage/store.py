"""Finished batches on disk, so that an interrupted study goes on where it stopped."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...core.files import read_json, write_text


class Parts:
    """Numbered parts of one question in `out`/.parts; those of another question are not taken for its own.

    question: all that the parts depend on, as plain data.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     parts = Parts(Path(folder), {"seed": 0})
    ...     parts.write(0, {"records": [1]})
    ...     parts.read(0), Parts(Path(folder), {"seed": 1}).read(0), Parts(Path(folder), {"seed": 1}).foreign()
    ({'records': [1]}, None, 1)
    """

    def __init__(self, out: Path, question: Any) -> None:
        key = json.dumps(question, default=str)
        self.key = hashlib.blake2b(key.encode(), digest_size=12).hexdigest()
        self.folder = out / ".parts"

    def _path(self, number: int) -> Path:
        return self.folder / f"{self.key}-{number:05}.json"

    def read(self, number: int) -> Any:
        """The part, or None where it has not been finished."""
        return read_json(self._path(number))

    def write(self, number: int, part: dict[str, Any]) -> None:
        """Stores a part, whole or not at all."""
        write_text(self._path(number), json.dumps(part))

    def foreign(self) -> int:
        """How many parts in the folder belong to other questions."""
        return sum(not path.name.startswith(self.key) for path in self.folder.glob("*-*.json"))

    def merge(self, count: int) -> tuple[list[dict[str, Any]], list[list[str]], dict[str, int], list[str]]:
        """(records, skipped, model rows, pictures) of all parts."""
        parts = [self.read(number) for number in range(count)]
        counts: dict[str, int] = {}
        for part in parts:
            for name, value in part["counts"].items():
                counts[name] = counts.get(name, 0) + value
        gather: Callable[[str], list[Any]] = lambda name: [item for part in parts for item in part[name]]
        return gather("records"), gather("skipped"), counts, gather("pictures")
