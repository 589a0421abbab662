"""Signals that lie inside larger files: tar files of WebDataset, tables of Parquet, and numbered shards of both."""

import itertools
import math
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ...core.files import plain
from ..kinds import Kind
from .columns import ParquetRows

SUFFIXES = (".tar", ".parquet")
_RANGE = re.compile(r"\{(\d{1,9})\.\.(\d{1,9})\}")
_MOST = 100_000  # shards that one pattern names
_LABEL_BYTES = 1024


class Member(NamedTuple):
    """A signal inside a file. `data` reads its bytes, those of a file that would be called `file`.

    name: unique in the file, and always the same.  label: the class index, where one is stored.  class_name: or its name.
    """

    name: str
    file: str
    data: Callable[[], bytes]
    label: int | None = None
    class_name: str = ""


def holds_members(path: Path) -> bool:
    """Whether the name of a file is that of one that holds many signals."""
    return path.name.lower().endswith(SUFFIXES)


def members(path: Path, name: str, kind: Kind) -> Iterator[Member]:
    """The signals inside a file, in their order, none of which is read yet.

    name: of the file, as it is shown.  A damaged file has one member more, whose bytes are refused with the reason.
    """
    found = 0
    try:
        for one in _in_tar(path, kind) if path.name.lower().endswith(".tar") else _in_parquet(path):
            found += 1
            yield one._replace(name=name + one.name)
        reason = f"holds no {kind.noun}" if not found else ""
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        reason = f"damaged, or no {path.suffix[1:]} file, after {found} signals: {' '.join(str(error).split())[:120]}"
    if reason:
        yield Member(name, name, partial(_refuse, f"{plain(path.name)[:60]}: {reason}"))


def _refuse(why: str) -> bytes:
    raise ValueError(why)


def _in_tar(path: Path, kind: Kind) -> Iterator[Member]:
    """Every file of the kind. Its class, a number or a name, is in KEY.cls beside it; else its folder is its class.

    As in WebDataset, KEY is the name up to the first dot, and what has one key stands together.
    """
    faults: list[Exception] = []
    for _, group in itertools.groupby(_files_in_tar(path, faults), key=lambda one: _key(one.name)):
        together = list(group)
        label, name = _label(path, [one for one in together if one.name.lower().endswith(".cls")])
        for one in together:
            if kind.owns(Path(one.name)):
                parts = PurePosixPath(one.name).parts
                own = name or ("" if label is not None or len(parts) < 2 else parts[0])
                yield Member(f"/{one.name}", one.name, partial(_bytes_of, path, one.offset_data, one.size), label, own)
    if faults:
        raise faults[0]


def _files_in_tar(path: Path, faults: list[Exception]) -> Iterator[tarfile.TarInfo]:
    """The ordinary files of a tar file until it ends, or is damaged; the error is then put into `faults`."""
    try:
        with tarfile.open(path, "r:") as archive:  # only what is not compressed can be read where it lies
            for one in archive:
                archive.members.clear()  # type: ignore[attr-defined]  # else it keeps them all
                if one.isreg() and not one.issparse() and not PurePosixPath(one.name).name.startswith("."):
                    yield one
    except (tarfile.TarError, EOFError, OSError) as error:
        faults.append(error)


def _key(name: str) -> str:
    folder, mark, file = name.rpartition("/")
    return folder + mark + file.partition(".")[0]


def _label(path: Path, found: Sequence[tarfile.TarInfo]) -> tuple[int | None, str]:
    """The number and the name of a class; None and "" where there is none."""
    if not found or found[0].size > _LABEL_BYTES:
        return None, ""
    text = _bytes_of(path, found[0].offset_data, found[0].size).decode(errors="replace").strip()
    return (int(text), "") if re.fullmatch(r"\d{1,9}", text) else (None, text)


def _bytes_of(path: Path, start: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(size)
    if len(data) < size:
        raise ValueError(f"{plain(path.name)[:60]}: it ends in the middle of this signal; copy it again.")
    return data


def _in_parquet(path: Path) -> Iterator[Member]:
    rows = ParquetRows(path)
    for number, (label, name) in enumerate(rows.labels()):
        yield Member(f"#{number}", rows.file, partial(rows.data, number), label, name)


def decoded(member: Member, kind: Kind) -> object:
    """The picture or the signal of a member."""
    return kind.decode(member.data(), member.file, member.name)


def numbered_shards(spec: str) -> list[Path]:
    """The files that NAME-{000..009}.tar names, each number with as many digits as the first; [] for other specs.

    >>> [path.name for path in numbered_shards("a-{08..10}.tar")], numbered_shards("a.tar")
    (['a-08.tar', 'a-09.tar', 'a-10.tar'], [])
    """
    found = _RANGE.findall(spec)
    counts = [int(last) - int(first) + 1 for first, last in found]
    if not found or not holds_members(Path(spec)):
        return []
    if min(counts) < 1 or math.prod(counts) > _MOST:
        raise ValueError(f"Data {spec[:80]!r}: expected 1 to {_MOST:,} files, by numbers that rise, as {{000..009}}.")
    each = [[f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)] for first, last in found]
    parts = _RANGE.sub("\0", spec).split("\0")
    named = ("".join(itertools.chain(*zip(parts, chosen, strict=False), parts[-1:])) for chosen in itertools.product(*each))
    return [Path(name) for name in named]
