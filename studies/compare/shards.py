"""A comparison on several machines without any program between them: each measures a shard, and the folders are merged."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...core.checks import quoted
from ...core.files import check_writable, plain, read_json, write_whole
from ...core.progress import Progress
from ..loaders.models import LoadedModel
from ..storage.pieces import part_of_work
from ..storage.results import SUMMARY, Results
from . import questions as asking
from . import scores
from .cell import Cell, Part, read_plan, runs_in, write_plan
from .cells import Note
from .grid import Comparison, Running, check_settings, running
from .questions import Question
from .settings import Settings

# The entries of a cell's question
_ASKED = ("settings", "preparation", "versions", "weights of the model", "answer of the model to the first photo")


@dataclass(frozen=True)
class Shard:
    """The finished shard of a comparison: its folder, and the photos of all its cells, of which some were skipped."""

    out: Path
    photos: int
    skipped: int


def compare_shard(
    settings: Settings,
    out: str | Path,
    progress: Progress | None = None,
    model: LoadedModel | None = None,
    note: Note | None = None,
    questions: Sequence[Question] | None = None,
) -> Shard:
    """Measures the part of a comparison that `settings.shard` names, and stores it in `out` for `merge`.

    Photos are taken in their order, in batches of four, and shard k of n measures the batches k, k + n, k + 2n, … of all cells
    together. So every photo is measured with the same others as in one whole run, and gets the same numbers, bit by bit, on
    equal hardware and versions. A shard that was interrupted continues where it stopped. Arguments and errors: see `compare`.
    """
    if settings.shard is None:
        raise ValueError("compare_shard: expected Settings with a shard, for example shard='3/16'; got none.")
    with running(settings, Path(out), model, note, questions) as run:
        run.measure(progress, note)
        skipped = [bool(part["skipped"]) for cell in run.cells for part in cell.parts(Path(out))]
        return Shard(Path(out), len(skipped), sum(skipped))


def merge(folders: Sequence[str | Path], out: str | Path, before: Path | None = None) -> Comparison:
    """Joins the shards of a comparison in `out`: the files that one whole run writes there, with the same numbers.

    folders: of all shards, in any order, or one folder in which they lie.  before: see `compare`.  No model is loaded. The
    parts are copied, so that `compare` with the same settings continues in `out`, for example with more photos.

    Raises: ValueError where a shard is missing, there twice or not finished, where shards belong to other settings, models,
    versions, photos or questions, and where `out` holds other results.
    """
    held = sorted((_Held.read(folder) for folder in runs_in(folders)), key=lambda one: one.number)
    check_numbers([(str(one.settings.shard), one.folder) for one in held])
    for one in held[1:]:
        _check_same(held[0], one)
    if before is not None:
        scores.read(before)
    out = Path(out)
    check_writable(out)
    results, settings = Results(out, "compare"), replace(held[0].settings, shard=None)
    check_settings(results, settings)
    with results.run({"settings": settings.plain()}, alone=True):
        declared = asking.declare(held[0].questions, out)
        cells = [_joined(out, [(one.folder, one.cells[number]) for one in held]) for number in range(len(held[0].cells))]
        write_plan(cells, out)
        return Running(settings, cells, results, held[0].questions, declared).finish(before)


@dataclass(frozen=True)
class _Held:
    """A finished shard as its folder says."""

    folder: Path
    settings: Settings
    cells: list[Cell]
    questions: tuple[Question, ...]

    @classmethod
    def read(cls, folder: Path) -> "_Held":
        cells, summary, name = read_plan(folder), Results(folder, "compare").held(), plain(folder)[-100:]
        try:
            settings = Settings.read(summary["settings"])
            declared = tuple(Question(**one) for one in read_json(folder / asking.DECLARED)["questions"])
        except (KeyError, TypeError, AttributeError):
            raise ValueError(f"merge: {name}: {SUMMARY} or {asking.DECLARED} is damaged; measure this shard again.") from None
        if settings.shard is None:
            raise ValueError(f"merge: {name} holds a whole comparison; expected the folders of shards (compare --shard 3/16).")
        if summary.get("state") != "finished":
            state = f"shard {settings.shard} in {name} is {plain(summary.get('state'))[:20]}"
            raise ValueError(f"merge: {state}, not finished; give its command again, it goes on where it stopped.")
        return cls(folder, settings, cells, declared)

    @property
    def number(self) -> int:
        return part_of_work(self.settings.shard)[0]


def check_numbers(held: Sequence[tuple[str, Path]]) -> None:
    """Raises: ValueError unless every shard is there once.  held: the shards with their folders."""
    (first, _), count = held[0], part_of_work(held[0][0])[1]
    seen: dict[int, Path] = {}
    for shard, folder in held:
        number, its = part_of_work(shard)
        if its != count:
            raise ValueError(f"merge: shards {first} and {shard} are of different divisions.")
        if number in seen:
            both = " and ".join(plain(each)[-80:] for each in (seen[number], folder))
            raise ValueError(f"merge: shard {shard} is there twice, in {both}; give each shard once.")
        seen[number] = folder
    if missing := sorted(set(range(count)) - set(seen)):
        named = ", ".join(str(number + 1) for number in missing[:20])
        raise ValueError(f"merge: of {count} shards {len(missing)} are missing: {named}{' …' if len(missing) > 20 else ''}.")


def _check_same(first: _Held, other: _Held) -> None:
    """Raises: ValueError that names the first thing in which two shards differ."""
    pairs: list[tuple[str, Any, Any]] = [
        ("settings", first.settings.plain() | {"shard": ""}, other.settings.plain() | {"shard": ""})
    ]
    pairs += [("questions", asking.content(first.questions), asking.content(other.questions))]
    pairs += [("number of cells", len(first.cells), len(other.cells))]
    for one, its in zip(first.cells, other.cells):
        pairs += zip(_ASKED, one.question, its.question)
        pairs += [
            ("photos", one.names, its.names),
            ("labels of photos", one.keys, its.keys),
            ("description of the model or the data", one.about, its.about),
        ]
    for what, ours, theirs in pairs:
        if json.dumps(ours, sort_keys=True, default=str) != json.dumps(theirs, sort_keys=True, default=str):
            both = f"shards {first.settings.shard} and {other.settings.shard} differ in {what}"
            raise ValueError(f"merge: {both}{_difference(ours, theirs)}; measure them with the same command and versions.")


def _difference(ours: Any, theirs: Any) -> str:
    """ " (NAME: A, B)" for the first entries that differ, "" where there are none to show."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        name = next(name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name))
        return f" ({plain(name)[:30]}: {quoted(ours.get(name))[:40]}, {quoted(theirs.get(name))[:40]})"
    return f" ({len(ours)}, {len(theirs)})" if isinstance(ours, list) and len(ours) != len(theirs) else ""


def _joined(out: Path, shards: Sequence[tuple[Path, Cell]]) -> Cell:
    """The cell of the whole run, with all parts. The files of the parts are copied into `out`."""
    first = shards[0][1]
    if lost := set(range(len(first.names))).difference(*(cell.places for _, cell in shards)):
        raise ValueError(f"merge: {len(lost)} photos belong to no shard; measure the shards again.")
    for folder, cell in shards:  # nothing is copied before all is known to be there
        for _, part in _parts(folder, cell):
            for name in part["pictures"]:
                inside(folder, name)
    whole = replace(first, settings=replace(first.settings, shard=None), places=list(range(len(first.names))))
    store = whole.store(out)
    for folder, cell in shards:
        ours = cell.store(folder)
        for place, part in _parts(folder, cell):
            copy(ours.path(cell.keys[place]), store.path(cell.keys[place]))
            for name in part["pictures"]:
                copy(inside(folder, name), out / name)
    return whole


def _parts(folder: Path, cell: Cell) -> Iterator[tuple[int, Part]]:
    """The place and the part of each photo of a shard.  Raises: ValueError where one is missing or damaged."""
    store = cell.store(folder)
    for place in cell.places:
        part = cell.read(store, place)
        if part is None:
            where = f"shard {cell.settings.shard} in {plain(folder)[-80:]} lacks the part of {plain(cell.names[place])[:60]!r}"
            raise ValueError(f"merge: {where}, or it is damaged; give the command of the shard again.")
        yield place, part


def inside(folder: Path, name: str) -> Path:
    """A file of a folder.  Raises: ValueError for a name that leads out of it."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"merge: {plain(folder)[-80:]} names the file {plain(name)[:60]!r}, which lies outside of it.")
    return path


def copy(source: Path, target: Path) -> None:
    """Copies a file, whole or not at all, if there is one."""
    if source.is_file():
        write_whole(target, lambda name: shutil.copyfile(source, name))
