"""The figures of the study of volumes that show means over volumes: edge fractions of scales, and profiles over distance."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ...metrics.statistics import ENOUGH, mean_interval
from ..report.figures import save
from .claims import BEST
from .distances import EDGE, EDGES
from .maps import ATTRIBUTION, CELLS, CONTROLS, SAMPLES
from .settings import stem
from .subject import CORE_ONLY, EDGE_ONLY

_STYLES = {ATTRIBUTION: ("firebrick", "o"), **dict(zip(CONTROLS, (("0.45", "s"), ("black", "^"), ("tab:blue", "D"))))}
_NAMES = {ATTRIBUTION: "attribution", **CONTROLS}
_TRUTH = "nothing but the centre … nothing but the surface"
_ASKED = "how much of the importance in the object lies within a voxel of its surface"
_SHIFTS = dict(zip(_STYLES, (-0.21, -0.07, 0.07, 0.21)))


def drawn(table: pd.DataFrame, means: pd.DataFrame, out: Path) -> list[str]:
    """Draws the figures of each data set with several volumes. Returns their names."""
    files = []
    for (data, model), own in table.groupby(["data", "model"], sort=False):
        if (count := own["example"].nunique()) > 1:
            name, rows = stem(model, data), means[(means["data"] == data) & (means["model"] == model)]
            title = f"{Path(model).name} on {Path(data).name}"
            files.append(save(_edges(title, rows, count), out / f"edges-{name}.png"))
            files.append(save(_profiles(title, own), out / f"profiles-{name}.png"))
    return files


def _panels(rows: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The methods and the domains."""
    return [list(dict.fromkeys(name for name in rows[column] if name)) for column in ("method", "domain")]  # type: ignore[return-value]


def _edges(title: str, means: pd.DataFrame, volumes: int) -> Figure:
    """For each scale of the first domain the mean edge fraction of the map and of the controls, with the truth in cells."""
    methods, domains = _panels(means)
    columns = [(kind, domains[0]) for kind in (CELLS, SAMPLES)]
    figure = Figure(figsize=(1.2 + 3.3 * len(columns), 1.5 + 2.7 * len(methods)), layout="constrained")
    axes = figure.subplots(len(methods), len(columns), squeeze=False, sharey=True)
    for row, method in zip(axes, methods):
        for axis, (kind, domain) in zip(row, columns):
            own = means[(means["method"] == method) & (means["map"] == kind) & (means["domain"] == domain)]
            best = means[(means["map"] == BEST) & (means["domain"] == domain)] if kind == CELLS else None
            _scales(axis, own, best)
            axis.set_title(f"{method.partition('(')[0]}, {domain}: {kind}", fontsize=8)
        row[0].set_ylabel("edge fraction", fontsize=9)
    _legend(figure, axes[0, 0], len(columns))
    figure.suptitle(f"{title}, {volumes} volumes:\n{_ASKED}", fontsize=10)
    return figure


def _scales(axis: Axes, own: pd.DataFrame, best: pd.DataFrame | None) -> None:
    scales = list(dict.fromkeys(own["scale"]))
    if best is not None:
        low, high = (best[best["control"] == what].set_index("scale")["mean"][scales] for what in (CORE_ONLY, EDGE_ONLY))
        style: dict[str, Any] = {"color": "0.9", "label": _TRUTH, "zorder": 0}
        axis.bar(range(len(scales)), high - low, 0.7, bottom=low, **style)
    _dots(axis, own, scales)
    axis.use_sticky_edges = False
    axis.set_xticks(range(len(scales)), [_octave(scale) for scale in scales], fontsize=8)
    axis.yaxis.set_major_formatter(PercentFormatter(1, 0))
    axis.tick_params(axis="y", labelsize=8)


def _dots(axis: Axes, own: pd.DataFrame, scales: list[str]) -> None:
    """The map and the controls side by side, with their intervals."""
    for control, part in own.groupby("control", sort=False):
        colour, marker = _STYLES[str(control)]
        places = np.array([scales.index(scale) for scale in part["scale"]]) + _SHIFTS[str(control)]
        ends = np.nan_to_num(np.abs(np.array([part["mean"] - part["low"], part["high"] - part["mean"]])))
        style: dict[str, Any] = {"fmt": marker, "color": colour, "markersize": 4, "capsize": 2, "linewidth": 1}
        axis.errorbar(places, part["mean"], yerr=ends, label=_NAMES[str(control)], **style)


def _octave(scale: str) -> str:
    """As "octave 3\\n8 voxels": how wide a Haar atom of the scale is."""
    if scale == "coarser":
        return "coarser"
    return f"{scale}\n{2 ** int(scale.removeprefix('octave '))} voxels"


def _profiles(title: str, table: pd.DataFrame) -> Figure:
    """Importance per voxel over the signed distance to the surface, for each method and scale of the first domain, in cells."""
    methods, domains = _panels(table)
    rows = table[(table["domain"] == domains[0]) & (table["map"] == CELLS)]
    voxels = table[table["map"] == "voxels"].set_index("example")[_columns()]
    scales, places = list(dict.fromkeys(rows["scale"])), np.flatnonzero(_common(voxels.to_numpy(float)))
    figure = Figure(figsize=(1.2 + 3.0 * len(scales), 1.5 + 2.5 * len(methods)), layout="constrained")
    axes = figure.subplots(len(methods), len(scales), squeeze=False, sharex=True, sharey="col")
    for column, scale in zip(axes.T, scales):
        own = {method: rows[(rows["method"] == method) & (rows["scale"] == scale)] for method in methods}
        known = {method: _known(part, voxels) for method, part in own.items()}
        top = 1.3 * max(np.nanmax(values[:, 0]) for curves in known.values() for values in curves.values())
        for axis, method in zip(column, methods):
            _curves(axis, known[method], top)
            axis.set_title(f"{method.partition('(')[0]}: {_octave(scale).replace(chr(10), ', ')}", fontsize=9)
    for axis in axes[:, 0]:
        axis.set_ylabel("importance per voxel\n(1: even)", fontsize=9)
    for axis in axes[-1]:
        axis.set_xticks(np.arange(len(EDGES) - 1), _labels(), rotation=60, fontsize=8)
        axis.set_xlabel("signed distance to the surface, voxels", fontsize=9)
        axis.set_xlim(min(places) - 0.5, max(places) + 0.5)
    _legend(figure, axes[0, 0], len(scales))
    about = "coarse scales left, inside < 0, grey: within one voxel of the surface"
    figure.suptitle(f"{title}, {domains[0]}: importance over distance\n{about}", fontsize=10)
    return figure


def _known(own: pd.DataFrame, voxels: pd.DataFrame) -> dict[str, np.ndarray]:
    """The mean over volumes of the importance per voxel in each bin, and its interval, (bins, 3), of the map and each control.

    NaN where too few volumes have voxels, or for the interval of few volumes.
    """
    found = {}
    for control, part in own.groupby("control", sort=False):
        ratio = (part.set_index("example")[_columns()] / voxels).to_numpy(float)
        values = np.array([mean_interval(one[np.isfinite(one)]) for one in ratio.T])
        values[~_common(np.isfinite(ratio))] = np.nan
        values[:, 1:] = values[:, 1:] if len(ratio) >= ENOUGH else np.nan
        found[str(control)] = values
    return found


def _curves(axis: Axes, known: dict[str, np.ndarray], top: float) -> None:
    """The profiles of the map and of the controls, up to `top`; without the bins of which the interval ends above it."""
    places = np.arange(len(EDGES) - 1)
    for control, values in known.items():
        colour, marker = _STYLES[control]
        mean, low, high = np.where((values[:, 2:] > top), np.nan, values).T
        axis.plot(places, mean, marker=marker, markersize=4, color=colour, linewidth=1.5, label=_NAMES[control])
        axis.fill_between(places, low, high, color=colour, alpha=0.18, linewidth=0)
    shown = [number for number, near in enumerate(EDGE) if near]
    axis.axvspan(shown[0] - 0.5, shown[-1] + 0.5, color="0.93", zorder=0)
    axis.axhline(1, color="0.7", linewidth=0.8, zorder=0)
    axis.set_ylim(0, top)
    axis.tick_params(labelsize=8)


def _columns() -> list[str]:
    return [f"bin {number}" for number in range(len(EDGES) - 1)]


def _labels() -> list[str]:
    ends = [f"{edge:g}" for edge in EDGES[1:-1]]
    return [f"< {ends[0]}", *(f"{low}…{high}" for low, high in zip(ends, ends[1:])), f"> {ends[-1]}"]


def _common(known: np.ndarray) -> np.ndarray:
    """The bins in which enough volumes have voxels."""
    return np.asarray((known > 0).sum(0) >= min(ENOUGH, len(known)))


def _legend(figure: Figure, axis: Axes, columns: int) -> None:
    """Below the panels, the attribution first."""
    handles, labels = axis.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: [*_NAMES.values(), labels[i]].index(labels[i]))
    style: dict[str, Any] = {"ncols": min(len(order), 1 + columns), "frameon": False, "fontsize": 8}
    figure.legend([handles[i] for i in order], [labels[i] for i in order], loc="outside lower center", **style)
