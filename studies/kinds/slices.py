"""Figures of volumes: orthogonal slices for each scale, and projections."""

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from torch import Tensor

from ...attribution import Attribution
from ...attribution.plot import robust_limit
from ...transforms.units import band_ranges, frequency_unit, steps_of
from .signal import Signal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMOOTH, REACH = 1.0, 4  # voxels: the width of the Gaussian that averages a map, and where it ends
SHOWN = 5  # octaves in a figure, the finest; the coarser ones are added up
SIDES = "RL", "AP", "SI"  # right, left; front, back; head, feet: the ends of a patient's axes, the positive one first
Cuts = list[np.ndarray]  # one for each axis


def slices(att: Attribution, octaves: Tensor | None, signal: Signal, title: str) -> "Figure":
    """Three rows of slices through the place with the most attribution: the volume, and each octave's map with its share.

    octaves: the map of each octave, (octaves, i, j, k), coarse to fine; None where the transform is not linear.
    """
    from matplotlib.figure import Figure

    volume = signal.values.mean(0).cpu().numpy()
    place = tuple(size // 2 for size in volume.shape) if octaves is None else _place(octaves)
    maps = {} if octaves is None else _maps(att, octaves, signal, place)
    figure = Figure(figsize=(2.5 * (len(maps) + 1), 7.4), layout="constrained")
    axes = figure.subplots(3, len(maps) + 1, squeeze=False)
    limit = robust_limit([cut for cuts in maps.values() for cut in cuts])
    gray = {"cmap": "gray", "vmin": float(volume.min()), "vmax": float(volume.max())}
    for row in range(3):
        _show(axes[row, 0], volume.take(place[row], row), row, signal, gray)
        axes[row, 0].set_title(f"volume, slice {place[row]} of axis {row + 1}", fontsize=9)
        for axis, (name, cuts) in zip(axes[row, 1:], maps.items()):
            _show(axis, cuts[row], row, signal, _magma(limit))
            axis.set_title(name if row == 0 else "", fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure


def projections(map_: Tensor, signal: Signal, title: str) -> "Figure":
    """The means along each axis, of the volume and of the map of all coefficients together, (i, j, k)."""
    from matplotlib.figure import Figure

    volume, size = signal.values.mean(0).cpu().numpy(), _size(map_)
    figure = Figure(figsize=(8, 5.6), layout="constrained")
    axes = figure.subplots(2, 3)
    means = [ndimage.gaussian_filter(size.mean(axis), SMOOTH) for axis in range(3)]  # the order does not matter
    for column in range(3):
        _show(axes[0, column], volume.mean(column), column, signal, {"cmap": "gray"})
        _show(axes[1, column], means[column], column, signal, _magma(robust_limit(means)))
        axes[0, column].set_title(f"volume, mean along axis {column + 1}", fontsize=8)
        axes[1, column].set_title("|attribution|", fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def _size(map_: Tensor) -> np.ndarray:
    found: np.ndarray = map_.detach().abs().cpu().numpy()
    return found


def _place(octaves: Tensor) -> tuple[int, ...]:
    """Where Σ|map| over the octaves, averaged, is largest."""
    density = ndimage.gaussian_filter(_size(octaves).sum(0), SMOOTH)
    return tuple(int(i) for i in np.unravel_index(int(density.argmax()), density.shape))


def _maps(att: Attribution, octaves: Tensor, signal: Signal, place: tuple[int, ...]) -> dict[str, Cuts]:
    """Slices of the map of each of the finest octaves by its title, coarse to fine."""
    shares = att.importance("octave").iloc[0]
    named = [(name, _cuts(one, place)) for name, one in zip(shares.index, octaves)]
    coarse, fine = named[:-SHOWN], named[-SHOWN:]
    rest = f"coarser: {shares.iloc[: len(coarse)].sum():.1%}"
    found = {rest: [np.sum(cuts, axis=0) for cuts in zip(*(cuts for _, cuts in coarse))]} if coarse else {}
    texts = _frequencies(att, signal)
    return found | {f"{name}: {shares[name]:.1%} of Σ|a|\n{texts[name]}".strip(): cuts for name, cuts in fine}


def _frequencies(att: Attribution, signal: Signal) -> dict[str, str]:
    """From the lowest to the highest frequency of each octave along any axis; "" where it has none."""
    own, bands = steps_of(att.layout, signal.step), att.layout.group("octave").bands
    if own is None:
        return {band.name: "" for band in bands}
    ends = {band.name: np.array(band_ranges(band, own)) for band in bands}
    unit = frequency_unit(signal.unit)
    return {name: f"{found.min():.2g}–{found.max():.2g} {unit}" for name, found in ends.items()}


def _cuts(map_: Tensor, place: tuple[int, ...]) -> Cuts:
    """Three slices of |map| averaged with a Gaussian; only the voxels that reach them are averaged."""
    size, found = _size(map_), []
    for axis, at in enumerate(place):
        first = max(0, at - REACH)
        near = size.take(range(first, min(size.shape[axis], at + REACH + 1)), axis)
        found.append(ndimage.gaussian_filter(near, SMOOTH, radius=REACH).take(at - first, axis))
    return found


def _magma(limit: float) -> dict[str, Any]:
    from matplotlib.colors import PowerNorm

    return {"cmap": "magma", "norm": PowerNorm(0.5, 0, max(limit, 1e-30))}


def _show(axis: Any, image: np.ndarray, cut: int, signal: Signal, style: dict[str, Any]) -> None:
    """A slice in true proportions, head up and sides named where an affine says where they are; else axis 1 runs down."""
    down, across = (size for other, size in enumerate(signal.step) if other != cut)
    origin, corners = "upper", ""
    if signal.origin is not None:
        first, second = (signal.origin[:3, other] for other in range(3) if other != cut)
        if np.abs(second).argmax() > np.abs(first).argmax():  # axes to the right, front and top of a patient, in this order
            image, down, across, first, second = image.T, across, down, second, first
        origin = "lower" if first[np.abs(first).argmax()] > 0 else "upper"
        corners = _ends(second)[::-1]
    axis.imshow(image, origin=origin, aspect=down / across, interpolation="nearest", **style)
    axis.set_xticks([])
    axis.set_yticks([])
    for place, (side, letter) in zip((0.02, 0.98), zip(("left", "right"), corners)):
        axis.text(place, 0.5, letter, transform=axis.transAxes, ha=side, va="center", fontsize=7, color="0.8")


def _ends(direction: np.ndarray) -> str:
    """The sides of the patient at the end and at the beginning of an axis with this direction.

    >>> _ends(np.array([-0.9, 0.1, 0.0]))
    'LR'
    """
    along = int(np.abs(direction).argmax())
    return SIDES[along] if direction[along] > 0 else SIDES[along][::-1]
