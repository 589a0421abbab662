"""What the parts of a cell say together. They are read one after the other, so that only their numbers are held."""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import pandas as pd

from ...metrics.protocol import Conclusion
from ...metrics.protocol.run import Scored
from .cell import Cell, Part
from .questions import MAP
from .scores import ABOUT, as_scored, long_table
from .units import units_of

UNEQUAL = "other frequencies in each example"
SAID = {"infidelity_relative": "infidelity", "max_sensitivity": "max-sensitivity"}
TOGETHER = 256  # photos whose plain data are held at one time
Block = TypeVar("Block")


@dataclass
class Found:
    """The result of a cell.

    table: a row for each photo and domain. copy_of: the name of the first photo with the same content, if it is another one.
    names, units, scored: of the photos that are no copies; None without any.  skipped, notes: (photo, text).
    invariant: numbers of the photos in `names` that cannot rank domains.
    evaluations: their sums by kind.  pictures: of the photos that are to be drawn.
    frequencies: of each octave, as {"octave 1": "4000–8000 Hz"}; where photos differ, this is said in their place.
    """

    cell: Cell
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    names: list[str] = field(default_factory=list)
    scored: Scored | None = None
    invariant: list[dict[str, float]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    evaluations: Counter[str] = field(default_factory=Counter)
    pictures: list[str] = field(default_factory=list)
    frequencies: dict[str, str] = field(default_factory=dict)

    def scores(self) -> tuple[pd.DataFrame, Conclusion | None]:
        """The long table of the cell, and its conclusion."""
        if self.scored is None:
            return pd.DataFrame(columns=list(ABOUT)), None
        own = long_table(self.scored, self.cell.settings, self.names, self.units)
        return pd.concat([own, self._invariant(own)], ignore_index=True), self._conclusion(self.scored)

    def _invariant(self, own: pd.DataFrame) -> pd.DataFrame:
        """The rows of the numbers that cannot rank domains.  own: other rows of the cell."""
        of = pd.DataFrame(self.invariant).assign(example=self.names, unit=self.units)
        rows = of.melt(["example", "unit"], var_name="metric", value_name="score")
        where = {name: own[name].iloc[0] for name in ("data", "model", "method")}
        empty = {"domain": "", "family": "", "budget_kind": "", "budget": math.nan, "control": MAP}
        return rows.assign(**where, **empty)[list(ABOUT)]

    @property
    def invariant_sentence(self) -> str:
        """The means of the numbers that cannot rank domains; "" where none is known."""
        means = pd.DataFrame(self.invariant).mean().dropna()
        each = [f"{SAID[name]} {means[name]:.2g}" for name in SAID if name in means]
        count, several = len(self.names), self.cell.about["signals"]["several"]
        of = f"of the map in {self.cell.settings.measured_in}, means over {count} {several}"
        about = "infidelity is over the mean squared change of the score, 1 for a map of zeros"
        return f"Equal in all orthonormal domains, so no ranking: {', '.join(each)} ({of}; {about})." if each else ""

    @property
    def units(self) -> list[str]:
        """The unit of each photo."""
        return units_of(self.names, self.cell.settings.groups)

    def _conclusion(self, found: Scored) -> Conclusion | None:
        one = self.cell.settings
        if len(one.transforms) < 2 or not found.differences[found.answers[0]].any():
            return None
        return found.conclusion(self.units, one.method[0], one.baseline[0])


def gathered(cell: Cell, out: Path, together: int = TOGETHER) -> Found:
    """What the stored parts of a cell say.  together: photos whose plain data are held at one time; it changes no number."""
    found, first = Found(cell), dict[str, str]()
    rows: _Packed[pd.DataFrame] = _Packed(pd.DataFrame, together * len(cell.settings.transforms))
    own: _Packed[Scored] = _Packed(lambda parts: as_scored(parts, cell.settings.protocol()), together)
    drawn = 0
    for part in cell.parts(out):
        _note(found, part)
        if not part["records"]:
            continue
        original = first.setdefault(part["content"], part["name"])
        copy = None if original == part["name"] else original
        rows.add(record | {"copy_of": copy} for record in part["records"])
        if copy is None:
            found.names.append(part["name"])
            found.invariant.append(part["invariant"])
            own.add([part["scores"]])
        if drawn < cell.settings.pictures:
            found.pictures += [name for name in part["pictures"] if (out / name).is_file()]
            drawn += 1
    one = cell.settings
    found.table = _whole(rows.all()).assign(data=one.data[0], model=one.model[0], method=one.method_label)
    if len(found.table):
        found.table["unit"] = units_of(found.table["image"].tolist(), one.groups)
    found.scored = Scored.joined(scored) if (scored := own.all()) else None
    return found


def _note(found: Found, part: Part) -> None:
    found.skipped += [(part["name"], text) for text in part["skipped"]]
    found.notes += [(part["name"], text) for text in part["notes"]]
    found.evaluations.update(part["evaluations"])
    for name, text in part.get("frequencies", {}).items():
        found.frequencies[name] = text if found.frequencies.get(name, text) == text else UNEQUAL


class _Packed(Generic[Block]):
    """Plain data as blocks that need less memory, each made of `count` entries."""

    def __init__(self, pack: Callable[[list[Any]], Block], count: int) -> None:
        self.pack, self.count = pack, count
        self.waiting, self.blocks = list[Any](), list[Block]()

    def add(self, entries: Iterable[Any]) -> None:
        self.waiting += entries
        if len(self.waiting) >= self.count:
            self.all()

    def all(self) -> list[Block]:
        if self.waiting:
            self.blocks.append(self.pack(self.waiting))
            self.waiting = []
        return self.blocks


def _whole(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all tables, with the types that a table of all rows would have."""
    if len(tables) < 2:
        return tables[0] if tables else pd.DataFrame()
    columns = dict.fromkeys(name for table in tables for name in table)
    types = {name: {str(table[name].dtype) if name in table else "" for table in tables} for name in columns}
    mixed = [name for name, found in types.items() if len(found) > 1]
    plain = [table.astype({name: object for name in mixed if name in table}) for table in tables]
    whole = pd.concat(plain, ignore_index=True)
    return whole.assign(**{name: pd.Series(whole[name].tolist()) for name in mixed})
