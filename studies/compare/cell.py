"""One cell of a comparison as plain data: what is asked about which photos, and what was found."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.files import plain, read_json, write_text
from ..report.page import COLUMNS
from ..storage.store import Store
from .settings import Settings

BATCH = 4  # photos attributed together; results do not depend on it
PLAN = ".plan.json"  # the cells of a run, in its folder
_PLAN_BYTES = 2**30  # some ten million photos
Part = dict[str, Any]  # of one photo: name, content, records, evaluations, pictures, why it is skipped and how it was read
_RECORD = ("image", "label", "predicted", "predicted_name", "correct", "probability", "score", "score_difference", "transform")
_NUMBERS = ("coefficients", "seconds_stream", "completeness_gap", "uncorrected_gap", *(name for name, _, _ in COLUMNS))
_FOLDER = re.compile(r"(cell-\d+)?")


@dataclass
class Cell:
    """One model, data set, method and baseline. It needs no model, so that parts from several machines can be joined.

    names: of all photos in their order.  keys: of their stored parts.  places: of the photos that this run measures.
    question: all that a part depends on.  about: what the summary says of the cell.  folder: for pictures, inside the run's.
    """

    settings: Settings
    names: list[str]
    keys: list[str]
    places: list[int]
    question: list[Any]
    about: dict[str, Any]
    folder: str = ""

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
        return sum(store.path(self.keys[place]).is_file() for place in self.places)

    def parts(self, out: Path) -> Iterator[Part]:
        """The parts of this run in the order of the photos, each read when it is asked for.

        Raises: RuntimeError where one is missing.
        """
        store = self.store(out)
        for place in self.places:
            if (part := self.read(store, place)) is None:
                name, where = plain(self.names[place])[:80], plain(out)[-80:]
                raise RuntimeError(f"compare: the stored part of {name!r} is gone from {where}; give the command again.")
            yield part

    def inside(self, name: str) -> str:
        """The name of a picture, with its folder."""
        return f"{self.folder}/{name}" if self.folder else name


def to_plain(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Cells as plain data."""
    return [{**vars(cell), "settings": cell.settings.plain()} for cell in cells]


def from_plain(data: dict[str, Any]) -> Cell:
    """One cell, from what `to_plain` made of it."""
    return Cell(**{**data, "settings": Settings.read(data["settings"])})


def write_plan(cells: Sequence[Cell], out: Path) -> None:
    """Writes what is planned, for `read_plan`."""
    write_text(out / PLAN, json.dumps(to_plain(cells)))


def read_plan(folder: Path) -> list[Cell]:
    """The cells of a run.  Raises: ValueError where the folder holds no run of `compare`, or a damaged plan."""
    held = read_json(folder / PLAN, _PLAN_BYTES)
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
    if (folder / PLAN).exists():
        return [folder]
    depths = (sorted(path.parent for path in folder.glob(f"{depth}{PLAN}")) for depth in ("*/", "*/*/"))
    return next(filter(None, depths), [folder])


def _is_whole(cell: Cell) -> bool:
    """Whether a cell from a file can be used: its lists belong together, and its folder is inside that of the run."""
    texts = [cell.names, cell.keys]
    return (
        all(len(each) == len(cell.names) and all(isinstance(one, str) for one in each) for each in texts)
        and all(isinstance(place, int) and 0 <= place < len(cell.names) for place in cell.places)
        and _FOLDER.fullmatch(cell.folder) is not None
        and set(cell.about) == {"weights", "preparation", "labels", "left_out", "signals", "origins"}
    )


def is_part(part: Any, domains: Sequence[str]) -> bool:
    """Whether `part` is what `Parts` stores for one photo in these domains."""
    try:
        records, texts = part["records"], (part["pictures"], part["skipped"], part["notes"])
        named = (part["name"], part["content"])
        return (
            all(isinstance(each, list) for each in (records, *texts))
            and all(isinstance(text, str) for text in (*named, *(text for each in texts for text in each)))
            and [record["transform"] for record in records] == (list(domains) if records else [])
            and bool(part["skipped"]) != bool(records)
            and all(set(_RECORD) <= set(record) and all(_is_number(record[name]) for name in _NUMBERS) for record in records)
            and all(_is_number(value) for value in part["evaluations"].values())
            and (not records or len(part["scores"]["cells"]) == len(part["scores"]["curves"]) > 0)
            and (not records or all(_is_number(value) for value in part["invariant"].values()))
        )
    except (TypeError, KeyError, AttributeError):
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)
