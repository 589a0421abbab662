"""Discrete wavelet transforms."""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any

import pywt
from torch import Tensor

from ...core.checks import choose
from ...core.imports import needs
from ..base import Transform, TransformClaim
from ..layout import Band, Shape
from ..reference import Reference
from ..registry import add
from .arguments import Level, Wavelet, check_level, find_wavelet, wavelet_spec
from .boundary_filters import BoundaryBank, inside
from .containers import PLANE, Pyramid
from .filterbank import Bank, FilterBank, step_keys
from .packing import Cell, pack, packed_layout, unpack
from .reference_libraries import dwt_reference

PADDED = ("zero", "constant", "symmetric", "reflect", "periodic")
SQUARE = ("periodization", "boundary")
SHORT = {"zpd": "zero", "cpd": "constant", "sym": "symmetric", "ppd": "periodic", "per": "periodization"}  # of PyWavelets


@add("dwt")
class DWT(Pyramid):
    """Separable discrete wavelet transform over all signal axes, its pyramid packed into one (channels, K) tensor.

    wavelet: the name of any discrete wavelet of PyWavelets, a `pywt.Wavelet`, or filters [dec_lo, dec_hi, rec_lo, rec_hi].
    level: the number of halvings; None takes 3, or as many as the signal allows, "max" the deepest; level 0 is the signal
    itself, and a warning says where nothing deeper exists.
    mode: `periodization` is critically sampled (K = number of samples) for every size, orthonormal where the wavelet is,
    and equal to PyWavelets for sizes that are even at every level; an odd size passes its last sample to the
    approximation unchanged. `boundary` is critically sampled and orthonormal too, and does not join the two ends: filters
    near an end are replaced by orthonormal ones inside the signal. It takes an orthonormal wavelet, and sizes that are
    even and not shorter than the filter at every level; replaced filters are not band-pass, so their coefficients have
    no frequency (NaN). `zero`, `constant`, `symmetric`, `reflect` and `periodic` pad as PyWavelets does: where padding is
    needed they are redundant, K > number of samples, and the share of a band depends on the mode; see `claims`.

    Bands are ordered coarse to fine: "aa3", "ad3", "da3", "dd3", …, "dd1", one letter per axis.
    Sources: Mallat 1989; Daubechies 1992; PyWavelets for filters and conventions; Jensen & la Cour-Harbo 2001 (boundary).
    Raises: ValueError for an unknown wavelet or mode, or a level that is too deep; each message lists the choices. TypeError
    where level is not a whole number. Modes may have PyWavelets' short names: zpd, cpd, sym, ppd and per.

    >>> from pullback.transforms import get
    >>> [band.name for band in get("dwt(haar, level=2)", shape=(1, 8)).layout.bands]
    ['a2', 'd2', 'd1']
    """

    def __init__(self, shape: Shape, wavelet: Wavelet = "haar", level: Level = None, mode: str = "periodization") -> None:
        super().__init__(shape)
        self.wavelet = find_wavelet("dwt", wavelet)
        self.mode = SHORT.get(mode.lower(), mode) if isinstance(mode, str) else mode
        self.mode = choose("dwt", "mode", self.mode, (*SQUARE, *PADDED))
        self._bank = _bank(tuple(map(tuple, self.wavelet.filter_bank)), self.mode)
        inputs = self._all_inputs()
        if self.mode == "boundary":
            self._check_boundary()
        where = f"{self.shape} with {self.wavelet.name} and mode {self.mode}"
        if self.mode == "boundary":
            where += f" (even sizes of at least {self.wavelet.dec_len} samples)"
        self.level = check_level("dwt", level, len(inputs), where)
        self.spec = f"dwt({wavelet_spec(self.wavelet)}, level={self.level}, mode={self.mode})"
        self._keys = step_keys(len(self.shape) - 1)
        self._inputs = inputs[: self.level]
        self._cells = self._grid()
        self.layout = packed_layout(self.shape, self._cells)
        self.claims = self._claims()

    def analysis(self, x: Tensor) -> Tensor:
        return self._decompose(x, dual=False)

    def synthesis(self, z: Tensor) -> Tensor:
        if (kernels := self._kernels(z)) is not None:
            return self._read(*kernels, z.contiguous())
        return merge_pyramid([self._bank] * self.level, z, self._cells, self._inputs)

    def transpose(self, g: Tensor) -> Tensor:
        # The Neumann steps for inexact filters also undo the continuation, whose transpose is not implemented.
        refined = self._bank.refinements and self.mode in PADDED and self.mode != "zero"
        return super().transpose(g) if refined else self._decompose(g, dual=True)

    def refinement(self, coarse: Transform) -> Callable[[Tensor], Tensor] | None:
        if not isinstance(coarse, DWT) or coarse.shape != self.shape or coarse._bank is not self._bank:
            return None
        return functools.partial(self._deeper, coarse) if coarse.level <= self.level else None

    def _deeper(self, coarse: "DWT", z: Tensor) -> Tensor:
        """The pyramid of the approximation of `coarse`, and the details that it has."""
        size = coarse._cells[0].size
        low, details = z.tensor_split([math.prod(size)], -1)
        banks = [self._bank] * (self.level - coarse.level)
        return pack([split_pyramid(banks, low.unflatten(-1, size), len(size), dual=False), details])

    def _decompose(self, x: Tensor, dual: bool) -> Tensor:
        """The pyramid of x with the analysis filters, or with the transposed synthesis filters."""
        if (kernels := self._kernels(x)) is not None:
            return self._write(*kernels, x.contiguous(), dual)
        return split_pyramid([self._bank] * self.level, x, len(self.shape) - 1, dual)

    def to_ptwt(self, z: Tensor) -> Sequence[Any]:
        """The coefficients as `ptwt.wavedec`, `wavedec2` or `wavedec3` return them; for `boundary`, `MatrixWavedec` and others.

        >>> import ptwt
        >>> T = pb.transforms.get("dwt(db2, level=2, mode=zero)", shape=(1, 12))
        >>> torch.allclose(ptwt.waverec(T.to_ptwt(T(torch.ones(1, 1, 12))), "db2"), torch.ones(1, 1, 12), atol=1e-5)
        True
        """
        with needs("to_ptwt", "ptwt"):
            import ptwt
        plane = lambda step: ptwt.WaveletDetailTuple2d(*map(step.__getitem__, self._plane))
        parts = self._container(self.unpack(z), plane)
        return list(parts) if len(self.shape) == 2 else tuple(parts)

    def from_ptwt(self, coefficients: Sequence[Any]) -> Tensor:
        """z of what `to_ptwt` or ptwt returns, as `from_pywt`."""
        return self._from_container(coefficients, self._plane)

    @property
    def _plane(self) -> tuple[str, ...]:
        """The letters of ptwt's horizontal, vertical and diagonal details: with boundary filters they are others."""
        return ("ad", "da", "dd") if self.mode == "boundary" else PLANE

    # On a GPU -------------------------------------------------------------------------------------------------------

    def _kernels(self, x: Tensor) -> tuple[FilterBank, ModuleType] | None:
        """The bank and its kernels, where one kernel can make a whole level and write it into the packed row."""
        if not (x.is_cuda and self.level and len(self.shape) == 3 and isinstance(self._bank, FilterBank)):
            return None
        kernels = self._bank.fused(x, self._inputs)
        return None if kernels is None else (self._bank, kernels)

    def _write(self, bank: FilterBank, kernels: ModuleType, x: Tensor, dual: bool) -> Tensor:
        z = x.new_empty((*x.shape[:2], *self.layout.shape[1:]))
        for number, (sizes, offset) in enumerate(zip(self._inputs, self._offsets()), start=1):
            low = z if number == self.level else x.new_empty((*x.shape[:2], *self._halve(sizes)))
            bank.split_into(kernels, x, low, z, offset, dual)
            x = low
        return z

    def _read(self, bank: FilterBank, kernels: ModuleType, z: Tensor) -> Tensor:
        low = z
        for sizes, offset in zip(reversed(self._inputs), reversed(self._offsets())):
            low = bank.merge_from(kernels, low, z, offset, sizes)
        return low

    def _offsets(self) -> list[int]:
        """The places in z where the details of each level begin, finest first."""
        ends = [math.prod(cell.size) for cell in self._cells]
        return [sum(ends[: 1 + (self.level - level) * (len(self._keys) - 1)]) for level in range(1, self.level + 1)]

    def _halve(self, sizes: Sequence[int]) -> Shape:
        """Size of the approximation of a signal."""
        more = 1 if self.mode in SQUARE else self.wavelet.dec_len - 1
        return tuple((n + more) // 2 for n in sizes)

    def _grid(self) -> list[Cell]:
        """The bands in the order of z. Coefficient k of a level is centred on sample step · k + offset."""
        taps = self.wavelet.dec_len
        centre = 0.5 if self.mode in SQUARE else (3 - taps) / 2
        step, offset, inner = 1.0, 0.0, tuple((0, n) for n in self.shape[1:])
        cells = [pyramid_cell(self._keys[0], 0, self.shape[1:], step, offset)]
        for level, sizes in enumerate(self._inputs, start=1):
            step, offset = 2 * step, offset + step * centre
            inner = tuple(inside(start, stop, taps) for start, stop in inner)
            low = self._halve(sizes)
            high = tuple(n // 2 for n in sizes) if self.mode in SQUARE else low
            own = [tuple(a if letter == "a" else d for letter, a, d in zip(key, low, high)) for key in self._keys]
            options = {"inner": inner if self.mode == "boundary" else None}
            made = [pyramid_cell(key, level, size, step, offset, **options) for key, size in zip(self._keys, own)]
            cells = made + cells[1:]
        return cells

    def _claims(self) -> TransformClaim:
        square = self.layout.shape[1] == math.prod(self.shape[1:])
        claims = TransformClaim.LINEAR | (TransformClaim.BIJECTIVE if square else TransformClaim.RECONSTRUCTS)
        # Zero padding transforms the signal continued by zeros: no energy is lost, and none is counted twice.
        isometric = self.level == 0 or (self._bank.orthonormal and (square or self.mode == "zero"))
        if self.mode == "periodization" and isinstance(self._bank, FilterBank):
            isometric |= all(map(self._bank.isometric, {n for sizes in self._inputs for n in sizes}))
        return claims | TransformClaim.ISOMETRIC if isometric else claims

    def _check_boundary(self) -> None:
        if not self._bank.orthonormal:
            wanted = f"an orthonormal wavelet such as db4, sym8 or coif3, got {self.wavelet.name}"
            raise ValueError(f"dwt: mode boundary needs {wanted}; take mode=periodization.")

    def _all_inputs(self) -> list[Shape]:
        """Sizes of the signals that enter each level, finest first, while every axis can be split and the longest shrinks."""
        inputs, sizes = list[Shape](), self.shape[1:]
        while len(inputs) < 64 and all(map(self._can_split, sizes)) and max(self._halve(sizes)) < max(sizes):
            inputs.append(sizes)
            sizes = self._halve(sizes)
        return inputs

    def _can_split(self, n: int) -> bool:
        """Whether n samples are enough for the mirror, for the period, or for the filters at both ends."""
        longest = (2 * self.wavelet.dec_len - 3) // 2 + n % 2
        enough = {"reflect": longest < n, "periodic": longest <= n, "boundary": n % 2 == 0 and n >= self.wavelet.dec_len}
        return enough.get(self.mode, True)

    @property
    def reference(self) -> Reference | str:
        return dwt_reference(self.wavelet, self.mode, self._inputs, self._cells, not self._bank.refinements)

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        yield from [cls((1, 1), "haar", 0), cls((2, 8), "haar"), cls((1, 13), "db4", level=2)]
        yield from [cls((3, 6, 5), "db2", level=2), cls((1, 16, 12), "bior4.4", level=2), cls((1, 32), "dmey", level=2)]
        yield from [cls((1, 5, 4, 6), "sym3", level=1), cls((2, 24), "db3", level=2, mode="boundary")]
        yield from [cls((1, 8, 14), "sym4", level=1, mode="boundary"), cls((1, 4, 6, 8), "db2", level=1, mode="boundary")]
        for mode in PADDED:
            yield from [cls((1, 16), "haar", level=2, mode=mode), cls((2, 21), "db3", level=1, mode=mode)]
            yield from [cls((1, 9, 12), "bior2.2", level=1, mode=mode), cls((1, 7, 8, 6), "db2", level=1, mode=mode)]


@functools.lru_cache(maxsize=64)
def _bank(filters: tuple[tuple[float, ...], ...], mode: str) -> Bank:
    """The bank of a wavelet; it holds nothing but constants, so transforms of any signals can share it."""
    wavelet = pywt.Wavelet("bank", filter_bank=filters)
    return BoundaryBank(wavelet) if mode == "boundary" else FilterBank(wavelet, mode)


def split_pyramid(banks: Sequence[Bank], x: Tensor, dims: int, dual: bool) -> Tensor:
    """The packed pyramid of x, with one bank per level, finest first. Shape: (batch, channels, K)."""
    low, *details = step_keys(dims)
    parts: list[Tensor] = []
    for bank in banks:
        step = bank.split(x, dims, dual)
        x = step[low]
        parts = [step[key] for key in details] + parts
    return pack([x, *parts])


def merge_pyramid(banks: Sequence[Bank], z: Tensor, cells: Sequence[Cell], sizes: Sequence[Sequence[int]]) -> Tensor:
    """Inverse of `split_pyramid`; sizes: of the signals that enter each level, finest first."""
    low, *details = unpack(z, cells)
    keys = step_keys(low.ndim - 2)
    for bank, size in zip(reversed(banks), reversed(sizes)):
        step, details = details[: len(keys) - 1], details[len(keys) - 1 :]
        low = bank.merge(dict(zip(keys, [low, *step])), size)
    return low


def pyramid_cell(key: str, level: int, size: Shape, step: float, offset: float, **options: Any) -> Cell:
    """The cell of the band of a pyramid that has the letters `key`, one per axis, at `level`."""
    centre = tuple((0.75 if letter == "d" else 0.25) * 2.0**-level for letter in key)
    return Cell(pyramid_band(key, level), size, centre, step, offset, **options)


def pyramid_band(key: str, level: int) -> Band:
    """The band alone: its name and its range of frequencies."""
    if "d" in key:
        return Band(f"{key}{level}", level, key, 2.0 ** -(level + 1), 2.0**-level)
    return Band(f"{key}{level}", level + 1, key, 0.0, 2.0 ** -(level + 1))


def halvings(shape: Shape) -> int:
    """The number of times that the longest axis of `shape` (channels, *spatial) can be halved."""
    return int(math.log2(max(shape[1:])))
