"""The files of a run: tables, figures and a report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ...core.files import write_parquet, write_text
from ...core.imports import needs
from ..report.section import write_section
from .figures import overview
from .images import CONTROLS, IMAGES, VERSIONS
from .tables import Tables
from .words import factor, lost, percent, said

CAPTIONS = {
    "paper.png": "On the paper's axes: the mean score of minimal images against their sparsity, a dot for each price.",
    "front.png": "The honest figure: minimal images and controls with exactly as many coefficients. Bands: 95 % intervals "
    "over signals.",
    "limits.png": "The fewest coefficients with which each signal keeps its class before it is lost for the first time; a dot "
    "for each signal. Bars: the median and its 95 % interval. Controls are sought on a ladder of counts of their own.",
    "changed.png": "How often the class is still predicted after a change. Minimal images, and truncations by |coefficient|: "
    "near the largest sparsity in the paper's figure, and the sparsest that are seen as the class.",
}
GRID = "A signal and its images with equally many coefficients. Green frame: still seen as the class; red: not."


def write(tables: Tables, summary: Mapping[str, Any], grids: Sequence[str], out: Path) -> list[str]:
    """Writes the tables, the figures and what the report says. Returns the names of all files."""
    with needs("pullback study minimal", "'pullback[cli]' pyarrow"):
        import pyarrow  # noqa: F401
    figures = overview(tables.front, tables.limits, tables.changed, out)
    for name in ("front", "limits", "changed"):
        write_text(out / f"{_FILES.get(name, name)}.csv", getattr(tables, name).to_csv(index=False))
    write_parquet(out / "scores.parquet", tables.scores)
    captions = CAPTIONS | dict.fromkeys(grids, GRID)
    write_section(out, "How few coefficients keep a prediction?", shown(tables, summary), captions)
    return ["report.html", "summary.json", "scores.parquet", "results.csv", "limits.csv", "changed.csv", *figures, *grids]


_FILES = {"front": "results"}


def shown(tables: Tables, summary: Mapping[str, Any]) -> list[tuple[str, pd.DataFrame, str]]:
    """The tables of the report, and the file in which their rows stand."""
    need = "Coefficients that other images need, as a multiple of those above 0 in the minimal image"
    return [
        ("Sparsity up to which the class is predicted", limit_table(summary), ""),
        (need, need_table(summary), ""),
        ("Share of signals whose class is kept after a change, %", change_table(tables.changed), ""),
        ("The contrasts that were declared, in points", contrast_table(summary), ""),
        ("Means at each price", front_table(tables.front.reset_index(drop=True)), "results.csv"),
    ]


def _where(row: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(row[name]) for name in ("model", "data", "domain")}


def limit_table(summary: Mapping[str, Any]) -> pd.DataFrame:
    """The median sparsity up to which the class is kept, and at which it is lost, with intervals."""
    cells = [
        _where(row)
        | {"image": row["image"], "class kept up to": _interval(row["kept_until"]), "last seen at": _interval(row["kept_last"])}
        | {"loses it": lost(row, "count" if row["image"] in CONTROLS else "price")}
        for row in summary["limits"]
    ]
    return pd.DataFrame(cells)


def _interval(found: Mapping[str, float]) -> str:
    return f"{percent(found['median'])} % ({percent(found['low'])}–{percent(found['high'])})"


def need_table(summary: Mapping[str, Any]) -> pd.DataFrame:
    """How many times as many coefficients other images need for the class."""
    rows = summary["limit_contrasts"]
    cells = [dict(zip(("coefficients needed", "verdict"), factor(row).rsplit(": ", 1))) for row in rows]
    return pd.DataFrame([_where(row) | {"image": row["other"]} | cell for row, cell in zip(rows, cells)])


def contrast_table(summary: Mapping[str, Any]) -> pd.DataFrame:
    """How often the class of minimal images is kept after each group of changes, less that of the photo."""
    rows = summary["change_contrasts"]
    cells = [dict(zip(("difference", "verdict"), said(row).rsplit(": ", 1))) for row in rows]
    keys = [{"image, less the photo": row["image"], "changes": row["group"]} for row in rows]
    found = [
        "–" if row["detectable"] is None or pd.isna(row["detectable"]) else f"{100 * row['detectable']:.0f}" for row in rows
    ]
    power = [{"detectable, points": one} for one in found]
    return pd.DataFrame([_where(row) | key | cell | more for row, key, cell, more in zip(rows, keys, cells, power)])


def change_table(changed: pd.DataFrame) -> pd.DataFrame:
    """The share of signals whose class is kept: a row for each change, a column for each image, and the levels of chance."""
    keys = ["model", "data", "domain", "change"]
    wide = changed.pivot(index=keys, columns="image", values="kept")[[one for one in VERSIONS if one in set(changed["image"])]]
    wide = wide.reindex(changed[keys].drop_duplicates())
    others = changed.groupby(keys, sort=False)[["of_others", "chance"]].max()
    found = pd.concat([wide, others.rename(columns={"of_others": "class of another signal, at most"})], axis=1)
    return (100 * found).map(lambda value: "–" if pd.isna(value) else f"{value:.3g}").reset_index()


def front_table(front: pd.DataFrame) -> pd.DataFrame:
    """Means at each price, a row for each kind of image."""
    rows = front.assign(order=front["image"].map({name: place for place, name in enumerate(IMAGES)}).fillna(-1))
    rows = rows.sort_values(["model", "data", "domain", "price", "order"], na_position="first", kind="stable")
    found = rows[["model", "data", "domain", "price", "image"]].copy()
    found["price"] = ["" if pd.isna(value) else f"{value:g}" for value in rows["price"]]
    found["sparsity"] = [f"{percent(value)} %" for value in rows["sparsity"]]
    for name in ("logit", "probability", "kept", "cp, coefficients", "cp, signal", "cp, entropy", "hallucination"):
        cells = rows[[name, f"{name} low", f"{name} high"]].to_numpy(float) if name in rows else []
        found[name] = ["–" if pd.isna(mean) else f"{mean:.2f} ({low:.2f} to {high:.2f})" for mean, low, high in cells]
    return found
