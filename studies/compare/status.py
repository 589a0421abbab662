"""What the folder of a comparison says about it while it runs."""

import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ...core.files import is_alive, plain, read_json
from ...core.progress import time_left
from ..storage.results import Results
from .cell import Cell, read_plan, runs_in

_SMALL = 2**14  # bytes of a part with a reason why its photo is skipped; parts with numbers are mostly larger


@dataclass(frozen=True)
class Status:
    """How far a run is.

    shard: "3/16", or "" for a whole run.  state: "running", "finished", "interrupted", "failed", or "ended" where the process
    has died without a word.  done, planned: photos of all cells; skipped ones are done.  skipped: (photo, reason).
    seconds_left: at the pace of this run; None where it is not known.
    """

    folder: Path
    shard: str
    state: str
    done: int
    planned: int
    skipped: list[tuple[str, str]]
    seconds_left: float | None


def status(folders: str | Path | Sequence[str | Path]) -> list[Status]:
    """How far runs of `compare` are, each from what is stored in its folder. Nothing is loaded, and nothing is changed.

    folders: of whole runs or shards, or folders in which they lie.  Raises: ValueError where one holds no run.
    """
    return [_status(folder) for folder in runs_in([folders] if isinstance(folders, str | Path) else folders)]


def missing_shards(found: Sequence[Status]) -> list[str]:
    """The shards that no folder holds, as "3/16".

    >>> missing_shards([Status(Path("a"), "2/3", "running", 1, 9, [], None)])
    ['1/3', '3/3']
    """
    counts = {one.shard.partition("/")[2] for one in found if one.shard}
    every = [f"{number}/{count}" for count in sorted(counts, key=int) for number in range(1, int(count) + 1)]
    return [shard for shard in every if shard not in {one.shard for one in found}]


def _status(folder: Path) -> Status:
    cells, held = read_plan(folder), Results(folder, "compare").held()
    stored = [path for cell in cells for path in _stored(cell, folder)]
    skipped = [(part["name"], "; ".join(part["skipped"])) for path in stored if (part := _skipped(path)) is not None]
    planned, state = sum(len(cell.places) for cell in cells), _state(held)
    settings = held.get("settings")
    shard = settings.get("shard") if isinstance(settings, dict) else None
    left = _seconds_left(held, stored, planned) if state == "running" else None
    return Status(folder, plain(shard or ""), state, len(stored), planned, skipped, left)


def _stored(cell: Cell, folder: Path) -> list[Path]:
    """The files of the parts that are finished."""
    store = cell.store(folder)
    return [path for place in cell.places if (path := store.path(cell.keys[place])).is_file()]


def _skipped(path: Path) -> dict[str, Any] | None:
    """The part, if its photo is skipped."""
    part = read_json(path) if path.stat().st_size < _SMALL else None
    return part if isinstance(part, dict) and part.get("skipped") and isinstance(part.get("name"), str) else None


def _state(held: dict[str, Any]) -> str:
    """The state in the summary; "ended" where the process that should run is no more on this machine."""
    process = held.get("process")
    if held.get("state") != "running" or not isinstance(process, dict) or process.get("machine") != platform.node():
        return plain(held.get("state", "unknown"))
    return "running" if isinstance(process.get("id"), int) and is_alive(process["id"]) else "ended"


def _seconds_left(held: dict[str, Any], stored: Sequence[Path], planned: int) -> float | None:
    started = _started(held)
    earlier = sum(path.stat().st_mtime < started for path in stored)
    return time_left(time.time() - started, (0.0, earlier), len(stored), planned)


def _started(held: dict[str, Any]) -> float:
    """When the run has started; now where its summary does not say so."""
    try:
        return datetime.fromisoformat(held["process"]["started"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return time.time()
