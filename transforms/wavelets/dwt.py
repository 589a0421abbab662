"""Discrete wavelet transforms."""

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from types import ModuleType

import pywt
from torch import Tensor

from ..base import Transform, TransformClaim, check_shape
from ..layout import Band
from ..registry import register
from .boundary_filters import BoundaryBank
from .filterbank import FilterBank, PaddedBank
from .packing import Cell, pack, packed_layout, unpack

PADDED = ("zero", "constant", "symmetric", "reflect", "periodic")
SQUARE = ("periodization", "boundary")


@register("dwt")
class DWT(Transform):
    """Separable discrete wavelet transform over all signal axes, its pyramid packed into one (channels, K) tensor.

    wavelet: any discrete wavelet of PyWavelets.
    level: how many times to halve; None takes 3, or what the signal allows.
    mode: `periodization` is critically sampled (K = number of samples) for every size, orthonormal where the wavelet
    is, and equal to PyWavelets' for sizes that are even at every level; at an odd size the last sample joins the
    approximation as it is. `boundary` is critically sampled and orthonormal too, and does not join the ends: filters
    near an end are replaced by orthonormal ones inside the signal; it takes an orthonormal wavelet and sizes that are
    even, and no shorter than the filter, at every level. `zero`, `constant`, `symmetric`, `reflect` and `periodic` pad
    as PyWavelets does: wherever padding is needed they are redundant, K > number of samples, so that the share of a band
    depends on the mode; see `claims`.

    Bands are ordered coarse to fine: "aa3", "ad3", "da3", "dd3", …, "dd1", one letter per axis.
    Sources: Mallat 1989; Daubechies 1992; PyWavelets for filters and conventions;
    Jensen & la Cour-Harbo 2001, §10.3, for `boundary`.
    Raises: ValueError for an unknown wavelet or mode, a level that is too deep, or a signal that `boundary` cannot take;
    each message lists the choices. TypeError where level is no whole number.

    >>> from pullback.transforms import get
    >>> [band.name for band in get("dwt(haar, level=2)", shape=(1, 8)).layout.bands]
    ['a2', 'd2', 'd1']
    """

    def __init__(
        self, shape: tuple[int, ...], wavelet: str = "haar", level: int | None = None, mode: str = "periodization"
    ) -> None:
        super().__init__()
        self.shape = check_shape("dwt", shape)
        self.wavelet = find_wavelet("dwt", wavelet)
        if mode not in (*SQUARE, *PADDED):
            raise ValueError(f"dwt: expected mode in {', '.join((*SQUARE, *PADDED))}; got {mode!r}.")
        self.mode = mode
        self._bank = _bank(wavelet, mode)
        deepest = self._deepest()
        if mode == "boundary":
            self._check_boundary(level, deepest)
        self.level = check_level("dwt", level, deepest, f"{self.shape} with {wavelet} and mode {mode}")
        self.spec = f"dwt({wavelet}, level={self.level}, mode={mode})"
        self._keys = ["".join(key) for key in itertools.product("ad", repeat=len(self.shape) - 1)]
        self._inputs = self._input_sizes()  # of the signals that enter each level, finest first
        self._sizes = self._level_sizes()  # of the bands of each level, finest first
        self._offsets = self._first_details()
        self._cells = self._grid()
        self.layout = packed_layout(self.shape, self._cells)
        self.claims = self._claims()

    def analysis(self, x: Tensor) -> Tensor:
        return self._decompose(x, dual=False)

    def synthesis(self, z: Tensor) -> Tensor:
        if (kernels := self._kernels(z)) is not None:
            return self._read(kernels, z.contiguous())
        first, *steps = self._unpack(z)
        low = first[self._keys[0]]
        for step, sizes in zip(steps, reversed(self._inputs)):
            low = self._bank.merge({self._keys[0]: low, **step}, sizes)
        return low

    def transpose(self, g: Tensor) -> Tensor:
        # The Neumann steps of a table that is not exact undo the continuation too, whose transpose is not worked out.
        refined = self._bank.refinements and self.mode in PADDED and self.mode != "zero"
        return super().transpose(g) if refined else self._decompose(g, dual=True)

    def _decompose(self, x: Tensor, dual: bool) -> Tensor:
        """The pyramid of x with the analysis filters, or with the transposed synthesis filters."""
        if (kernels := self._kernels(x)) is not None:
            return self._write(kernels, x.contiguous(), dual)
        steps: list[dict[str, Tensor]] = []
        for _ in range(self.level):
            step = self._bank.split(x, len(self.shape) - 1, dual)
            x = step.pop(self._keys[0])
            steps.append(step)
        return self._pack([{self._keys[0]: x}, *reversed(steps)])

    # On a GPU -------------------------------------------------------------------------------------------------------

    def _kernels(self, x: Tensor) -> ModuleType | None:
        """Where one kernel makes a whole level, and writes it where it stands in the packed row."""
        return self._bank.fused(x, self._inputs) if x.is_cuda and self.level and len(self.shape) == 3 else None

    def _write(self, kernels: ModuleType, x: Tensor, dual: bool) -> Tensor:
        z = x.new_empty((*x.shape[:2], *self.layout.shape[1:]))
        for sizes, offset in zip(self._sizes, self._offsets):
            last = offset == self._offsets[-1]
            low = z if last else x.new_empty((*x.shape[:2], *sizes[self._keys[0]]))
            self._bank.split_into(kernels, x, low, z, offset, dual)
            x = low
        return z

    def _read(self, kernels: ModuleType, z: Tensor) -> Tensor:
        low = z
        for sizes, offset in zip(reversed(self._inputs), reversed(self._offsets)):
            low = self._bank.merge_from(kernels, low, z, offset, sizes)
        return low

    # Sizes, packing -------------------------------------------------------------------------------------------------

    def _input_sizes(self) -> list[tuple[int, ...]]:
        """Signal size that enters each level, finest first; one more entry for the approximation that is left."""
        sizes = [self.shape[1:]]
        for _ in range(self.level):
            sizes.append(tuple(self._halve(n) for n in sizes[-1]))
        return sizes[:-1]

    def _halve(self, n: int) -> int:
        """Length of the approximation of n samples."""
        return (n + 1) // 2 if self.mode in SQUARE else (n + self.wavelet.dec_len - 1) // 2

    def _level_sizes(self) -> list[dict[str, tuple[int, ...]]]:
        """Band sizes of each level, finest first. Only periodization has fewer details than approximations."""
        return [
            {key: tuple(self._length(letter, n) for letter, n in zip(key, sizes)) for key in self._keys}
            for sizes in self._inputs
        ]

    def _length(self, letter: str, n: int) -> int:
        return n // 2 if letter == "d" and self.mode in SQUARE else self._halve(n)

    def _bands(self) -> list[tuple[str, int, tuple[int, ...]]]:
        """(key, level, size) of every band in the order in which z holds them."""
        if self.level == 0:
            return [(self._keys[0], 0, self.shape[1:])]
        approximation = (self._keys[0], self.level, self._sizes[-1][self._keys[0]])
        return [
            approximation,
            *(
                (key, level, self._sizes[level - 1][key])
                for level in range(self.level, 0, -1)
                for key in self._keys[1:]
            ),
        ]

    def _first_details(self) -> list[int]:
        """Where the details of each level begin in z, finest first."""
        ends = [math.prod(size) for _, _, size in self._bands()]
        return [sum(ends[: 1 + (self.level - level) * (len(self._keys) - 1)]) for level in range(1, self.level + 1)]

    def _pack(self, pyramid: Sequence[dict[str, Tensor]]) -> Tensor:
        return pack(step[key] for step in pyramid for key in self._keys if key in step)

    def _unpack(self, z: Tensor) -> list[dict[str, Tensor]]:
        bands = [(key, part) for (key, _, _), part in zip(self._bands(), unpack(z, self._cells))]
        per_level = len(self._keys) - 1
        steps = [dict(bands[i : i + per_level]) for i in range(1, len(bands), per_level)]
        return [dict(bands[:1]), *steps]

    def _grid(self) -> list[Cell]:
        cells = []
        scale, offset = self._place()
        for key, level, size in self._bands():
            cells.append(Cell(pyramid_band(key, level), size, pyramid_centre(key, level), scale[level], offset[level]))
        return cells

    def _place(self) -> tuple[list[float], list[float]]:
        """Coefficient k of level j is centred on sample scale[j] k + offset[j]."""
        centre = 0.5 if self.mode in SQUARE else (3 - self.wavelet.dec_len) / 2
        scale, offset = [1.0], [0.0]
        for _ in range(self.level):
            offset.append(offset[-1] + scale[-1] * centre)
            scale.append(2 * scale[-1])
        return scale, offset

    def _claims(self) -> TransformClaim:
        square = self.layout.shape[1] == math.prod(self.shape[1:])
        claims = TransformClaim.LINEAR | TransformClaim.RECONSTRUCTS
        if square:
            claims |= TransformClaim.SURJECTIVE
        # Zero padding is the transform of the signal continued by zeros: no energy is lost and none counted twice.
        if (self._bank.orthonormal and (square or self.mode == "zero")) or self.level == 0:
            claims |= TransformClaim.ISOMETRIC
        elif self.mode == "periodization":
            lengths = {n for sizes in self._inputs for n in sizes}
            claims |= TransformClaim.ISOMETRIC if all(map(self._bank.isometric, lengths)) else TransformClaim.NONE
        return claims

    def _check_boundary(self, level: int | None, deepest: int) -> None:
        if not self._bank.orthonormal:
            raise ValueError(
                f"dwt: mode boundary needs an orthonormal wavelet such as db4, sym8 or coif3, got "
                f"{self.wavelet.name}; take mode=periodization for the others."
            )
        if level is None and deepest == 0:
            raise ValueError(
                f"dwt: mode boundary needs even sizes of at least {self.wavelet.dec_len} samples for "
                f"{self.wavelet.name}, got {self.shape[1:]}; take a shorter wavelet, mode=periodization, or crop "
                "the signal."
            )

    # Levels ---------------------------------------------------------------------------------------------------------

    def _deepest(self) -> int:
        """The largest level at which every axis can still be split and the longest one halved."""
        sizes, level = self.shape[1:], 0
        while max(sizes) > 1 and level < 64 and all(self._can_pad(n) for n in sizes):
            smaller = tuple(self._halve(n) for n in sizes)
            if max(smaller) >= max(sizes):
                break
            sizes, level = smaller, level + 1
        return level

    def _can_pad(self, n: int) -> bool:
        """Whether the mode can split n samples: a mirror or a period is no longer than they are, filters fit the ends."""
        longest = (2 * self.wavelet.dec_len - 3) // 2 + n % 2
        fits = {
            "reflect": longest < n,
            "periodic": longest <= n,
            "boundary": n % 2 == 0 and n >= self.wavelet.dec_len,
        }
        return fits.get(self.mode, True)

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        yield cls((1, 1), "haar")
        yield cls((2, 8), "haar")
        yield cls((1, 13), "db4", level=2)
        yield cls((3, 6, 5), "db2", level=2)
        yield cls((1, 16, 12), "bior4.4", level=2)
        yield cls((1, 32), "dmey", level=2)
        yield cls((1, 5, 4, 6), "sym3", level=1)
        yield cls((2, 24), "db3", level=2, mode="boundary")
        yield cls((1, 8, 14), "sym4", level=1, mode="boundary")
        yield cls((1, 4, 6, 8), "db2", level=1, mode="boundary")
        for mode in PADDED:
            yield cls((1, 16), "haar", level=2, mode=mode)
            yield cls((2, 21), "db3", level=1, mode=mode)
            yield cls((1, 9, 12), "bior2.2", level=1, mode=mode)
            yield cls((1, 7, 8, 6), "db2", level=1, mode=mode)


@functools.lru_cache(maxsize=64)
def _bank(name: str, mode: str) -> FilterBank:
    """The bank of a wavelet: it holds nothing but constants, so that transforms of any signals can share it."""
    wavelet = pywt.Wavelet(name)
    if mode in PADDED:
        return PaddedBank(wavelet, mode)
    return BoundaryBank(wavelet) if mode == "boundary" else FilterBank(wavelet)


def pyramid_band(key: str, level: int) -> Band:
    """The band of a pyramid that has the letters `key`, one per axis, at `level`."""
    if "d" in key:
        return Band(f"{key}{level}", level, key, 2.0 ** -(level + 1), 2.0**-level)
    return Band(f"{key}{level}", level + 1, key, 0.0, 2.0 ** -(level + 1))


def pyramid_centre(key: str, level: int) -> tuple[float, ...]:
    """The centre frequency of that band along each axis, in cycles/sample."""
    return tuple((0.75 if letter == "d" else 0.25) * 2.0**-level for letter in key)


def halvings(shape: tuple[int, ...]) -> int:
    """How many times the longest axis of `shape` (channels, *spatial) can be halved."""
    return int(math.log2(max(shape[1:])))


def find_wavelet(who: str, wavelet: str) -> pywt.Wavelet:
    """The discrete wavelet of that name.  Raises: ValueError that lists the families."""
    known = pywt.wavelist(kind="discrete")
    if wavelet not in known:
        families = ", ".join(family for family in pywt.families() if set(pywt.wavelist(family)) & set(known))
        raise ValueError(
            f"{who}: {wavelet!r} is not a discrete wavelet of PyWavelets. Try haar, db4, sym8, coif3 or "
            f"bior4.4; all names: pywt.wavelist(kind='discrete'), families: {families}."
        )
    return pywt.Wavelet(wavelet)


def check_level(who: str, level: int | None, deepest: int, where: str) -> int:
    """`level`, or 3 (less where the signal is short) for None.  Raises: ValueError that names the deepest level."""
    if level is None:
        return min(3, deepest)
    if isinstance(level, bool) or not isinstance(level, int):
        raise TypeError(f"{who}: level must be a whole number or none, got {level!r}.")
    if not 0 <= level <= deepest:
        raise ValueError(
            f"{who}: level must lie in 0…{deepest} for a signal of {where}, got {level}; "
            "take a smaller level, a shorter wavelet or a larger signal."
        )
    return level
