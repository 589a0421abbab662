"""The frequencies of bands in units of the signal: Hz, cycles/mm, cycles/pixel."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..core.checks import is_number, quoted
from .layout import Band, Layout

if TYPE_CHECKING:
    import pandas as pd


def frequency_unit(unit: str) -> str:
    """The unit of a frequency where `unit` is that of a distance.

    >>> frequency_unit("s"), frequency_unit("mm")
    ('Hz', 'cycles/mm')
    """
    return "Hz" if unit == "s" else f"cycles/{unit}"


def band_ranges(band: Band, step: Sequence[float]) -> list[tuple[float, float]]:
    """The frequencies (low, high] of a band along each axis; an axis of which it holds the approximation begins at 0.

    step: the distance of samples along each of its axes.

    >>> band_ranges(Band("ad1", 1, "ad", 0.25, 0.5), (0.5, 2.0))
    [(0.0, 0.5), (0.125, 0.25)]
    """
    parts = [re.fullmatch(r"([ad])(\d+)", part) for part in band.name.split(" × ")]  # of per_axis, each with its own scale
    if len(parts) == len(step) > 1 and all(parts):
        scales = [(part[1] == "d", 0.5 ** int(part[2])) for part in parts if part]
        return [(top / 2 / size if fine else 0.0, (top if fine else top / 2) / size) for size, (fine, top) in zip(step, scales)]
    letters = band.orientation if len(band.orientation) == len(step) else "d" * len(step)
    cut = lambda letter: (band.low, band.high) if letter == "d" or band.low == 0 else (0.0, band.low)
    return [(low / size, high / size) for size, (low, high) in zip(step, map(cut, letters))]


def range_text(ranges: Sequence[tuple[float, float]]) -> str:
    """Ranges of frequencies, those of several axes with × between them, or one if they are equal.

    >>> range_text([(0.25, 0.5), (0.25, 0.5)]), range_text([(500, 1000)])
    ('0.25–0.5', '500–1000')
    """
    texts = [f"{short(low)}–{short(high)}" for low, high in ranges]
    return texts[0] if len(set(texts)) == 1 else " × ".join(texts)


def frequency_text(ranges: Sequence[tuple[float, float]], unit: str) -> str:
    """Ranges of frequencies with their unit; of cycles/mm also the periods 1/frequency in mm.

    unit: that of a frequency.

    >>> frequency_text([(500, 1000)], "Hz"), frequency_text([(0.125, 0.25)] * 3, "cycles/mm")
    ('500–1000 Hz', '0.125–0.25 cycles/mm (4–8 mm)')
    >>> frequency_text([(0, 0.125), (0, 0.05)], "cycles/mm")
    '0–0.125 × 0–0.05 cycles/mm (≥ 8 × ≥ 20 mm)'
    """
    text = f"{range_text(ranges)} {unit}"
    if unit != frequency_unit("mm"):
        return text
    texts = [f"{short(1 / high)}–{short(1 / low)}" if low else f"≥ {short(1 / high)}" if high else "∞" for low, high in ranges]
    return f"{text} ({texts[0] if len(set(texts)) == 1 else ' × '.join(texts)} mm)"


def short(number: float) -> str:
    """A number with three digits or more, and without an exponent.

    >>> short(11025.0), short(0.0833333)
    ('11025', '0.0833')
    """
    digits = max(3, len(str(int(abs(number)))))
    return str(np.format_float_positional(number, precision=digits, fractional=False, trim="-"))


def steps_of(layout: Layout, step: Sequence[float]) -> tuple[float, ...] | None:
    """The steps of the axes along which the bands of a layout have frequencies; None where that is not certain.

    It is not for samples, which have no frequency, nor where a transform mixes channels, whose bands then belong to them.
    """
    frequency = layout.frequency
    known = [axis for axis in range(len(frequency)) if bool(torch.isfinite(frequency[axis]).any())]
    letters = {len(band.orientation) for band in layout.bands if band.orientation and set(band.orientation) <= set("ad")}
    sampled = all(band.unit == "cycles/sample" for band in layout.bands)
    return tuple(step[axis] for axis in known) if known and sampled and letters <= {len(known)} else None


def band_texts(layout: Layout, step: Sequence[float], unit: str, by: str = "octave") -> dict[str, str]:
    """The frequencies of each group of bands as `frequency_text` writes them, "" where a group has none.

    >>> from pullback.transforms import get
    >>> band_texts(get("dwt(haar, level=1)", shape=(1, 8)).layout, [1 / 16000], "s")
    {'coarser': '0–4000 Hz', 'octave 1': '4000–8000 Hz'}
    """
    own, bands = steps_of(layout, step), layout.group(by).bands
    if own is None:
        return {band.name: "" for band in bands}
    return {band.name: frequency_text(band_ranges(band, own), frequency_unit(unit)) for band in bands}


def octave_table(layout: Layout, rate: float | Sequence[float], columns: Mapping[str, Any]) -> "pd.DataFrame":
    """A row for each octave, coarse to fine: its frequencies low to high, and further columns; see `Attribution.octaves`.

    Raises: ValueError where `rate` is not one positive number, or one for each axis of the signal.
    """
    import pandas as pd  # imported here, as it takes long

    rates, bands = _rates(rate, len(layout.frequency)), layout.group("octave").bands
    step = steps_of(layout, tuple(1 / each for each in rates))
    found = pd.DataFrame(index=pd.Index([band.name for band in bands], name="octave"))
    several = step is not None and len(set(step)) > 1
    for axis in range(len(step) if step and several else 1):
        mark = f" {axis + 1}" if several else ""
        ranges = [band_ranges(band, step)[axis] if step else (float("nan"),) * 2 for band in bands]
        found[f"low{mark}"], found[f"high{mark}"] = zip(*ranges)
    return found.assign(**columns)


def _rates(rate: Any, axes: int) -> tuple[float, ...]:
    given = tuple(rate) if isinstance(rate, list | tuple) else (rate,) * axes
    if len(given) != axes or not all(is_number(one) and 0 < one < float("inf") for one in given):
        wanted = "samples per second, or per mm or another unit, one positive number"
        raise ValueError(f"octaves: expected rate as {wanted} or {axes}, one for each axis; got {quoted(rate)}.")
    return tuple(map(float, given))
