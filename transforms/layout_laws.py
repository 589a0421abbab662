"""The frequencies that a layout states, compared with those of the signals that its coefficients make."""

import torch
from torch import Tensor

from .base import Transform

MOST = 32  # groups of coefficients that are measured, spread evenly over all groups


def frequency_order(transform: Transform, z: Tensor) -> float | None:
    """How far, beyond two bins of the DFT, measured frequencies are out of the order that the layout states.

    Coefficients that state one frequency get random values and all others 0. Half of the energy of the resulting T⁻¹ z lies
    below its median frequency, along each axis. No group may have a median that is lower than that of a group with a lower
    stated frequency by more than 2/n cycles/sample, the width of the main lobe of n samples, below which a spectrum cannot
    separate frequencies. The same holds for bands and the middle of their range, on the axis where it is highest.
    Coefficients without a frequency (NaN) are left out.

    None where fewer than two frequencies are stated. z: random coefficients, (batch, *layout.shape).
    """
    frequency = transform.layout.frequency.double()
    axes = [axis for axis, row in enumerate(frequency) if bool(row.isfinite().any())]  # those with frequencies
    if not axes:
        return None
    known = frequency[axes].isfinite().all(0)
    sizes = [transform.shape[1 + axis] for axis in axes]
    lines = [torch.fft.fftfreq(n, device=z.device, dtype=z.dtype).abs() for n in transform.shape[1:]]
    grid = torch.stack(torch.meshgrid(*lines, indexing="ij"))[axes]
    own = _disorder(transform, z, *_frequencies(frequency[axes], known), grid, sizes)
    bands = _disorder(transform, z, *_ranges(transform, known), grid.amax(0, keepdim=True), [min(sizes)])
    return max((value for value in (own, bands) if value is not None), default=None)


def _frequencies(frequency: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """(label, stated): the group of each coefficient, -1 for none; frequencies of the groups, (groups, axes)."""
    stated, group = torch.unique(frequency[:, known].T.mul(1e6).round(), dim=0, return_inverse=True)
    label = torch.full(known.shape, -1)
    label[known] = group
    return label, stated / 1e6


def _ranges(transform: Transform, known: Tensor) -> tuple[Tensor, Tensor]:
    """The same for the bands that have a scale: the middle of their range, (bands, 1)."""
    bands, index = transform.layout.bands, transform.layout.index
    sizes = torch.bincount(index[known], minlength=len(bands))
    scaled = [i for i, band in enumerate(bands) if band.scale and band.unit == "cycles/sample" and sizes[i]]
    lookup = torch.full((len(bands),), -1)
    lookup[scaled] = torch.arange(len(scaled))
    middles = [(bands[i].low + bands[i].high) / 2 for i in scaled]
    return lookup[index].where(known, -1), torch.tensor(middles, dtype=torch.double)[:, None]


def _disorder(transform: Transform, z: Tensor, label: Tensor, stated: Tensor, rulers: Tensor, sizes: list[int]) -> float | None:
    """The largest inversion among groups, less two bins.

    label: the group of each coefficient.  stated: (groups, rulers).  rulers: a frequency for each bin, (rulers, *bins).
    sizes: samples along the axis of each ruler.
    """
    if len(stated) < 2:
        return None
    label = label.to(z.device)
    chosen = torch.linspace(0, len(stated) - 1, min(MOST, len(stated))).round().long()
    medians = torch.stack([_medians(transform, z * (label == group).to(z), rulers) for group in chosen])
    stated = stated[chosen].to(medians)
    higher = stated[:, None] - stated > 1e-5  # (groups, groups, rulers)
    inversion = (medians - medians[:, None] - 2 / medians.new_tensor(sizes)).clamp(min=0)
    return float(torch.where(higher, inversion.nan_to_num(), 0).max())


def _medians(transform: Transform, z: Tensor, rulers: Tensor) -> Tensor:
    """The frequency below which half of the energy of T⁻¹ z lies, on each ruler; NaN where there is none. (rulers,)"""
    x = transform.inverse(z)
    power = torch.fft.fftn(x, dim=tuple(range(2, x.ndim))).abs().square().sum((0, 1)).flatten()
    found = []
    for ruler in rulers:
        values, order = ruler.flatten().sort(stable=True)
        energy = power[order].cumsum(0)
        half = energy >= energy[-1] * (0.5 - 1e-4)  # so that rounding does not decide between equal halves
        found.append(values[half.int().argmax()] if energy[-1] > 0 else values.new_tensor(float("nan")))
    return torch.stack(found)
