"""A folder of results as a report reads it: tables, summary and views, with links that lead from the page to its files."""

import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from ...core.files import plain, read_json
from ...core.imports import needs

SUMMARIES = ("summary.json", ".summary.json")
SCORES, WIDE, PAGE = "scores.parquet", "results.csv", "report.html"
GROUP = ("run", "data", "model", "method")
LONG = ("domain", "family", "budget_kind", "budget", "control", "metric", "example", "unit", "score")
MEASURES = ("relative_gap", "map_error", "gini", "samples90", "score_difference", "probability")  # columns of `WIDE`
_KEPT = re.compile(r"kept(\d+)_(\w+)")


@dataclass(frozen=True, eq=False)
class Run:
    """A folder of results.

    label: its name in the report, different for each folder.  scores: `GROUP`, `LONG`, and the file and row of each number.
    wide: a row for each example and domain, or none.  views: of examples, see `views.view`.  base: the report's folder.
    """

    path: Path
    label: str
    summary: dict[str, Any]
    scores: pd.DataFrame
    wide: pd.DataFrame
    views: tuple[dict[str, Any], ...]
    base: Path

    def link(self, name: str) -> str:
        """The address of a file of the folder, as the page links it. Every character that could end or change it is escaped.

        >>> Run(Path("a"), "a", {}, pd.DataFrame(), pd.DataFrame(), (), Path("a")).link("#1?.png")
        './%231%3F.png'
        """
        return address(self.path / name, self.base)

    @property
    def files(self) -> list[str]:
        """The names of its files that exist."""
        listed = self.summary.get("files") or []
        there = sorted(path.name for path in self.path.iterdir() if path.is_file() and not path.name.startswith("."))
        named = [str(name) for name in listed if (self.path / str(name)).is_file()]
        return list(dict.fromkeys([*named, *there]))


def address(path: Path, base: Path) -> str:
    """A path as a relative address, seen from the folder `base`; an absolute one on another drive."""
    try:
        relative = Path(os.path.relpath(path.absolute(), base.absolute())).as_posix()
    except ValueError:
        return path.absolute().as_uri()
    return f"./{quote(os.fsencode(relative))}"


def read_runs(folders: Sequence[str | Path], base: Path) -> list[Run]:
    """The folders, each with a label of its own.  Raises: ValueError where one holds no results."""
    labels: list[str] = []
    for folder in map(Path, folders):
        name = plain(folder.absolute().name or folder)
        labels.append(name if name not in labels else f"{name} ({len(labels) + 1})")
    return [read_run(Path(folder), label, base) for folder, label in zip(folders, labels)]


def read_run(path: Path, label: str, base: Path) -> Run:
    """One folder.  Raises: ValueError where it holds no results of pullback, or a damaged table."""
    summary = next((found for name in SUMMARIES if isinstance(found := read_json(path / name), dict)), None)
    if summary is None or not isinstance(summary.get("pullback"), str):
        what = "no folder" if not path.is_dir() else "holds no summary.json of pullback"
        raise ValueError(f"report: {plain(path)[:120]}: {what}; expected a folder that a pullback command wrote.")
    wide = _wide(path)
    scores = _scores(path, summary, wide).assign(run=label)
    views = tuple(view for name in sorted(path.rglob("view-*.json")) if _is_view(view := read_json(name)))
    return Run(path, label, summary, scores, wide.assign(run=label), views, base)


def _is_view(found: Any) -> bool:
    return isinstance(found, dict) and {"number", "name", "form", "input", "domains"} <= set(found)


def _wide(path: Path) -> pd.DataFrame:
    """The table of a comparison, with the number of each row; none where the folder holds another table."""
    found = _read(path / WIDE, lambda data: pd.read_csv(io.BytesIO(data), keep_default_na=True))
    if found is None or not {"image", "transform"} <= set(found):
        return pd.DataFrame()
    found = found.assign(row=np.arange(len(found)), file=WIDE)
    return found[found["copy_of"].isna()] if "copy_of" in found else found


def _scores(path: Path, summary: dict[str, Any], wide: pd.DataFrame) -> pd.DataFrame:
    """All numbers in long form: those of the long table, and what only the wide one holds."""
    long = _read(path / SCORES, _parquet)
    if long is not None and not {*GROUP[1:], *LONG} <= set(long):
        lacking = sorted({*GROUP[1:], *LONG} - set(long))
        raise ValueError(f"report: {plain(path)[:120]}/{SCORES} lacks the columns {', '.join(lacking)}.")
    parts = [] if long is None else [long.assign(row=np.arange(len(long)), file=SCORES)]
    known = set() if long is None else set(long["metric"])
    parts += [] if wide.empty else _melted(wide, _settings(summary), "kept_share" not in known)
    columns = [*GROUP[1:], *LONG, "row", "file"]
    found = pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
    texts = [name for name in columns if name not in ("budget", "score", "row")]
    return found.assign(**{name: _plain(found[name]) for name in texts})


def _plain(column: pd.Series) -> pd.Series:
    """The column as texts that a page shows as they are."""
    column = column.astype(object).fillna("")
    return column.map({value: plain(value) for value in column.unique()})


def _parquet(data: bytes) -> pd.DataFrame:
    with needs("Reading scores.parquet", "'pullback[cli]'"):
        import pyarrow  # noqa: F401
    return pd.read_parquet(io.BytesIO(data))


def _read(path: Path, read: Any) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    try:
        return pd.DataFrame(read(path.read_bytes()))
    except ImportError:
        raise
    except Exception as error:  # readers of damaged files raise errors of many kinds
        why = " ".join(str(error).split())[:120]
        raise ValueError(f"report: {plain(path)[:120]}: a table that cannot be read ({plain(why)}).") from None


def _settings(summary: dict[str, Any]) -> dict[str, str]:
    """The data, model and method of a run with one of each."""
    settings = summary.get("settings")
    held = settings if isinstance(settings, dict) else {}
    return {name: _one(held.get(name, held.get(f"{name}s", ""))) for name in GROUP[1:]}


def _one(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _melted(wide: pd.DataFrame, settings: dict[str, str], with_kept: bool) -> list[pd.DataFrame]:
    """The columns of the wide table as rows of the long one."""
    where = {name: wide[name] if name in wide else settings[name] for name in GROUP[1:]}
    common = pd.DataFrame({"example": wide["image"], "unit": wide["image"], "domain": wide["transform"]}).assign(
        **where, file=WIDE, row=wide["row"], family="", budget_kind="", budget=np.nan, control="attribution"
    )
    parts = [common.assign(metric=name, score=wide[name].astype(float)) for name in MEASURES if name in wide]
    for name in wide:
        if with_kept and (match := _KEPT.fullmatch(str(name))):
            kept = {"family": "own", "budget_kind": "count", "budget": int(match[1]) / 100, "control": match[2]}
            parts.append(common.assign(metric="kept_share", score=wide[name].astype(float), **kept))
    return parts
