"""Photos and other signals by name: folders, samples that come in packages, data sets of a hub."""

import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from ...core.checks import check_path
from ...core.imports import package_folder
from ...core.registry import listed
from ..kinds import KINDS, Kind, Part, check_bytes, kind_advice, wrong_kind
from ..kinds import Signal as OneSignal
from ..kinds.pictures import as_seen
from ..zoo import DATA
from .columns import hub_rows
from .folders import Found, files_below
from .labels import outputs_of_folders
from .members import Member, decoded, holds_members, members, numbered_shards
from .packaged import is_packaged, opened, packaged_items

PACKAGED = tuple(f"{name}:{data.argument}" if data.argument else name for name, data in DATA.items())
FILES = "a folder of images or CLASS/images", "an image, .tar or .parquet", "hf:NAME[:SPLIT]"
FORMS = ("imagenet-sample", *PACKAGED, *FILES)
IMAGENET = 1000  # classes
Signal = TypeVar("Signal")


@dataclass(frozen=True)
class Photo:
    """One entry of a data set; `open` reads it: a picture, or the `Signal` of another kind.

    label: the class index, if the data set has one; in a folder of class folders, the place of the photo's class folder in
    their sorted order, as in torchvision's ImageFolder.  class_name: the class folder.  path: the file, if there is one.
    data: reads the bytes of an entry that lies inside a larger file.

    >>> from PIL import Image
    >>> Photo("red", 3, lambda: Image.new("RGB", (4, 2), "red")).open().size
    (4, 2)
    """

    name: str
    label: int | None
    open: Callable[[], Any]
    class_name: str = ""
    path: Path | None = None
    data: Callable[[], bytes] | None = None


@dataclass
class Photos:
    """The entries of a data set, in a fixed order. An iteration reads them, pictures in 8-bit RGB.

    folders: the sorted names of all class folders.  classes: the number of classes of the labels, if it is known.
    left_out: what was found but is no entry, with the reason.  cut: in words, the classes that a limit left out, or "".  Of the
    last iteration: `skipped` lists `left_out` and what could not be read, with the reason; `notes` lists what was read
    otherwise than it is stored.

    >>> from PIL import Image
    >>> red, gone = Photo("red", 3, lambda: Image.new("RGB", (4, 2))), Photo("gone", 5, lambda: Image.open("gone"))
    >>> photos = Photos([red, gone])
    >>> [photo.name for photo, image in photos], [name for name, why in photos.skipped]
    (['red'], ['gone'])
    """

    entries: list[Photo]
    folders: tuple[str, ...] = ()
    classes: int | None = None
    left_out: list[tuple[str, str]] = field(default_factory=list)
    cut: str = ""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)

    def __iter__(self) -> Iterator[tuple[Photo, Any]]:
        self.skipped[:], self.notes[:] = self.left_out, []
        for photo in self.entries:
            found = read(photo)
            if isinstance(found, str):
                self.skipped.append((photo.name, found))
                continue
            self.notes += [(photo.name, note) for note in found[1]]
            yield photo, found[0]
            del found  # a picture may be large

    def inputs(self, prepare: Callable[[Any], Signal]) -> Iterator[tuple[Photo, Signal]]:
        """Each entry that can be read and its `prepare`d picture; one that needs too much memory is skipped.

        Raises: the error of `prepare`, with a note that names the entry.
        """
        for photo, image in self:
            try:
                made = prepare(image)
                known = getattr(image, "notes", ())
                self.notes += [(photo.name, note) for note in getattr(made, "notes", ()) if note not in known]
                yield photo, made
            except MemoryError:
                self.skipped.append((photo.name, "MemoryError: too large to prepare"))
            except Exception as error:
                error.add_note(f"while {photo.name!r} was prepared")
                raise
            del image

    def labelled(self, outputs: int, classes: Sequence[str] = ()) -> tuple["Photos", str]:
        """The photos with the outputs of a model as labels, or without labels, and the rule by which they were found.

        outputs: their number.  classes: their names.  See `outputs_of_folders` for class folders.
        """
        if self.folders:
            numbers, rule = outputs_of_folders(self.folders, outputs, classes)
            entries = [replace(photo, label=numbers.get(photo.class_name)) for photo in self.entries]
        else:
            most = max((photo.label for photo in self.entries if photo.label is not None), default=-1)
            fits = 0 <= most < outputs and self.classes in (None, outputs)
            entries = self.entries if fits else [replace(photo, label=None) for photo in self.entries]
            other = f"none: the labels are of {self.classes or most + 1} classes, the model has {outputs} outputs"
            rule = "class indices of the data" if fits else other if most >= 0 else "none: the data have no labels"
        return replace(self, entries=entries), rule


def read(photo: Photo) -> tuple[Any, list[str]] | str:
    """The picture, see `as_seen`, or signal, and notes about it; or the reason why it cannot be read."""
    try:
        found = photo.open()
        if isinstance(found, OneSignal):
            return found, list(found.notes)
        with found as image:  # PIL leaves the file open after a failure, and for a file of several pictures
            return as_seen(image)
    except (Exception, MemoryError) as error:  # damaged files make PIL raise errors of many kinds
        return reason(error)


def reason(error: BaseException) -> str:
    """Why something cannot be read, on one line."""
    why = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
    return " ".join(why.split())[:200]


def load_photos(spec: str | Path, limit: int | None = None, kind: Kind = KINDS["image"]) -> Photos:
    """The photos, or other signals, that `spec` names: entries from the first on, until `limit` of them can be read.

    spec: one of `FORMS`. In a folder every file is an entry, but for those that `files_below` leaves out; links to folders are
    followed. A file that is not an image is skipped when it is read, and does not count towards the limit.

    Raises: ValueError that lists the forms, or where there is nothing; ImportError with the command to install.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("cat", "dog"):
    ...         (Path(folder) / name).mkdir()
    ...         Image.new("RGB", (4, 2)).save(f"{folder}/{name}/1.png")
    ...     [(photo.name, photo.label) for photo, image in load_photos(folder)]
    [('cat/1.png', 0), ('dog/1.png', 1)]
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit: expected at least 1, got {limit}.")
    photos, entries = _data(check_path("load_photos", spec), kind, limit)
    photos.entries[:] = entries if limit is None else _readable(entries, limit)
    if photos.folders and limit is not None:
        photos.cut = _cut(photos, entries, limit, kind)
    if not photos.entries:
        left = "; left out: {}: {}".format(*photos.left_out[0]) if photos.left_out else ""
        raise ValueError(f"Data {str(spec)!r} holds no files{left}.")
    return photos


def _readable(entries: Iterator[Photo], limit: int) -> Iterator[Photo]:
    """Entries until `limit` of them can be read; the unreadable ones between are included, to be listed as skipped."""
    found = 0
    while found < limit and (photo := next(entries, None)) is not None:
        found += not isinstance(read(photo), str)
        yield photo


def _cut(photos: Photos, rest: Iterable[Photo], limit: int, kind: Kind) -> str:
    """Which classes have no entry, since the limit was reached before; "" where every class has one.  rest: not taken."""
    missing = set(photos.folders) - {photo.class_name for photo in photos.entries}
    left = sum(photo.class_name in missing and _owned(photo, kind) for photo in rest)
    if not left:
        return ""
    taken = f"the limit of {limit} leaves {len(photos.folders) - len(missing)} of {len(photos.folders)} classes"
    return f"{taken}; the others hold {left} {kind.plural + ' that are' if left > 1 else kind.noun + ' that is'} not compared"


def _data(spec: str, kind: Kind, limit: int | None) -> tuple[Photos, Iterator[Photo]]:
    """What is known about a data set without its entries, and its entries."""
    if not kind.resized and (spec == "imagenet-sample" or spec.startswith("hf:")):
        raise ValueError(f"Data {spec[:60]!r} are images, but the model takes {kind.plural}; name others with --data.")
    if spec == "imagenet-sample":
        return Photos([], classes=IMAGENET), _imagenet_sample()
    if spec.startswith("hf:"):
        return _hub(spec, limit)
    if is_packaged(spec) and not os.path.exists(spec):
        return _packaged(spec, kind)
    if spec and os.path.isdir(spec):
        return _folder(Path(spec), kind)
    if numbered := kind.numbered(spec):
        return Photos([]), iter([_case(Found(numbered[0].name, numbered[0]), kind, numbered[1])])
    if not os.path.exists(spec) and (shards := numbered_shards(spec)):
        return _files(_shards(spec, shards), kind)
    if os.path.isfile(spec):
        if other := wrong_kind(Path(spec), kind):
            raise ValueError(f"Data {spec[:60]!r}: {other}, but the model takes {kind.plural}{kind_advice(Path(spec))}.")
        return _files([Found(Path(spec).name, Path(spec))], kind)
    found = "neither a file nor a folder" if os.path.exists(spec) else "no such file or folder"
    raise ValueError(f"Unknown data {spec[:40]!r}: {found}. Choices: {listed([*FORMS], 250)}.")


def _imagenet_sample() -> Iterator[Photo]:
    """20 labelled ImageNet photos that come with foolbox; the last number of a file's name is the class."""
    folder = package_folder("foolbox", "'pullback[demo]'") / "data"
    for path in sorted(folder.glob("imagenet_*.jpg")):
        if match := re.fullmatch(r"imagenet_\d+_(\d+)", path.stem):
            yield _photo(path, path.name, int(match.group(1)))


def _packaged(spec: str, kind: Kind) -> tuple[Photos, Iterator[Photo]]:
    """A packaged data set; its classes are named, so that they are found by name among those of a model."""
    items = list(packaged_items(spec, kind))
    names = tuple(sorted({item.class_name for item in items if item.class_name}))
    entries = (Photo(one.name, one.label, functools.partial(opened, one, kind), one.class_name) for one in items)
    return Photos([], names), entries


def _folder(folder: Path, kind: Kind) -> tuple[Photos, Iterator[Photo]]:
    found = list(files_below(folder))
    photos, entries = _files(kind.gather(one for one in found if not one.fault), kind)
    return replace(photos, left_out=[(one.name, one.fault) for one in found if one.fault]), entries


def _files(files: Iterable[Found], kind: Kind) -> tuple[Photos, Iterator[Photo]]:
    """Files as a data set: of one that holds several signals each is an entry. Classes are those of folders, else of files."""
    photos = [photo for one in files for photo in _inside(one, kind)]
    groups = tuple(sorted({photo.class_name for photo in photos if photo.class_name and _owned(photo, kind)}))
    numbers = {name: number for number, name in enumerate(groups)}
    return Photos([], groups), (replace(photo, label=numbers.get(photo.class_name, photo.label)) for photo in photos)


def _shards(spec: str, paths: Sequence[Path]) -> list[Found]:
    """Numbered files of one data set.  Raises: ValueError where one is missing."""
    if missing := [path for path in paths if not path.is_file()]:
        what = f"{len(missing)} of {len(paths)} files are missing, the first: {str(missing[0])[-100:]}"
        raise ValueError(f"Data {spec[-80:]!r}: {what}.")
    alike = len({path.name for path in paths}) < len(paths)
    return [Found(path.as_posix() if alike else path.name, path) for path in paths]


def _owned(photo: Photo, kind: Kind) -> bool:
    return photo.path is None or kind.owns(photo.path) or photo.path.is_dir()


def _inside(one: Found, kind: Kind) -> list[Photo]:
    """The signals of a file."""
    if holds_members(one.path):
        return [_member(each, kind) for each in members(one.path, one.name, kind)]
    cases = kind.cases(one.path)
    several = [_case(one, kind, number, label) for number, label in enumerate(cases)]
    return several or [_photo(one.path, one.name, class_name=one.group, kind=kind)]


def _member(one: Member, kind: Kind) -> Photo:
    """A signal that lies inside a larger file."""
    return Photo(one.name, one.label, functools.partial(decoded, one, kind), one.class_name, data=one.data)


def _case(one: Found, kind: Kind, number: int, label: str = "") -> Photo:
    """Signal `number` of a file. It has no path of its own, so that its values tell it from the others."""
    read = functools.partial(kind.read, one.path, Part(case=number))
    return Photo(f"{one.name}#{number}", None, read, one.group or label)


def _photo(path: Path, name: str, label: int | None = None, class_name: str = "", kind: Kind = KINDS["image"]) -> Photo:
    return Photo(name, label, functools.partial(_opened, kind, path), class_name, path)


def _hub(spec: str, limit: int | None) -> tuple[Photos, Iterator[Photo]]:
    """A data set of the Hugging Face hub: its first column of pictures, and `label` if there is one."""
    classes, rows = hub_rows(spec, limit)
    image = KINDS["image"]
    members = (Member(name, name, data, label) for name, data, label in rows)
    return Photos([], classes=classes), (_member(one, image) for one in members)


def _opened(kind: Kind, path: Path) -> Any:
    check_bytes(path)
    return kind.open(path)
