"""Series: some channels over time, as of an EEG, an accelerometer or a machine."""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ...attribution import Attribution
from ...attribution.plot import Show, density
from ...core.files import plain
from ...transforms import Transform, TransformClaim
from ...transforms.units import band_texts
from .base import Kind, Part, Wants, check_size
from .edf import read_edf
from .frames import deepest, framed, resampled
from .plane import Plane, draw_bars, draw_line, draw_plane, octaves, tiles
from .signal import Signal, sizes
from .tables import check_case, load_array, pick_array, read_csv, read_ts, ts_cases

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = "values", "x", "data"  # of the array of an .npz file
DRAWN = 6  # channels, those with the largest shares


class Series(Kind):
    """Channels × time. Where a file names no rate and the model none, frequencies are in cycles/sample."""

    name, what, plural, axes = "series", "a series", "series", 1
    windowed = True
    suffixes = (".csv", ".ts", ".edf", ".npy", ".npz")
    caption = (
        "Each channel and where its attribution lies; the attribution over time and frequency, or of channels and octaves."
    )
    several = (".ts", ".npy", ".npz")

    def read(self, path: Path, part: Part | None = None) -> Signal:
        if not path.is_file():
            raise ValueError(f"{plain(path.name)}: expected a file with a series ({', '.join(self.suffixes)}).")
        values, names, step, notes = _read(path, part)
        check_size(path.name, values.shape)
        with np.errstate(over="ignore"):
            single = np.array(values, dtype=np.float32)
        if not np.isfinite(single).all():
            lost = "numbers too large for single precision; scale them" if np.isfinite(values).all() else ""
            raise ValueError(f"{plain(path.name)}: holds {lost or 'NaN or infinity; fill the gaps first'}.")
        more = "channels than times; if they are exchanged, save the transpose"
        odd = f"{values.shape[0]} × {values.shape[1]} has more {more}" if values.shape[0] > values.shape[1] else ""
        signal = Signal(torch.from_numpy(single), (step or 1.0,), "s" if step else "sample", path.name, origin=tuple(names))
        signal = signal.but(*notes, odd)
        return signal if path.suffix.lower() == ".edf" else _cut(signal, part)

    def cases(self, path: Path) -> list[str]:
        suffix = path.suffix.lower()
        try:
            if suffix == ".ts":
                return ts_cases(path)
            values = pick_array(path, load_array(path), NAMES) if suffix in self.several else np.zeros(1)
        except (OSError, ValueError):  # which reading it will raise again
            return []
        return [""] * len(values) if values.ndim == 3 else []

    def fit(self, signal: Signal, wants: Wants) -> Signal:
        return resampled(signal, wants)

    def module(self, module: nn.Module, wants: Wants, shape: Sequence[int]) -> nn.Module:
        return framed(module, wants, shape)

    def domains(self, shape: Sequence[int]) -> tuple[str, ...]:
        level: Callable[[int], int] = lambda taps: deepest(shape[-1], taps, 8)
        across = ("along(dct, axes=0)", f"per_axis(dct, dwt(db4, level={level(8)}))") if shape[0] > 1 else ()
        return "pixel", f"dwt(haar, level={level(2)})", f"dwt(db4, level={level(8)})", "stft", "dct", "dft", *across

    def explained(self, shape: Sequence[int]) -> tuple[str, ...]:
        return self.domains(shape)[2], "stft"

    def figures(self, att: Attribution, signal: Signal, title: str, show: Show | None = None) -> dict[str, "Figure"]:
        from matplotlib.figure import Figure

        found = {"": _traces(Figure(layout="constrained"), att, signal, title)}
        if len(signal.values) > 1 and keeps_channels(att.transform):
            found["-channels"] = _matrix(Figure(layout="constrained"), att, signal, title)
        return found

    def files(self, att: Attribution, signal: Signal, keep: float) -> dict[str, bytes]:
        return {f"-top{round(100 * keep)}.npy": array_bytes(att.signal(keep)[0])}


def _read(path: Path, part: Part | None) -> tuple[np.ndarray, Sequence[str], float | None, list[str]]:
    """(channels, time), the names of the channels, the step in s if it is known, and notes."""
    suffix, case = path.suffix.lower(), part.case if part else None
    if suffix == ".edf":
        return read_edf(path, part)
    if suffix == ".csv":
        return read_csv(path)
    if suffix == ".ts":
        values, label, count = read_ts(path, case or 0)
        first = f"the first of {count} series, of class {label or 'unknown'}"
        return values, (), None, [first] * (case is None and count > 1)
    arrays = load_array(path)
    values = pick_array(path, arrays, NAMES)
    if values.ndim == 3 and case is not None:
        values = values[check_case(path, case, len(values))]
    elif values.ndim not in (1, 2) or case is not None:
        many = f"; {plain(path.name)}#0 takes the first of {len(values)}" if values.ndim == 3 else ""
        raise ValueError(f"{plain(path.name)}: expected channels × time, got {sizes(values.shape)}{many}.")
    names = [str(name) for name in np.atleast_1d(arrays.get("channels", ()))]
    return np.atleast_2d(values), names, _step(path, arrays), []


def _step(path: Path, arrays: dict[str, np.ndarray]) -> float | None:
    if "rate" not in arrays:
        return None
    rate = float(arrays["rate"])
    if not np.isfinite(rate) or rate <= 0:
        raise ValueError(f"{plain(path.name)}: expected a positive rate in Hz, got {rate:g}.")
    return 1 / rate


def _cut(signal: Signal, part: Part | None) -> Signal:
    """The part of a series whose times are known."""
    if part is None or (part.start, part.seconds) == Part()[:2]:
        return signal
    if signal.unit != "s":
        raise ValueError(f"{plain(signal.name)}: --start and --seconds need a rate, which the file does not name.")
    length = signal.values.shape[-1]
    first = round(part.start / signal.step[0])
    last = length if part.seconds is None else min(length, first + round(part.seconds / signal.step[0]))
    if last <= first:
        raise ValueError(f"{plain(signal.name)}: lasts {length * signal.step[0]:g} s; that part of it is empty.")
    return signal.but(f"samples {first} to {last} of {length}", values=signal.values[:, first:last])


def keeps_channels(transform: Transform) -> bool:
    """Whether row c of z depends on channel c of x alone, which is tried."""
    shape = transform.shape
    if transform.layout.shape[0] != shape[0] or TransformClaim.LINEAR not in transform.claims:
        return False
    x = torch.zeros(1, *shape)
    x[0, 0] = torch.linspace(1, 2, shape[-1])
    return not bool(transform(x)[0, 1:].any())


def channel_names(signal: Signal) -> list[str]:
    """The names of the channels, or their numbers."""
    count = len(signal.values)
    named = signal.origin if isinstance(signal.origin, tuple) and len(signal.origin) == count else range(count)
    return [name if isinstance(name, str) else f"channel {name}" for name in named]


def of_channel(att: Attribution, channel: int) -> Attribution:
    """The part of an attribution that belongs to one channel, where the transform keeps channels apart."""
    only = torch.zeros_like(att.values)
    only[:, channel] = 1
    return replace(att, values=att.values * only, displacement=att.displacement * only)


def _weights(att: Attribution, apart: bool) -> np.ndarray | None:
    """Where the attribution of each channel lies, (channels, samples); None where that is not known."""
    if TransformClaim.LINEAR not in att.transform.claims:
        return None
    if apart:
        maps = [of_channel(att, channel).heatmap()[0] for channel in range(att.transform.shape[0])]
    elif att.covector is not None and att.kind == "share":
        maps = list((att.transform.inverse(att.displacement) * att.covector)[0])
    else:
        return None
    return np.stack([density(one, radius=max(1.0, one.shape[-1] / 400)) for one in maps])


def _planes(att: Attribution, shown: Sequence[int], apart: bool) -> list[Plane]:
    """The plane of time and frequency of each shown channel, or one for all of them, or none."""
    samples = att.transform.shape[-1]
    parts = [of_channel(att, channel) for channel in shown] if apart else [att]
    found = [tiles(part.values[0].abs().cpu(), part.layout, samples) or octaves(part, samples) for part in parts]
    return [plane for plane in found if plane is not None]


def _traces(figure: "Figure", att: Attribution, signal: Signal, title: str) -> "Figure":
    """Each channel, where its attribution lies, and its plane of time and frequency; bars for all channels together."""
    apart, names = keeps_channels(att.transform), channel_names(signal)
    weights = _weights(att, apart)
    order = range(len(names)) if weights is None else weights.sum(1).argsort()[::-1].tolist()
    shown = sorted(order[:DRAWN])
    planes = _planes(att, shown, apart)
    columns, step = 1 + bool(planes), signal.step[0]
    figure.set_size_inches(max(9.0, 4.2 * columns + 2.4), 1.2 + max(3.2, 1.6 * len(shown)))
    grid = figure.add_gridspec(len(shown), columns + 1, width_ratios=[2.2] * columns + [1])
    top = max([0.0, *(float(weights[channel].max()) for channel in shown)]) if weights is not None else 0.0
    for row, channel in enumerate(shown):
        axis = figure.add_subplot(grid[row, 0])
        draw_line(axis, signal.values[channel], None if weights is None else weights[channel], step, top)
        where = "" if row or weights is None else ", and where its attribution lies (red)"
        _label(axis, plain(names[channel])[:40] + where, signal, row == len(shown) - 1)
    limit = max([1e-30, *(float(np.quantile(plane.image, 0.998)) for plane in planes)])
    for row, plane in enumerate(planes):
        axis = figure.add_subplot(grid[row if len(planes) > 1 else slice(None), 1])
        draw_plane(axis, plane, step, limit, signal.unit)
        _label(axis, "" if row else "attribution, on a √ scale", signal, row == len(planes) - 1)
    draw_bars(figure.add_subplot(grid[:, columns]), att, signal)
    hidden = f"\n{len(names) - len(shown)} channels with smaller shares are not drawn" if len(names) > len(shown) else ""
    figure.suptitle(title + hidden, fontsize=10)
    return figure


def _label(axis: Any, title: str, signal: Signal, last: bool) -> None:
    axis.set_title(title, fontsize=8)
    axis.tick_params(labelsize=7, labelbottom=last)
    axis.set_xlabel(signal.unit if last else "", fontsize=8)


def _matrix(figure: "Figure", att: Attribution, signal: Signal, title: str) -> "Figure":
    """Channels × octaves: shares of Σ|a|."""
    bands = att.layout.group("octave")
    texts, names = band_texts(att.layout, signal.step, signal.unit), channel_names(signal)
    sums = torch.cat([bands.sum(of_channel(att, channel).values.abs()) for channel in range(len(names))])
    shares = (sums / sums.sum().clamp(min=1e-30)).cpu().numpy()
    figure.set_size_inches(2.5 + 0.8 * shares.shape[1], 1.8 + min(0.35 * len(names), 8))
    axis = figure.subplots()
    picture = axis.imshow(100 * shares, cmap="magma", aspect="auto", vmin=0)
    labels = [texts[band.name] or band.name for band in bands.bands]
    axis.set_xticks(range(len(labels)), labels, rotation=40, ha="right", fontsize=7)
    if len(names) <= 40:
        axis.set_yticks(range(len(names)), [plain(name)[:24] for name in names], fontsize=7)
    figure.colorbar(picture, ax=axis, label="% of Σ|a|")
    axis.set_title(title, fontsize=9)
    return figure


def array_bytes(values: Tensor) -> bytes:
    """An .npy file."""
    file = io.BytesIO()
    np.save(file, values.detach().cpu().numpy())
    return file.getvalue()
