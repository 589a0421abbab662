"""One level of a separable two-channel filter bank, periodic and critically sampled for every size."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

Filters = tuple[Sequence[float], ...]  # of the approximation and of the detail


class FilterBank:
    """Splits a signal into approximation and detail along each of its last axes, and merges them again.

    With h the (reversed) decomposition filter of L taps, along one axis of even length n

        a[k] = Σ_m h[m] x[(2k + m + 1 - L/2) mod n],

    PyWavelets' `periodization`. At odd n the first n - 1 samples are split and the last one joins the approximation
    unchanged, which keeps the bank critically sampled, and orthonormal where the wavelet is. `merge` is the transpose
    of the same operation with the reconstruction filters.

    Tabulated filters reconstruct only to their printed precision (sym20: 5e-11; dmey, cut to 62 taps: 8e-3), so
    `merge` adds `_refinements` Neumann steps, T⁻¹ = Σ_i (I - S A)^i S, and is exact for those too.
    """

    def __init__(self, wavelet: Any) -> None:
        lowpass, highpass = wavelet.dec_lo[::-1], wavelet.dec_hi[::-1]
        self._analysis = (tuple(lowpass), tuple(highpass))
        self._synthesis = (tuple(wavelet.rec_lo), tuple(wavelet.rec_hi))
        self._refinements = _refinements(_error(self._synthesis, self._analysis))
        self.orthonormal = _error(self._analysis, self._analysis) < 1e-10

    def isometric(self, n: int) -> bool:
        """Whether splitting n samples keeps lengths: always where the wavelet is orthonormal; on a signal shorter than
        the filters, whose taps then fold onto each other, sometimes for others too (to one sample nothing happens)."""
        pairs = n // 2
        return self.orthonormal or pairs == 0 or _error(self._analysis, self._analysis, 2 * pairs) < 1e-10

    def split(self, x: Tensor, dims: int, dual: bool = False) -> dict[str, Tensor]:
        """{key: band} of one level, one letter per axis; `dual` applies the transpose of `merge` instead."""
        bands = {"": x}
        for axis in range(-dims, 0):
            bands = {key + letter: part for key, band in bands.items()
                     for letter, part in zip("ad", self.split_axis(band, axis, dual))}  # fmt: skip
        return bands

    def merge(self, bands: dict[str, Tensor], dims: int) -> Tensor:
        """The signal whose bands these are: inverse of `split`."""
        for axis in range(-1, -dims - 1, -1):
            keys = sorted({key[:-1] for key in bands})
            bands = {key: self.merge_axis(bands[key + "a"], bands[key + "d"], axis) for key in keys}
        return bands[""]

    def split_axis(self, x: Tensor, axis: int, dual: bool = False) -> tuple[Tensor, Tensor]:
        """(approximation, detail) along one axis, ⌈n/2⌉ and ⌊n/2⌋ coefficients."""
        if not dual:
            return self._correlate(x, self._analysis, axis)
        total = residual = x  # transpose of the Neumann series in `merge_axis`
        for _ in range(self._refinements):
            residual = residual - self._transpose(
                *self._correlate(residual, self._synthesis, axis), self._analysis, axis
            )
            total = total + residual
        return self._correlate(total, self._synthesis, axis)

    def merge_axis(self, low: Tensor, high: Tensor, axis: int) -> Tensor:
        """Inverse of `split_axis`."""
        x = self._transpose(low, high, self._synthesis, axis)
        for _ in range(self._refinements):
            again_low, again_high = self._correlate(x, self._analysis, axis)
            x = x + self._transpose(low - again_low, high - again_high, self._synthesis, axis)
        return x

    def _correlate(self, x: Tensor, filters: Filters, axis: int) -> tuple[Tensor, Tensor]:
        return _correlate(x, filters, axis)

    def _transpose(self, low: Tensor, high: Tensor, filters: Filters, axis: int) -> Tensor:
        """The transpose of `_correlate` with the same filters."""
        return _transpose(low, high, filters, axis)


class UndecimatedBank(FilterBank):
    """The same filters with `dilation` - 1 zeros between their taps, scaled by 1/√2, and nothing thrown away.

    a[k] = 2^-½ Σ_m h[m] x[(k + s (m + 1 - L/2)) mod n] for any n: as H̃H + G̃G = 2 is an identity between polynomials, it
    holds after z → z^s and modulo z^n - 1 too, so that every size and dilation reconstructs.
    """

    def __init__(self, wavelet: Any, dilation: int) -> None:
        super().__init__(wavelet)
        self._dilation = dilation

    def isometric(self, n: int) -> bool:
        if self.orthonormal:
            return True
        power = np.zeros(n)  # |H|² + |G|² at the frequencies of n samples
        for weights in self._analysis:
            taps = np.zeros(n)
            for shift, weight in self._taps(weights, n, 1).items():
                taps[shift % n] += weight
            power += np.abs(np.fft.fft(taps)) ** 2
        return bool(np.abs(power - 1).max() < 1e-10)

    def _correlate(self, x: Tensor, filters: Filters, axis: int) -> tuple[Tensor, Tensor]:
        taps = [self._taps(weights, x.shape[axis], 1) for weights in filters]
        low, high = (_shifted_sum(x, axis, part) for part in taps)
        return low, high

    def _transpose(self, low: Tensor, high: Tensor, filters: Filters, axis: int) -> Tensor:
        taps = [self._taps(weights, low.shape[axis], -1) for weights in filters]
        return _shifted_sum(low, axis, taps[0]).add_(_shifted_sum(high, axis, taps[1]))

    def _taps(self, weights: Sequence[float], n: int, sign: int) -> dict[int, float]:
        """{shift: weight}, folded where the filter is longer than the n samples."""
        shifts = [sign * self._dilation * (m + 1 - len(weights) // 2) for m in range(len(weights))]
        if max(shifts) - min(shifts) >= n:
            shifts = [shift % n for shift in shifts]
        taps: dict[int, float] = {}
        for shift, weight in zip(shifts, weights):
            taps[shift] = taps.get(shift, 0.0) + weight / math.sqrt(2)
        return taps


def _shifted_sum(x: Tensor, axis: int, taps: dict[int, float]) -> Tensor:
    """Σ_s taps[s] x[k + s], periodic. Shape: as x."""
    before, after = max(0, -min(taps)), max(0, *taps)
    n, wrapped = x.shape[axis], _wrap(x, axis, before, after)
    out = None
    for shift, weight in taps.items():
        part = wrapped.narrow(axis, before + shift, n)
        out = part * weight if out is None else out.add_(part, alpha=weight)
    assert out is not None  # a filter has taps
    return out


def _correlate(x: Tensor, filters: Filters, axis: int) -> tuple[Tensor, Tensor]:
    """(approximation, detail) along `axis`: ⌈n/2⌉ and ⌊n/2⌋ coefficients.

    Even and odd samples are copied apart first, so that each tap is one multiply-add over contiguous memory.
    """
    n = x.shape[axis]
    pairs = n // 2
    if pairs == 0:
        return x, x.narrow(axis, 0, 0)
    taps = len(filters[0])
    left = taps // 2 - 1
    phases = [_wrap(_every_second(x, axis, start, pairs), axis, *_reach(left, taps, start)) for start in (0, 1)]
    outputs = []
    for weights in filters:
        out = None
        for m, weight in enumerate(weights):
            phase, shift = (m - left) % 2, (m - left) // 2
            first = shift + _reach(left, taps, phase)[0]
            part = phases[phase].narrow(axis, first, pairs)
            out = part * weight if out is None else out.add_(part, alpha=weight)
        assert out is not None  # a filter has taps
        outputs.append(out)
    low, high = outputs
    return (torch.cat([low, x.narrow(axis, n - 1, 1)], axis) if n % 2 else low), high


def _transpose(low: Tensor, high: Tensor, filters: Filters, axis: int) -> Tensor:
    """The transpose of `_correlate` with the same filters."""
    pairs = high.shape[axis]
    if pairs == 0:
        return low
    taps = len(filters[0])
    left = taps // 2 - 1
    before = max((m - left) // 2 for m in range(taps))
    after = -min((m - left) // 2 for m in range(taps))
    sources = [_wrap(part.narrow(axis, 0, pairs), axis, before, after) for part in (low, high)]
    phases: list[Tensor | None] = [None, None]
    for source, weights in zip(sources, filters):
        for m, weight in enumerate(weights):
            phase, shift = (m - left) % 2, (m - left) // 2
            part = source.narrow(axis, before - shift, pairs)
            done = phases[phase]
            phases[phase] = part * weight if done is None else done.add_(part, alpha=weight)
    axis %= low.ndim
    even, odd = phases
    assert even is not None  # two taps at least: one for each phase
    assert odd is not None
    x = torch.stack([even, odd], axis + 1).flatten(axis, axis + 1)
    return torch.cat([x, low.narrow(axis, pairs, 1)], axis) if low.shape[axis] > pairs else x


def _every_second(x: Tensor, axis: int, start: int, count: int) -> Tensor:
    """Samples start, start + 2, … along `axis`, contiguous. The slice ends before the leftover of an odd length."""
    index = [slice(None)] * x.ndim
    index[axis] = slice(start, 2 * count, 2)
    return x[tuple(index)].contiguous()


def _reach(left: int, taps: int, phase: int) -> tuple[int, int]:
    """How far the taps of one phase reach (before, after) the pair that they are centred on."""
    shifts = [(m - left) // 2 for m in range(taps) if (m - left) % 2 == phase]
    return max(0, -min(shifts)), max(0, max(shifts))


def _wrap(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    """x continued periodically along `axis`, by any number of samples."""
    n = x.shape[axis]
    if before == after == 0:
        return x
    if before <= n and after <= n:
        return torch.cat([x.narrow(axis, n - before, before), x, x.narrow(axis, 0, after)], axis)
    return x.index_select(axis, (torch.arange(-before, n + after, device=x.device)) % n)


def _error(synthesis: Filters, analysis: Filters, size: int = 0) -> float:
    """How far the bank is from perfect reconstruction, ‖Sᵀ A - I‖ in the largest entry, on `size` samples.

    Beyond four filter lengths the entries repeat, so that larger sizes, and 0, stand for four filter lengths.
    """
    taps = len(analysis[0])
    n = min(size or 4 * taps, 4 * taps)
    operators = []
    for filters in (synthesis, analysis):
        rows = np.zeros((n, n))
        for band, weights in enumerate(filters):
            for k in range(n // 2):
                np.add.at(rows[band * (n // 2) + k], (2 * k + np.arange(taps) + 1 - taps // 2) % n, weights)
        operators.append(rows)
    return float(np.abs(operators[0].T @ operators[1] - np.eye(n)).max())


def _refinements(error: float) -> int:
    """Neumann steps that take a reconstruction error below rounding; none for errors that the laws do not see."""
    if error < 5e-12:
        return 0
    return max(1, math.ceil(math.log(1e-15) / math.log(2 * error)) - 1)
