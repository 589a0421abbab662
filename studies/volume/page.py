"""The report of the study of volumes: a page, and its parts for other pages."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..report.section import write_section
from .claims import BEST, QUESTIONS, STAR, has_zero
from .maps import ATTRIBUTION, CONTROLS

TITLE = "Do coarse scales carry the edges of an object, and fine scales its centre?"
CAPTIONS = {
    "scales": "As in the paper: the importance of each scale, coarse (yellow) to fine (blue); each panel has its own scale of "
    "colour. Grey line: the outline of the object in the middle slice.",
    "edges": "Edge fraction: importance within a voxel of the surface, of that in it and deeper inside. Light bars: from a map "
    "of nothing but the centre to one of nothing but the surface, each averaged over the cells of the scale; where the bar is "
    "short, a map of cells tells little. 95 % intervals over volumes.",
    "profiles": "Importance per voxel over the signed distance to the surface, relative to an even spread. 95 % intervals; "
    "a bin whose interval is wider than the axis is left out.",
    "": "Slices through the place with the most attribution, or means along each axis: the volume, and each octave's map.",
}
CONTRASTS = ["data", "model", "method", "domain", "map", "question", "against"]


def caption(file: str) -> str:
    """What a figure shows.

    >>> caption("profiles-digits3d.png")[:20]
    'Importance per voxel'
    """
    return CAPTIONS.get(file.partition("-")[0], CAPTIONS[""])


def edge_fractions(means: pd.DataFrame, data: str, model: str) -> pd.DataFrame:
    """Mean edge fractions in per cent: a row for each method, domain, map and scale, a column for the map and each control."""
    rows = means[(means["data"] == data) & (means["model"] == model) & (means["map"] != BEST)]
    keys = ["method", "domain", "map", "scale"]
    wide = rows.pivot_table(index=keys, columns="control", values="mean", sort=False, dropna=False).dropna(how="all")
    ends = rows[rows["control"] == ATTRIBUTION].set_index(keys)[["low", "high"]].reindex(wide.index)
    found = (100 * wide[[name for name in (ATTRIBUTION, *CONTROLS) if name in wide]]).map(_number)
    found.insert(1, "95 %", [f"{_number(100 * low)} to {_number(100 * high)}" for low, high in ends.to_numpy()])
    return found.rename(columns=CONTROLS).reset_index()


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.1f}"


def contrast_table(found: pd.DataFrame) -> pd.DataFrame:
    """The declared contrasts in words, in points (1 = the whole importance)."""
    cells = found[CONTRASTS].copy()
    cells["against"] = [CONTROLS.get(name, "the finest scale") for name in found["against"]]
    numbers = found[["mean", "low", "high"]].to_numpy()
    cells["difference"] = [f"{mean:+.3f} ({low:+.3f} to {high:+.3f})" for mean, low, high in numbers]
    cells["corrected p"] = [f"{p:.2g}" for p in found["p_corrected"]]
    stars = ["*" if zero else "" for zero in has_zero(found)]
    return cells.assign(volumes=found["units"], verdict=found["verdict"] + stars)


def write(means: pd.DataFrame, found: pd.DataFrame, pictures: Sequence[str], out: Path) -> None:
    """Stores what the report says of the study."""
    pairs = means[["data", "model"]].drop_duplicates().itertuples(index=False, name=None)
    tables = [(f"{model} on {data}: edge fractions, %", edge_fractions(means, data, model), "") for data, model in pairs]
    if len(found):
        asked = "; ".join(f"{name}: {what}" for name, what in QUESTIONS.items())
        rows = contrast_table(found.reset_index(drop=True))
        tables.append((f"contrasts, positive in favour of the claim ({asked}). {STAR}", rows, "contrasts.csv"))
    write_section(out, TITLE, tables, {name: caption(name) for name in pictures})
