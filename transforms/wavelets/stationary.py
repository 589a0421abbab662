"""Wavelet transforms that keep every sample at every level."""

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..base import Transform, TransformClaim
from ..layout import Shape
from ..reference import Reference
from ..registry import add
from .arguments import Level, Wavelet, check_level, find_wavelet, wavelet_spec
from .containers import Pyramid
from .decimation import extend
from .dwt import halvings, merge_pyramid, pyramid_cell, split_pyramid
from .filterbank import ANALYSIS, SYNTHESIS, Bank, split_each, step_keys
from .packing import blockwise, packed_layout
from .reference_libraries import swt_reference


@add("swt")
class SWT(Pyramid):
    """Undecimated (stationary, à trous) wavelet transform over all signal axes, periodic, for every size.

    At level j the filters have 2^(j-1) - 1 zeros between their taps and all samples are kept, so that a shift of x
    shifts z: (2^dims - 1) level + 1 coefficients per sample. Filters are scaled by 1/√2 along each axis, which makes a
    Parseval frame, T⁻¹ = Tᵀ, if the wavelet is orthonormal: ‖T x‖ = ‖x‖, and shares of energy or of attribution are not
    counted twice. It is equal to `pywt.swt(norm=True, trim_approx=True)` for the sizes that PyWavelets takes.

    wavelet: a name of PyWavelets, a `pywt.Wavelet`, or filters [dec_lo, dec_hi, rec_lo, rec_hi].
    level: None takes 3, or as many as the signal allows, "max" the deepest; a warning says where that is 0, the signal itself.
    Sources: Holschneider et al. 1989; Shensa 1992; Nason & Silverman 1995; PyWavelets for conventions.
    Raises: ValueError for an unknown wavelet or a level that is too deep; TypeError where level is not a whole number.

    >>> from pullback.transforms import get
    >>> T = get("swt(haar, level=1)", shape=(1, 4))
    >>> T(torch.tensor([[[1.0, 1.0, 5.0, 5.0]]]))
    tensor([[[ 1.,  3.,  5.,  3.,  0., -2.,  0.,  2.]]])
    """

    def __init__(self, shape: Shape, wavelet: Wavelet = "haar", level: Level = None) -> None:
        super().__init__(shape)
        self.wavelet = find_wavelet("swt", wavelet)
        self.level = check_level("swt", level, halvings(self.shape), str(self.shape))
        self.spec = f"swt({wavelet_spec(self.wavelet)}, level={self.level})"
        self._banks = [UndecimatedBank(self.wavelet, 2**j) for j in range(self.level)]
        low, *details = step_keys(len(self.shape) - 1)
        names = [(low, self.level), *((key, j) for j in range(self.level, 0, -1) for key in details)]
        self._cells = [pyramid_cell(key, j, self.shape[1:], 1.0, (2**j - 1) / 2, periodic=True) for key, j in names]
        self.layout = packed_layout(self.shape, self._cells)
        isometric = all(bank.isometric(n) for bank in self._banks for n in self.shape[1:])
        frame = TransformClaim.PARSEVAL if isometric else TransformClaim.LINEAR | TransformClaim.RECONSTRUCTS
        self.claims = frame if self.level else TransformClaim.ORTHOGONAL

    def analysis(self, x: Tensor) -> Tensor:
        return self._decompose(x, dual=False)

    def synthesis(self, z: Tensor) -> Tensor:
        sizes = [self.shape[1:]] * self.level
        return blockwise(lambda z: merge_pyramid(self._banks, z, self._cells, sizes), z, self.shape)

    def transpose(self, g: Tensor) -> Tensor:
        return self._decompose(g, dual=True)

    def _decompose(self, x: Tensor, dual: bool) -> Tensor:
        return blockwise(lambda x: split_pyramid(self._banks, x, len(self.shape) - 1, dual), x, self.layout.shape)

    @property
    def reference(self) -> Reference | str:
        exact = not any(bank.refinements for bank in self._banks)
        return swt_reference(self.wavelet, self.level, self.shape[1:], self._cells, exact)

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        yield from [cls((1, 1), level=0), cls((2, 16), "db4"), cls((1, 13), "db2", level=2), cls((1, 12), "dmey", level=1)]
        yield from [cls((3, 6, 5), "haar", level=2), cls((1, 9, 8), "bior2.2", level=2), cls((1, 4, 5, 3), "sym3", level=1)]


class UndecimatedBank(Bank):
    """A bank with `dilation` - 1 zeros between the taps of its filters, scaled by 1/√2, that keeps every output.

    a[k] = 2^-½ Σ_m h[m] x[(k + s (m + 1 - L/2)) mod n] for any n: as H̃H + G̃G = 2 is an identity between polynomials, it
    also holds after z → z^s and modulo z^n - 1, so that every size and dilation reconstructs.
    """

    def __init__(self, wavelet: Any, dilation: int) -> None:
        super().__init__(wavelet)
        self._dilation = dilation

    def split(self, x: Tensor, dims: int, dual: bool = False) -> dict[str, Tensor]:
        """Band by band: in one tensor they would be copied more often than they are made."""
        bands = {"": x}
        for axis in range(-dims, 0):
            bands = split_each(bands, functools.partial(self._pair, axis=axis, dual=dual))
        return bands

    def _pair(self, x: Tensor, axis: int, dual: bool) -> Iterable[Tensor]:
        return self.split_axis(x, axis, dual) if self.refinements else self._outputs(x, SYNTHESIS if dual else ANALYSIS, axis)

    def isometric(self, n: int) -> bool:
        """Whether splitting n samples keeps lengths."""
        if self.orthonormal:
            return True
        power = np.zeros(n)  # |H|² + |G|² at the frequencies of n samples
        for weights in self._analysis:
            taps = np.zeros(n)
            for shift, weight in self._taps(weights, n, 1).items():
                taps[shift % n] += weight
            power += np.abs(np.fft.fft(taps)) ** 2
        return bool(np.abs(power - 1).max() < 1e-10)

    def _correlate(self, x: Tensor, filters: int, axis: int) -> Tensor:
        return torch.cat(self._outputs(x, filters, axis), axis)

    def _outputs(self, x: Tensor, filters: int, axis: int) -> list[Tensor]:
        return [_shifted_sum(x, axis, self._taps(weights, x.shape[axis], 1)) for weights in self._pairs[filters]]

    def _transpose(self, low: Tensor, high: Tensor, filters: int, axis: int, size: int) -> Tensor:
        taps = [self._taps(weights, size, -1) for weights in self._pairs[filters]]
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
    n, wrapped = x.shape[axis], extend(x, axis, before, after, "periodic")
    (first, weight), *others = taps.items()
    out = wrapped.narrow(axis, before + first, n) * weight
    for shift, weight in others:
        out.add_(wrapped.narrow(axis, before + shift, n), alpha=weight)
    return out
