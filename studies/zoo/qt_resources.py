"""Files inside a Qt resource collection (.rcc), in which some programs keep their pictures and sounds."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_ZLIB, _FOLDER, _ZSTD = 1, 2, 4  # flags of an entry


class _Tables(NamedTuple):
    """The bytes of a collection, where its three tables begin, and the length of an entry of the tree."""

    data: bytes
    tree: int
    files: int
    names: int
    entry: int


def qt_resources(path: Path) -> Iterator[tuple[str, bytes]]:
    """The path inside the collection and the content of each file.

    Source: qtbase, src/corelib/io/qresource.cpp.  Raises: ValueError for other files and for contents packed with Zstandard.
    """
    data = path.read_bytes()
    if data[:4] != b"qres" or len(data) < 20:
        raise ValueError(f"{path.name}: expected a Qt resource collection, which begins with qres.")
    version, tree, files, names = struct.unpack_from(">4I", data, 4)
    yield from _walk(_Tables(data, tree, files, names, 14 if version < 2 else 22), 0, "")


def _walk(tables: _Tables, number: int, above: str) -> Iterator[tuple[str, bytes]]:
    """The files below entry `number` of the tree."""
    name_at, flags, one, other = struct.unpack_from(">IHII", tables.data, tables.tree + number * tables.entry)
    name = f"{above}/{_name(tables, name_at)}" if number else ""
    if flags & _FOLDER:
        for child in range(other, other + one):
            yield from _walk(tables, child, name)
    else:
        yield name.lstrip("/"), _content(tables, other, flags)


def _name(tables: _Tables, offset: int) -> str:
    start = tables.names + offset
    (length,) = struct.unpack_from(">H", tables.data, start)
    return tables.data[start + 6 : start + 6 + 2 * length].decode("utf-16-be")


def _content(tables: _Tables, offset: int, flags: int) -> bytes:
    start = tables.files + offset
    (length,) = struct.unpack_from(">I", tables.data, start)
    found = tables.data[start + 4 : start + 4 + length]
    if flags & _ZSTD:
        raise ValueError("Qt resource collection: contents packed with Zstandard cannot be read.")
    return zlib.decompress(found[4:]) if flags & _ZLIB else found
