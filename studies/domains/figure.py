"""The figure of the study: every domain against one of them, in every cell."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..report.figures import save
from .tables import CELL, TURNED

COLOURS = {"better": "#1b7837", "worse": "#b2182b", "equal": "#2166ac"}
OPEN = "#999999"


def drawn(cells: pd.DataFrame, contrasts: pd.DataFrame, out: Path) -> list[str]:
    """Draws a panel for each cell and a row for each domain, against the domain that most cells have. Returns file names."""
    if contrasts.empty:
        return []
    reference = _reference(contrasts)
    own = contrasts[(contrasts["first"] == reference) | (contrasts["second"] == reference)]
    rows = _against(own, reference)
    names = list(dict.fromkeys(rows["domain"]))
    groups = list(rows.groupby(list(CELL), sort=False))
    columns = min(4, len(groups))
    lines = -(-len(groups) // columns)
    size = (2.2 + 2.3 * columns, 0.9 + lines * (0.8 + 0.26 * (1 + len(names))))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).flat
    claimed = cells.set_index(list(CELL))["claimed"]
    for axis, (cell, part) in zip(axes, groups):
        _panel(axis, cell, part.set_index("domain"), names, str(claimed.get(cell, "")))
    for axis in list(axes)[len(groups) :]:
        axis.set_visible(False)
    figure.supxlabel(f"selection error of {reference} less that of the domain, points", fontsize=8)
    what = "green: less error, red: more, blue: equal, all after correction; hollow: open; ★: the claimed domain"
    figure.suptitle(f"Each domain against {reference} ({what})", fontsize=8)
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
    sign = np.where(turned, -1, 1)
    low, high = own["low"].where(~turned, -own["high"]), own["high"].where(~turned, -own["low"])
    verdict = own["verdict"].where(~turned, own["verdict"].replace(TURNED))
    domain = own["second"].where(turned, own["first"])
    return own.assign(domain=domain, mean=sign * own["mean"], low=low, high=high, verdict=verdict)


def _panel(axis: Axes, cell: Sequence[Any], part: pd.DataFrame, names: Sequence[str], claimed: str) -> None:
    axis.axvline(0, color="black", linewidth=0.6)
    for place, name in enumerate(names):
        if name not in part.index:
            continue
        row = part.loc[name]
        colour, known = COLOURS.get(row["verdict"], OPEN), row["verdict"] in COLOURS
        mean, low, high = (0.0 if np.isnan(row[each]) else 100 * row[each] for each in ("mean", "low", "high"))
        axis.plot([low, high], [place, place], color=colour, linewidth=1.2)
        mark = "*" if name == claimed else "o"
        face = colour if known else "white"
        axis.plot(mean, place, mark, color=colour, markerfacecolor=face, markersize=11 if mark == "*" else 5)
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.tick_params(axis="x", labelsize=7)
    _, data, model, method = cell
    axis.set_title(f"{Path(str(model)).name}\n{Path(str(data)).name}\n{str(method)[:34]}", fontsize=7)
