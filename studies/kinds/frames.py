"""Signals of one axis and models that take a window of it: resampling, padding, and the mean over windows."""

import functools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from ...core.files import plain
from ...transforms.units import short
from .base import Wants, check_size
from .signal import Signal

MOST_AT_ONCE = 2**20  # samples in the windows that one forward pass takes
MOST_FACTOR = 10_000  # of a change of the rate; finer ones are rounded to it


class Framed(nn.Module):
    """A model of windows as a model of longer signals: the mean of its scores over windows that overlap by half.

    f(x) = 1/F Σ_i g(x[s_i … s_i + window)), s_i = i · window / 2, and one more window that ends with the signal where these
    leave samples over. Attributions of f are those of the windows, overlapped and added.

    module: g, (batch, channels, window) -> (batch, classes).  Shapes: (batch, channels, samples) -> (batch, classes).

    >>> loudness = Framed(nn.Sequential(nn.Flatten(), nn.AvgPool1d(4)), 4)
    >>> loudness(torch.tensor([[[1.0, 1, 1, 1, 1, 1, 9]]]))  # of the windows 0–3, 2–5 and 3–6
    tensor([[1.6667]])
    """

    def __init__(self, module: nn.Module, window: int) -> None:
        super().__init__()
        self.inner, self.window = module, window
        self.training = getattr(module, "training", False)

    def forward(self, x: Tensor) -> Any:
        hop = max(1, self.window // 2)
        frames = x.unfold(-1, self.window, hop).movedim(-2, 1)  # (batch, frames, channels, window)
        if (x.shape[-1] - self.window) % hop:
            frames = torch.cat([frames, x[:, None, :, -self.window :]], 1)
        scores = in_parts(self.inner, frames, max(1, MOST_AT_ONCE // self.window))
        return scores.mean(1) if isinstance(scores, Tensor) else scores  # several outputs are refused with their names


def in_parts(module: Callable[[Tensor], Any], pieces: Tensor, most: int) -> Any:
    """module of each piece. Where a signal has more than `most`, so many at a time: hours of sound need the memory of one part.

    Where gradients are recorded, what a part held in between is computed again in the backward pass.
    Shapes: (batch, pieces, *shape) to (batch, pieces, *output). Of a module that returns no tensor, what it returns.

    >>> in_parts(torch.sin, torch.ones(2, 5, 1), 3).shape
    torch.Size([2, 5, 1])
    """
    if pieces.shape[1] <= most:
        return _each(module, pieces)
    again = functools.partial(checkpoint, _each, use_reentrant=False) if torch.is_grad_enabled() else _each
    parts = (again(module, part) for part in pieces.split(max(1, most // len(pieces)), 1))
    first = next(parts)
    return torch.cat([first, *parts], 1) if isinstance(first, Tensor) else first


def _each(module: Callable[[Tensor], Any], pieces: Tensor) -> Any:
    """module of each piece; pieces may overlap in memory, and only those of one part are copied."""
    found = module(pieces.flatten(0, 1))
    return found.unflatten(0, pieces.shape[:2]) if isinstance(found, Tensor) else found


def framed(module: nn.Module, wants: Wants, shape: Sequence[int]) -> nn.Module:
    """`module` for signals of `shape`, which may be longer than its window."""
    return module if wants.window is None or shape[-1] <= wants.window else Framed(module, wants.window)


def resampled(signal: Signal, wants: Wants) -> Signal:
    """The signal at the rate of the model, by a polyphase filter without aliases; at least as long as its window.

    A signal whose rate is unknown is taken to have that of the model.

    >>> clip = Signal(torch.zeros(1, 44_100), (1 / 44_100,), "s", "clip.wav")
    >>> found = resampled(clip, Wants(rate=16_000))
    >>> found.values.shape, found.notes
    (torch.Size([1, 16000]), ('resampled from 44100 to 16000 Hz',))
    """
    if wants.rate and signal.unit == "sample":
        signal = signal.but(f"read at the model's {short(wants.rate)} Hz, as the file names no rate", unit="s")
        signal = signal.but(step=(1 / wants.rate,))
    elif wants.rate and not math.isclose(wants.rate * signal.step[0], 1, rel_tol=1e-9):
        signal = _at_rate(signal, wants.rate)
    missing = (wants.window or 0) - signal.values.shape[-1]
    if missing <= 0:
        return signal
    note = f"{missing} zeros added at the end, as the model takes {wants.window} samples"
    return signal.but(note, values=functional.pad(signal.values, (0, missing)))


def _at_rate(signal: Signal, rate: float) -> Signal:
    own = 1 / signal.step[0]
    factor = (Fraction(rate).limit_denominator(1000) / Fraction(own).limit_denominator(1000)).limit_denominator(MOST_FACTOR)
    samples = signal.values.shape[-1]
    if not factor or samples * factor < 1:
        raise ValueError(f"{plain(signal.name)}: {samples} samples at {short(own)} Hz cannot be changed to {short(rate)} Hz.")
    check_size(signal.name, (len(signal.values), math.ceil(samples * factor)))
    from scipy.signal import resample_poly  # imported here, as it takes long

    found = resample_poly(signal.values.numpy(), factor.numerator, factor.denominator, axis=-1)
    values = torch.from_numpy(found).to(signal.values)
    above = f"; there is nothing above {short(own / 2)} Hz" if rate > own else ""
    return signal.but(f"resampled from {short(own)} to {short(rate)} Hz{above}", values=values, step=(1 / rate,))


def deepest(samples: int, taps: int, most: int) -> int:
    """The largest number of wavelet levels, at most `most`, whose coarsest band is longer than the filter; at least 1.

    >>> deepest(16_000, 16, 8), deepest(100, 16, 8)
    (8, 2)
    """
    return max(1, min(most, int(math.log2(max(2, samples / (taps - 1))))))
