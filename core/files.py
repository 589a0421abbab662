"""Files that appear whole or not at all, and folders that can be written."""

import contextlib
import json
import os
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_whole(path: str | Path, write: Callable[[str], object]) -> None:
    """Calls `write` with a temporary name beside `path`, and renames that file to `path` once `write` has succeeded.

    After a full disk, an exception or a kill, `path` is as before. After an exception no temporary file is left either.
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
    """Writes `text` as UTF-8, whole or not at all."""
    write_whole(path, lambda name: Path(name).write_text(text, encoding="utf-8"))


def read_json(path: str | Path) -> Any:
    """The content of a JSON file, or None where it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def check_writable(folder: str | Path) -> None:
    """Creates `folder` and a file in it, and removes both, before any work is done.  Raises: OSError that names the folder."""
    folder = Path(folder)
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        fault = f"no files can be written into {str(folder)!r} ({error.strerror or error})"
        raise OSError(f"out: {fault}; choose another folder.") from None
    finally:
        for part in missing:
            with contextlib.suppress(OSError):
                part.rmdir()
