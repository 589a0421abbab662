"""Files that appear whole or not at all, folders that can be written, and names that every system accepts."""

import contextlib
import functools
import json
import os
import platform
import re
import sys
import tempfile
import unicodedata
import uuid
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_JSON_BYTES = 2**26  # a larger file is none of ours
_ESCAPED = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of characters, ends of lines and paragraphs
_DIRECTIONS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # these show a name in another order


def plain(text: object, keep: str = "") -> str:
    """`text` on one line that a terminal shows as it is: control characters and bytes that are no text become escapes.

    keep: characters that stay.

    >>> plain("a\\x1b[31m\\n"), plain("a\\nb", keep="\\n")
    ('a\\\\x1b[31m\\\\n', 'a\\nb')
    """
    return "".join(c if c in keep or _is_shown(c) else c.encode("unicode_escape").decode() for c in str(text))


def _is_shown(character: str) -> bool:
    return character not in _DIRECTIONS and unicodedata.category(character) not in _ESCAPED


def slug(text: str, most: int = 48) -> str:
    """`text` as a part of a file's name: its letters, digits, dots and underscores, the rest as single hyphens.

    most: its bytes in UTF-8. Four parts of 32 to 48 bytes make a name that every file system accepts.

    >>> slug("dwt(bior4.4, level=4)"), slug("../$x$"), slug("🐱")
    ('dwt-bior4.4-level-4', 'x', '')
    """
    system = sys.getfilesystemencoding()
    known = unicodedata.normalize("NFC", text).encode(system, "ignore").decode(system)
    name = re.sub("-+", "-", "".join(c if c in "._" or unicodedata.category(c)[0] in "LMN" else "-" for c in known))
    return name.strip("-.").encode()[:most].decode(errors="ignore").strip("-.")


def write_whole(path: str | Path, write: Callable[[str], object]) -> None:
    """Calls `write` with a temporary name beside `path`, and renames that file to `path` once all of it is on the disk.

    After a full disk, an exception, a kill or a power failure `path` is as before. After an exception no temporary file is
    left either; `remove_leftovers` removes that of a killed process.
    """
    _write_all({Path(path): write})


def write_parquet(path: str | Path, table: Any) -> None:
    """`write_whole` for a table of pandas, without its index; pyarrow itself refuses names that are not UTF-8."""

    def write(name: str) -> None:
        with open(name, "wb") as file:
            table.to_parquet(file, index=False)

    write_whole(path, write)


def _write_all(files: Mapping[Path, Callable[[str], object]]) -> None:
    """`write_whole` for several files: each is on the disk before the first appears under its name."""
    made: dict[Path, Path] = {}
    try:
        for path, write in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            name = f".{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp{path.suffix[:9]}"
            made[path] = path.with_name(name)
            write(str(made[path]))
            _sync(made[path], os.O_RDWR)
        for path, temporary in made.items():
            os.replace(temporary, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:  # as of a full disk
            error.filename = str(path)
        for temporary in made.values():
            temporary.unlink(missing_ok=True)
        raise
    for folder in {path.parent for path in made}:
        with contextlib.suppress(OSError):  # some systems cannot
            _sync(folder, os.O_RDONLY)


def _host() -> str:
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(folder: str | Path) -> None:
    """Removes the temporary files that `write_whole` left in `folder` when their process was killed on this machine."""
    for path in Path(folder).glob(f".{_host()}-*-*.tmp*"):
        if not is_alive(int(path.name.split("-")[1])):
            path.unlink(missing_ok=True)


def is_alive(process: int) -> bool:
    """Whether a process of this machine runs; True where that cannot be known."""
    if sys.platform == "win32":  # there, asking would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def write_text(path: str | Path, text: str) -> None:
    """Writes `text` as UTF-8, whole or not at all; bytes of names that are no text are written as escapes."""
    write_whole(path, functools.partial(_write_text, text))


def write_texts(texts: Mapping[Path, str]) -> None:
    """Writes several texts as UTF-8; all of them are on the disk before the first appears under its name."""
    _write_all({path: functools.partial(_write_text, text) for path, text in texts.items()})


def _write_text(text: str, name: str) -> None:
    Path(name).write_text(text, encoding="utf-8", errors="backslashreplace")


def read_json(path: str | Path, most: int = _JSON_BYTES) -> Any:
    """The content of a JSON file, or None where it is missing, damaged, nested without end, or no ordinary file.

    most: bytes of a file that is read.
    """
    try:
        if Path(path).is_file() and Path(path).stat().st_size <= most:
            return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        pass
    return None


def check_writable(folder: str | Path) -> None:
    """Creates `folder` and a file in it, and removes both, before any work is done.  Raises: OSError that names the folder."""
    folder = Path(folder)
    missing = [part for part in (folder, *folder.parents) if not _exists(part)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:  # a name with a null character is a ValueError
        shown = plain(folder) if len(str(folder)) < 100 else f"{plain(str(folder)[:100])}…"
        fault = f"no files can be written into {shown!r} ({getattr(error, 'strerror', None) or error})"
        raise OSError(f"out: {fault}; choose another folder.") from None
    finally:
        for part in missing:
            with contextlib.suppress(OSError, ValueError):
                part.rmdir()


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
