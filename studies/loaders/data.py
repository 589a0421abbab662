"""Photos by name: folders, samples that come in packages, data sets of a hub."""

import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ...core.imports import needs, package_folder

FORMS = ("imagenet-sample", "a folder of images", "a folder of CLASS/image.jpg", "one image file", "hf:NAME[:SPLIT]")


@dataclass(frozen=True)
class Photo:
    """One entry of a data set; `open` reads it.

    label: the class index, if the data set has one.  path: the file, if there is one.

    >>> Photo("red", 3, lambda: Image.new("RGB", (4, 2), "red")).open().size
    (4, 2)
    """

    name: str
    label: int | None
    open: Callable[[], Image.Image]
    class_name: str = ""
    path: Path | None = None


@dataclass
class Photos:
    """The entries of a data set, in a fixed order. An iteration reads them; `skipped` lists those it could not read.

    >>> red, gone = Photo("red", 3, lambda: Image.new("RGB", (4, 2))), Photo("gone", 5, lambda: Image.open("gone"))
    >>> photos = Photos([red, gone])
    >>> [photo.name for photo, image in photos], [name for name, why in photos.skipped]
    (['red'], ['gone'])
    """

    entries: list[Photo]
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def __iter__(self) -> Iterator[tuple[Photo, Image.Image]]:
        self.skipped.clear()
        for photo in self.entries:
            found = read(photo)
            if isinstance(found, str):
                self.skipped.append((photo.name, found))
            else:
                yield photo, found


def read(photo: Photo) -> Image.Image | str:
    """The picture, fully loaded, or the reason why it cannot be read."""
    with contextlib.ExitStack() as kept:
        try:
            image = photo.open()
            kept.callback(image.close)  # PIL leaves the file open after a failure
            image.load()
            plain = eight_bit(image)
        except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            return f"{type(error).__name__}: {error}"
        if plain is image:
            kept.pop_all()
    return plain


_MODES = {"I": "32-bit integers", "F": "32-bit floats", "LAB": "L*a*b*"}


def eight_bit(image: Image.Image) -> Image.Image:
    """The picture with at most 8 bits a channel. 16-bit greys become round(value / 257); PIL would clip them to white.

    Raises: ValueError for floats and 32-bit integers, because their value of white is unknown.

    >>> eight_bit(Image.new("I;16", (1, 1), 65535)).getpixel((0, 0))
    255
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return Image.fromarray(np.round(np.asarray(image) / 257).astype(np.uint8))
    if image.mode in _MODES:
        got = f"mode {image.mode} ({_MODES[image.mode]})"
        raise ValueError(f"expected 8 or 16 bits a channel, grey or colour, got {got}; save it as an 8-bit or 16-bit PNG")
    return image


def load_photos(spec: str, limit: int | None = None) -> Photos:
    """The photos that `spec` names: entries from the first on, until `limit` of them can be read.

    spec: one of `FORMS`. In a folder every file that is not hidden is an entry; a file that is not an image is skipped
    when it is read, and does not count towards the limit. The name of a class folder is its label if it is a number.

    Raises: ValueError that lists the forms, or where there is nothing; ImportError with the command to install.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / "7").mkdir()
    ...     Image.new("RGB", (4, 2)).save(f"{folder}/7/red.png")
    ...     [(photo.name, photo.label) for photo, image in load_photos(folder)]
    [('7/red.png', 7)]
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit: expected at least 1, got {limit}.")
    entries = list(_entries(spec) if limit is None else _readable(_entries(spec), limit))
    if not entries:
        raise ValueError(f"Data {spec!r} holds no files.")
    return Photos(entries)


def _readable(entries: Iterator[Photo], limit: int) -> Iterator[Photo]:
    """Entries until `limit` of them can be read; the unreadable ones between are included, to be listed as skipped."""
    found = 0
    while found < limit and (photo := next(entries, None)) is not None:
        found += not isinstance(read(photo), str)
        yield photo


def _entries(spec: str) -> Iterator[Photo]:
    if spec == "imagenet-sample":
        return _imagenet_sample()
    if spec.startswith("hf:"):
        return _hub(spec)
    path = Path(spec)
    if path.is_dir():
        return _folder(path)
    if path.is_file():
        return iter([_photo(path, path.name)])
    raise ValueError(f"Unknown data {spec!r}: no such file or folder. Choices: {', '.join(FORMS)}.")


def _imagenet_sample() -> Iterator[Photo]:
    """20 labelled ImageNet photos that come with foolbox; the last number of a file's name is the class."""
    folder = package_folder("foolbox", "'pullback[demo]'") / "data"
    for path in sorted(folder.glob("imagenet_*.jpg")):
        if match := re.fullmatch(r"imagenet_\d+_(\d+)", path.stem):
            yield _photo(path, path.name, int(match.group(1)))


def _folder(folder: Path) -> Iterator[Photo]:
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(".") for part in parts):
            group = parts[0] if len(parts) > 1 else ""
            yield _photo(path, "/".join(parts), int(group) if group.isdecimal() else None, group)


def _photo(path: Path, name: str, label: int | None = None, class_name: str = "") -> Photo:
    return Photo(name, label, lambda: Image.open(path), class_name, path)


def _hub(spec: str) -> Iterator[Photo]:
    """A data set of the Hugging Face hub, streamed: its first image column, and `label` if there is one."""
    with needs(spec, "datasets"):
        import datasets
    name, _, split = spec.removeprefix("hf:").partition(":")
    for number, row in enumerate(datasets.load_dataset(name, split=split or "test", streaming=True)):
        image = next((value for value in row.values() if isinstance(value, Image.Image)), None)
        if image is None:
            raise ValueError(f"Data 'hf:{name}': no column holds images; columns: {', '.join(row)}.")
        label = row.get("label")
        yield Photo(f"{number:05}", label if isinstance(label, int) else None, functools.partial(_same, image))


def _same(image: Image.Image) -> Image.Image:
    return image
