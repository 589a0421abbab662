"""The view of one example: the signal, its maps at each scale and its selected signals, as plain data for a page.

A view holds pictures and sounds as data URIs and numbers; the page's script draws it. Its form follows from the number of
spatial axes: lines, a picture, or slices of a volume.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...attribution import Attribution
from ...attribution.plot import Show, as_image, as_shares, band_maps, density, extremes, robust_limit
from ...transforms import TransformClaim
from ...transforms.units import band_texts, frequency_unit
from ..kinds.plane import LOUDEST, Plane, octaves, spectrogram, tiles
from ..kinds.series import channel_names, keeps_channels, of_channel
from ..kinds.signal import Signal
from ..kinds.slices import cut_name, facing, upright
from .encode import coarse, colored, mosaic, overlay, place, uri, webp

KEPT = (0.01, 0.05, 0.1)  # of the number of samples
FORMS = ("lines", "picture", "volume")  # by the number of spatial axes
SIDE, SIDE_3D, SIDE_MAP = 448, 64, 128  # samples along an axis of pictures, volumes and maps, which are smooth
POINTS, CHANNELS = 600, 8  # of lines
ROWS = 96  # of a plane of time and frequency


@dataclass(frozen=True)
class Drawing:
    """How the signals of one example are shown.

    signal: the example on its grid.  show: as in `attribution.plot`.  embedded: files that present values, by ending.
    """

    signal: Signal
    show: Show | None
    embedded: Callable[[Tensor], dict[str, bytes]]

    def shown(self, values: Tensor) -> dict[str, Any]:
        """A signal (channels, *spatial) as plain data."""
        found = (self._lines, self._picture, self._volume)[min(values.ndim, 4) - 2](values)
        for end, data in self.embedded(values).items():
            if end == ".wav":
                found |= {"sound": uri(data, "audio/wav"), "spectrogram": self.plane(spectrogram(values[0]), gray=True)}
        return found

    def _lines(self, values: Tensor) -> dict[str, Any]:
        names = channel_names(self.signal)
        if len(names) != len(values):
            names = [f"channel {number}" for number in range(len(values))]
        lines = []
        for name, line in list(zip(names, values))[:CHANNELS]:
            at, height = extremes(line.detach().double().cpu().numpy(), POINTS)
            lines.append({"name": name, "at": at.tolist(), "values": _rounded(height)})
        return {"lines": lines, "channels": len(values), "samples": values.shape[-1]}

    def _picture(self, values: Tensor) -> dict[str, Any]:
        whole = self.signal.values.to(values)
        if self.show is not None:
            image, like = self.show(values).clamp(0, 1), values.new_tensor([0.0, 1.0])
        else:
            image, like = values, whole if whole.shape == values.shape else values
        picture = as_image(image, like)
        step = max(1, max(picture.shape[:2]) // SIDE)
        return {"image": webp(picture[::step, ::step])}

    def _volume(self, values: Tensor) -> dict[str, Any]:
        volume = values.detach().double().mean(0).cpu().numpy()
        whole = self.signal.values.double().mean(0).cpu().numpy()
        low, high = float(whole.min()), float(whole.max())
        shown = (coarse(volume, SIDE_3D) - low) / max(high - low, 1e-30)
        step = tuple(size * old / new for size, old, new in zip(self.signal.step, volume.shape, shown.shape))
        middle, aspect, up, _ = upright(shown[len(shown) // 2], 0, self.signal.but(step=step))
        middle = (middle[::-1] if up else middle).repeat(max(1, round(aspect)), 0).repeat(max(1, round(1 / aspect)), 1)
        return slices(shown, self.signal.step) | {"image": webp(middle)}  # head up, in about its true proportions

    def plane(self, plane: Plane, gray: bool = False) -> dict[str, Any]:
        """A plane over time and octaves of frequency, as a picture with the ends of its axes."""
        lowest = max(plane.frequency[1] / 2, plane.frequency[-1] / 2**10)
        rows = np.geomspace(lowest, plane.frequency[-1], ROWS + 1)
        middle = np.sqrt(rows[1:] * rows[:-1])
        at = np.clip(np.searchsorted(plane.frequency, middle, "right") - 1, 0, len(plane.image) - 1)
        image = plane.image[at][::-1]
        limit = max(1e-30, float(np.quantile(plane.image, 0.998)))
        step = self.signal.step[0]
        return {
            "image": webp(1 + image / LOUDEST if gray else colored(image, limit)),
            "low": lowest / step,
            "high": float(plane.frequency[-1]) / step,
            "unit": frequency_unit(self.signal.unit),
            "length": float(plane.time[-1]) * step,
            "length_unit": self.signal.unit,
        }


def view(
    number: int, name: str, seen: str, maps: Sequence[Attribution], specs: Sequence[str], drawing: Drawing
) -> dict[str, Any]:
    """The view of example `number`, from one attribution (a batch of one) per domain.

    name: the signal's.  seen: the name of the predicted class, or "".
    """
    x = maps[0].transform.inverse(maps[0].coefficients)[0]
    parts = {spec: _maps(one) for spec, one in zip(specs, maps)}
    limit = robust_limit([panel for panels in parts.values() for panel in panels])
    domains = [_domain(spec, one, parts[spec], limit, drawing) for spec, one in zip(specs, maps)]
    about = {"number": number, "name": name, "seen": seen, "form": FORMS[min(x.ndim, 4) - 2], "shape": list(x.shape)}
    about |= {"step": list(drawing.signal.step), "unit": drawing.signal.unit}
    about |= {"faces": _faces(drawing.signal)} if x.ndim == 4 else {}
    return about | {"input": drawing.shown(x), "domains": domains}


def _faces(signal: Signal) -> list[dict[str, Any]]:
    """How the slices across each axis are turned, see `slices.facing`, and what they are called."""
    keys = "down", "across", "up", "sides"
    return [dict(zip(keys, facing(cut, signal))) | {"name": cut_name(cut, signal).capitalize()} for cut in range(3)]


def view_bytes(found: dict[str, Any]) -> bytes:
    """A view as a JSON file."""
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def slices(volume: np.ndarray, step: Sequence[float], limit: float | None = None) -> dict[str, Any]:
    """A volume (i, j, k) in [0, 1], or a density of it, as a mosaic of its slices.  step: the distances of its samples."""
    side, columns = mosaic(volume if limit is None else np.sqrt(np.clip(volume / max(limit, 1e-30), 0, 1)))
    return {"mosaic": webp(side, lossless=True), "size": list(volume.shape), "columns": columns, "steps": list(step)}


def _maps(one: Attribution) -> list[np.ndarray]:
    """The density of where each octave's share of Σ|a| lies, coarse to fine; of a volume on the grid that is shown."""
    if TransformClaim.LINEAR not in one.transform.claims:
        return []
    octaves = as_shares(band_maps(one))[0]
    if octaves.ndim == 4:
        return [coarse(panel.detach().double().abs().cpu().numpy(), SIDE_3D) for panel in octaves]
    radius = max(1.0, octaves.shape[-1] / 400) if octaves.ndim == 2 else 2.5
    return [density(panel, radius) for panel in octaves]


def _domain(spec: str, one: Attribution, panels: Sequence[np.ndarray], limit: float, drawing: Drawing) -> dict[str, Any]:
    """The maps and the selected signals of one domain."""
    shares = one.importance("octave").iloc[0]
    texts = band_texts(one.layout, drawing.signal.step, drawing.signal.unit)
    scales: list[dict[str, Any]] = [
        {"name": str(name), "text": texts[str(name)], "share": _number(shares[name])} for name in shares.index
    ]
    for scale, panel in zip(scales, panels):
        scale |= _panel(panel, limit, drawing)
    selected = [{"keep": keep} | drawing.shown(one.signal(keep)[0]) for keep in KEPT]
    found = {"domain": spec, "scales": scales, "selected": selected}
    return found | (_series(one, drawing) if len(one.transform.shape) == 2 else {})


def _panel(panel: np.ndarray, limit: float, drawing: Drawing) -> dict[str, Any]:
    if panel.ndim == 1:
        at, height = extremes(panel, POINTS)
        return {"at": at.tolist(), "heat": _rounded(np.clip(height / max(limit, 1e-30), 0, 1))}
    if panel.ndim == 2:
        return {"heat": webp(overlay(coarse(panel, SIDE_MAP), limit), 50), "where": place(panel)}
    return slices(panel, drawing.signal.step, limit)


def _series(one: Attribution, drawing: Drawing) -> dict[str, Any]:
    """The plane of time and frequency, and of several channels the share of each channel and octave."""
    samples = one.transform.shape[-1]
    plane = tiles(one.values[0].abs().cpu(), one.layout, samples) or octaves(one, samples)
    found: dict[str, Any] = {"plane": drawing.plane(plane)} if plane is not None else {}
    names = channel_names(drawing.signal)
    if len(names) > 1 and len(names) == one.transform.shape[0] and keeps_channels(one.transform):
        bands = one.layout.group("octave")
        sums = torch.cat([bands.sum(of_channel(one, channel).values.abs()) for channel in range(len(names))])
        shares = (sums / sums.sum().clamp(min=1e-30)).cpu().numpy()
        found["channels"] = {
            "names": names,
            "octaves": [band.name for band in bands.bands],
            "shares": [_rounded(row) for row in shares],
        }
    return found


def _rounded(values: np.ndarray) -> list[float | None]:
    """Numbers with four digits, as JSON has them."""
    return [_number(value) for value in values]


def _number(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None
