"""`report.html`: one page that shows the results of one folder, or of several side by side, and needs no other file.

The page is a function of the folders alone: it is made from summary.json, the tables and the views in them, and can be made
again at any time. Views that would make it larger than `LIMIT` are written into a folder beside it, which the page names.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ...core.files import plain, write_text
from ...metrics.protocol.conclusion import ROTATION
from .about import about_run, axioms_of, media_of
from .charts import trace
from .encode import MEDIA
from .folder import GROUP, PAGE, Run, read_runs
from .numbers import Column, Row, columns, groups, table
from .page import render
from .section import section
from .sections import answers, fronts, group_section, question_sections

LIMIT = 15_000_000  # bytes of a page
STATIC = 1_500_000  # that are kept for tables and charts when views are chosen
_GOALS: dict[str, Callable[[float], float]] = {
    "lower": lambda one: one,
    "higher": lambda one: -one,
}


@dataclass(frozen=True)
class Report:
    """A page, and the scripts with views that lie in a folder beside it, by name; none for most runs."""

    html: str
    beside: dict[str, str]

    def write(self, path: Path) -> list[str]:
        """Writes the page and its folder. Returns their names.  Scripts of an earlier page are removed."""
        folder = path.parent / f"{path.stem}-files"
        for old in folder.glob("[0-9]*.js") if folder.is_dir() else ():
            old.unlink()
        for name, text in self.beside.items():
            write_text(folder / name, text)
        write_text(path, self.html)
        return [path.name, *(f"{folder.name}/{name}" for name in self.beside)]


def write_page(folders: Sequence[str | Path], out: str | Path | None = None, *, limit: int = LIMIT) -> list[Path]:
    """Writes the report of these folders, and returns the paths of its files.

    out: the page; None writes report.html into the folder, or for several into the current one.
    limit: bytes of the page above which views lie beside it.
    Raises: ValueError where a folder holds no results of pullback, or a table that cannot be read.
    """
    first = Path(folders[0]) / PAGE if len(folders) == 1 else Path(PAGE)
    path = first if out is None else Path(out)
    made = report(read_runs(folders, path.parent), path.stem, limit)
    return [path.parent / name for name in made.write(path)]


def report(runs: Sequence[Run], stem: str = "report", limit: int = LIMIT) -> Report:
    """The page of these runs.  stem: of its name, from which that of its folder follows."""
    own = list(map(section, runs))
    compared = [run for run, one in zip(runs, own) if not one["title"]]  # the others say themselves what they found
    scores = pd.concat([run.scores for run in compared] or [runs[0].scores.head(0)], ignore_index=True)
    pictured, views = _views(runs, scores, stem, limit)
    values = {
        "runs": [about_run(run) for run in runs],
        "questions": [one for run in compared for one in question_sections(run)],
        "axioms": axioms_of(scores["method"].unique().tolist(), next(iter(scores["model"]), "")),
        "sections": own,
        "title": " · ".join(dict.fromkeys(one["title"] for one in own if one["title"])),
        "media": media_of(runs, own, limit - STATIC) if not (pictured or (compared and len(scores))) else [],
        "limit": f"{limit / 1e6:.0f} MB",
        "views": views,
        "hero": _hero(pictured),
        "beside": f"{stem}-files" if any("src" in one for one in views) else "",
    }
    numbers = _numbers(runs, scores)
    values["fronts"] = [] if numbers["rows"] else [chart for run in runs for chart in fronts(run, {})]
    html = render("report.html", **numbers, **values)
    return Report(html, {one["src"]: one["script"] for one in views if "src" in one})


def notebook(folder: str | Path) -> str:
    """The head of the report, its table and its charts as a piece of HTML, without scripts.  Raises: as `write_page`."""
    runs = read_runs([folder], Path(folder))
    scores = runs[0].scores
    return render("notebook.html", **_numbers(runs, scores), hero=_hero(_views(runs, scores, "", LIMIT)[0]))


def _numbers(runs: Sequence[Run], scores: pd.DataFrame) -> dict[str, Any]:
    """The answers, the table of domains and the charts."""
    shown = columns(scores)
    rows = table(scores, shown)
    sections = [group_section(number, where, part, runs) for number, (where, part) in enumerate(groups(scores))]
    return {
        "group_names": _varying([section["where"] for section in sections]),
        "groups": sections,
        "answers": answers(sections),
        "columns": shown,
        "rows": [_row(row, best, runs) for row, best in zip(rows, _best(rows, shown))],
    }


def _varying(places: Sequence[Mapping[str, str]]) -> list[str]:
    """Those of run, data, model and method that differ between groups."""
    return [name for name in GROUP if len({where[name] for where in places}) > 1]


def _row(row: Row, best: frozenset[int], runs: Sequence[Run]) -> dict[str, Any]:
    """A row of the table of domains, with the address of the numbers of each cell.  best: its columns that are best."""
    run = next(run for run in runs if run.label == row.where["run"])
    cells = [
        None if mean is None else {"mean": mean, "href": run.link(mean.file) + mean.fragment, "best": place in best}
        for place, mean in enumerate(row.cells)
    ]
    return {"where": row.where, "cells": cells}


def _best(rows: Sequence[Row], shown: Sequence[Column]) -> list[frozenset[int]]:
    """For each row, the columns in which it has the best mean of its group; no finding by itself. A control is never best."""
    goals = [_GOALS.get(column.better) for column in shown]
    found: list[set[int]] = [set() for _ in rows]
    together: dict[tuple[str, ...], list[int]] = {}
    for number, row in enumerate(rows):
        if row.where["domain"] == ROTATION:
            continue
        together.setdefault(tuple(row.where[name] for name in GROUP), []).append(number)
    for members in together.values():
        for place, goal in enumerate(goals):
            known = {n: goal(mean.mean) for n in members if goal and (mean := rows[n].cells[place]) is not None}
            for number in [n for n, value in known.items() if len(known) > 1 and value == min(known.values())]:
                found[number].add(place)
    return [frozenset(one) for one in found]


def _views(
    runs: Sequence[Run], scores: pd.DataFrame, stem: str, limit: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The views with their kept shares, and for each how the page holds it: inside, or as a script beside it."""
    kept = scores.query("metric == 'kept_share' and family == 'own' and budget_kind == 'count' and control == 'attribution'")
    shares = dict(iter(kept.groupby([*GROUP, "example"], sort=False)))
    found = [_with_shares(view, run, shares) for run in runs for view in run.views]
    held, room = [], limit - STATIC
    for number, view in enumerate(found):
        text = render("view.js", number=number, view=view)
        room -= len(text.encode())
        label = {"label": view["name"], "group": view["group"]}
        held.append(
            label
            | ({"data": view} if room > 0 else {"src": f"{number}.js", "script": text, "href": f"{stem}-files/{number}.js"})
        )
    return found, held


def _with_shares(view: Mapping[str, Any], run: Run, shares: Mapping[tuple[str, ...], pd.DataFrame]) -> dict[str, Any]:
    """A view whose selected signals say what is left of f(x) - f(x₀), with that number's row; unsafe media are left out."""
    only = {name: run.scores[name].iloc[0] for name in GROUP if run.scores[name].nunique() == 1}
    where = [run.label, *(plain(view.get(name, only.get(name, ""))) for name in GROUP[1:])]
    known = shares.get((*where, plain(view["name"])))
    domains = []
    for domain in view["domains"]:
        selected = [dict(one) | _kept(known, domain["domain"], one["keep"], run) for one in domain["selected"]]
        domains.append(dict(domain) | {"selected": selected})
    return _safe(dict(view) | {"domains": domains, "group": dict(zip(GROUP, where))})


def _kept(known: pd.DataFrame | None, domain: str, keep: float, run: Run) -> dict[str, Any]:
    if known is None:
        return {}
    rows = known[(known["domain"] == domain) & ((known["budget"].astype(float) - keep).abs() < 1e-9)]
    if rows.empty or rows["score"].isna().all():
        return {}
    row, file = int(rows["row"].iloc[0]), rows["file"].iloc[0]
    place = row + 2 if file.endswith(".csv") else row
    return {"kept": float(rows["score"].iloc[0]), "href": f"{run.link(file)}#row={place}", "row": f"{file}, row {place}"}


def _safe(value: Any) -> Any:
    """Plain data in which a picture or a sound is a data URI of a medium that pages may hold, or empty."""
    if isinstance(value, dict):
        return {
            name: _medium(one) if name in ("image", "heat", "mosaic", "sound") and isinstance(one, str) else _safe(one)
            for name, one in value.items()
        }
    return [_safe(one) for one in value] if isinstance(value, list) else value


def _medium(text: str) -> str:
    return text if text.startswith(MEDIA) and re.fullmatch(r"[A-Za-z0-9+/=]*", text.partition(",")[2]) else ""


def _hero(views: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The first example, and what is left of it in each domain: the picture at the head of the page."""
    for view in views:
        if panels := list(_panels(view)):
            return {"name": view["name"], "seen": view["seen"], "still": _still(view["input"]), "panels": panels}
    return None


def _still(shown: Mapping[str, Any]) -> dict[str, Any]:
    """A signal without controls: a picture, or lines."""
    plane = shown.get("spectrogram")
    image = shown.get("image") or (plane["image"] if isinstance(plane, dict) else "")
    return {"image": image, "paths": [] if image else trace(shown)}


def _panels(view: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """At most four domains, with the selected signal of the budget nearest 10 %."""
    for domain in view["domains"][:4]:
        known = [one for one in domain["selected"] if "kept" in one]
        if known:
            one = min(known, key=lambda each: abs(each["keep"] - 0.1))
            yield {"domain": domain["domain"], "still": _still(one)} | {
                name: one[name] for name in ("keep", "kept", "href", "row")
            }
