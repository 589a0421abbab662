"""One level of a separable two-channel filter bank, periodic and critically sampled for every size."""

import functools
import itertools
import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.constant import Constant
from . import triton_guard as accelerated
from .decimation import Decimation, Filters, apply_matrix

ANALYSIS, SYNTHESIS = 0, 1  # the two pairs of filters of a bank


class FilterBank:
    """Splits a signal into approximation and detail along each of its last axes, and merges them again.

    With h the (reversed) decomposition filter of L taps, along one axis of even length n

        a[k] = Σ_m h[m] x[(2k + m + 1 - L/2) mod n],

    PyWavelets' `periodization`. At odd n the first n - 1 samples are split and the last one joins the approximation
    unchanged, which keeps the bank critically sampled, and orthonormal where the wavelet is. `merge` is the transpose
    of the same operation with the reconstruction filters.

    Tabulated filters reconstruct only to their printed precision (sym20: 5e-11; dmey, cut to 62 taps: 8e-3), so
    `merge` adds `refinements` Neumann steps, T⁻¹ = Σ_i (I - S A)^i S, and is exact for those too.
    """

    def __init__(self, wavelet: Any) -> None:
        lowpass, highpass = wavelet.dec_lo[::-1], wavelet.dec_hi[::-1]
        self._analysis = (tuple(lowpass), tuple(highpass))
        self._synthesis = (tuple(wavelet.rec_lo), tuple(wavelet.rec_hi))
        pairs = (self._analysis, self._synthesis)
        self._decimations = [Decimation(filters, self._left()) for filters in pairs]
        self._filters = [Constant(torch.tensor(filters, dtype=torch.double)) for filters in pairs]
        self._kept: dict[int, list[Constant]] = {}
        self.refinements = _refinements(_error(self._synthesis, self._analysis))
        self.orthonormal = _error(self._analysis, self._analysis) < 1e-10

    def isometric(self, n: int) -> bool:
        """Whether splitting n samples keeps lengths: always where the wavelet is orthonormal; on a signal shorter than
        the filters, whose taps then fold onto each other, sometimes for others too (to one sample nothing happens)."""
        pairs = n // 2
        return self.orthonormal or pairs == 0 or _error(self._analysis, self._analysis, 2 * pairs) < 1e-10

    def split(self, x: Tensor, dims: int, dual: bool = False) -> dict[str, Tensor]:
        """{key: band} of one level, one letter per axis; `dual` applies the transpose of `merge` instead."""
        if dims == 2 and (kernels := self.fused(x, [x.shape[-2:]])) is not None:
            made = x.new_empty((*x.shape[:2], 4, *map(self._count, x.shape[-2:])))
            self.split_into(kernels, x.contiguous(), made, made.flatten(2), made.shape[-2:].numel(), dual)
            return dict(zip(_keys(2), made.unbind(2)))
        if self._of_blocks(x.shape[-dims:]):
            return self._split_blocks(x, dims, SYNTHESIS if dual else ANALYSIS)
        if self._of_windows(x.shape[-dims:]):
            return self._split_windows(x, dims, SYNTHESIS if dual else ANALYSIS)
        for axis in range(-dims, 0):
            x = self._split(x, axis, dual)
        bands = {"": x}
        for axis in range(-dims, 0):
            bands = {
                key + letter: part for key, band in bands.items() for letter, part in zip("ad", _halves(band, axis))
            }
        return bands

    def merge(self, bands: dict[str, Tensor], sizes: Sequence[int]) -> Tensor:
        """The signal of `sizes` whose bands these are: inverse of `split`."""
        if len(sizes) == 2 and bands["aa"].is_cuda:
            together = torch.stack([bands[key] for key in _keys(2)], 2)
            if (kernels := self.fused(together, [sizes])) is not None:
                return self.merge_from(kernels, together, together.flatten(2), together.shape[-2:].numel(), sizes)
        if self._of_blocks(sizes):
            return self._merge_blocks(bands, len(sizes))
        if self._of_windows(sizes):
            return self._merge_windows(bands, sizes)
        for axis in range(-1, -len(sizes) - 1, -1):
            keys = sorted({key[:-1] for key in bands})
            bands = {key: self.merge_axis(bands[key + "a"], bands[key + "d"], axis, sizes[axis]) for key in keys}
        return bands[""]

    def split_axis(self, x: Tensor, axis: int, dual: bool = False) -> tuple[Tensor, Tensor]:
        """(approximation, detail) along one axis, ⌈n/2⌉ and ⌊n/2⌋ coefficients."""
        return _halves(self._split(x, axis, dual), axis)

    def merge_axis(self, low: Tensor, high: Tensor, axis: int, size: int) -> Tensor:
        """Inverse of `split_axis` for a signal of `size` samples."""
        x = self._transpose(low, high, SYNTHESIS, axis, size)
        for _ in range(self.refinements):
            again_low, again_high = _halves(self._correlate(x, ANALYSIS, axis), axis)
            x = x + self._transpose(low - again_low, high - again_high, SYNTHESIS, axis, size)
        return x

    def fused(self, x: Tensor, sizes: Sequence[Sequence[int]]) -> ModuleType | None:
        """The GPU kernels, where they split and merge images like x of all these sizes."""
        if not x.is_cuda or not all(map(self._of_windows, sizes)):
            return None
        return accelerated.kernels(x, len(self._analysis[0]))

    def split_into(self, kernels: Any, x: Tensor, low: Tensor, z: Tensor, offset: int, dual: bool) -> None:
        """`split` of contiguous images by one kernel: approximations into low, details into z, see `kernels.split`."""
        filters = SYNTHESIS if dual else ANALYSIS
        count = [self._count(n) for n in x.shape[2:]]
        kernels.split(x, low, z, offset, self._filters[filters].like(x), self._left(), self._continued(filters), count)

    def merge_from(self, kernels: Any, low: Tensor, z: Tensor, offset: int, sizes: Sequence[int]) -> Tensor:
        """`merge` by one kernel of what `split_into` wrote."""
        x = z.new_empty((*z.shape[:2], *sizes))
        count = [self._count(n) for n in sizes]
        kernels.merge(x, low, z, offset, self._filters[SYNTHESIS].like(x), self._left(), self._transposed, count)
        return x

    def _of_windows(self, sizes: Sequence[int]) -> bool:
        """Whether the bands along each axis are what the filters give, and nothing else."""
        return not self.refinements and all(n and n % 2 == 0 for n in sizes)

    def _split_windows(self, x: Tensor, dims: int, filters: int) -> dict[str, Tensor]:
        """All axes, the last one first; their outputs are put in order only at the end, all at once."""
        lead, counts = x.ndim - dims, [self._count(n) for n in x.shape[-dims:]]
        for axis in reversed(range(dims)):
            x = self._decimations[filters].blocks(x, lead + axis, counts[axis], self._continued(filters))
        places = range(lead, lead + 3 * dims, 3)  # (…, blocks, 2, block) for each axis
        sizes = [x.shape[place] * x.shape[place + 2] for place in places]
        x = x.permute(
            *(place + 1 for place in places), *range(lead), *(i for place in places for i in (place, place + 2))
        )
        bands = x.reshape(2**dims, *x.shape[dims : dims + lead], *sizes)
        for axis, count in enumerate(counts, start=1 + lead):
            bands = bands if bands.shape[axis] == count else bands.narrow(axis, 0, count)
        return dict(zip(_keys(dims), bands.unbind(0)))

    def _merge_windows(self, bands: dict[str, Tensor], sizes: Sequence[int]) -> Tensor:
        """All axes, the last one first, from one tensor of all bands."""
        dims = len(sizes)
        lead = bands["a" * dims].ndim - dims
        x = torch.stack([bands[key] for key in _keys(dims)], lead).unflatten(lead, [2] * dims)
        x = x.permute(*range(lead), *(place for axis in range(dims) for place in (lead + axis, lead + dims + axis)))
        for axis in reversed(range(dims)):
            x = self._decimations[SYNTHESIS].join(x, lead + 2 * axis, sizes[axis], self._continued(SYNTHESIS))
        return x

    def _of_blocks(self, sizes: Sequence[int]) -> bool:
        """Whether two taps see two samples: then all axes are split at once, each block of 2^dims samples by itself."""
        return len(self._analysis[0]) == 2 and not any(n % 2 for n in sizes)

    def _split_blocks(self, x: Tensor, dims: int, filters: int) -> dict[str, Tensor]:
        lead = x.ndim - dims
        for axis in range(lead, lead + 2 * dims, 2):
            x = x.unflatten(axis, (-1, 2))
        places = range(lead + 1, lead + 2 * dims, 2)
        x = x.movedim(tuple(places), tuple(range(lead, lead + dims))).flatten(lead, lead + dims - 1)
        bands = apply_matrix(self._blocks(dims)[filters].like(x), x, lead)
        return {key: bands.select(lead, number) for number, key in enumerate(_keys(dims))}

    def _merge_blocks(self, bands: dict[str, Tensor], dims: int) -> Tensor:
        lead = bands["a" * dims].ndim - dims
        stacked = torch.stack([bands[key] for key in _keys(dims)], lead)
        x = apply_matrix(self._blocks(dims)[SYNTHESIS].like(stacked).T, stacked, lead).unflatten(lead, [2] * dims)
        x = x.movedim(tuple(range(lead, lead + dims)), tuple(range(lead + 1, lead + 2 * dims, 2)))
        for axis in range(lead, lead + dims):
            x = x.flatten(axis, axis + 1)
        return x

    def _blocks(self, dims: int) -> list[Constant]:
        """The filters of two taps as matrices (bands, places in a block)."""
        if dims not in self._kept:
            pairs = [torch.tensor(filters, dtype=torch.double) for filters in (self._analysis, self._synthesis)]
            self._kept[dims] = [Constant(functools.reduce(torch.kron, [pair] * dims)) for pair in pairs]
        return self._kept[dims]

    def _split(self, x: Tensor, axis: int, dual: bool) -> Tensor:
        """The approximation and after it the detail, along the axis that is split."""
        if not dual:
            return self._correlate(x, ANALYSIS, axis)
        total = residual = x  # transpose of the Neumann series in `merge_axis`
        for _ in range(self.refinements):
            parts = _halves(self._correlate(residual, SYNTHESIS, axis), axis)
            residual = residual - self._transpose(*parts, ANALYSIS, axis, x.shape[axis])
            total = total + residual
        return self._correlate(total, SYNTHESIS, axis)

    def _left(self) -> int:
        """How many samples the filters reach back before the first pair."""
        return len(self._analysis[0]) // 2 - 1

    def _count(self, n: int) -> int:
        """Outputs of each filter for n samples."""
        return n // 2

    def _continued(self, filters: int) -> str:
        """How a signal is continued past its ends."""
        return "periodic"

    @property
    def _transposed(self) -> str:
        """How bands are continued past their ends where they are merged."""
        return "periodic"

    def _correlate(self, x: Tensor, filters: int, axis: int) -> Tensor:
        """Every second output of both filters: approximation, then detail."""
        n = x.shape[axis]
        if n < 2:
            return x
        pairs = self._decimations[filters].apply(x.narrow(axis, 0, n - n % 2), axis, n // 2, "periodic")
        if n % 2 == 0:
            return pairs
        return torch.cat(
            [pairs.narrow(axis, 0, n // 2), x.narrow(axis, n - 1, 1), pairs.narrow(axis, n // 2, n // 2)], axis
        )

    def _transpose(self, low: Tensor, high: Tensor, filters: int, axis: int, size: int) -> Tensor:
        """The transpose of `_correlate` with the same filters."""
        pairs = size // 2
        if pairs == 0:
            return low
        x = self._decimations[filters].transpose(low.narrow(axis, 0, pairs), high, axis, 2 * pairs, "periodic")
        return torch.cat([x, low.narrow(axis, pairs, 1)], axis) if size % 2 else x


class PaddedBank(FilterBank):
    """The same filters on a signal that is continued past its ends, (n + L - 1) // 2 coefficients along each axis.

        a[k] = Σ_m h[m] x[2k + m + 2 - L],

    PyWavelets' modes other than `periodization`. `merge` is the same for all of them: what the continuation adds is cut.
    So its transpose is the split of the signal continued by zeros, whatever the mode.

    mode: zero, constant, periodic, symmetric or reflect.
    """

    def __init__(self, wavelet: Any, mode: str) -> None:
        super().__init__(wavelet)
        self._mode = mode

    def _left(self) -> int:
        return len(self._analysis[0]) - 2

    def _count(self, n: int) -> int:
        return (n + len(self._analysis[0]) - 1) // 2

    def _continued(self, filters: int) -> str:
        return "zero" if filters == SYNTHESIS else self._mode

    @property
    def _transposed(self) -> str:
        return "zero"

    def _of_windows(self, sizes: Sequence[int]) -> bool:
        return not self.refinements

    def _correlate(self, x: Tensor, filters: int, axis: int) -> Tensor:
        return self._decimations[filters].apply(x, axis, self._count(x.shape[axis]), self._continued(filters))

    def _transpose(self, low: Tensor, high: Tensor, filters: int, axis: int, size: int) -> Tensor:
        return self._decimations[filters].transpose(low, high, axis, size, "zero")


def _keys(dims: int) -> list[str]:
    """The letters of the bands: "aa", "ad", "da", "dd" for two axes."""
    return ["".join(letters) for letters in itertools.product("ad", repeat=dims)]


def _halves(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Approximation and detail of what `_split` made; of an odd number the approximation has one more."""
    n = x.shape[axis]
    return x.narrow(axis, 0, (n + 1) // 2), x.narrow(axis, (n + 1) // 2, n // 2)


@functools.lru_cache(maxsize=256)
def _error(synthesis: Filters, analysis: Filters, size: int = 0) -> float:
    """How far the bank is from perfect reconstruction, ‖Sᵀ A - I‖ in the largest entry, on `size` samples.

    Beyond four filter lengths the entries repeat, so that larger sizes, and 0, stand for four filter lengths.
    """
    taps = len(analysis[0])
    n = min(size or 4 * taps, 4 * taps)
    operators = []
    for filters in (synthesis, analysis):
        rows = np.zeros((n, n))
        k = np.arange(n // 2)[:, None]
        for band, weights in enumerate(filters):
            np.add.at(rows, (band * (n // 2) + k, (2 * k + np.arange(taps) + 1 - taps // 2) % n), weights)
        operators.append(rows)
    return float(np.abs(operators[0].T @ operators[1] - np.eye(n)).max())


def _refinements(error: float) -> int:
    """Neumann steps that take a reconstruction error below rounding; none for errors that the laws do not see."""
    if error < 5e-12:
        return 0
    return max(1, math.ceil(math.log(1e-15) / math.log(2 * error)) - 1)
