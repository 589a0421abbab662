"""The figure of the study: a row for each cell, a column for each domain, and how it compares with the samples themselves."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ..report.figures import save
from .tables import CELL, TURNED

COLOURS = "PuOr_r"  # worse to better; told apart by colour-blind readers
EQUAL = "="
_DARK = 0.3  # from the middle of the scale of colours, beyond which black text cannot be read


def drawn(cells: pd.DataFrame, contrasts: pd.DataFrame, out: Path) -> list[str]:
    """Draws a panel for each kind of signal: cells × domains, against the domain that most cells have. Returns file names."""
    if contrasts.empty:
        return []
    reference = _reference(contrasts)
    rows = _against(contrasts[(contrasts["first"] == reference) | (contrasts["second"] == reference)], reference)
    panels = list(rows.groupby("kind", sort=False))
    heights = [len(part.drop_duplicates(list(CELL))) for _, part in panels]
    widest = max(part["domain"].nunique() for _, part in panels)
    figure = Figure(figsize=(4.6 + 0.85 * widest, 0.6 + sum(1.7 + 0.28 * height for height in heights)), layout="constrained")
    axes = np.ravel(figure.subplots(len(panels), 1, height_ratios=[4 + height for height in heights], squeeze=False))
    claimed = cells.set_index(list(CELL))["claimed"].to_dict()
    limit = 100 * float(np.nanquantile(rows["mean"].abs(), 0.95)) if rows["mean"].notna().any() else 1.0
    for axis, (kind, part) in zip(axes, panels):
        _panel(axis, part, claimed, Normalize(-limit, limit))
        axis.set_title(str(kind), loc="left", fontsize=11)
    what = "bold: a finding after correction over all cells, = equal, pale: open, blank: not compared, ★ the claimed domain"
    figure.suptitle(f"Selection error of {reference} less that of each domain, points ({what})", fontsize=10)
    return [save(figure, out / "domains.png")]


def _reference(contrasts: pd.DataFrame) -> str:
    """The domain of most cells; of several, the samples themselves if they are among them."""
    both = pd.concat([contrasts[[*CELL, side]].rename(columns={side: "domain"}) for side in ("first", "second")])
    count = both.drop_duplicates()["domain"].value_counts()
    most = sorted(count[count == count.max()].index)
    return next((name for name in ("pixel", *most) if name in most), most[0])


def _against(own: pd.DataFrame, reference: str) -> pd.DataFrame:
    """The contrasts as those of the other domain against the reference."""
    turned = own["first"] == reference
    verdict = own["verdict"].where(~turned, own["verdict"].replace(TURNED))
    domain = own["second"].where(turned, own["first"])
    return own.assign(domain=domain, mean=own["mean"].where(~turned, -own["mean"]), verdict=verdict)


def _panel(axis: Axes, part: pd.DataFrame, claimed: dict[tuple[str, ...], str], scale: Normalize) -> None:
    """The cells of one kind of signal."""
    names = list(dict.fromkeys(part["domain"]))
    groups = list(part.groupby(list(CELL), sort=False))
    size = np.full((len(groups), len(names)), np.nan)
    strong = np.zeros_like(size)
    for line, (cell, rows) in enumerate(groups):
        for row in rows.to_dict("records"):
            place = names.index(row["domain"])
            found, equal = row["verdict"] in TURNED, row["verdict"] == "equal"
            size[line, place], strong[line, place] = 100 * row["mean"], 1.0 if found else 0.3
            star = "★" if row["domain"] == claimed.get(cell) else ""
            text = f"{star}{100 * row['mean']:+.0f}" if np.isfinite(row["mean"]) else f"{star}{EQUAL}"
            ink = "white" if found and abs(scale(100 * row["mean"]) - 0.5) > _DARK else "black"
            style: dict[str, Any] = {
                "ha": "center",
                "va": "center",
                "fontsize": 9,
                "weight": "bold" if found else None,
                "color": ink,
            }
            axis.text(place, line, EQUAL if equal else text, **style)
    axis.imshow(size, cmap=COLOURS, norm=scale, alpha=strong, aspect="auto")
    axis.set_xticks(range(len(names)), names, fontsize=9, rotation=25, ha="right")
    labels = [
        f"{Path(str(model)).name}, {Path(str(data)).name}, {str(method).partition('(')[0]}"
        for (_, data, model, method), _ in groups
    ]
    axis.set_yticks(range(len(groups)), labels, fontsize=9)
