"""Files that appear whole or not at all."""

import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_whole(path: str | Path, write: Callable[[str], object]) -> None:
    """Calls `write` with a temporary name beside `path`, and renames it to `path` once that has succeeded.

    A full disk, an exception or a kill leaves the old file, or none; an exception leaves no temporary either.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        write(str(temporary))
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> None:
    """`text` as UTF-8, whole or not at all."""
    write_whole(path, lambda name: Path(name).write_text(text, encoding="utf-8"))


def read_json(path: str | Path) -> Any:
    """What a JSON file holds; None where there is no file, or none that is whole, so that its work is done again."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
