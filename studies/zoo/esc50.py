"""ESC-50: 2,000 recordings of 50 kinds of sounds, from the folder in which the user has unpacked it."""

import csv
import functools
from collections.abc import Iterator
from pathlib import Path

from .card import DataSet, Item
from .sound import read_sound

INSTALL = "ESC-50 comes in no package: unpack github.com/karolpiczak/ESC-50 into FOLDER"


def _esc50(folder: str) -> Iterator[Item]:
    """The recordings in the order of meta/esc50.csv.  Raises: ValueError where that file is missing."""
    table = Path(folder) / "meta" / "esc50.csv"
    if not table.is_file():
        raise ValueError(f"esc50: there is no file {str(table)!r}. {INSTALL}.")
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            read = functools.partial(read_sound, Path(folder) / "audio" / row["filename"], row["filename"])
            yield Item(row["filename"], read, int(row["target"]), row["category"])


ESC50 = DataSet("esc50", "audio", _esc50, "CC BY-NC 3.0", INSTALL, "FOLDER")
