"""Bases that are local to blocks: how an axis is cut, and the meaning of the coefficients of its blocks."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...core.precision import SINGLE
from ..layout import Layout, Shape, octave_layout, spread

Runs = tuple[tuple[int, int], ...]  # (length, count) of neighbouring blocks of one length, along one axis


def in_blocks(x: Tensor, runs: Runs, along_last: Callable[[Tensor], Tensor]) -> Tensor:
    """`along_last`, which maps (*batch, n) to the same shape, on each block of the last axis of x."""
    parts = x.split([length * count for length, count in runs], -1)
    done = [along_last(part.unflatten(-1, (count, length))).flatten(-2) for part, (length, count) in zip(parts, runs)]
    return done[0] if len(done) == 1 else torch.cat(done, -1)


def each_axis(x: Tensor, along_last: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
    """One map per signal axis of x (batch, channels, *spatial), each written for the last axis."""
    for axis, apply in enumerate(along_last, start=2):
        x = apply(x.transpose(axis, -1).contiguous()).transpose(axis, -1)
    return x.contiguous()


def block_layout(shape: Shape, runs: Sequence[Runs], frequency: Callable[[int], Tensor]) -> Layout:
    """Layout of a separable basis that is local to blocks: bands by octave, positions at the centres of the blocks.

    The lowest coefficient of a block counts as its mean, also where its centre frequency is not 0, so that the bands
    are those of a wavelet transform. An axis of one block has no positions; a single sample among blocks has no frequency.

    frequency: block length n -> centre frequency of each of its coefficients in cycles/sample, ascending, (n,).
    """
    axes = [[(frequency(length), count) for length, count in run] for run in runs]
    bands = [torch.cat([torch.cat([f[:1] * 0, f[1:]]).repeat(count) for f, count in axis]) for axis in axes]
    known = [torch.cat([(f if len(f) > 1 or len(axis) == 1 else f * math.nan).repeat(n) for f, n in axis]) for axis in axes]
    position = spread([_centres(run) for run in runs], shape)
    return replace(octave_layout(shape, bands), frequency=spread(known, shape), position=position)


def _centres(runs: Runs) -> Tensor:
    """Centre of the block of each coefficient, in samples; NaN if there is only one block."""
    lengths = torch.cat([torch.full((count,), length) for length, count in runs])
    centres = lengths.cumsum(0) - (lengths + 1).to(SINGLE) / 2
    return (centres if len(lengths) > 1 else centres * math.nan).repeat_interleave(lengths)


def every_second(x: Tensor, axis: int, start: int) -> Tensor:
    """Samples start, start + 2, … of an axis."""
    return x.movedim(axis, 0)[start::2].movedim(0, axis)


def interleave(even: Tensor, odd: Tensor, axis: int) -> Tensor:
    """An axis from its samples 0, 2, 4, … and 1, 3, 5, …; `even` may have one more than `odd`."""
    pairs, axis = odd.shape[axis], axis % even.ndim
    x = torch.stack([even.narrow(axis, 0, pairs), odd], axis + 1).flatten(axis, axis + 1)
    return torch.cat([x, even.narrow(axis, pairs, 1)], axis) if even.shape[axis] > pairs else x


def balanced_size(n: int, least: int) -> int:
    """A power of two near 2√n, at most 1024: windows that resolve n samples in time and frequency alike."""
    return min(1024, max(least, 2 ** round(1 + math.log2(n) / 2)))
