"""Figures of volumes: orthogonal slices for each scale, and projections."""

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from torch import Tensor

from ...attribution import Attribution
from ...attribution.plot import robust_limit
from ...transforms import TransformClaim
from .plane import draw_bars
from .signal import Signal
from .units import band_texts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMOOTH = 1.0  # voxels of the density of a map
SHOWN = 5  # octaves in a figure, the finest; the coarser ones are added up


def smoothed(map_: Tensor) -> np.ndarray:
    """|map| averaged with a Gaussian, (i, j, k)."""
    found: np.ndarray = ndimage.gaussian_filter(map_.detach().double().abs().cpu().numpy(), SMOOTH)
    return found


def slices(att: Attribution, signal: Signal, title: str) -> "Figure":
    """Three rows of slices through the place with the most attribution: the volume, each octave's map, and the shares."""
    from matplotlib.figure import Figure

    volume = signal.values.mean(0).cpu().numpy()
    maps = _maps(att, signal)
    place = _place(np.sum([*maps.values()], axis=0)) if maps else tuple(size // 2 for size in volume.shape)
    figure = Figure(figsize=(2.3 * (len(maps) + 2), 7.4), layout="constrained")
    axes = figure.subplots(3, len(maps) + 2, squeeze=False)
    for axis in axes[:, -1]:
        axis.remove()
    limit = robust_limit([*maps.values()]) if maps else 1.0
    gray = {"cmap": "gray", "vmin": float(volume.min()), "vmax": float(volume.max())}
    for row in range(3):
        _show(axes[row, 0], volume.take(place[row], row), row, signal, gray)
        axes[row, 0].set_title(f"volume, slice {place[row]} of axis {row + 1}", fontsize=7)
        for axis, (name, array) in zip(axes[row, 1:], maps.items()):
            _show(axis, array.take(place[row], row), row, signal, _magma(limit))
            axis.set_title(name if row == 0 else "", fontsize=7)
    draw_bars(figure.add_subplot(axes[0, 0].get_gridspec()[:, -1]), att, signal)
    figure.suptitle(title, fontsize=10)
    return figure


def projections(att: Attribution, signal: Signal, title: str) -> "Figure":
    """The means along each axis, of the volume and of the map of all coefficients together."""
    from matplotlib.figure import Figure

    volume, map_ = signal.values.mean(0).cpu().numpy(), smoothed(att.heatmap()[0])
    figure = Figure(figsize=(8, 5.6), layout="constrained")
    axes = figure.subplots(2, 3)
    means = [map_.mean(axis) for axis in range(3)]
    for column in range(3):
        _show(axes[0, column], volume.mean(column), column, signal, {"cmap": "gray"})
        _show(axes[1, column], means[column], column, signal, _magma(robust_limit(means)))
        axes[0, column].set_title(f"volume, mean along axis {column + 1}", fontsize=8)
        axes[1, column].set_title("|attribution|", fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def _maps(att: Attribution, signal: Signal) -> dict[str, np.ndarray]:
    """The map of each of the finest octaves, by its frequencies, coarse to fine; {} where the transform is not linear."""
    if TransformClaim.LINEAR not in att.transform.claims:
        return {}
    texts = band_texts(att.layout, signal.step, signal.unit)
    named = [(name, smoothed(one)) for name, one in zip(texts, att.heatmap("octave")[0])]
    coarse, fine = named[:-SHOWN], named[-SHOWN:]
    found = {"coarser": np.sum([array for _, array in coarse], axis=0)} if coarse else {}
    return found | {_title(name, texts[name]): array for name, array in fine}


def _title(name: str, text: str) -> str:
    """The frequencies below the octave's name, those of three axes on three lines."""
    return f"{name}\n{text}".strip().replace(" × ", " ×\n")


def _place(density: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(density.argmax()), density.shape))


def _magma(limit: float) -> dict[str, Any]:
    from matplotlib.colors import PowerNorm

    return {"cmap": "magma", "norm": PowerNorm(0.5, 0, max(limit, 1e-30))}


def _show(axis: Any, image: np.ndarray, cut: int, signal: Signal, style: dict[str, Any]) -> None:
    """A slice in true proportions, head up where an affine says where that is; else its first axis runs down."""
    down, across = (size for other, size in enumerate(signal.step) if other != cut)
    origin = "upper"
    if signal.origin is not None:
        first, second = (signal.origin[:3, other] for other in range(3) if other != cut)
        if np.abs(second).argmax() > np.abs(first).argmax():  # axes to the right, front and top of a patient, in this order
            image, down, across, first = image.T, across, down, second
        origin = "lower" if first[np.abs(first).argmax()] > 0 else "upper"
    axis.imshow(image, origin=origin, aspect=down / across, interpolation="nearest", **style)
    axis.set_xticks([])
    axis.set_yticks([])
