"""One level of a separable two-channel filter bank."""

import abc
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.constant import Constant
from ...core.isolation import lasting_tensors
from . import triton_guard
from .decimation import Decimation, Filters, apply_matrix

ANALYSIS, SYNTHESIS = 0, 1  # the two pairs of filters of a bank
DENSE = 64  # samples of an axis up to which one product with a whole matrix is the fastest on a CPU


class Bank(abc.ABC):
    """Splits a signal into approximation and detail along each of its last axes, and merges them again.

    Short axes are split by one matrix, where filters are `fixed`: those of a trained lattice change.
    `merge` is the transpose of the split with the reconstruction filters. Tabulated filters reconstruct only to their
    printed precision (sym20: 5e-11; dmey, cut to 62 taps: 8e-3), so it adds `refinements` Neumann steps,
    T⁻¹ = Σ_i (I - S A)^i S, and is exact for those too. `dual` asks for the transpose of `merge` instead of the split.
    """

    fixed = True

    def __init__(self, wavelet: Any) -> None:
        self._dense: dict[tuple[int, bool], Constant] = {}
        self._analysis: Filters = (tuple(wavelet.dec_lo[::-1]), tuple(wavelet.dec_hi[::-1]))
        self._synthesis: Filters = (tuple(wavelet.rec_lo), tuple(wavelet.rec_hi))
        self._pairs = self._analysis, self._synthesis
        self.refinements = _refinements(reconstruction_error(self._synthesis, self._analysis))
        self.orthonormal = reconstruction_error(self._analysis, self._analysis) < 1e-10

    @abc.abstractmethod
    def _correlate(self, x: Tensor, filters: int, axis: int) -> Tensor:
        """Outputs of both filters of a pair along one axis: approximation, then detail."""

    @abc.abstractmethod
    def _transpose(self, low: Tensor, high: Tensor, filters: int, axis: int, size: int) -> Tensor:
        """The transpose of `_correlate` with the same filters, for a signal of `size` samples."""

    def split(self, x: Tensor, dims: int, dual: bool = False) -> dict[str, Tensor]:
        """{key: band} of one level, with one letter per axis: one axis after the other."""
        for axis in range(-dims, 0):
            x = self._split(x, axis, dual)
        bands = {"": x}
        for axis in range(-dims, 0):
            bands = split_each(bands, functools.partial(_halves, axis=axis))
        return bands

    def merge(self, bands: dict[str, Tensor], sizes: Sequence[int]) -> Tensor:
        """The signal of `sizes` that has these bands: inverse of `split`."""
        for axis in range(-1, -len(sizes) - 1, -1):
            bands = self.merge_each(bands, axis, sizes[axis])
        return bands[""]

    def merge_each(self, bands: dict[str, Tensor], axis: int, size: int) -> dict[str, Tensor]:
        """The bands merged in pairs along one axis, the last that their letters name."""
        keys = dict.fromkeys(key[:-1] for key in bands)
        return {key: self.merge_axis(bands[key + "a"], bands[key + "d"], axis, size) for key in keys}

    def split_axis(self, x: Tensor, axis: int, dual: bool = False) -> tuple[Tensor, Tensor]:
        """(approximation, detail) along one axis."""
        return _halves(self._split(x, axis, dual), axis)

    def merge_axis(self, low: Tensor, high: Tensor, axis: int, size: int) -> Tensor:
        """Inverse of `split_axis` for a signal of `size` samples."""
        x = self._transpose(low, high, SYNTHESIS, axis, size)
        for _ in range(self.refinements):
            again_low, again_high = _halves(self._correlate(x, ANALYSIS, axis), axis)
            x = x + self._transpose(low - again_low, high - again_high, SYNTHESIS, axis, size)
        return x

    def _split(self, x: Tensor, axis: int, dual: bool) -> Tensor:
        """The approximation, followed by the detail, along the axis that is split."""
        if self._short(x, [x.shape[axis]]):
            return apply_matrix(self._matrix(x.shape[axis], dual).like(x), x, axis % x.ndim)
        return self._filtered(x, axis, dual)

    def _short(self, x: Tensor, sizes: Sequence[int]) -> bool:
        return self.fixed and not x.is_cuda and min(sizes) > 0 and max(sizes) <= DENSE

    def _matrix(self, n: int, dual: bool) -> Constant:
        """`_filtered` along an axis of n samples, (outputs, n)."""
        if (n, dual) not in self._dense:
            with lasting_tensors(), torch.no_grad():
                self._dense[n, dual] = Constant(self._filtered(torch.eye(n, dtype=torch.double), 0, dual))
        return self._dense[n, dual]

    def _filtered(self, x: Tensor, axis: int, dual: bool) -> Tensor:
        """`_split` by the filters."""
        if not dual:
            return self._correlate(x, ANALYSIS, axis)
        total = residual = x  # the transpose of the Neumann series in `merge_axis`
        for _ in range(self.refinements):
            parts = _halves(self._correlate(residual, SYNTHESIS, axis), axis)
            residual = residual - self._transpose(*parts, ANALYSIS, axis, x.shape[axis])
            total = total + residual
        return self._correlate(total, SYNTHESIS, axis)


class FilterBank(Bank):
    """A bank that keeps every second output of its filters.

    With h the (reversed) decomposition filter of L taps, along one axis of n samples:

        periodization   a[k] = Σ_m h[m] x[(2k + m + 1 - L/2) mod n]    for even n; n/2 outputs
        other modes     a[k] = Σ_m h[m] x[2k + m + 2 - L]              (n + L - 1) // 2 outputs

    as in PyWavelets. In periodization an odd n splits the first n - 1 samples, and the last sample joins the approximation
    unchanged; so the bank is critically sampled for every n, and orthonormal where the wavelet is. The other modes (zero,
    constant, periodic, symmetric, reflect) continue the signal beyond its ends. `merge` is the same for all of them, since
    it drops what the continuation adds: its transpose is the split of the signal continued by zeros.
    """

    def __init__(self, wavelet: Any, mode: str = "periodization") -> None:
        super().__init__(wavelet)
        taps, self._periodization = len(self._analysis[0]), mode == "periodization"
        self._left = taps // 2 - 1 if self._periodization else taps - 2  # samples that the filters reach back
        self._modes = ("periodic", "periodic") if self._periodization else (mode, "zero")  # of the two pairs of filters
        self._decimations = [Decimation(filters, self._left) for filters in self._pairs]
        self._filters = [Constant(torch.tensor(filters, dtype=torch.double)) for filters in self._pairs]
        self._blocks: dict[int, list[Constant]] = {}

    def isometric(self, n: int) -> bool:
        """Whether splitting n samples keeps lengths in periodization; few samples fold the taps, so any wavelet may do so."""
        even = n - n % 2
        return self.orthonormal or even == 0 or reconstruction_error(self._analysis, self._analysis, even) < 1e-10

    def split(self, x: Tensor, dims: int, dual: bool = False) -> dict[str, Tensor]:
        filters = SYNTHESIS if dual else ANALYSIS
        if dims == 2 and (kernels := self.fused(x, [x.shape[-2:]])) is not None:
            made = x.new_empty((*x.shape[:2], 4, *map(self._count, x.shape[-2:])))
            self.split_into(kernels, x.contiguous(), made, made.flatten(2), made.shape[-2:].numel(), dual)
            return dict(zip(step_keys(2), made.unbind(2)))
        if self._in_blocks(x.shape[-dims:]):
            return self._split_blocks(x, dims, filters)
        if not self._short(x, x.shape[-dims:]) and self._in_windows(x.shape[-dims:]):
            return self._split_windows(x, dims, filters)
        return super().split(x, dims, dual)

    def merge(self, bands: dict[str, Tensor], sizes: Sequence[int]) -> Tensor:
        if len(sizes) == 2 and bands["aa"].is_cuda:
            together = torch.stack([bands[key] for key in step_keys(2)], 2)
            if (kernels := self.fused(together, [sizes])) is not None:
                return self.merge_from(kernels, together, together.flatten(2), together.shape[-2:].numel(), sizes)
        if self._in_blocks(sizes):
            return self._merge_blocks(bands, len(sizes))
        if self._in_windows(sizes):
            return self._merge_windows(bands, sizes)
        return super().merge(bands, sizes)

    # On a GPU: one kernel for a whole level -----------------------------------------------------------------------------

    def fused(self, x: Tensor, sizes: Sequence[Sequence[int]]) -> ModuleType | None:
        """The GPU kernels, if they can split and merge images like x of all these sizes."""
        if not x.is_cuda or not all(map(self._in_windows, sizes)):
            return None
        return triton_guard.kernels(x, len(self._analysis[0]))

    def split_into(self, kernels: Any, x: Tensor, low: Tensor, z: Tensor, offset: int, dual: bool) -> None:
        """`split` of contiguous images by one kernel: approximations into low, details into z, see `kernels.split`."""
        filters = SYNTHESIS if dual else ANALYSIS
        count = [self._count(n) for n in x.shape[2:]]
        kernels.split(x, low, z, offset, self._filters[filters].like(x), self._left, self._modes[filters], count)

    def merge_from(self, kernels: Any, low: Tensor, z: Tensor, offset: int, sizes: Sequence[int]) -> Tensor:
        """`merge` by one kernel of what `split_into` wrote."""
        x = z.new_empty((*z.shape[:2], *sizes))
        count, taps = [self._count(n) for n in sizes], self._filters[SYNTHESIS].like(x)
        kernels.merge(x, low, z, offset, taps, self._left, self._modes[SYNTHESIS], count)
        return x

    # All axes at once, as matrix products over windows ------------------------------------------------------------------

    def _in_windows(self, sizes: Sequence[int]) -> bool:
        """Whether the bands along each axis are the outputs of the filters and nothing else."""
        return not self.refinements and (not self._periodization or all(n and n % 2 == 0 for n in sizes))

    def _split_windows(self, x: Tensor, dims: int, filters: int) -> dict[str, Tensor]:
        """All axes, the last one first; the outputs are put in order once, at the end."""
        lead, counts = x.ndim - dims, [self._count(n) for n in x.shape[-dims:]]
        for axis in reversed(range(dims)):
            x = self._decimations[filters].blocks(x, lead + axis, counts[axis], self._modes[filters])
        places = range(lead, lead + 3 * dims, 3)  # (…, blocks, 2, block) for each axis
        sizes = [x.shape[place] * x.shape[place + 2] for place in places]
        ordered = [*(place + 1 for place in places), *range(lead), *(i for place in places for i in (place, place + 2))]
        bands = x.permute(ordered).reshape(2**dims, *x.shape[:lead], *sizes)
        for axis, count in enumerate(counts, start=1 + lead):
            bands = bands if bands.shape[axis] == count else bands.narrow(axis, 0, count)
        return dict(zip(step_keys(dims), bands.unbind(0)))

    def _merge_windows(self, bands: dict[str, Tensor], sizes: Sequence[int]) -> Tensor:
        """All axes, the last one first, from one tensor of all bands."""
        dims = len(sizes)
        lead = bands["a" * dims].ndim - dims
        x = torch.stack([bands[key] for key in step_keys(dims)], lead).unflatten(lead, [2] * dims)
        x = x.permute(*range(lead), *(place for axis in range(dims) for place in (lead + axis, lead + dims + axis)))
        for axis in reversed(range(dims)):
            x = self._decimations[SYNTHESIS].join(x, lead + 2 * axis, sizes[axis], self._modes[SYNTHESIS])
        return x

    # Filters of two taps: blocks of 2^dims samples, each by itself ------------------------------------------------------

    def _in_blocks(self, sizes: Sequence[int]) -> bool:
        return len(self._analysis[0]) == 2 and not any(n % 2 for n in sizes)

    def _split_blocks(self, x: Tensor, dims: int, filters: int) -> dict[str, Tensor]:
        lead = x.ndim - dims
        for axis in range(lead, lead + 2 * dims, 2):
            x = x.unflatten(axis, (-1, 2))
        places = range(lead + 1, lead + 2 * dims, 2)
        x = x.movedim(tuple(places), tuple(range(lead, lead + dims))).flatten(lead, lead + dims - 1)
        bands = apply_matrix(self._block_matrices(dims)[filters].like(x), x, lead)
        return {key: bands.select(lead, number) for number, key in enumerate(step_keys(dims))}

    def _merge_blocks(self, bands: dict[str, Tensor], dims: int) -> Tensor:
        lead = bands["a" * dims].ndim - dims
        x = torch.stack([bands[key] for key in step_keys(dims)], lead)
        x = apply_matrix(self._block_matrices(dims)[SYNTHESIS].like(x).T, x, lead).unflatten(lead, [2] * dims)
        x = x.movedim(tuple(range(lead, lead + dims)), tuple(range(lead + 1, lead + 2 * dims, 2)))
        for axis in range(lead, lead + dims):
            x = x.flatten(axis, axis + 1)
        return x

    def _block_matrices(self, dims: int) -> list[Constant]:
        """Both pairs of filters as matrices (bands, places in a block)."""
        if dims not in self._blocks:
            self._blocks[dims] = [Constant(functools.reduce(torch.kron, [pair.value] * dims)) for pair in self._filters]
        return self._blocks[dims]

    def _count(self, n: int) -> int:
        """Outputs of each filter for n samples."""
        return n // 2 if self._periodization else (n + len(self._analysis[0]) - 1) // 2

    def _correlate(self, x: Tensor, filters: int, axis: int) -> Tensor:
        n = x.shape[axis]
        single, count = n % 2 if self._periodization else 0, self._count(n)
        if count == 0:
            return x
        both = self._decimations[filters].apply(x.narrow(axis, 0, n - single), axis, count, self._modes[filters])
        low, *high = both.split(count, axis)
        return torch.cat([low, x.narrow(axis, n - 1, 1), *high], axis) if single else both

    def _transpose(self, low: Tensor, high: Tensor, filters: int, axis: int, size: int) -> Tensor:
        single, count = size % 2 if self._periodization else 0, self._count(size)
        if count == 0:
            return low
        pairs = low.narrow(axis, 0, count)
        x = self._decimations[filters].transpose(pairs, high, axis, size - single, self._modes[SYNTHESIS])
        return torch.cat([x, low.narrow(axis, count, 1)], axis) if single else x


def step_keys(dims: int) -> list[str]:
    """The names of the bands of one level: "aa", "ad", "da", "dd" for two axes."""
    return ["".join(letters) for letters in itertools.product("ad", repeat=dims)]


def split_each(bands: dict[str, Tensor], halves: Callable[[Tensor], Iterable[Tensor]]) -> dict[str, Tensor]:
    """Each band in two, with the letter `a` for the approximation and `d` for the detail."""
    return {key + letter: part for key, band in bands.items() for letter, part in zip("ad", halves(band))}


def _halves(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Approximation and detail of the result of `_split`; the approximation has one more of an odd number."""
    n = x.shape[axis]
    return x.narrow(axis, 0, (n + 1) // 2), x.narrow(axis, (n + 1) // 2, n // 2)


@functools.lru_cache(maxsize=256)
def reconstruction_error(synthesis: Filters, analysis: Filters, size: int = 0) -> float:
    """The largest entry of |Sᵀ A - I|, on `size` samples in periodization; beyond four filter lengths, and for 0, on four."""
    taps = len(analysis[0])
    n = min(size or 4 * taps, 4 * taps)
    operators, k = np.zeros((2, n, n)), np.arange(n // 2)[:, None]
    for rows, filters in zip(operators, (synthesis, analysis)):
        for band, weights in enumerate(filters):
            np.add.at(rows, (band * (n // 2) + k, (2 * k + np.arange(taps) + 1 - taps // 2) % n), weights)
    return float(np.abs(operators[0].T @ operators[1] - np.eye(n)).max())


def _refinements(error: float) -> int:
    """Neumann steps that take a reconstruction error below rounding; none for errors below the tolerance of the laws."""
    return 0 if error < 5e-12 else max(1, math.ceil(math.log(1e-15) / math.log(2 * error)) - 1)
