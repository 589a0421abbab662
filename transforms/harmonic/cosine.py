"""Cosine transforms, of the whole signal and of its blocks."""

import functools
import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from ...core.checks import check_count, listed, quoted, whole
from ...core.constant import Constant
from ...core.precision import SINGLE
from ..base import Transform
from ..layout import Shape
from ..reference import Reference
from ..registry import add
from .blocks import Runs, block_layout, each_axis, every_second, in_blocks, interleave
from .reference_libraries import block_dct_reference, dct_reference
from .separable import Map, Separable, SeparableTransform


@add("dct")
class DCT(SeparableTransform):
    """Orthonormal DCT of type I, II, III or IV over all signal axes.

    Along each axis of N samples z_k = √(2/N) Σ_n x_n c_{kn}, with centre frequencies in cycles/sample:

        type 1   c = ε_k ε_n cos(π k n / (N - 1)), √(2/(N - 1)) for √(2/N)   k / (2N - 2)        T⁻¹ = T
        type 2   c = ε_k cos(π k (2n + 1) / 2N)                              k / 2N              T⁻¹ is type 3
        type 3   c = ε_n cos(π (2k + 1) n / 2N)                              (2k + 1) / 4N       T⁻¹ is type 2
        type 4   c = cos(π (2k + 1)(2n + 1) / 4N)                            (2k + 1) / 4N       T⁻¹ = T

    ε is 1/√2 at index 0 (for type 1 at N - 1 too) and 1 elsewhere.
    Shapes: z has the shape of x. Sources: Ahmed, Natarajan & Rao 1974; Wang 1984.
    Raises: ValueError for another type, and for type 1 where an axis has one sample.

    >>> from pullback.transforms import get
    >>> get("dct", shape=(1, 4))(torch.ones(1, 1, 4)).abs()
    tensor([[[2., 0., 0., 0.]]])
    """

    def __init__(self, shape: Shape, type: int = 2) -> None:
        super().__init__(shape)
        sizes, given = self.shape[1:], type
        type = whole(type) or 0
        if type not in (1, 2, 3, 4):
            raise ValueError(f"dct: type must be 1, 2, 3 or 4, got {quoted(given)}.")
        if type == 1 and min(sizes) < 2:
            raise ValueError(f"dct: type 1 needs at least 2 samples along every axis, got {sizes}; take type 2.")
        self._type = type
        self.spec = "dct" if type == 2 else f"dct(type={type})"
        self.layout = block_layout(self.shape, [((n, 1),) for n in sizes], functools.partial(_frequency, type))
        each = zip(*(_maps(type, (n,)) for n in sizes))  # the maps of all axes, and their inverses
        self._forward, self._inverse = (Separable(sizes, *maps) for maps in zip(each, _maps(type, sizes)))

    @property
    def reference(self) -> Reference:
        return dct_reference(self._type, len(self.shape) - 1)

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        yield from (cls(shape) for shape in [(1, 1), (2, 8), (1, 9), (3, 6, 5), (1, 1, 4), (1, 4, 3, 6)])
        yield from (cls(shape, 1) for shape in [(1, 2), (2, 9), (1, 6, 5), (1, 2, 3, 4)])
        yield from (cls(shape, type) for type in (3, 4) for shape in [(1, 1), (2, 8), (1, 9), (1, 6, 5), (1, 2, 3, 4)])


@add("block_dct")
class BlockDCT(SeparableTransform):
    """Orthonormal DCT-II of every block of the signal: `block=8` on an image is the transform of JPEG.

    block: samples along each axis; one number, or one for each axis. If an axis is not a multiple of it, the last, smaller
    block gets a DCT of its own size, so that there are as many coefficients as samples for every size.

    Coefficient k of a block takes the place of sample k of the block. It has centre frequency k / 2n cycles/sample for a
    block of n samples, and the centre of its block as position (NaN along an axis of one block). Bands are octaves and
    orientations within the blocks, all blocks together: the coarsest one holds the means of the blocks.
    Shapes: z has the shape of x. Source: Wallace 1991.
    Raises: TypeError or ValueError where block is not a positive whole number, or one for each axis.

    >>> from pullback.transforms import get
    >>> get("block_dct(block=2)", shape=(1, 5))(torch.ones(1, 1, 5)).round(decimals=4).abs()
    tensor([[[1.4142, 0.0000, 1.4142, 0.0000, 1.0000]]])
    """

    def __init__(self, shape: Shape, block: int | Sequence[int] = 8) -> None:
        super().__init__(shape)
        self.block = _blocks(block, self.shape)
        self.spec = f"block_dct(block={self.block[0] if len(set(self.block)) == 1 else list(self.block)})"
        self._runs = [_cut(n, size) for n, size in zip(self.shape[1:], self.block)]
        self._dcts = {length: DCT2(length) for runs in self._runs for length, _ in runs}
        self.layout = block_layout(self.shape, self._runs, functools.partial(_frequency, 2))
        self._forward, self._inverse = self._along(DCT2.forward), self._along(DCT2.inverse)

    def _along(self, way: Callable[["DCT2", Tensor], Tensor]) -> Separable:
        block = functools.partial(self._block, way)
        return Separable(self.shape[1:], [functools.partial(in_blocks, runs=runs, along_last=block) for runs in self._runs])

    def _block(self, way: Callable[["DCT2", Tensor], Tensor], part: Tensor) -> Tensor:
        return way(self._dcts[part.shape[-1]], part)

    @property
    def reference(self) -> Reference:
        return block_dct_reference(self._runs)

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        yield from (cls(shape) for shape in [(1, 1), (2, 16), (1, 21), (1, 9, 8)])
        yield from [cls((2, 7, 6), 3), cls((1, 6, 7), [4, 2]), cls((1, 4, 3, 5), 2)]


def _blocks(block: int | Sequence[int], shape: Shape) -> Shape:
    """The block size of each signal axis."""
    dims = len(shape) - 1
    given = listed(block)
    sizes = [block] * dims if given is None else given
    if len(sizes) != dims:
        raise ValueError(f"block_dct: block must be one number or one for each of {dims} signal axes, got {quoted(block)}.")
    return tuple(check_count("block_dct", "block", size) for size in sizes)


def _cut(n: int, block: int) -> Runs:
    """n samples as whole blocks and the rest."""
    return tuple(run for run in ((block, n // block), (n % block, 1)) if math.prod(run))


def _frequency(type: int, n: int) -> Tensor:
    """Centre frequency of each coefficient of a DCT of n samples, in cycles/sample. Shape: (n,)."""
    k = torch.arange(n, dtype=SINGLE)
    return {1: k / max(1, 2 * n - 2), 2: k / (2 * n)}.get(type, (2 * k + 1) / (4 * n))


def _maps(type: int, sizes: Shape) -> tuple[Map, Map]:
    """The DCT over the last axes, of the given sizes, and its inverse."""
    if type in (1, 4):
        own_inverse = functools.partial(each_axis, along_last=[dct1 if type == 1 else DCT4(n) for n in sizes])
        return own_inverse, own_inverse
    plan = DCT2(*sizes)
    return (plan.forward, plan.inverse) if type == 2 else (plan.inverse, plan.forward)


def dct1(x: Tensor) -> Tensor:
    """Orthonormal DCT-I along the last axis, its own inverse: the FFT of the samples continued evenly at both ends."""
    n = x.shape[-1]
    ends = x.new_ones(n)
    ends[[0, -1]] = math.sqrt(2)
    x = x * ends
    return torch.fft.rfft(torch.cat([x, x[..., 1:-1].flip(-1)], -1)).real / (ends * math.sqrt(2 * (n - 1)))


class DCT2:
    """Orthonormal DCT-II over the last axes of x, of the given sizes, and its inverse, the DCT-III, by one real FFT.

    Along one axis, with v = (x_0, x_2, …, x_3, x_1), V = F v and φ_k = √2 exp(-iπk/2n), φ_0 = 1: z_k = Re φ_k V_k, and
    z_{n-k} = -Im φ_k V_k. Along several, Re φ_k V_k is (φ_k V_k + φ̄_k V_{-k}) / 2 for all axes but the last, with V the
    transform over all of them. Source: Makhoul 1980.
    """

    def __init__(self, *sizes: int) -> None:
        self._sizes, self._axes = sizes, tuple(range(-len(sizes), 0))
        self._turns = [Constant(_turns(n, axis)) for axis, n in zip(self._axes, sizes)]

    def forward(self, x: Tensor) -> Tensor:
        for axis in self._axes:
            x = torch.cat([every_second(x, axis, 0), every_second(x, axis, 1).flip(axis)], axis)
        spectrum = torch.fft.rfftn(x, dim=self._axes, norm="ortho")
        for axis, turn in zip(self._axes[:-1], self._turns):
            half = spectrum * (turn.like(x) / 2)
            spectrum = half + turn.like(x).conj() / 2 * spectrum.flip(axis).roll(1, axis)
        turned = spectrum * self._turns[-1].like(x)
        return torch.cat([turned.real, -turned.imag[..., 1 : (self._sizes[-1] + 1) // 2].flip(-1)], -1)

    def inverse(self, z: Tensor) -> Tensor:
        n = self._sizes[-1]
        imaginary = torch.cat([torch.zeros_like(z[..., :1]), -z[..., n - n // 2 :].flip(-1)], -1)
        spectrum = torch.complex(z[..., : n // 2 + 1], imaginary) / self._turns[-1].like(z)
        for axis, turn in zip(self._axes[:-1], self._turns):
            later = spectrum.narrow(axis, 1, spectrum.shape[axis] - 1).flip(axis)
            behind = torch.cat([torch.zeros_like(spectrum.narrow(axis, 0, 1)), later], axis)
            spectrum = (spectrum - 1j * behind) / turn.like(z)
        x = torch.fft.irfftn(spectrum, self._sizes, dim=self._axes, norm="ortho")
        for axis, n in zip(self._axes, self._sizes):
            x = interleave(x.narrow(axis, 0, n - n // 2), x.narrow(axis, n - n // 2, n // 2).flip(axis), axis)
        return x


def _turns(n: int, axis: int) -> Tensor:
    """φ of `DCT2`, only its first half along the last axis, shaped to be multiplied along `axis` of the spectrum."""
    turn = math.sqrt(2) * torch.exp(-0.5j * math.pi / n * torch.arange(n // 2 + 1 if axis == -1 else n).double())
    turn[0] = 1
    return turn.reshape(-1, *[1] * (-1 - axis))


class DCT4:
    """Orthonormal DCT-IV along a last axis of n samples, its own inverse: z_k = √(2/n) Σ_j x_j cos(π(2k+1)(2j+1)/4n).

    Even n: one complex FFT of n/2 points of x_{2j} + i x_{n-1-2j}, whose real parts are the even coefficients and
    whose imaginary parts are the odd ones, backwards. Odd n: the real part of a padded FFT of 2n points.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        k = torch.arange(n if n % 2 else n // 2).double()
        before, after = (2 * k, 2 * k + 1) if n % 2 else (4 * k + 0.5, 4 * k + 0.5)
        self._before, self._after = (torch.exp(-1j * math.pi / (4 * n) * phase) for phase in (before, after))

    def __call__(self, x: Tensor) -> Tensor:
        before, after = (phase.to(x.device, x.dtype.to_complex()) for phase in (self._before, self._after))
        if self.n % 2:
            turned = torch.fft.fft(x * before, 2 * self.n)[..., : self.n]
            return (turned * after).real * math.sqrt(2 / self.n)
        pairs = torch.complex(x[..., ::2], x.flip(-1)[..., ::2])
        turned = torch.fft.fft(pairs * before, norm="ortho") * after
        return torch.stack([turned.real, -turned.imag.flip(-1)], -1).flatten(-2)
