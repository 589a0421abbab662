"""One cell of a comparison as plain data: what is asked about which photos, and what was found."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ...core.files import read_json, write_text
from ...metrics.protocol import Conclusion
from ...metrics.protocol.run import Scored
from ..report.page import COLUMNS
from ..storage.store import Store
from .scores import ABOUT, as_scored, long_table
from .settings import Settings

BATCH = 4  # photos attributed together; results do not depend on it
PLAN = ".plan.json"  # the cells of a run, in its folder
Part = dict[str, Any]  # name, records, evaluations, pictures, and lists of why it is skipped and how it was read, of one photo
_RECORD = ("image", "label", "predicted", "predicted_name", "correct", "probability", "score", "score_difference", "transform")
_NUMBERS = ("coefficients", "seconds_stream", "completeness_gap", "uncorrected_gap", *(name for name, _, _ in COLUMNS))
_FOLDER = re.compile(r"(cell-\d+)?")


@dataclass
class Cell:
    """One model, data set, method and baseline. It needs no model, so that parts from several machines can be joined.

    names, keys, contents: of all photos in their order; keys are those of their stored parts, contents digests of the photos.
    places: of the photos that this run measures; of others the keys and contents are "".
    question: all that a part depends on.  about: what the summary says of the cell.  folder: for pictures, inside the run's.
    found: the parts of `places`.
    """

    settings: Settings
    names: list[str]
    keys: list[str]
    contents: list[str]
    places: list[int]
    question: list[Any]
    about: dict[str, Any]
    folder: str = ""
    found: list[Part] = field(default_factory=list)

    def batches(self) -> list[list[int]]:
        """The places of this run that are measured together."""
        mine = set(self.places)
        each = [range(first, min(first + BATCH, len(self.names))) for first in range(0, len(self.names), BATCH)]
        return [list(batch) for batch in each if batch[0] in mine]

    def store(self, out: Path) -> Store:
        """The finished parts in the folder of a run."""
        return Store(out / ".parts", self.question)

    def read(self, store: Store, place: int) -> Part | None:
        """The stored part of a photo, if it has the form that `Parts` writes."""
        part = store.read(self.keys[place])
        return part if is_part(part, self.settings.transforms) else None

    def stored(self, out: Path) -> int:
        """The number of photos that are finished."""
        store = self.store(out)
        return sum(self.read(store, place) is not None for place in self.places)

    def table(self) -> pd.DataFrame:
        """A row for each photo and domain. copy_of: the name of the first photo with the same content, if it is another one."""
        first: dict[str, str] = {}
        rows = []
        for name, content, part in zip(self.names, self.contents, self.found):
            if part["records"]:
                original = first.setdefault(content, name)
                rows += [record | {"copy_of": None if original == name else original} for record in part["records"]]
        one = self.settings
        return pd.DataFrame(rows).assign(data=one.data[0], model=one.model[0], method=one.method_label)

    def scores(self) -> tuple[pd.DataFrame, Conclusion | None]:
        """The long table of the cell, and its conclusion."""
        names, found = self._scored()
        if found is None:
            return pd.DataFrame(columns=list(ABOUT)), None
        return long_table(found, self.settings, names), self._conclusion(names, found)

    def _conclusion(self, names: Sequence[str], found: Scored) -> Conclusion | None:
        if len(self.settings.transforms) < 2 or not found.differences[found.answers[0]].any():
            return None
        return found.conclusion(names, self.settings.method[0], self.settings.baseline[0])

    def _scored(self) -> tuple[list[str], Scored | None]:
        """The names of the photos without copies, and their scores together; None without any."""
        first: dict[str, Part] = {}
        for content, part in zip(self.contents, self.found):
            if part["records"]:
                first.setdefault(content, part)
        held = list(first.values())
        names = [part["name"] for part in held]
        return names, as_scored([p["scores"] for p in held], self.settings.protocol()) if held else None

    def pictures(self, out: Path) -> list[str]:
        """The figures of the photos that are to be drawn, and are still there."""
        drawn = [part for part in self.found if part["records"]][: self.settings.pictures]
        return [name for part in drawn for name in part["pictures"] if (out / name).is_file()]

    def inside(self, name: str) -> str:
        """The name of a picture, with its folder."""
        return f"{self.folder}/{name}" if self.folder else name


def to_plain(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Cells as plain data, without what was found."""
    return [{**vars(cell), "settings": cell.settings.plain(), "found": []} for cell in cells]


def from_plain(data: dict[str, Any]) -> Cell:
    """One cell, from what `to_plain` made of it."""
    return Cell(**{**data, "settings": Settings.read(data["settings"]), "found": []})


def write_plan(cells: Sequence[Cell], out: Path) -> None:
    """Writes what is planned, for `read_plan`."""
    write_text(out / PLAN, json.dumps(to_plain(cells)))


def read_plan(folder: Path) -> list[Cell]:
    """The cells of a run.  Raises: ValueError where the folder holds no run of `compare`, or a damaged plan."""
    held = read_json(folder / PLAN)
    try:
        cells = [from_plain(one) for one in held]
        if all(map(_is_whole, cells)) and cells:
            return cells
    except (TypeError, KeyError, ValueError, AttributeError):
        pass
    found = "a damaged one" if held is not None else "none"
    raise ValueError(f"{str(folder)[-100:]}: expected the folder of a comparison with a {PLAN}; it holds {found}.")


def runs_in(folders: Sequence[str | Path]) -> list[Path]:
    """The folders, each replaced by the runs of `compare` in it where it is none itself."""
    return [run for folder in map(Path, folders) for run in _runs(folder)]


def _runs(folder: Path) -> list[Path]:
    inside = [] if (folder / PLAN).exists() else sorted(path.parent for path in folder.glob(f"*/{PLAN}"))
    return inside or [folder]


def _is_whole(cell: Cell) -> bool:
    """Whether a cell from a file can be used: its lists belong together, and its folder is inside that of the run."""
    texts = [cell.names, cell.keys, cell.contents]
    return (
        all(len(each) == len(cell.names) and all(isinstance(one, str) for one in each) for each in texts)
        and all(isinstance(place, int) and 0 <= place < len(cell.names) for place in cell.places)
        and _FOLDER.fullmatch(cell.folder) is not None
        and set(cell.about) == {"weights", "preparation", "labels", "left_out", "signals"}
    )


def is_part(part: Any, domains: Sequence[str]) -> bool:
    """Whether `part` is what `Parts` stores for one photo in these domains."""
    try:
        records, texts = part["records"], (part["pictures"], part["skipped"], part["notes"])
        return (
            all(isinstance(each, list) for each in (records, *texts))
            and all(isinstance(text, str) for text in (part["name"], *(text for each in texts for text in each)))
            and [record["transform"] for record in records] == (list(domains) if records else [])
            and bool(part["skipped"]) != bool(records)
            and all(set(_RECORD) <= set(record) and all(_is_number(record[name]) for name in _NUMBERS) for record in records)
            and all(_is_number(value) for value in part["evaluations"].values())
            and (not records or len(part["scores"]["cells"]) == len(part["scores"]["curves"]) > 0)
        )
    except (TypeError, KeyError, AttributeError):
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)
