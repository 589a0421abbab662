"""The figures of the study: grids of pictures, the front beside the paper's, and what controls make of it."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from torch import Tensor

from ...attribution.plot import Show, draw_signal
from ...core.files import slug
from ..report.figures import save, stem
from .changes import GROUPS
from .images import HARD, IMAGES, NONZERO, PHOTO, SOFT, VERSIONS, Record, Subject
from .tables import LIMITED, median_interval

COLORS = {
    SOFT: "firebrick",
    NONZERO: "firebrick",
    HARD: "darkorange",
    "attribution": "tab:blue",
    "signed attribution": "tab:cyan",
    "coefficient": "black",
    "random": "0.6",
    PHOTO: "tab:green",
}
LABELS = {
    SOFT: "minimal image (mask in 0…1)",
    NONZERO: "the same, all above 0 counted",
    HARD: "minimal image, hard mask",
    "attribution": "by |attribution|",
    "signed attribution": "by attribution, signed",
    "coefficient": "by |coefficient|",
    "random": "random",
}
PAPER_FRONT = ((0.2, 40.0), (0.7, 56.0), (0.92, 45.0))  # mean logit at a sparsity, read off the paper's figure
_SHOWN = 4  # prices in a grid


def grid(subject: Subject, record: Record, signals: Mapping[str, Tensor], name: str, place: int, out: Path) -> str:
    """The signal on the left; beside it a row for each kind of image and a column for each of four sparsities, equal in all.

    The last one is the largest at which the minimal image keeps the class: an image of a few coefficients is an empty one.
    """
    rows = {(row["image"], row["place"]): row for row in record["rows"]}
    seen = [number for (name, number), row in rows.items() if name == SOFT and row["predicted"] == record["target"]]
    prices = sorted(number for number in seen if rows[SOFT, number]["count"]) or [0]
    chosen = [prices[round(i)] for i in np.linspace(0, len(prices) - 1, min(_SHOWN, len(prices)))]
    figure = Figure(figsize=(1.5 + 1.5 * (1 + len(chosen)), 0.3 + 1.68 * len(IMAGES)), layout="constrained")
    axes = figure.subplots(len(IMAGES), 1 + len(chosen), squeeze=False)
    show = subject.model.picture() if subject.model.signals.resized else None
    _draw_whole(axes[:, 0], subject.x[0], f"{name[:24]}\n{_seen(record)}", show)
    for line, image in zip(axes[:, 1:], IMAGES):
        for axis, price in zip(line, chosen):
            draw_signal(axis, signals[image][price], subject.x[0], show)
            _mark(axis, rows[image, price], record["target"], image == SOFT)
        line[0].set_ylabel(LABELS[image].replace(" (", "\n(").replace(", ", ",\n"), fontsize=7)
    return save(figure, out / f"{slug(subject.model.name, 32)}-{slug(subject.transform.spec, 32)}-{stem(name, place)}.png")


def _draw_whole(column: Any, signal: Tensor, title: str, show: Show | None) -> None:
    """The signal itself at the top of a column of axes."""
    draw_signal(column[0], signal, None, show)
    column[0].set_title(title, fontsize=7, pad=3)
    for axis in column[1:]:
        axis.axis("off")


def _seen(record: Record) -> str:
    """The class that is seen, with its probability."""
    return f"{(record['class'] or 'class {}'.format(record['target']))[:24]}: {_percent(record['probability'])}"


def _mark(axis: Axes, row: Mapping[str, Any], target: int, first: bool) -> None:
    """The probability above a picture, and whether its class is kept in the colour of the frame."""
    kept = row["predicted"] == target
    sparse = f"{_removed(row['sparsity'])} removed\n" if first else ""
    axis.set_title(f"{sparse}{_percent(row['probability'])}, {'kept' if kept else 'lost'}", fontsize=7, pad=3)
    axis.set_axis_on()
    axis.set_xticks([]), axis.set_yticks([])
    for side in axis.spines.values():
        side.set_edgecolor("tab:green" if kept else "tab:red")
        side.set_linewidth(1.6)


def _removed(sparsity: float) -> str:
    """A sparsity in per cent, with more digits close to 1."""
    return f"{100 * sparsity:.{0 if sparsity < 0.99 else 1 if sparsity < 0.999 else 2}f} %"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %" if value >= 0.005 else "< 1 %"


def overview(front: pd.DataFrame, limits: pd.DataFrame, changed: pd.DataFrame, out: Path) -> list[str]:
    """Draws the figures about all signals: the paper's, the honest one, the limits, and the changes. Returns their names."""
    names = [save(_paper(front), out / "paper.png"), save(_fronts(front), out / "front.png")]
    names += [save(_limits(limits), out / "limits.png")] if len(limits) else []
    return [*names, save(_changed(changed), out / "changed.png")]


def _cells(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each model and domain, with a title."""
    found = rows.groupby(["model", "data", "domain"], sort=False)
    return [(f"{model} on {data}\n{domain}", own) for (model, data, domain), own in found]


def _plain_ticks(axis: Any) -> None:
    """Powers of ten as plain numbers."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _line(rows: pd.DataFrame, size: tuple[float, float]) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    """A figure with a panel of this size for each model and domain, with its title, and the rows of each."""
    cells = _cells(rows)
    figure = Figure(figsize=(0.8 + size[0] * len(cells), size[1]), layout="constrained")
    axes = figure.subplots(1, len(cells), squeeze=False)[0]
    for axis, (title, _) in zip(axes, cells):
        axis.set_title(title, fontsize=9)
    return figure, [(axis, own) for axis, (_, own) in zip(axes, cells)]


def _paper(front: pd.DataFrame) -> Figure:
    """The paper's axes: mean score against mean sparsity, coloured by the price; nothing but the minimal images."""
    figure, panels = _line(front, (4.6, 3.9))
    for axis, own in panels:
        rows, photo = own[own["image"] == SOFT], own[own["image"] == PHOTO].iloc[0]
        axis.plot(rows["sparsity"], rows["logit"], color="0.8", zorder=1)
        points = axis.scatter(rows["sparsity"], rows["logit"], c=rows["price"], norm="log", cmap="viridis", s=45, zorder=3)
        _plain_ticks(figure.colorbar(points, ax=axis, label="price of a coefficient, from low to high").ax.yaxis)
        axis.axhline(photo["logit"], color=COLORS[PHOTO], linestyle="--", linewidth=1, label="the signals themselves")
        axis.plot(*zip(*PAPER_FRONT), "x:", color="firebrick", markersize=7, label="paper, another network (digitised)")
        axis.set(xlim=(0, 1.01), xlabel="sparsity, 1 − ‖m‖₁ / n (mean)", ylabel="score of the class (mean)")
        axis.set_ylim(bottom=0 if rows["logit"].min() >= 0 else None)
        axis.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 0.16))
    return figure


def _fronts(front: pd.DataFrame) -> Figure:
    """Score, probability and share of kept classes against the coefficients that are left, with all controls."""
    cells = _cells(front)
    figure = Figure(figsize=(11.5, 0.9 + 3.2 * len(cells)), layout="constrained")
    axes = figure.subplots(len(cells), 3, squeeze=False)
    titles = {"logit": "score of the class", "probability": "probability of the class", "kept": "share with the class kept"}
    for line, (title, own) in zip(axes, cells):
        for axis, (metric, about) in zip(line, titles.items()):
            _draw_front(axis, own, metric)
            axis.set_title(about, fontsize=9)
        line[0].set_ylabel(title, fontsize=8)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    return figure


def _draw_front(axis: Axes, own: pd.DataFrame, metric: str) -> None:
    for image in IMAGES:
        _curve(axis, own[own["image"] == image], metric, image)
    photo = own[own["image"] == PHOTO].iloc[0]
    axis.axhline(photo[metric], color=COLORS[PHOTO], linestyle="--", linewidth=1, label="the signals themselves")
    _sparser(axis, "coefficients kept, % (median; sparser to the right)")


def _sparser(axis: Axes, label: str) -> None:
    """A logarithmic axis of the share that is kept, with little on the right."""
    axis.set_xscale("log")
    axis.invert_xaxis()
    largest, smallest = axis.get_xlim()
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if largest < 1000 * smallest else (1.0,)))
    _plain_ticks(axis.xaxis)
    axis.tick_params(axis="x", labelsize=8)
    axis.set_xlabel(label, fontsize=8)


def _curve(axis: Axes, rows: pd.DataFrame, metric: str, image: str) -> None:
    """Means and 95 % intervals of one kind of image."""
    rows = rows[rows["median sparsity"] < 1].sort_values("median sparsity")
    kept = 100 * (1 - rows["median sparsity"])
    axis.plot(kept, rows[metric], "o-", markersize=3.5, lw=2.2 if image == SOFT else 1.3, c=COLORS[image], label=LABELS[image])
    axis.fill_between(kept, rows[f"{metric} low"], rows[f"{metric} high"], color=COLORS[image], alpha=0.1, linewidth=0)


def _limits(limits: pd.DataFrame) -> Figure:
    """The fewest coefficients with which each signal keeps its class, a dot a signal, and the median with its interval."""
    figure, panels = _line(limits, (5.8, 3.7))
    for axis, own in panels:
        for place, image in enumerate(LIMITED):
            _dots(axis, 100 * (1 - own[own["image"] == image]["kept_until"].to_numpy()), place, COLORS[image])
        axis.set_yticks(range(len(LIMITED)), [LABELS[image] for image in LIMITED], fontsize=8)
        axis.set_ylim(len(LIMITED) - 0.5, -0.6)
        _sparser(axis, "coefficients with which the class is still predicted, % (fewer to the right)")
    return figure


def _dots(axis: Axes, values: np.ndarray, place: int, color: str) -> None:
    """A dot for each signal, and the median with its interval, at one height."""
    spread = np.random.default_rng(place).uniform(-0.18, 0.18, len(values))
    axis.plot(values, place + spread, "o", color=color, alpha=0.35, markersize=4)
    found = median_interval(values.tolist())
    axis.plot([found["low"], found["high"]], [place, place], color=color, linewidth=2)
    axis.plot(found["median"], place, "|", color=color, markersize=20, markeredgewidth=3)
    axis.annotate(f"{found['median']:.3g} %", (found["median"], place - 0.28), fontsize=8, ha="center")


def _changed(changed: pd.DataFrame) -> Figure:
    """How often the class is kept, in per cent: a row for each change, in groups, a column for each image."""
    changes = list(dict.fromkeys(changed["change"]))
    figure, panels = _line(changed, (5.6, 1.9 + 0.36 * len(changes)))
    for axis, own in panels:
        wide = own.pivot(index="change", columns="image", values="kept")
        wide = 100 * wide.reindex(index=changes, columns=[image for image in VERSIONS if image in wide])
        axis.imshow(wide.to_numpy(float), vmin=0, vmax=100, cmap="Blues", aspect="auto")
        for (row, column), value in np.ndenumerate(wide.to_numpy(float)):
            if not math.isnan(value):
                color = "white" if value > 55 else "black"
                axis.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=10, color=color)
        _group(axis, changes)
        axis.set_xticks(range(wide.shape[1]), [name.replace(", ", ",\n") for name in wide], fontsize=8)
        axis.set_title(f"{axis.get_title()}\n% of signals whose class is kept", fontsize=9)
    return figure


def _group(axis: Axes, changes: list[str]) -> None:
    """The names of changes, with what their group takes away, and a line between groups."""
    taken = {"harmless": "", "arrangement": "\n(arrangement goes)", "parts": "\n(fine parts go)"}
    about = {name: (group, taken[group]) for group, own in GROUPS.items() for name in own}
    axis.set_yticks(range(len(changes)), [name + about.get(name, ("", ""))[1] for name in changes], fontsize=8)
    groups = [about.get(name, ("", ""))[0] for name in changes]
    for place, (one, other) in enumerate(zip(groups, groups[1:])):
        if one != other:
            axis.axhline(place + 0.5, color="black", linewidth=1.5)
