"""Figures of volumes: orthogonal slices for each scale, and projections."""

from collections.abc import Callable, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from torch import Tensor

from ...attribution import Attribution
from ...attribution.plot import robust_limit
from ...transforms.units import band_ranges, frequency_text, frequency_unit, steps_of
from .signal import Signal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMOOTH, REACH = 1.0, 4  # voxels: the width of the Gaussian that averages a map, and where it ends
SHOWN = 5  # octaves in a figure, the finest; the coarser ones are added up
NEAR = 1e-3  # of the largest value: places so near to it are equal, so that rounding does not choose between them
WIDE = 40  # characters of a line over a panel
SIDES = "RL", "AP", "SI"  # right, left; front, back; head, feet: the ends of a patient's axes, the positive one first
PLANES = "sagittal", "coronal", "axial"  # slices across these axes
CORNERS = (
    (0.02, 0.5, "left", "center"),
    (0.98, 0.5, "right", "center"),
    (0.5, 0.98, "center", "top"),
    (0.5, 0.02, "center", "bottom"),
)
MAPS = "maps: Σ|a| of each octave where it lies, without sign, averaged over neighbouring voxels; one √ scale for all"
CHOICE = "slices: through the place where the map in voxels of all coefficients, averaged, is largest"
Cuts = list[np.ndarray]  # one for each axis


def slices(att: Attribution, octaves: Tensor | None, signal: Signal, title: str) -> "Figure":
    """Three rows of slices through the place with the most attribution: the volume, and each octave's map with its share.

    octaves: the map of each octave, (octaves, i, j, k), coarse to fine; None where the transform is not linear.
    """
    from matplotlib.figure import Figure

    volume = signal.values.mean(0).cpu().numpy()
    place = tuple(size // 2 for size in volume.shape) if octaves is None else _place(att.heatmap()[0])
    maps = {} if octaves is None else _maps(att, octaves, signal, place)
    figure = Figure(figsize=(2.6 * (len(maps) + 1) + 0.8, 8.2), layout="constrained")
    axes = figure.subplots(3, len(maps) + 1, squeeze=False)
    limit = robust_limit([cut for cuts in maps.values() for cut in cuts])
    gray = {"cmap": "gray", "vmin": float(volume.min()), "vmax": float(volume.max())}
    for row in range(3):
        show_slice(axes[row, 0], volume.take(place[row], row), row, signal, gray)
        axes[row, 0].set_title(
            f"volume, {cut_name(row, signal)}\nslice {place[row]} of {volume.shape[row]} (from 0)", fontsize=8
        )
        for axis, (name, cuts) in zip(axes[row, 1:], maps.items()):
            show_slice(axis, cuts[row], row, signal, magma(limit))
            axis.set_title(name if row == 0 else "", fontsize=7)
    if maps:
        _bar(figure, axes[:, 1:], "Σ|a| per voxel")
    middle = "slices: through the middle, as the coefficients of a transform that is not linear have no place in the volume"
    _titled(figure, title, f"{MAPS}\n{CHOICE}" if maps else middle)
    return figure


def projections(map_: Tensor, signal: Signal, title: str) -> "Figure":
    """The means along each axis, of the volume and of the map of all coefficients together, (i, j, k)."""
    from matplotlib.figure import Figure

    volume, size = signal.values.mean(0).cpu().numpy(), _size(map_)
    figure = Figure(figsize=(8.6, 5.8), layout="constrained")
    axes = figure.subplots(2, 3)
    means = [ndimage.gaussian_filter(size.mean(axis), SMOOTH) for axis in range(3)]  # the order does not matter
    for column in range(3):
        show_slice(axes[0, column], volume.mean(column), column, signal, {"cmap": "gray"})
        show_slice(axes[1, column], means[column], column, signal, magma(robust_limit(means)))
        axes[0, column].set_title(f"volume, mean along {cut_name(column, signal)}", fontsize=8)
        axes[1, column].set_title("|attribution|", fontsize=8)
    _bar(figure, axes[1], "mean |a| per voxel")
    _titled(figure, title, "maps: the size of the map in voxels, without sign, averaged; one √ scale for all")
    return figure


def _titled(figure: "Figure", title: str, caption: str) -> None:
    """Writes a title and a caption in lines that are no longer than the figure is wide."""
    lines: Callable[[str, int], str] = lambda text, size: "\n".join(
        fill(line, int(110 / size * figure.get_figwidth())) for line in text.split("\n")
    )
    figure.suptitle(lines(title, 10), fontsize=10)
    figure.supxlabel(lines(caption, 7), fontsize=7)


def _bar(figure: "Figure", axes: Any, label: str) -> None:
    """A bar with the colours of the maps, all of which have one scale; larger values have the last colour."""
    bar = figure.colorbar(axes.flat[0].images[0], ax=axes, extend="max", fraction=0.03, shrink=0.7, panchor=False)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)


def cut_name(cut: int, signal: Signal) -> str:
    """The axis across which slices lie, and the name of their plane where an affine tells it."""
    known = f" ({PLANES[int(np.abs(signal.origin[:3, cut]).argmax())]})" if _is_placed(signal) else ""
    return f"axis {cut + 1}{known}"


def _size(map_: Tensor) -> np.ndarray:
    found: np.ndarray = map_.detach().abs().cpu().numpy()
    return found


def _place(map_: Tensor) -> tuple[int, ...]:
    """Where |map|, averaged, is largest.  map_: that of all coefficients in voxels, equal in all linear domains.

    Outside of the volume the map is 0, so that its edge is chosen only where the average is largest there.
    """
    density = ndimage.gaussian_filter(_size(map_), SMOOTH, mode="constant")
    first = int((density >= (1 - NEAR) * density.max()).argmax())
    return tuple(int(i) for i in np.unravel_index(first, density.shape))


def _maps(att: Attribution, octaves: Tensor, signal: Signal, place: tuple[int, ...]) -> dict[str, Cuts]:
    """Slices of the map of each of the finest octaves by its title, coarse to fine; the coarser ones are added up."""
    shares = att.importance("octave").iloc[0]
    cuts = [_cuts(one, place) for one in octaves]
    rest = max(1, len(cuts) - SHOWN)  # of one, or several together
    groups = [range(rest), *([place] for place in range(rest, len(cuts)))]
    texts = _texts(att, signal, groups)
    found = {}
    for group, text in zip(groups, texts):
        name, share = together([str(shares.index[i]) for i in group]), shares.iloc[list(group)].sum()
        found[f"{name}: {share:.1%} of Σ|a|\n{text}".strip()] = [
            np.sum(each, axis=0) for each in zip(*(cuts[i] for i in group))
        ]
    return found


def together(names: Sequence[str]) -> str:
    """The names of neighbouring groups of bands, coarse to fine, as one.

    >>> together(["coarser", "octave 9", "octave 8"]), together(["coarser", "octave 6"]), together(["all"])
    ('coarser and octaves 8–9', 'coarser and octave 6', 'all')
    """
    numbers = [name.removeprefix("octave ") for name in names if name.startswith("octave ")]
    octaves = f"octaves {numbers[-1]}–{numbers[0]}" if len(numbers) > 1 else "".join(f"octave {one}" for one in numbers)
    return " and ".join([*(name for name in names if not name.startswith("octave ")), *([octaves] if octaves else [])])


def _texts(att: Attribution, signal: Signal, groups: Sequence[Sequence[int]]) -> list[str]:
    """The frequencies of neighbouring octaves together, a range for each axis where they differ; "" where there are none."""
    own, bands = steps_of(att.layout, signal.step), att.layout.group("octave").bands
    if own is None:
        return [""] * len(groups)
    found = []
    for group in groups:
        ends = np.array([band_ranges(bands[i], own) for i in group])
        ranges = list(zip(ends[..., 0].min(0).tolist(), ends[..., 1].max(0).tolist()))
        found.append(wrapped(frequency_text(ranges, frequency_unit(signal.unit)), WIDE))
    return found


def wrapped(text: str, width: int) -> str:
    """A text of frequencies in lines of about `width` characters; the periods begin a line, and "≥" stays with its number.

    >>> print(wrapped("0–0.125 × 0–0.05 cycles/mm (≥ 8 × ≥ 20 mm)", 30))
    0–0.125 × 0–0.05 cycles/mm
    (≥ 8 × ≥ 20 mm)
    """
    parts = text.replace("≥ ", "≥\N{NO-BREAK SPACE}").replace(" (", "\n(").split("\n")
    return "\n".join(fill(part, width) for part in parts).replace("\N{NO-BREAK SPACE}", " ")


def _cuts(map_: Tensor, place: tuple[int, ...]) -> Cuts:
    """Three slices of |map| averaged with a Gaussian; only the voxels that reach them are averaged."""
    size, found = _size(map_), []
    for axis, at in enumerate(place):
        first = max(0, at - REACH)
        near = size.take(range(first, min(size.shape[axis], at + REACH + 1)), axis)
        found.append(ndimage.gaussian_filter(near, SMOOTH, radius=REACH).take(at - first, axis))
    return found


def magma(limit: float) -> dict[str, Any]:
    """The style of a map: square-root brightness in 0…limit."""
    from matplotlib.colors import PowerNorm

    return {"cmap": "magma", "norm": PowerNorm(0.5, 0, max(limit, 1e-30))}


def show_slice(axis: Any, image: np.ndarray, cut: int, signal: Signal, style: dict[str, Any]) -> None:
    """A slice in true proportions, head up and sides named where an affine says where they are; else axis 1 runs down.

    image: across the axis `cut` of the volume, its other axes in their order.
    """
    image, aspect, up, ends = upright(image, cut, signal)
    axis.imshow(image, origin="lower" if up else "upper", aspect=aspect, interpolation="nearest", **style)
    axis.set_xticks([])
    axis.set_yticks([])
    for letter, (x, y, ha, va) in zip(ends, CORNERS):
        axis.text(x, y, letter, transform=axis.transAxes, ha=ha, va=va, fontsize=7, color="0.8")


def mean_signal(axis: Any, values: Tensor, like: Tensor, signal: Signal) -> None:
    """The mean of a volume (channels, i, j, k) along axis 1, in the range of that of `like`."""
    mean, range_ = values.double().mean((0, 1)).cpu().numpy(), like.double().mean((0, 1))
    show_slice(axis, mean, 0, signal, {"cmap": "gray", "vmin": float(range_.min()), "vmax": float(range_.max())})


def upright(image: np.ndarray, cut: int, signal: Signal) -> tuple[np.ndarray, float, bool, str]:
    """A slice whose axes run as `facing` says, height over width of a voxel, whether rows run up, and the sides.

    image, cut: as in `show_slice`.
    """
    down, across, up, sides = facing(cut, signal)
    return image if down < across else image.T, signal.step[down] / signal.step[across], up, sides


def facing(cut: int, signal: Signal) -> tuple[int, int, bool, str]:
    """Which axis of the volume runs down and which across in a slice, whether the first runs up instead, and the sides.

    The axes are exchanged where a patient would lie on the side. The sides are those at the left, right, top and bottom, and
    "" without an affine.
    """
    down, across = (other for other in range(3) if other != cut)
    if not _is_placed(signal):
        return down, across, False, ""
    if np.abs(signal.origin[:3, across]).argmax() > np.abs(signal.origin[:3, down]).argmax():
        down, across = across, down  # axes to the right, front and top of a patient come in this order
    first, second = signal.origin[:3, down], signal.origin[:3, across]
    up = bool(first[np.abs(first).argmax()] > 0)
    return down, across, up, _ends(second)[::-1] + (_ends(first) if up else _ends(first)[::-1])


def _is_placed(signal: Signal) -> bool:
    """Whether an affine says where the sides of a patient are; other kinds may keep something else as `origin`."""
    return isinstance(signal.origin, np.ndarray)


def _ends(direction: np.ndarray) -> str:
    """The sides of the patient at the end and at the beginning of an axis with this direction.

    >>> _ends(np.array([-0.9, 0.1, 0.0]))
    'LR'
    """
    along = int(np.abs(direction).argmax())
    return SIDES[along] if direction[along] > 0 else SIDES[along][::-1]
