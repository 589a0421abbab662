"""Recordings: sound in a file, mixed down to one channel."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.io import wavfile
from torch import Tensor, nn

from ...attribution import Attribution
from ...attribution.plot import Show, density
from ...core.files import plain
from ...core.imports import needs
from ...transforms import TransformClaim
from ...transforms.units import short
from .base import SHORTER, Kind, Part, Wants, check_size
from .frames import deepest, framed, resampled
from .plane import LOUDEST, draw_bars, draw_line, draw_plane, octaves, spectrogram, tiles
from .signal import Signal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST = 60  # seconds that are read where no others are asked for
QUIET = 1e-3  # of full scale, -60 dB
SLOWEST = 100  # samples per second of a sound; less is a damaged header, or a slow series
LOUD = 2.0  # times full scale, more than a master that is a little too loud
FULL, CLIPPED = 0.999, 4  # the value, and how many of it next to each other, that tell a clipped recording


class Audio(Kind):
    """A recording. Channels are mixed down, and the rate becomes that of the model; the notes say so.

    Of a long recording only the first 60 s are read, unless a part is asked for, so that memory is bounded.
    """

    name, what, plural, axes = "audio", "a recording", "recordings", 1
    heard = needs_rate = windowed = True
    caption = "The waveform and where its attribution lies; its spectrogram; the attribution over time and frequency."
    suffixes = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64", ".rf64")

    def read(self, path: Path, part: Part | None = None) -> Signal:
        if not path.is_file():
            raise ValueError(f"{plain(path.name)}: expected a file with sound.")
        stored, rate, note = read_sound(path, path.name, part)
        if rate < SLOWEST:
            said = f"its header says {rate} Hz, and sounds have {SLOWEST} Hz or more"
            raise ValueError(f"{plain(path.name)}: {said}; save it again with its true rate (--rate is that of the model).")
        values = torch.from_numpy(stored.mean(1, keepdims=True).T.copy())
        signal = Signal(values, (1 / rate,), "s", path.name)
        mixed = f"mean of {stored.shape[1]} channels" if stored.shape[1] > 1 else ""
        lost = mixed and float(values.abs().max()) < QUIET * float(np.abs(stored).max())
        return signal.but(note, mixed, "the channels cancel in their mean" if lost else "", *_about_levels(stored))

    def fit(self, signal: Signal, wants: Wants) -> Signal:
        if len(signal.values) > 1:
            signal = signal.but(f"mean of {len(signal.values)} channels", values=signal.values.mean(0, keepdim=True))
        if wants.rate is None and signal.unit == "s":
            own = f"goes to the model at its own {short(1 / signal.step[0])} Hz, as the model names no rate"
            signal = signal.but(f"{own}; say the model's with --rate (in Python rate=)")
        return resampled(signal, wants)

    def module(self, module: nn.Module, wants: Wants, shape: Sequence[int]) -> nn.Module:
        return framed(module, wants, shape)

    def domains(self, shape: Sequence[int]) -> tuple[str, ...]:
        depth: Callable[[int], int] = lambda most: deepest(shape[-1], 16, most)  # db8 has 16 taps
        return "pixel", f"dwt(db8, level={depth(8)})", f"wpt(db8, level={depth(6)})", "stft", "mdct", "dct", "dft"

    def explained(self, shape: Sequence[int]) -> tuple[str, ...]:
        return "stft", self.domains(shape)[1]

    def figures(self, att: Attribution, signal: Signal, title: str, show: Show | None = None) -> dict[str, "Figure"]:
        from matplotlib.figure import Figure

        line, step = signal.values[0], signal.step[0]
        plane = tiles(att.values[0].abs().cpu(), att.layout, len(line)) or octaves(att, len(line))
        linear = TransformClaim.LINEAR in att.transform.claims
        weight = density(att.heatmap()[0], radius=len(line) / 800) if linear else None
        rows = 2 + (plane is not None)
        figure = Figure(figsize=(10, 1.2 + 1.9 * rows), layout="constrained")
        grid = figure.add_gridspec(rows, 2, width_ratios=(4, 1))
        axes = [figure.add_subplot(grid[row, 0]) for row in range(rows)]
        draw_line(axes[0], line, weight, step)
        axes[0].set_title("waveform" + (", and where its attribution lies (red)" if linear else ""), fontsize=8)
        draw_plane(axes[1], spectrogram(line), step, norm=None, vmin=-LOUDEST, vmax=0, cmap="gray")
        axes[1].set_title(f"spectrogram, {LOUDEST} dB", fontsize=8)
        if plane is not None:
            draw_plane(axes[2], plane, step)
            axes[2].set_title("attribution, on a √ scale", fontsize=8)
        _finish(axes)
        draw_bars(figure.add_subplot(grid[:, 1]), att, signal)
        figure.suptitle(title, fontsize=10)
        return {"": figure}

    def files(self, att: Attribution, signal: Signal, keep: float) -> dict[str, bytes]:
        return {f"-top{round(100 * keep)}.wav": sound(att.signal(keep)[0], signal.step[0])}

    def embedded(self, values: Tensor, signal: Signal) -> dict[str, bytes]:
        return {".wav": sound(values, signal.step[0])}


def read_sound(source: Path | io.BytesIO, name: str, part: Part | None = None) -> tuple[np.ndarray, int, str]:
    """(samples, channels) in [-1, 1], the rate in Hz, and a note if that is only a part of the sound.

    source: a file, or its bytes.  name: begins the messages.  Raises: ValueError with one sentence; ImportError.
    """
    with needs("Reading sound", "'pullback[audio]'"):
        import soundfile
    try:
        with soundfile.SoundFile(source) as file:
            stored, rate, note = _samples(file, name, part)
    except soundfile.LibsndfileError as error:
        why = plain(str(error).partition(": ")[2] or error).rstrip(".")
        raise ValueError(f"{plain(name)}: no sound that can be read ({why}).") from None
    check_size(name, stored.shape)
    if not np.isfinite(stored).all():
        raise ValueError(f"{plain(name)}: holds NaN or infinity; save it again.")
    return stored, rate, note


def _samples(file: Any, name: str, part: Part | None) -> tuple[np.ndarray, int, str]:
    """(samples, channels) of an open file, its rate, and a note if that is only a part of it."""
    rate, whole = file.samplerate, file.frames
    start, seconds = (part or Part())[:2]
    first = round(start * rate)
    if first and first >= whole:
        raise ValueError(f"{plain(name)}: lasts {short(whole / rate)} s; it has no sound from second {short(start)} on.")
    count = min(whole - first, round((LONGEST if seconds is None else seconds) * rate))
    check_size(name, (count, file.channels), SHORTER)
    file.seek(first)
    stored = file.read(count, dtype="float32", always_2d=True)
    cut = f"seconds {short(start)} to {short(start + count / rate)} of {short(whole / rate)}; --start and --seconds take others"
    return stored, rate, cut if len(stored) < whole else ""


def _about_levels(stored: np.ndarray) -> list[str]:
    """What is unusual about the level of a recording, (samples, channels)."""
    peak = float(np.abs(stored).max())
    if peak == 0:
        return ["silence: every sample is 0"]
    if peak < QUIET:
        return [f"very quiet: its loudest sample is {20 * np.log10(peak):.0f} dB below full scale"]
    if peak > LOUD:
        return [f"beyond full scale: its largest sample is {peak:.3g}, where 1 is full; scale it if it holds whole numbers"]
    full = (np.abs(stored) >= FULL).all(1) if stored.shape[1] == 1 else (np.abs(stored) >= FULL).any(1)
    runs = np.convolve(full, np.ones(CLIPPED), "valid") == CLIPPED
    return [f"clipped: {int(full.sum())} samples are at full scale"] if runs.any() else []


def _finish(axes: Sequence[Any]) -> None:
    """One axis of time for all panels."""
    for axis in axes:
        axis.set_xlim(axes[0].get_xlim())
        axis.tick_params(labelsize=7, labelbottom=axis is axes[-1])
    axes[-1].set_xlabel("s", fontsize=8)


def sound(values: Tensor, step: float) -> bytes:
    """A WAV file of 16 bits; a signal beyond full scale is made softer.  values: (channels, samples)."""
    samples = values.detach().double().cpu().numpy().T
    scaled = samples / max(1.0, float(np.abs(samples).max()))
    file = io.BytesIO()
    wavfile.write(file, round(1 / step), np.round(32767 * scaled).astype(np.int16))
    return file.getvalue()
