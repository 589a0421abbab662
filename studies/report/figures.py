"""The figures of a comparison."""

import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ...attribution import Attribution
from ...attribution.plot import Show, as_shares, as_written, band_maps, density, draw_density, draw_signal, robust_limit
from ...core.files import slug, write_whole
from ...core.spec import parse
from ...transforms import TransformClaim
from ..kinds.signal import Signal
from ..kinds.slices import cut_name, magma, mean_signal, show_slice, together, wrapped
from ..loaders.folders import SOFTWARE
from .views import Drawing, view, view_bytes

COARSER, ALL = "coarser", "all"
MAPPED = 4  # the largest number of domains whose maps are drawn for each photo
LINE = 108  # characters of a line of the legend
NAMED = 36  # characters of a line of a domain's name
RANKINGS = {"attribution": "firebrick", "coefficient": "black", "random": "0.6"}  # and their colours


def save(figure: Figure, path: Path) -> str:
    """Writes a PNG, whole or not at all, with every text as it is. Returns the file's name."""
    as_written(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)  # a name in letters that the font lacks shows boxes
        write_whole(path, lambda name: figure.savefig(name, dpi=120, metadata={"Software": SOFTWARE}))
    return path.name


def octave_shares(table: pd.DataFrame) -> pd.DataFrame:
    """Mean share of Σ|a| per domain (rows) and octave (columns, coarse to fine).

    Octaves that are coarser than the deepest one of every domain are summed in "coarser", so that a column means the same
    in all domains. A domain without scales (pixels) has "all".
    """
    columns = [name for name in table if str(name).startswith("share ")]
    shares = table.groupby("transform", sort=False)[columns].mean()
    shares.columns = [str(name).removeprefix("share ") for name in columns]
    octaves = sorted((name for name in shares if name.startswith("octave ")), key=_octave, reverse=True)
    scaled = shares[octaves].notna().any(axis=1)
    depths = [max(_octave(name) for name in octaves if not np.isnan(row[name])) for _, row in shares[scaled].iterrows()]
    common = [name for name in octaves if _octave(name) <= min(depths, default=0)]
    merged = shares.reindex(columns=[ALL]).copy()
    coarse = [name for name in shares if name not in common and name != ALL]
    merged[COARSER] = shares[coarse].sum(axis=1, min_count=1)
    return pd.concat([merged, shares[common]], axis=1).fillna(0.0)


def _octave(name: str) -> int:
    return int(name.removeprefix("octave "))


def overview(table: pd.DataFrame, out: Path, texts: Mapping[str, str] | None = None) -> list[str]:
    """Draws the figures about all examples together. Returns their names.

    texts: the frequencies of octaves in the unit of the signals; without them they are in cycles/sample.
    """
    return [save(_octave_bars(table, texts or {}), out / "octaves.png"), save(_kept_curves(table), out / "kept.png")]


def _octave_bars(table: pd.DataFrame, texts: Mapping[str, str]) -> Figure:
    shares = octave_shares(table)
    octaves = [name for name in shares if name not in (ALL, COARSER)]
    shades = matplotlib.colormaps["viridis"](np.linspace(0.25, 0.95, max(1, len(octaves))))
    colors: dict[str, Any] = {ALL: "0.75", COARSER: "#08306b"} | dict(zip(octaves, map(tuple, shades)))
    cycles = {name: f"1/{2 ** (_octave(name) + 1)}–1/{2 ** _octave(name)} cycles/sample" for name in octaves}
    labels = {ALL: "no scales: pixel", COARSER: f"coarser than {octaves[0]}" if octaves else COARSER}
    labels |= {name: f"{name}: {texts.get(name) or cycles[name]}" for name in octaves}
    labels = {name: wrapped(text, LINE) for name, text in labels.items() if shares.get(name, pd.Series(0)).any()}
    longest = max((len(line) for text in labels.values() for line in text.split("\n")), default=1)
    columns = max(1, min(3, LINE // (longest + 6)))
    lines = sum(text.count("\n") + 1 for text in labels.values()) / columns
    figure = Figure(figsize=(8, 0.42 * len(shares) + 1 + 0.16 * lines), layout="constrained")
    axis = figure.subplots()
    left = np.zeros(len(shares))
    for name in [name for name in shares if shares[name].any()]:
        axis.barh(range(len(shares)), shares[name], left=left, color=colors[name], label=labels[name])
        left += shares[name].to_numpy()
    axis.set_yticks(range(len(shares)), [fill(name, NAMED) for name in shares.index], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.set_xlabel("share of Σ|a|, mean")
    if shares.to_numpy().any():  # a score that never changes has none
        figure.legend(ncols=columns, loc="outside upper center", frameon=False, fontsize=8)
    return figure


def _panels(count: int, columns: int, size: tuple[float, float], more: float = 0, share: bool = False) -> tuple[Figure, Any]:
    """A figure with `count` panels in rows of at most `columns`, and its axes; those that are left over are hidden."""
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows + more), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share).flatten()
    for axis in axes[count:]:
        axis.axis("off")
    return figure, axes


def _kept_curves(table: pd.DataFrame) -> Figure:
    """The share of f(x) - f(x₀) that is left when only the first coefficients of each ranking are kept."""
    domains = list(dict.fromkeys(table["transform"]))
    figure, axes = _panels(len(domains), 5, (2.5, 2.5), 0.6, share=True)
    found = [re.fullmatch(r"kept(\d+)_attribution", str(name)) for name in table]
    budgets = sorted({int(match.group(1)) for match in found if match})
    for axis, domain in zip(axes, domains):
        for ranking, color in RANKINGS.items():
            rows = table[table["transform"] == domain]
            values = np.array([rows[f"kept{budget}_{ranking}"].to_numpy() for budget in budgets])
            _curve(axis, budgets, values, color, "random" if ranking == "random" else f"by |{ranking}|")
        axis.axhline(1, color="0.8", linewidth=0.7, zorder=0)
        axis.set_title(fill(domain, NAMED), fontsize=8)
        axis.set_xticks(budgets)
    figure.supxlabel("coefficients kept, % of the number of samples", fontsize=9)
    figure.supylabel("share of f(x) − f(x₀) kept (mean, quartiles)", fontsize=9)
    axes[0].legend(fontsize=7, frameon=False)
    return figure


def _curve(axis: Axes, budgets: Sequence[int], values: Any, color: str, label: str) -> None:
    """Mean and quartiles over examples.  values: (budgets, examples), NaN where a score never changes."""
    known = ~np.isnan(values).all(1)
    budgets, values = np.asarray(budgets)[known], values[known]
    axis.plot(budgets, np.nanmean(values, 1), marker="o", markersize=3, color=color, label=label)
    if len(budgets):
        low, high = np.nanquantile(values, [0.25, 0.75], axis=1)
        axis.fill_between(budgets, low, high, color=color, alpha=0.12, linewidth=0)


def stem(name: str, number: int) -> str:
    """The part of a figure's name that says the photo: photo `number`, from the file `name`."""
    return f"{number:03}-{slug(Path(name).stem) or 'photo'}"


def photo(
    name: str,
    number: int,
    maps: Sequence[Attribution],
    specs: Sequence[str],
    out: Path,
    seen: str,
    show: Show | None,
    more: Callable[..., dict[str, Figure]] = lambda one, title: {},
    embedded: Callable[[Tensor], dict[str, bytes]] = lambda values: {},
    noun: str = "photo",
    signal: Signal | None = None,
    about: Mapping[str, str] | None = None,
) -> list[str]:
    """Draws the figures about one photo or other signal, and writes files to hear. Returns their names.

    maps: one attribution of this photo (a batch of one) per domain.  seen: the name of the predicted class, or "".
    show: as in `attribution.plot`.  more: further figures of one map with a title, by the end of their name.
    embedded: files that present a signal, by the end of their name.  noun: the word for one signal.
    signal: the input of the model on its grid, for the view of the report, see `views.view`.  about: data, model and method.
    """
    title = f"predicted: {seen}" if seen else f"the {noun}"
    files = [save(_reconstructions(maps, specs, title, show, signal), out / f"top10-{stem(name, number)}.png")]
    linear = [(spec, one) for spec, one in zip(specs, maps) if TransformClaim.LINEAR in one.transform.claims]
    scaled = _pick([(spec, one) for spec, one in linear if len(one.layout.group("octave").bands) > 1])
    files += [save(_heatmaps(scaled, title, show, signal), out / f"heatmaps-{stem(name, number)}.png")] if scaled else []
    files += _embedded(maps, specs, [spec for spec, _ in scaled], embedded, out, stem(name, number))
    for spec, one in scaled:
        for end, figure in more(one, title=f"{name}, {title}: {spec}").items():
            files.append(save(figure, out / f"{slug(spec, 32)}-{stem(name, number)}{end}.png"))
    if signal is not None:
        files.append(f"view-{stem(name, number)}.json")
        data = view_bytes(view(number, name, seen, maps, specs, Drawing(signal, show, embedded)) | dict(about or {}))
        write_whole(out / files[-1], lambda path: Path(path).write_bytes(data))
    return files


def _embedded(
    maps: Sequence[Attribution],
    specs: Sequence[str],
    chosen: Sequence[str],
    embedded: Callable[[Tensor], dict[str, bytes]],
    out: Path,
    stem: str,
) -> list[str]:
    """Writes the signal, and for each chosen domain that of its top 10 % of coefficients, where the kind has files for it."""
    shown = {"input": maps[0].transform.inverse(maps[0].coefficients)[0]}
    shown |= {f"top10-{slug(spec, 32)}": one.signal(keep=0.1)[0] for spec, one in zip(specs, maps) if spec in chosen}
    files = {f"{start}-{stem}{end}": data for start, values in shown.items() for end, data in embedded(values).items()}
    for name, data in files.items():
        write_whole(out / name, lambda path, data=data: Path(path).write_bytes(data))  # type: ignore[misc]
    return list(files)


def _pick(scaled: list[tuple[str, Attribution]]) -> list[tuple[str, Attribution]]:
    """At most MAPPED domains, in the order given: first one of each kind of transform, then one of each family."""
    kind: Callable[[str], object] = lambda spec: [call.name for call in parse(spec)]
    family: Callable[[str], object] = lambda spec: [(call.name, call.args[:1]) for call in parse(spec)]  # as dwt and haar
    chosen: list[str] = []
    for of in (kind, family):
        for spec, _ in scaled:
            if len(chosen) < MAPPED and of(spec) not in [of(other) for other in chosen]:
                chosen.append(spec)
    return [(spec, one) for spec, one in scaled if spec in chosen]


def _draw(axis: Axes, values: Tensor, like: Tensor | None, show: Show | None, signal: Signal | None) -> None:
    """A signal as `attribution.plot` draws it; a volume whose grid is known in true proportions, with the head up."""
    if values.ndim == 4 and signal is not None:
        mean_signal(axis, values.detach(), values if like is None else like, signal)
    else:
        draw_signal(axis, values, like, show)


def _mean(signal: Signal | None, shape: Sequence[int]) -> str:
    """What panels of a volume show, as the end of a caption; "" for other signals."""
    return f"; means along {cut_name(0, signal) if signal else 'axis 1'}" if len(shape) == 4 else ""


def _reconstructions(
    maps: Sequence[Attribution], specs: Sequence[str], title: str, show: Show | None, grid: Signal | None = None
) -> Figure:
    """The photo, and its reconstructions from the top 10 % of coefficients of each domain."""
    panels = [(title, maps[0].transform.inverse(maps[0].coefficients)[0])]
    panels += [(spec, one.signal(keep=0.1)[0]) for spec, one in zip(specs, maps)]
    figure, axes = _panels(len(panels), 6, (2.1, 2.3))
    for axis, (name, signal) in zip(axes, panels):
        _draw(axis, signal, panels[0][1], show, grid)
        axis.set_title(fill(name, NAMED), fontsize=7)
    if said := _mean(grid, maps[0].transform.shape):
        figure.supxlabel(f"each domain: its 10 % of coefficients with the largest |a|{said}", fontsize=6)
    return figure


def _heatmaps(scaled: Sequence[tuple[str, Attribution]], title: str, show: Show | None, signal: Signal | None = None) -> Figure:
    """A row per domain, a column per octave: where each octave's share of Σ|a| lies, on one colour scale."""
    depth = min(len(one.layout.group("octave").bands) for _, one in scaled) - 1
    densities = [_merged_octaves(one, depth) for _, one in scaled]
    limit = robust_limit([panel for panels in densities for panel in panels.values()])
    figure = Figure(figsize=(1.75 * (depth + 2), 1.75 * len(scaled) + 0.4), layout="constrained")
    axes = figure.subplots(len(scaled), depth + 2, squeeze=False)
    for number, (row, (spec, one), panels) in enumerate(zip(axes, scaled, densities)):
        _draw(row[0], one.transform.inverse(one.coefficients)[0], None, show, signal)
        named = fill(spec, NAMED)
        row[0].set_title(f"{title}\n{named}" if number == 0 else named, fontsize=6)
        shares = _merged_shares(one, list(panels))
        coarse = together([str(name) for name in one.importance("octave") if name not in panels or name == COARSER])
        for axis, (name, panel) in zip(row[1:], panels.items()):
            if signal is not None and len(one.transform.shape) == 4:
                show_slice(axis, panel, 0, signal, magma(limit))
            else:
                draw_density(axis, panel, limit)
            axis.set_title(f"{coarse if name == COARSER else name}: {100 * shares[name]:.0f} %", fontsize=6)
    what = "maps: where the share of Σ|a| that is in the title lies (local mean; one scale for all)"
    figure.supxlabel(what + _mean(signal, scaled[0][1].transform.shape), fontsize=6)
    return figure


def _merged_shares(one: Attribution, names: Sequence[str]) -> dict[str, float]:
    """Shares of Σ|a|; octaves without a panel of their own are part of "coarser"."""
    shares = one.importance("octave").iloc[0]
    own = {name: float(shares[name]) for name in names if name != COARSER}
    return own | {COARSER: max(0.0, float(shares.sum()) - sum(own.values()))}


def _merged_octaves(one: Attribution, depth: int) -> dict[str, Any]:
    """{octave: density of where its share of Σ|a| lies}, coarse to fine; octaves beyond `depth` are summed."""
    names = [band.name for band in one.layout.group("octave").bands]
    maps = dict(zip(names, as_shares(band_maps(one))[0]))
    fine = {name: map_ for name, map_ in maps.items() if name.startswith("octave ") and _octave(name) <= depth}
    coarse = [map_ for name, map_ in maps.items() if name not in fine]
    panels = ({COARSER: sum(coarse)} if coarse else {}) | fine
    return {name: density(panel) for name, panel in panels.items()}
