"""Figures of trees of wavelet packets as tilings of space and frequency, and of domains that were judged on other models."""

from collections.abc import Mapping

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...domains import differing
from ...transforms import WPT, Tiling, Transform
from ...transforms.base import Chain
from ...transforms.wavelets.packet import sequency
from ...transforms.wavelets.tiling import Side

LONGEST = 24  # letters of a name
Leaf = tuple[Side, ...]


def last_part(transform: Transform) -> Transform:
    """The last transform of a chain, such as the packets after a change of colours."""
    last = transform.parts[-1] if isinstance(transform, Chain) else transform
    return last if isinstance(last, Transform) else transform


def leaves(transform: Transform) -> list[Leaf]:
    """The range of each leaf along each axis; empty where the transform is no tree of packets."""
    tree = last_part(transform)
    if isinstance(tree, Tiling):
        return tree.areas
    if not isinstance(tree, WPT):
        return []
    sizes, dims = tree.shape[1:], len(tree.shape) - 1
    return [tuple(Side(0, n, len(path) // dims, count) for n, count in zip(sizes, sequency(path, dims))) for path in tree.nodes]


def tilings(domains: Mapping[str, Transform]) -> Figure:
    """One plane for each tree: the signal from left to right, or its first two axes, and the bands inside each of its parts.

    A band of a part is drawn where its frequencies lie, low ones at the corner of the part that is nearest to the first sample;
    the colour is the number of halves. Of three axes the first two are shown.
    """
    figure = Figure((3.2 * len(domains), 3.6), layout="constrained")
    for axis, (name, transform) in zip(figure.subplots(1, len(domains), squeeze=False)[0], domains.items()):
        _draw(axis, transform)
        axis.set_title(name, fontsize=9)
    return figure


def _draw(axis: Axes, transform: Transform) -> None:
    found, sizes = leaves(transform), transform.shape[1:]
    colors = matplotlib.colormaps["viridis"]
    deepest = max((side.depth for leaf in found for side in leaf), default=0) * min(2, len(sizes)) or 1
    for leaf in found:
        shown, halves = leaf[:2], sum(side.depth for side in leaf[:2])
        boxes = [_box(side, n, by_frequency=len(sizes) > 1) for side, n in zip(shown, sizes)]
        if len(sizes) == 1:
            boxes = [(2 * leaf[0].low, 2 * (leaf[0].high - leaf[0].low)), *boxes]
        (bottom, height), (left, width) = boxes
        axis.add_patch(Rectangle((left, bottom), width, height, fc=colors(halves / deepest), ec="white", lw=0.8))
    axis.set(xlim=(0, 1), ylim=(0, 1) if len(sizes) == 1 else (1, 0), xticks=[], yticks=[])
    axis.set_xlabel("position" if len(sizes) == 1 else "second axis", fontsize=8)
    axis.set_ylabel("frequency" if len(sizes) == 1 else "first axis", fontsize=8)


def _box(side: Side, whole: int, by_frequency: bool) -> tuple[float, float]:
    """(start, length) of a leaf along an axis of the picture."""
    start, length = side.start / whole, (side.part or side.samples) / whole
    if not by_frequency:
        return start, length
    return start + length * 2 * side.low, length * 2 * (side.high - side.low)


def transfers(matrices: Mapping[str, pd.DataFrame]) -> Figure:
    """One table of colours for each family, from `transfer_matrix`: a row is fitted on, a column is judged on.

    The number is the selection error, the colour how much more it is than in the domain that was fitted to the model itself.
    A star: it is more, a circle: it is less, by a test that is corrected for all pairs of the table.
    """
    names = {name for matrix in matrices.values() for name in matrix["judged_on"]}
    side, margin = 0.75 * len(names), 1 + 0.08 * max(len(_label(name)) for name in names)
    figure = Figure(((side + margin) * len(matrices), side + margin), layout="constrained")
    for axis, (name, matrix) in zip(figure.subplots(1, len(matrices), squeeze=False)[0], matrices.items()):
        _table(axis, matrix)
        axis.set_title(name, fontsize=9)
    return figure


def _table(axis: Axes, matrix: pd.DataFrame) -> None:
    names = list(dict.fromkeys(matrix["judged_on"]))
    shown = matrix.pivot(index="fitted_on", columns="judged_on", values="over_own").reindex(index=names, columns=names)
    reach = max(1e-3, float(shown.abs().max().max()))
    axis.imshow(shown.to_numpy(dtype=float), cmap="RdBu_r", vmin=-reach, vmax=reach)
    for row, marked in zip(matrix.itertuples(), differing(matrix)):
        mark = ("*" if row.over_own > 0 else "°") if marked else ""
        place = names.index(str(row.judged_on)), names.index(str(row.fitted_on))
        color = "white" if abs(row.over_own) > 0.6 * reach else "black"
        axis.text(*place, f"{row.error:.3f}{mark}", ha="center", va="center", fontsize=8, color=color)
    axis.set_xticks(range(len(names)), map(_label, names), rotation=45, ha="right", fontsize=8)
    axis.set_yticks(range(len(names)), map(_label, names), fontsize=8)
    axis.set_xlabel("judged on", fontsize=8)
    axis.set_ylabel("fitted on", fontsize=8)


def _label(name: str) -> str:
    """The end of a long name."""
    return name if len(name) <= LONGEST else f"…{name[-LONGEST:]}"
