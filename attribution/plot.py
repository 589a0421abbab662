"""Figures of an attribution. All panels of one figure have the same colour limits."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..core.imports import import_matplotlib, needs
from ..transforms import Transform, TransformClaim
from .pullback import analysis_transpose

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 6  # panels side by side, at most
WIDE = 16.0  # samples, a radius from which on a line is averaged by FFT
POINTS, SIDE = 2_000, 1_000  # of a line and of an image: more than the pixels of a panel


class Plottable(Protocol):
    """The parts of an `Attribution` that a figure shows."""

    @property
    def values(self) -> Tensor: ...
    @property
    def transform(self) -> Transform: ...
    @property
    def settings(self) -> dict[str, Any]: ...
    def __getitem__(self, example: int, /) -> Any: ...


Show = Callable[[Tensor], Tensor]  # the input of a model -> an image for display, in [0, 1]


def plot(attribution: Plottable, example: int = 0, by: str = "octave", show: Show | None = None) -> "Figure":
    """A figure of the signal, a density map for each group of bands, and each group's share of Σ|a|.

    Volumes are shown as their mean over the first axis. For a T that is not linear there are no maps.
    show: makes an image of the signal; without it the range of the signal is scaled to black and white.
    Raises: IndexError for no such example; ValueError for signals without a spatial axis; ImportError without matplotlib.
    """
    with needs("plot", "'pullback[cli]'"):
        import_matplotlib()
        from matplotlib.figure import Figure
    if len(attribution.transform.shape) < 2:
        got, advice = attribution.transform.shape, "plot att.values, or add a channel axis"
        raise ValueError(f"plot: expected signals (channels, *spatial), but each example of x has shape {got}; {advice}.")
    if not -len(attribution.values) <= example < len(attribution.values):
        raise IndexError(f"plot: expected an example in 0…{len(attribution.values) - 1}, got {example}.")
    one = attribution[example]
    maps, signal = _maps(one, by), one.transform.inverse(one.coefficients)[0]
    rows = math.ceil((len(maps) + 2) / COLUMNS)
    columns = math.ceil((len(maps) + 2) / rows)
    figure = Figure(figsize=(2.6 * columns, 2.6 * rows + 0.4), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[len(maps) + 1 : -1]:
        axis.axis("off")
    draw_signal(axes[0], signal, show=show)
    axes[0].set_title("signal (mean over axis 1)" if signal.ndim == 4 else "signal")
    limit = robust_limit([array for _, array in maps])
    for number, (axis, (name, array)) in enumerate(zip(axes[1:], maps), 1):
        draw_density(axis, array, limit)
        axis.tick_params(labelleft=number == 1 or number % columns == 0)  # the scale is the same in a row
        axis.set_title(name)
    _draw_shares(axes[-1], one.importance(by).iloc[0])
    if signal.ndim > 2:
        axes[-1].set_box_aspect(1)  # in line with the images
    if maps:
        figure.supxlabel(_note(maps[0][1], signal), fontsize=7)
    figure.suptitle(f"{attribution.settings.get('method', '')} in {attribution.transform.spec}", fontsize=10)
    as_written(figure)
    return figure


def _draw_shares(axis: Any, shares: Any) -> None:
    """Bars with their names inside the panel, since names beside it would widen the gap between columns."""
    axis.barh(range(len(shares)), shares.to_numpy(), color="0.75")
    for place, name in enumerate(shares.index):
        axis.text(0.02, place, str(name), transform=axis.get_yaxis_transform(), va="center", fontsize=8)
    axis.set_yticks([])
    axis.invert_yaxis()  # coarse to fine, like the maps
    axis.set_title("share of Σ|a|")


def _note(density: np.ndarray, signal: Tensor) -> str:
    """One line that explains the maps."""
    volume = ", mean over axis 1 of the volume" if signal.ndim == 4 else ""
    scale = "one linear scale" if density.ndim == 1 else "one √ scale"
    return f"maps: where each group's Σ|a| lies (local mean{volume}; {scale}); the sum of a map is its bar"


def _maps(one: Any, by: str) -> list[tuple[str, np.ndarray]]:
    if TransformClaim.LINEAR not in one.transform.claims:
        return []
    return [(band.name, density(map_)) for band, map_ in zip(one.layout.group(by).bands, band_maps(one, by)[0])]


def robust_limit(densities: Sequence[np.ndarray]) -> float:
    """The common upper limit: 1.05 times the maximum of lines; of images the 99.5th percentile, against outliers."""
    limit = lambda array: 1.05 * float(array.max()) if array.ndim == 1 else float(np.quantile(array, 0.995))
    return max([1e-30, *map(limit, densities)])


def density(map_: Tensor, radius: float = 2.5) -> np.ndarray:
    """|map| averaged with a Gaussian of `radius` samples. Volumes are averaged over their first axis."""
    array = map_.detach().double().abs().cpu().numpy()
    array = array.mean(0) if array.ndim == 3 else array
    from scipy import ndimage  # imported here, as it takes long

    wide = array.ndim == 1 and radius > WIDE
    return _smooth(array, radius) if wide else np.asarray(ndimage.gaussian_filter(array, radius))


def _smooth(line: np.ndarray, radius: float) -> np.ndarray:
    """As `ndimage.gaussian_filter`, by FFT: its time does not grow with the radius, long in a minute of sound."""
    from scipy.signal import oaconvolve

    reach = int(4 * radius + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / radius) ** 2)
    found = oaconvolve(np.pad(line, reach, mode="symmetric"), kernel / kernel.sum(), mode="valid")
    return np.maximum(found, 0)  # rounding may leave a number below zero


def extremes(line: np.ndarray, points: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """The places and values, at most about `points`, that draw a line as all its samples would: the extremes of each block.

    A line of at most `points` samples is kept whole.

    >>> [array.tolist() for array in extremes(np.array([0, 1, 0, 0, -3, 0, 0, 9, 0]), points=4)]
    [[1, 4, 5, 7], [1, -3, 0, 9]]
    """
    if len(line) <= points:
        return np.arange(len(line)), line
    size = -(-2 * len(line) // points)
    blocks = np.pad(line, (0, -len(line) % size), mode="edge").reshape(-1, size)
    pairs = np.sort(np.stack([blocks.argmin(1), blocks.argmax(1)], 1), 1) + size * np.arange(len(blocks))[:, None]
    places = pairs.flatten().clip(max=len(line) - 1)
    return places, line[places]


def shrunk(image: np.ndarray, pool: Callable[..., Any], side: int = SIDE) -> np.ndarray:
    """An image (h, w, …) with at most `side` rows and columns, each the `pool` of a block: np.max keeps small peaks.

    >>> shrunk(np.arange(16).reshape(4, 4), np.max, side=2).tolist()
    [[5, 7], [13, 15]]
    """
    for axis in (0, 1):
        size = -(-image.shape[axis] // side)
        if size > 1:
            widths = [(0, -image.shape[axis] % size if other == axis else 0) for other in range(image.ndim)]
            padded = np.pad(image, widths, mode="edge")
            blocks = padded.reshape(*padded.shape[:axis], -1, size, *padded.shape[axis + 1 :])
            image = pool(blocks, axis=axis + 1)
    return image


def as_written(figure: "Figure") -> None:
    """Makes every text of a figure show as it is, also one with dollar signs, which would be a formula."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)


def as_image(signal: Tensor, like: Tensor | None = None) -> np.ndarray:
    """A signal (channels, h, w) for display: the range of `like` (None: its own) becomes [0, 1], grey or RGB."""
    array = signal.detach().double().cpu()
    reference = array if like is None else like.detach().double().cpu()
    array = ((array - reference.min()) / (reference.max() - reference.min()).clamp(min=1e-30)).clamp(0, 1)
    return (array.permute(1, 2, 0) if len(array) == 3 else array.mean(0)).numpy()


def _show(axis: Any, image: np.ndarray, pool: Callable[..., Any], **options: Any) -> None:
    """Draws an image, which a panel shows with fewer pixels than it may have, in its own coordinates."""
    height, width = image.shape[:2]
    axis.imshow(shrunk(image, pool), extent=(-0.5, width - 0.5, height - 0.5, -0.5), **options)
    axis.axis("off")


def draw_signal(axis: Any, signal: Tensor, like: Tensor | None = None, show: Show | None = None) -> None:
    """A signal (channels, *spatial): a line, an image in the range of `like`, or the mean projection of a volume.

    show: makes an image of the signal; then `like` is not used.
    """
    if signal.ndim == 2:
        for line in signal.detach().cpu().numpy():
            axis.plot(*extremes(line), linewidth=0.6)
        return
    image = signal if signal.ndim == 3 else signal.mean(1)
    if show is not None and signal.ndim == 3:
        image = show(image).clamp(0, 1)
        like = image.new_tensor([0, 1])
    _show(axis, as_image(image, like), np.mean, cmap="gray", vmin=0, vmax=1)


def draw_density(axis: Any, array: np.ndarray, limit: float) -> None:
    """A density as a line, or as an image with square-root brightness, in 0…limit."""
    if array.ndim == 1:
        axis.fill_between(*extremes(array), color="firebrick", linewidth=0)
        axis.set_ylim(0, limit)
        return
    from matplotlib.colors import PowerNorm

    _show(axis, array, np.max, cmap="magma", norm=PowerNorm(0.5, 0, limit))


def band_maps(attribution: Any, by: str = "octave") -> Tensor:
    """Where the Σ|a| of each group of bands lies, for a linear T; each map is non-negative and sums to Σ|a| of its group.

    With g = T.adjoint(ḡ), the map of group b is proportional to |T⁻¹((z - z₀) on b) ⊙ Tᵀ(g on b)|, summed over channels: the
    part of the signal times the part of the gradient in the same group. `Attribution.heatmap` multiplies by all of ḡ
    instead: its maps are exact and signed, but at a place they also hold products of different groups, which cancel in the
    sum only. For sensitivities it is |Tᵀ(a on b)|.
    by: as in `Attribution.importance`.  Shape: (batch, groups, *spatial).

    >>> x = torch.randn(1, 1, 64, generator=torch.Generator().manual_seed(0))
    >>> att = pb.attribute(lambda x: x.tanh().sum((1, 2)), x, transform="dct")
    >>> shares = torch.tensor(att.importance("octave").values)
    >>> torch.allclose(band_maps(att).sum(2) / att.values.abs().sum(), shares.float(), atol=1e-5)
    True
    """
    layout = attribution.layout.group(by)
    masks = ((layout.index == group).to(attribution.values.device) for group in range(len(layout.bands)))
    gradient = _gradient(attribution)
    place = torch.stack([_part(attribution, gradient, mask).abs().sum(1) for mask in masks], 1)
    size, total = layout.sum(attribution.values.abs()), place.flatten(2).sum(2)
    factor = torch.where(total > 0, size / total.where(total > 0, 1), 0)
    return place * factor.reshape(*factor.shape, *[1] * (place.ndim - 2))


def _part(attribution: Any, gradient: Tensor, mask: Tensor) -> Tensor:
    """The map of the coefficients in `mask`, (batch, *shape)."""
    transform = attribution.transform
    there = analysis_transpose(transform, gradient * mask)
    return there if attribution.kind == "sensitivity" else there * transform.inverse(attribution.displacement * mask)


def _gradient(attribution: Any) -> Tensor:
    """a / (z - z₀) for shares, and a for sensitivities, (batch, *coeff)."""
    if attribution.kind == "sensitivity":
        return attribution.values
    if attribution.covector is not None:
        return attribution.transform.adjoint(attribution.covector)
    moved = attribution.displacement != 0
    return torch.where(moved, attribution.values / attribution.displacement.where(moved, 1), 0)


def as_shares(maps: Tensor) -> Tensor:
    """Maps divided by their sum, so that those of several domains can be drawn on one scale: (batch, groups, *spatial)."""
    total = maps.flatten(1).sum(1)
    return maps / torch.where(total > 0, total, 1).reshape(-1, *[1] * (maps.ndim - 1))
