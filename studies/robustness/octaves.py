"""Octaves of radial frequency on a grid with any number of axes: filters, noise of one octave, and single waves.

Octave j holds the radii in (2^-(j+1), 2^-j] cycles/sample, octave 1 also those above 1/2, in the corners of the grid. What is
below the deepest octave, without the mean, is "coarser". A mask depends on the radius alone, which is the same for a frequency
and its negative, so that filtered signals are real without a projection; they are not clipped.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

DEEPEST = 6  # octaves that filters and noise tell apart at most
WAVES = 15  # frequencies along each axis of a Fourier heat map at most


def radius(shape: Sequence[int]) -> Tensor:
    """The distance of each bin of the discrete Fourier transform from frequency 0, in cycles/sample. Shape: `shape`.

    >>> radius((4,)).tolist(), round(float(radius((2, 2)).max()), 4)
    ([0.0, 0.25, 0.5, 0.25], 0.7071)
    """
    squares = [torch.fft.fftfreq(n, dtype=torch.double).square() for n in shape]
    grids = torch.meshgrid(*squares, indexing="ij")
    return torch.stack(grids).sum(0).sqrt()


def octave_of(shape: Sequence[int], deepest: int) -> Tensor:
    """The octave of each bin, at most `deepest` + 1, which stands for "coarser"; 0 for frequency 0. Shape: `shape`.

    >>> octave_of((16,), 2).tolist()
    [0, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 3]
    """
    away = radius(shape)
    octave = torch.full(away.shape, deepest + 1)
    for number in range(deepest, 0, -1):
        octave[away > 2.0 ** -(number + 1)] = number
    octave[away == 0] = 0
    return octave


def depth(shape: Sequence[int]) -> int:
    """The octaves that filters tell apart: below the deepest one there is still a frequency other than 0.

    >>> depth((28, 28)), depth((224, 224)), depth((150,))
    (3, 6, 6)
    """
    finest = min(shape)
    return max(1, min(DEEPEST, math.floor(math.log2(max(4, finest))) - 1))


def passed(x: Tensor, octave: int, low: bool) -> Tensor:
    """x without the octaves 1 to `octave` (a low-pass filter), or with these octaves and the mean alone (a high-pass one).

    x: (batch, channels, *spatial). The mean of each channel stays in both: a change of brightness is another question.

    >>> wave = torch.tensor([1.0, -1.0]).repeat(4)[None, None]
    >>> float(passed(wave, 1, low=True).abs().max()) < 1e-6, bool((passed(wave, 1, low=False) - wave).abs().max() < 1e-6)
    (True, True)
    """
    own = octave_of(x.shape[2:], octave).to(x.device)
    mask = (own == octave + 1) if low else (own <= octave) & (own > 0)
    return _masked(x, mask | (own == 0))


def octave_noise(noise: Tensor, octave: int, deepest: int) -> Tensor:
    """The part of `noise` (batch, channels, *spatial) in one octave, scaled to mean square 1 in each example."""
    kept = _masked(noise, octave_of(noise.shape[2:], deepest).to(noise.device) == octave)
    size = kept.flatten(1).square().mean(1).sqrt()
    return kept / size.reshape(-1, *[1] * (kept.ndim - 1))


def _masked(x: Tensor, mask: Tensor) -> Tensor:
    axes = tuple(range(2, x.ndim))
    return torch.fft.ifftn(torch.fft.fftn(x, dim=axes) * mask, dim=axes).real


def waves(shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Frequencies of a Fourier heat map, in cycles per side of the grid; of each pair ±k one. Along an axis at most 15.

    >>> waves((8,)), len(waves((28, 28)))
    ([(0,), (1,), (2,), (3,), (4,)], 113)
    """
    sides = []
    for n in shape:
        step = math.ceil(n / WAVES)
        sides.append([k * step for k in range(-(n // 2 // step), n // 2 // step + 1)])
    found = {max(each, tuple(-k for k in each)) for each in itertools.product(*sides)}
    return sorted(found)


def wave(shape: Sequence[int], frequency: Sequence[int], phase: Tensor) -> Tensor:
    """cos(2π Σ k n / N + phase) with mean square 1: one wave for each phase. Shapes: phase (…); result (…, *shape)."""
    grids = torch.meshgrid(*[torch.arange(n).to(phase) / n for n in shape], indexing="ij")
    angle = sum(k * grid for k, grid in zip(frequency, grids))
    found = torch.cos(2 * torch.pi * angle + phase.reshape(*phase.shape, *[1] * len(shape)))
    size = found.flatten(phase.ndim).square().mean(-1).sqrt().clamp(min=torch.finfo(phase.dtype).eps)
    return found / size.reshape(*phase.shape, *[1] * len(shape))


def share_by_octave(gradient: Tensor, deepest: int) -> Tensor:
    """Σ |FFT(∇f)|² by octave, coarse to fine, without frequency 0. Shape: (batch, deepest + 1).

    gradient: (batch, channels, *spatial); the power of each channel counts, so that opposed channels do not cancel.
    Source: Krishnamachari, Ng & Foo 2022, §3, there after a mean over channels.

    >>> colours = torch.tensor([1.0, -1.0]).repeat(4)[None, None] * torch.tensor([[[1.0], [-1.0]]])
    >>> share_by_octave(colours, 1).round(decimals=4).tolist()  # their mean over channels would be 0
    [[0.0, 128.0]]
    """
    axes = tuple(range(2, gradient.ndim))
    power = torch.fft.fftn(gradient.double(), dim=axes).abs().square().sum(1)
    own = octave_of(gradient.shape[2:], deepest).to(power.device)
    return torch.stack([power[:, own == number].sum(1) for number in range(deepest + 1, 0, -1)], 1)
