"""The figures of the robustness study."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from ...core.files import slug
from ..report.figures import save
from . import paper
from .net import Net
from .octaves import waves
from .settings import Settings, recipe
from .spectra import DEFINITIONS
from .statistics import Interval
from .tables import behaviour
from .verdicts import MARGIN, OWN, SHUFFLED, sign

_RECIPES = {"erm": "black", "pgd": "tab:blue", "fast": "tab:orange", "free": "tab:green"}
_SCORES = {name: one.formula if one.model else f"control: {one.formula}" for name, one in DEFINITIONS.items()}
_SCORES |= {MARGIN: "control: margin", SHUFFLED: "control: shuffled"}
_OTHERS = ("tab:purple", "tab:red", "tab:brown", "tab:cyan", "tab:olive", "tab:pink", "tab:gray")
MODELS_ARE_FEW = 3


def drawn(nets: Sequence[Net], table: pd.DataFrame, found: pd.DataFrame, settings: Settings, out: Path) -> list[str]:
    """Draws every figure. Returns their names."""
    files = [save(_beside_the_paper(table), out / "paper.png")]
    for data in dict.fromkeys(net.data for net in nets):
        own = [net for net in nets if net.data == data]
        asked, groups = found[found["data"] == data], table[(table["data"] == data) & (table["model"] == "")]
        figures = {
            "spectra": _spectra(groups),
            "behaviour": _behaviour(groups, 2 * settings.levels[-1]),
            "examples": _examples(asked),
        }
        figures["heat"] = _heat(own) if len(own[0].heat) and len(own[0].shape) == 2 else None
        figures["models"] = _models(own, asked, settings) if len(own) >= MODELS_ARE_FEW else None
        name = slug(Path(data).name) or "data"
        files += [save(figure, out / f"{kind}-{name}.png") for kind, figure in figures.items() if figure is not None]
    return files


def colours(groups: Sequence[str]) -> dict[str, Any]:
    """A colour for each group; trainings have their own."""
    others = itertools.cycle(_OTHERS)
    return {group: _RECIPES.get(recipe(group) or "") or next(others) for group in groups}


def named(group: str) -> str:
    """The name of a group in a legend: the training where it is one of ours."""
    return paper.NAMES.get(recipe(group) or "", group)


def octave_labels(octaves: Sequence[str]) -> list[str]:
    """Octaves with their frequencies in cycles/sample, coarse to fine.

    >>> octave_labels(["coarser", "octave 2", "octave 1"])
    ['below 1/8', '1/8–1/4', '1/4–1/2']
    """
    numbers = [int(name.removeprefix("octave ")) for name in octaves if name != "coarser"]
    return [f"below 1/{2 ** (max(numbers) + 1)}", *(f"1/{2 ** (number + 1)}–1/{2**number}" for number in numbers)]


def _bars(axis: Axes, series: Mapping[str, Sequence[Interval]], shades: dict[str, Any], labels: Sequence[str]) -> None:
    """Bars side by side: for each label one of every series, with its interval where it has one."""
    width = 0.8 / max(1, len(series))
    for number, (name, values) in enumerate(series.items()):
        places = np.arange(len(values)) + (number - (len(series) - 1) / 2) * width
        heights = [value for value, _, _ in values]
        ends = np.array([[value - low, high - value] for value, low, high in values]).T
        axis.bar(places, heights, width, color=shades[name], label=named(name))
        if np.isfinite(ends).any():
            axis.errorbar(places, heights, np.abs(ends), fmt="none", color="0.45", linewidth=1, capsize=2)
    axis.set_xticks(range(len(labels)), labels, fontsize=8)


def _beside_the_paper(table: pd.DataFrame) -> Figure:
    """The paper's bars, and those of each data set by the same definition, on the same axes."""
    shares = table[(table["quantity"] == "share") & (table["name"] == "mean") & (table["model"] == "")]
    data = list(dict.fromkeys(shares["data"]))
    figure = Figure(figsize=(4.6 * (1 + len(data)), 3.6), layout="constrained")
    first, *axes = figure.subplots(1, 1 + len(data), sharey=True, squeeze=False)[0]
    series = {name: [(value, math.nan, math.nan) for value in values] for name, values in paper.SHARES.items()}
    _bars(first, {f"fashion-{name}": values for name, values in series.items()}, _shades_of_the_paper(), list("12345"))
    first.set_title("the paper: ResNet, 1,000 ImageNet images", fontsize=9)
    first.set_xlabel("wavelet scale, coarse → fine")
    first.set_ylabel("mean share of importance")
    for axis, name in zip(axes, data):
        own = shares[shares["data"] == name]
        found = {str(group): _intervals(part) for group, part in own.groupby("group", sort=False)}
        _bars(axis, found, colours(list(found)), octave_labels(list(dict.fromkeys(own["band"]))))
        axis.set_title(f"here: {name}, mean |∂f/∂z| of each scale", fontsize=9)
        axis.set_xlabel("cycles/sample, coarse → fine")
    for axis in (first, *axes):
        axis.legend(frameon=False, fontsize=8)
    return figure


def _shades_of_the_paper() -> dict[str, Any]:
    return {f"fashion-{name}": shade for name, shade in _RECIPES.items()}


def _intervals(rows: pd.DataFrame) -> list[Interval]:
    return list(rows[["value", "low", "high"]].itertuples(index=False, name=None))


def _spectra(groups: pd.DataFrame) -> Figure:
    """The share of every octave, a panel for each definition; below, smaller, the values that are not normalised."""
    names = list(DEFINITIONS)
    rows: Any = [[each for each in names[first : first + 3] for _ in range(5)] for first in (0, 3)]
    rows[1] += ["legend"] * (15 - len(rows[1]))
    below: Any = [f"{each} below" for each in names for _ in range(3)]
    figure = Figure(figsize=(11, 9.5), layout="constrained")
    axes = figure.subplot_mosaic([*rows, below], height_ratios=[1, 1, 0.75])
    shades = colours(list(dict.fromkeys(groups["group"])))
    for name, definition in DEFINITIONS.items():
        for axis, quantity in ((axes[name], "share"), (axes[f"{name} below"], "importance")):
            own = groups[(groups["quantity"] == quantity) & (groups["name"] == name)]
            for group, part in own.groupby("group", sort=False):
                _line(axis, octave_labels(list(part["band"])), _intervals(part), shades[group], named(str(group)))
            title = definition.formula if definition.model else f"control: {definition.formula}"
            axis.set_title(title, fontsize=11 if quantity == "share" else 9)
            axis.tick_params(labelsize=9 if quantity == "share" else 7)
        axes[name].set_ylim(bottom=0)
        axes[name].yaxis.set_major_formatter(PercentFormatter(1, 0))
        _log(axes[f"{name} below"])
    for name in (names[0], names[3]):
        axes[name].set_ylabel("share, per example", fontsize=10)
    axes[below[0]].set_ylabel("not normalised", fontsize=9)
    axes["legend"].axis("off")
    legend = axes["legend"].legend(*axes[names[0]].get_legend_handles_labels(), loc="center", frameon=False, fontsize=11)
    legend.set_in_layout(False)  # names of files can be wider than the panel
    figure.supxlabel("cycles/sample, coarse → fine", fontsize=10)
    return figure


def _line(axis: Axes, labels: Sequence[str], values: Sequence[Interval], shade: Any, label: str) -> None:
    heights, low, high = (np.array(column, dtype=float) for column in zip(*values))
    places = np.arange(len(labels))
    axis.plot(places, heights, marker="o", markersize=3, color=shade, label=label, linewidth=1.3)
    axis.fill_between(places, np.maximum(low, heights / 10), high, color=shade, alpha=0.15, linewidth=0)
    axis.set_xticks(places, labels, rotation=30, ha="right")


def _log(axis: Axes) -> None:
    """A logarithmic scale with plain numbers; zeros are left out."""
    axis.set_yscale("log", nonpositive="mask")
    decades = np.ptp(np.log10(axis.get_ylim()))
    axis.yaxis.set_major_locator(
        LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 7) if decades < 1 else (1, 2, 5) if decades < 2 else (1,))
    )
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _behaviour(groups: pd.DataFrame, top: float) -> Figure:
    """Accuracy after filters and under attacks, and the noise of each octave that a model bears, at most `top`."""
    figure = Figure(figsize=(14, 3.5), layout="constrained")
    axes = figure.subplots(1, 4)
    shades = colours(list(dict.fromkeys(groups["group"])))
    right = groups[groups["quantity"] == "accuracy"]
    for group, part in right.groupby("group", sort=False):
        values = {str(row["name"]): (row["value"], row["low"], row["high"]) for _, row in part.iterrows()}
        filters = [int(name.split()[1]) for name in values if name.startswith("low")]
        for axis, kind in zip(axes, ("low", "high")):
            order = [*filters[::-1]] if kind == "low" else filters
            own = [*(values[f"{kind} {octave}"] for octave in order), values["clean"]]
            sides = [f"{'≤' if kind == 'low' else '>'} 1/{2 ** (octave + 1)}" for octave in order]
            _line(axis, [*sides, "all"], own, shades[group], named(str(group)))
        attacks = [name for name in values if name.startswith("attack")]
        labels = ["0", *(name.split()[1] for name in attacks)]
        _line(axes[3], labels, [values[name] for name in ("clean", *attacks)], shades[group], named(str(group)))
        own = groups[(groups["quantity"] == "threshold") & (groups["group"] == group)].iloc[::-1]
        bounded = [(min(value, top), low, high) for value, low, high in _intervals(own)]
        _line(axes[2], octave_labels(list(own["band"])), bounded, shades[group], named(str(group)))
    titles = ("low-pass filter", "high-pass filter", "noise of one octave", "attacks (projected gradient)")
    whats = ("frequencies that stay", "frequencies that stay", "octave of the noise, coarse → fine", "ε")
    for axis, title, what in zip(axes, titles, whats):
        axis.set_title(title, fontsize=10)
        axis.set_xlabel(what, fontsize=9)
        axis.tick_params(labelsize=8)
        if axis is not axes[2]:
            axis.set_ylim(0, 1)
            axis.yaxis.set_major_formatter(PercentFormatter(1, 0))
    axes[0].set_ylabel("right answers")
    axes[2].axhline(top, color="0.8", linewidth=0.8, zorder=0)
    axes[2].set_ylabel("noise that brings it half way to chance", fontsize=9)
    _log(axes[2])
    right_end = {"transform": axes[2].get_yaxis_transform(), "ha": "right", "va": "bottom", "fontsize": 8, "color": "0.4"}
    axes[2].text(0.98, top, "on this line: more than was tried", in_layout=False, **right_end)
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def _heat(nets: Sequence[Net]) -> Figure:
    """The Fourier heat map of each group: the share of wrong answers to a wave of each frequency."""
    groups = list(dict.fromkeys(net.group for net in nets))
    most = max(0.1, max(float(np.mean([net.heat.mean(0) for net in nets if net.group == group], 0).max()) for group in groups))
    figure = Figure(figsize=(2.9 * len(groups) + 1, 3.3), layout="constrained")
    axes = figure.subplots(1, len(groups), squeeze=False)[0]
    for axis, group in zip(axes, groups):
        errors = np.mean([net.heat.mean(0) for net in nets if net.group == group], 0)
        image, extent = _plane(waves(nets[0].shape), errors, nets[0].shape)
        shown = axis.imshow(image, vmin=0, vmax=most, cmap="magma", extent=extent, origin="lower")
        axis.set_title(named(group), fontsize=9)
        axis.set_xlabel("cycles/sample, across", fontsize=8)
        axis.tick_params(labelsize=7)
    axes[0].set_ylabel("cycles/sample, down", fontsize=8)
    figure.colorbar(shown, ax=axes, label="wrong answers", format=PercentFormatter(1, 0))
    return figure


def _plane(frequencies: Sequence[tuple[int, ...]], values: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, Any]:
    """Values of waves as a picture with frequency 0 in the middle, and the limits of its axes in cycles/sample."""
    steps = [min(abs(k[axis]) for k in frequencies if k[axis]) for axis in (0, 1)]
    sides = [max(abs(k[axis]) for k in frequencies) // steps[axis] for axis in (0, 1)]
    image = np.full([2 * side + 1 for side in sides], np.nan)
    for (row, column), value in zip(frequencies, values):
        for factor in (1, -1):
            image[factor * row // steps[0] + sides[0], factor * column // steps[1] + sides[1]] = value
    ends = [(side + 0.5) * step / n for side, step, n in zip(sides, steps, shape)]
    return image, (-ends[1], ends[1], -ends[0], ends[0])


def _examples(found: pd.DataFrame) -> Figure | None:
    """The areas of all scores, by group and kind of filter."""
    rows = found[(found["question"] == "examples") & found["against"].isna()]
    if rows.empty:
        return None
    kinds, groups = list(dict.fromkeys(rows["condition"])), list(dict.fromkeys(rows["group"]))
    figure = Figure(figsize=(5.6 * len(kinds), 0.9 + 0.36 * len(_SCORES) + 0.2 * len(groups)), layout="constrained")
    shades = colours(groups)
    for axis, kind in zip(figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0], kinds):
        for number, group in enumerate(groups):
            own = rows[(rows["condition"] == kind) & (rows["group"] == group)].set_index("name").reindex(list(_SCORES))
            places = np.arange(len(_SCORES)) + (number - (len(groups) - 1) / 2) * 0.7 / len(groups)
            ends = np.array([own["value"] - own["low"], own["high"] - own["value"]])
            style = {"fmt": "o", "markersize": 4, "capsize": 2, "linewidth": 1}
            axis.errorbar(own["value"], places, xerr=ends, color=shades[group], label=named(group), **style)
        axis.axvline(0.5, color="0.7", linewidth=0.8, zorder=0)
        axis.axhspan(len(OWN) - 0.5, len(_SCORES) - 0.5, color="0.95", zorder=-1)
        axis.set_yticks(range(len(_SCORES)), list(_SCORES.values()), fontsize=8)
        axis.set_ylim(len(_SCORES) - 0.5, -0.5)
        axis.set_title(f"which answers survive a {kind} filter?", fontsize=10)
        axis.set_xlabel("area under the ROC curve, corrected interval", fontsize=8)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=len(groups), frameon=False, fontsize=8)
    return figure


def star(row: Any) -> str:
    """What marks a correlation as significant. Models of one group are no independent evidence, so that only groups have it."""
    return "*" if row["units"] == "groups" and sign(row) else ""


def _models(nets: Sequence[Net], found: pd.DataFrame, settings: Settings) -> Figure:
    """A column for each definition, a row for two behaviours: one dot for each model."""
    acts = ("accuracy under attacks", "threshold of the finest noise")
    figure = Figure(figsize=(3 * len(OWN), 5.4), layout="constrained")
    axes = figure.subplots(len(acts), len(OWN), sharex="col", sharey="row")
    groups = list(dict.fromkeys(net.group for net in nets))
    shades, acting = colours(groups), {net.name: behaviour(net, settings) for net in nets}
    label: Callable[[Any], str] = lambda row: f"r of {row['n']} {row['units']}: {row['value']:+.2f}{star(row)}"
    for row, act in zip(axes, acts):
        for axis, name in zip(row, OWN):
            for group in groups:
                own = [net for net in nets if net.group == group]
                places = [net.shares(name)[:, -1].mean() for net in own]
                axis.scatter(places, [acting[net.name][act] for net in own], s=18, color=shades[group], label=named(group))
            rows = found[(found["question"] == "models") & (found["name"] == name) & (found["condition"] == act)]
            axis.set_title("\n".join(label(one) for _, one in rows.iterrows()), fontsize=8)
            axis.tick_params(labelsize=7)
        row[0].set_ylabel(act if "threshold" not in act else f"log₂ of the {act}", fontsize=8)
    for axis, name in zip(axes[-1], OWN):
        axis.set_xlabel(f"share of the finest octave\nby {DEFINITIONS[name].formula}", fontsize=8)
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(groups), frameon=False, fontsize=8)
    return figure
