"""An attribution on the plane of time and frequency, and the panels that show signals of one axis."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...attribution import Attribution
from ...attribution.plot import band_maps, density, extremes
from ...transforms import Layout, TransformClaim
from ...transforms.units import band_texts, frequency_unit, steps_of
from .signal import Signal

COLUMNS = 400  # of a plane, at most
WIDE = 28  # characters that a bar has no room for
LOUDEST = 70  # dB below the maximum, where a spectrogram is black


class Plane(NamedTuple):
    """Σ|a| of cells of time and frequency.

    image: (rows, columns).  frequency: the rows + 1 edges, in cycles/sample, from low to high.
    time: the columns + 1 edges, in samples.
    """

    image: np.ndarray
    frequency: np.ndarray
    time: np.ndarray


def tiles(magnitude: Tensor, layout: Layout, samples: int) -> Plane | None:
    """The plane of coefficients that each have a frequency and a place, as those of wavelets and of windows have.

    Each coefficient is spread over the time up to halfway to its neighbours of the same frequency, so that sums are kept.
    magnitude: |a|, (*coeff).  Returns None where coefficients have no frequency or no place.
    """
    if layout.frequency.shape[0] != 1:
        return None
    frequency, place = layout.frequency[0].flatten(), layout.position[0].flatten()
    if not bool(torch.isfinite(frequency).all() & torch.isfinite(place).all()):
        return None
    rows, row = np.unique(frequency.double().numpy().round(9), return_inverse=True)
    time = np.linspace(0, samples, min(COLUMNS, samples) + 1)
    amount, at = magnitude.flatten().double().cpu().numpy(), place.double().numpy() + 0.5
    order = np.lexsort((at, row))
    cuts = np.searchsorted(row[order], np.arange(len(rows) + 1))
    image = np.stack([_spread(at[own], amount[own], time) for own in (order[i:j] for i, j in zip(cuts, cuts[1:]))])
    return Plane(image, _edges(rows, layout), time)


def _spread(at: np.ndarray, amount: np.ndarray, time: np.ndarray) -> np.ndarray:
    """The amounts at sorted places as sums over the cells of `time`."""
    places, first = np.unique(at, return_index=True)
    sums = np.add.reduceat(amount, first)
    edges = np.concatenate([time[:1], (places[1:] + places[:-1]) / 2, time[-1:]])
    return np.diff(np.interp(time, edges, np.concatenate([[0.0], np.cumsum(sums)])))


def _edges(rows: np.ndarray, layout: Layout) -> np.ndarray:
    """The edges of rows with these frequencies: those of the bands where each row is a band, else halfway between."""
    lows = sorted({band.low for band in layout.bands})
    if len(lows) == len(rows):
        return np.array([*lows, max(band.high for band in layout.bands)])
    return np.concatenate([[0.0], (rows[1:] + rows[:-1]) / 2, [max(0.5, rows[-1])]])


def octaves(att: Attribution, samples: int) -> Plane | None:
    """The plane whose rows are octaves: where in time each octave's Σ|a| lies, see `band_maps`.

    Returns None where the transform is not linear, its bands have no frequencies along time, or there is only one.
    """
    if TransformClaim.LINEAR not in att.transform.claims or steps_of(att.layout, (1.0,)) is None:
        return None
    bands = att.layout.group("octave").bands
    edges = np.array([*(band.low for band in bands), bands[-1].high])
    if len(bands) < 2 or (np.diff(edges) <= 0).any():
        return None
    cuts = np.linspace(0, samples, min(COLUMNS, samples) + 1).astype(int)
    rows = [np.add.reduceat(density(one, radius=samples / COLUMNS), cuts[:-1]) for one in band_maps(att)[0]]
    return Plane(np.stack(rows), edges, cuts.astype(float))


def draw_plane(axis: Any, plane: Plane, step: float, limit: float | None = None, unit: str = "s", **options: Any) -> None:
    """A plane over time and frequency in octaves.  step: the distance of samples, in `unit`."""
    from matplotlib.colors import PowerNorm
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    lowest = max(plane.frequency[1] / 2, plane.frequency[-1] / 2**10) / step
    edges = np.maximum(plane.frequency / step, lowest)
    top = limit or max(1e-30, float(np.quantile(plane.image, 0.998)))
    style = {"cmap": "magma", "norm": PowerNorm(0.5, 0, top)} | options
    axis.pcolormesh(plane.time * step, edges, plane.image, rasterized=True, **style)
    axis.set_yscale("log", base=2)
    axis.set_ylim(lowest, edges[-1])
    axis.yaxis.set_major_locator(LogLocator(base=2, subs=[1.0], numticks=7))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_ylabel(frequency_unit(unit), fontsize=8)


def spectrogram(line: Tensor) -> Plane:
    """The level of one channel in dB, 0 at its loudest.  line: (samples,)."""
    samples = len(line)
    size = min(samples, max(16, 2 ** round(np.log2(max(2, 2 * samples**0.5)))), 1024)
    hop = max(1, size // 4, samples // COLUMNS)
    window = torch.hann_window(size, dtype=line.dtype, device=line.device)
    found = torch.stft(line, size, hop, window=window, return_complex=True, pad_mode="constant").abs().cpu().numpy()
    level = 20 * np.log10(np.maximum(found, 1e-12) / max(1e-12, found.max()))
    frequency = np.arange(len(level)) / size
    edges = np.concatenate([[0.0], (frequency[1:] + frequency[:-1]) / 2, [0.5]])
    time = (np.arange(level.shape[1] + 1) - 0.5) * hop
    return Plane(level, edges, time.clip(0, samples))


def draw_line(axis: Any, line: Tensor, weight: np.ndarray | None, step: float, top: float = 0.0) -> None:
    """A line over time, and before it where its attribution lies.

    weight: (samples,), non-negative.  top: the weight of the full height; that of the largest one where it is 0.
    """
    if weight is not None:
        places, heights = extremes(weight)
        front = axis.twinx()
        front.fill_between(places * step, heights, color="firebrick", alpha=0.5, linewidth=0)
        front.set_ylim(0, max(1e-30, 1.05 * (top or float(weight.max()))))
        front.set_yticks([])
    places, heights = extremes(line.detach().double().cpu().numpy())
    axis.plot(places * step, heights, linewidth=0.5, color="0.55")
    axis.margins(x=0)


def draw_bars(axis: Any, att: Attribution, signal: Signal) -> None:
    """A bar for each octave's share of Σ|a|, with its frequencies, from high to low as in a plane."""
    shares = att.importance("octave").iloc[0]
    texts = band_texts(att.layout, signal.step, signal.unit)
    unit = f" {frequency_unit(signal.unit)}"
    texts = {name: text.removesuffix(unit) for name, text in texts.items()}
    narrow = all(0 < len(text) < WIDE for text in texts.values())
    axis.barh(range(len(shares)), shares.to_numpy(), color="0.78")
    for place, name in enumerate(shares.index):
        label = f"{texts[name] if narrow else name}: {shares[name]:.0%}"
        axis.text(0.02, place, label, transform=axis.get_yaxis_transform(), va="center", fontsize=7)
    axis.set_yticks([])
    axis.tick_params(labelsize=7)
    axis.set_title("share of Σ|a|" + (f", by{unit}" if narrow else ""), fontsize=8)
