"""The table and the HTML page of a comparison."""

import itertools
import json
from collections.abc import Sequence
from typing import Any

import jinja2
import numpy as np
import pandas as pd

COLUMNS = (
    ("relative_gap", "gap / |Δf|", "completeness residual; the same in every linear domain"),
    ("map_error", "map error", "the relative error of the map as the method estimates it, if it does"),
    ("gini", "Gini", "sparseness of |a|, from 0 (all equal) to 1; compare domains with equally many coefficients"),
    ("samples90", "holds 90 %", "how many |a| hold 90 % of Σ|a|, in % of the number of samples; above 100 in some frames"),
    ("kept1_attribution", "top 1 %", "share of f(x) - f(x₀) kept by the largest |a|, as many as 1 % of the samples"),
    ("kept5_attribution", "top 5 %", "the same for 5 %"),
    ("kept10_attribution", "top 10 %", "the same for 10 %"),
    ("kept10_coefficient", "by |z|", "control: the same for the largest |coefficient|, without the model"),
    ("kept10_random", "random", "control: the same for random coefficients"),
)
PERCENT = {"relative_gap", "map_error", "samples90"} | {name for name, _, _ in COLUMNS if name.startswith("kept")}
MEDIA = {".png": "picture", ".wav": "sound"}  # what a page can show
MOST_TELLING = ("kept10_attribution", "kept10_coefficient", "kept10_random", "samples90")
_TEMPLATES = jinja2.Environment(loader=jinja2.PackageLoader(__package__ or ""), autoescape=True)


def render(template: str, **values: Any) -> str:
    """A page of the folder `templates` with these values."""
    return _TEMPLATES.get_template(template).render(values)


def distinct(table: pd.DataFrame) -> pd.DataFrame:
    """The rows without those of copies of a picture, which would count it several times.

    >>> len(distinct(pd.DataFrame({"image": ["a", "b"], "copy_of": [None, "a"]})))
    1
    """
    return table[table["copy_of"].isna()] if "copy_of" in table else table


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over photos of the columns that are shown, a row per domain; the median for the gap, whose tail is long."""
    groups = distinct(table).groupby("transform", sort=False)
    shown = groups[[name for name, _, _ in COLUMNS]].mean()
    return shown.assign(relative_gap=groups["relative_gap"].median())


def cell(column: str, value: float) -> str:
    """A number as the tables print it."""
    if np.isnan(value):
        return "–"
    return f"{100 * value:.1f} %" if column in PERCENT else f"{value:.3f}"


def narrow(width: int) -> tuple[tuple[str, str, str], ...]:
    """The columns that fit into `width` characters; the most telling ones are taken first."""
    order = sorted(COLUMNS, key=lambda column: column[0] not in MOST_TELLING)
    ends = itertools.accumulate(max(7, len(title)) + 3 for _, title, _ in order)
    fitting = [column for column, end in zip(order, ends) if end <= width]
    return tuple(column for column in COLUMNS if column in fitting)


def page(table: pd.DataFrame, summary: dict[str, Any], files: Sequence[str], findings: Sequence[str]) -> str:
    """The report as HTML. Pictures and sounds are linked by name, so the page belongs in their folder."""
    cells = summary.get("cells") or [summary | {name: summary["settings"][name] for name in ("model", "data", "method")}]
    tables = [part for _, part in table.groupby(["model", "data", "method"], sort=False)]
    settings = {name: summary[name] for name in ("settings", "versions", "seconds")}
    return render(
        "comparison.html",
        sections=[_section(cell, own) for cell, own in zip(cells, tables)],
        findings=findings,
        columns=COLUMNS,
        signals=cells[0]["signals"],
        media=[(file, MEDIA[file[-4:]]) for file in files if file[-4:] in MEDIA],
        settings=json.dumps(settings | {"cells": [{n: one[n] for n in ("preparation", "labels")} for one in cells]}, indent=1),
    )


def _section(cell: dict[str, Any], table: pd.DataFrame) -> dict[str, Any]:
    """What the page says about one model, data set and method."""
    shown = means(table)
    about = {name: cell[name] for name in ("model", "data", "photos", "skipped", "notes", "signals")}
    evaluations = sum(value for value in cell["evaluations"].values() if isinstance(value, int))
    return about | {
        "method": table["method"].iloc[0],
        "score": "the model's output" if table["probability"].isna().all() else "the logit of the predicted class",
        "correct": None if cell["correct"] == "no labels" else cell["correct"],
        "domains": len(shown),
        "evaluations": f"{evaluations:,}",
        "rows": _cells(shown),
    }


def _cells(shown: pd.DataFrame) -> list[list[tuple[str, bool]]]:
    """Text of every cell, and whether it is the best of its column."""
    known = shown.dropna(axis="columns", how="all")  # a score that never changes has no shares of f(x) - f(x₀)
    better = {name: (known[name] - 1).abs().idxmin() for name in known if str(name).endswith("_attribution")}
    if "samples90" in known:
        better["samples90"] = known["samples90"].idxmin()
    return [
        [(str(domain), False), *((cell(name, value), better.get(name) == domain) for name, value in row.items())]
        for domain, row in shown.iterrows()
    ]
