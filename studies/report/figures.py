"""The pictures of a comparison."""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...attribution import Attribution
from ...attribution.plot import Show, density, draw_density, draw_signal, robust_limit
from ...core.files import write_whole
from ...core.registry import parse
from ...transforms import TransformClaim

COARSER, ALL = "coarser", "all"
MAPPED = 4  # domains whose maps are drawn for each photo, at most


def slug(text: str) -> str:
    """`text` as a part of a file's name: its letters, digits, dots and underscores, the rest as single hyphens.

    >>> slug("dwt(bior4.4, level=4)")
    'dwt-bior4.4-level-4'
    """
    return re.sub(r"[^\w.]+", "-", text).strip("-.")


def save(figure: Figure, path: Path) -> str:
    """Writes a PNG, whole or not at all. Returns the file's name."""
    write_whole(path, lambda name: figure.savefig(name, dpi=120))
    return path.name


def octave_shares(table: pd.DataFrame) -> pd.DataFrame:
    """Mean share of Σ|a| per domain (rows) and octave (columns, coarse to fine), octaves that all wavelets tell apart.

    Octaves below the coarsest one that every domain resolves are added up in "coarser", so that columns mean the same
    everywhere. A domain without scales (pixels) has "all".
    """
    columns = [name for name in table if str(name).startswith("share ")]
    shares = table.groupby("transform", sort=False)[columns].mean()
    shares.columns = [str(name).removeprefix("share ") for name in columns]
    octaves = sorted((name for name in shares if name.startswith("octave ")), key=_octave, reverse=True)
    scaled = shares[octaves].notna().any(axis=1)
    deepest = min(
        (max(_octave(o) for o in octaves if not np.isnan(row[o])) for _, row in shares[scaled].iterrows()), default=0
    )
    common = [name for name in octaves if _octave(name) <= deepest]
    merged = shares.reindex(columns=[ALL]).copy()
    coarse = [name for name in shares if name not in common and name != ALL]
    merged[COARSER] = shares[coarse].sum(axis=1, min_count=1)
    return pd.concat([merged, shares[common]], axis=1).fillna(0.0)


def _octave(name: str) -> int:
    return int(name.removeprefix("octave "))


def overview(table: pd.DataFrame, out: Path) -> list[str]:
    """The figures about all photos together."""
    return [save(_octave_bars(table), out / "octaves.png"), save(_kept_curves(table), out / "kept.png")]


def _octave_bars(table: pd.DataFrame) -> Figure:
    shares = octave_shares(table)
    figure = Figure(figsize=(8, 0.42 * len(shares) + 1.5), layout="constrained")
    axis = figure.subplots()
    colors = {ALL: "0.75", COARSER: "#08306b"}
    octaves = [name for name in shares if name not in colors]
    shades = [tuple(c) for c in _colormap("viridis")(np.linspace(0.25, 0.95, max(1, len(octaves))))]
    left = np.zeros(len(shares))
    for name in [name for name in shares if shares[name].any()]:
        color = colors.get(name) or shades[octaves.index(name)]
        label = {ALL: "no scales (pixels)", COARSER: "coarser"}.get(name) or _octave_label(_octave(name))
        axis.barh(shares.index, shares[name], left=left, color=color, label=label)
        left += shares[name].to_numpy()
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.set_xlabel("share of Σ|a|, mean over photos")
    axis.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=8)
    return figure


def _octave_label(octave: int) -> str:
    return f"octave {octave}: 1/{2 ** (octave + 1)}–1/{2**octave} cycles/sample"


def _colormap(name: str) -> Any:
    import matplotlib

    return matplotlib.colormaps[name]


def _kept_curves(table: pd.DataFrame) -> Figure:
    """Share of f(x) - f(x₀) that is left when only the first coefficients of each ranking are kept."""
    domains = list(dict.fromkeys(table["transform"]))
    columns = min(5, len(domains))
    figure = Figure(figsize=(2.5 * columns, 2.5 * math.ceil(len(domains) / columns) + 0.6), layout="constrained")
    axes = figure.subplots(
        math.ceil(len(domains) / columns), columns, squeeze=False, sharex=True, sharey=True
    ).flatten()
    for axis in axes[len(domains) :]:
        axis.axis("off")
    budgets = sorted(
        {int(match.group(1)) for name in table if (match := re.fullmatch(r"kept(\d+)_attribution", str(name)))}
    )
    styles = {"attribution": "firebrick", "coefficient": "black", "random": "0.6"}
    for axis, domain in zip(axes, domains):
        rows = table[table["transform"] == domain]
        for ranking, color in styles.items():
            values = np.array([rows[f"kept{b}_{ranking}"].to_numpy() for b in budgets])
            axis.plot(
                budgets,
                np.nanmean(values, 1),
                marker="o",
                markersize=3,
                color=color,
                label=f"by |{ranking}|" if ranking != "random" else "random",
            )
            axis.fill_between(
                budgets, *np.nanquantile(values, [0.25, 0.75], axis=1), color=color, alpha=0.12, linewidth=0
            )
        axis.axhline(1, color="0.8", linewidth=0.7, zorder=0)
        axis.set_title(domain, fontsize=8)
        axis.set_xticks(budgets)
    figure.supxlabel("coefficients kept, % of the number of samples", fontsize=9)
    figure.supylabel("share of f(x) − f(x₀) kept (mean, quartiles)", fontsize=9)
    axes[0].legend(fontsize=7, frameon=False)
    return figure


def photo(
    name: str,
    number: int,
    maps: Sequence[Attribution],
    specs: Sequence[str],
    out: Path,
    seen: str = "",
    show: Show | None = None,
) -> list[str]:
    """The figures about one photo.

    maps: one attribution of this photo (a batch of one) per domain.  seen: the name of the predicted class.
    show: as in `attribution.plot`.
    """
    title = f"seen as {seen}" if seen else "the photo"
    stem = f"{number:03}-{slug(Path(name).stem)}"
    files = [save(_reconstructions(maps, specs, title, show), out / f"top10-{stem}.png")]
    scaled = _pick([(spec, one) for spec, one in zip(specs, maps) if _has_scales(one)])
    return files + ([save(_heatmaps(scaled, title, show), out / f"heatmaps-{stem}.png")] if scaled else [])


def _has_scales(one: Attribution) -> bool:
    return TransformClaim.LINEAR in one.transform.claims and len(one.layout.group("octave").bands) > 1


def _pick(scaled: list[tuple[str, Attribution]]) -> list[tuple[str, Attribution]]:
    """At most MAPPED domains, in the order given: one of each kind of transform, then one of each family, never two of one.

    Family: the transforms' names and first arguments, so that `dwt(haar, level=3)` and `dwt(haar, level=5)` are one.
    """
    kind: Callable[[str], object] = lambda spec: [call.name for call in parse(spec)]
    family: Callable[[str], object] = lambda spec: [(call.name, call.args[:1]) for call in parse(spec)]
    chosen: list[str] = []
    for of in (kind, family):
        for spec, _ in scaled:
            if len(chosen) < MAPPED and of(spec) not in [of(other) for other in chosen]:
                chosen.append(spec)
    return [(spec, one) for spec, one in scaled if spec in chosen]


def _reconstructions(maps: Sequence[Attribution], specs: Sequence[str], title: str, show: Show | None) -> Figure:
    """The photo, and what the top 10 % of coefficients of each domain make of it."""
    panels = [(title, maps[0].transform.inverse(maps[0].coefficients)[0])]
    panels += [(spec, one.signal(keep=0.1)[0]) for spec, one in zip(specs, maps)]
    columns = min(6, len(panels))
    figure = Figure(figsize=(2.1 * columns, 2.3 * math.ceil(len(panels) / columns)), layout="constrained")
    axes = figure.subplots(math.ceil(len(panels) / columns), columns, squeeze=False).flatten()
    for axis in axes[len(panels) :]:
        axis.axis("off")
    for axis, (title, signal) in zip(axes, panels):
        draw_signal(axis, signal, panels[0][1], show)
        axis.set_title(title, fontsize=7)
    return figure


def _heatmaps(scaled: Sequence[tuple[str, Attribution]], title: str, show: Show | None) -> Figure:
    """A row per domain, a column per octave: where each scale's share of f(x) - f(x₀) sits. One colour scale for all."""
    depth = min(len(one.layout.group("octave").bands) for _, one in scaled) - 1
    tables = [(spec, _merged_octaves(one, depth)) for spec, one in scaled]
    limit = robust_limit([panel for _, panels in tables for panel in panels.values()])
    figure = Figure(figsize=(1.75 * (depth + 2), 1.75 * len(tables) + 0.4), layout="constrained")
    axes = figure.subplots(len(tables), depth + 2, squeeze=False)
    for number, (row, (spec, panels)) in enumerate(zip(axes, tables)):
        one = dict(scaled)[spec]
        draw_signal(row[0], one.transform.inverse(one.coefficients)[0], show=show)
        row[0].set_title(f"{title}\n{spec}" if number == 0 else spec, fontsize=6)
        shares = _merged_shares(one, list(panels))
        for axis, (name, panel) in zip(row[1:], panels.items()):
            draw_density(axis, panel, limit)
            axis.set_title(f"{name}: {100 * shares[name]:.0f} %", fontsize=6)
    return figure


def _merged_shares(one: Attribution, names: Sequence[str]) -> dict[str, float]:
    """Shares of Σ|a|; octaves that have no panel of their own are in "coarser"."""
    shares = one.importance("octave").iloc[0]
    own = {name: float(shares[name]) for name in names if name != COARSER}
    return own | {COARSER: max(0.0, float(shares.sum()) - sum(own.values()))}


def _merged_octaves(one: Attribution, depth: int) -> dict[str, Any]:
    """{octave: density of its exact map}, coarse to fine, octaves beyond `depth` added up."""
    names = [band.name for band in one.layout.group("octave").bands]
    maps = dict(zip(names, one.heatmap("octave")[0]))
    fine = {name: map_ for name, map_ in maps.items() if name.startswith("octave ") and _octave(name) <= depth}
    coarse = [map_ for name, map_ in maps.items() if name not in fine]
    panels = ({COARSER: sum(coarse)} if coarse else {}) | fine
    return {name: density(panel) for name, panel in panels.items()}
