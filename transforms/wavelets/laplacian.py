"""Pyramids: a signal as differences between smaller and smaller copies of itself."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ...core.checks import check_number
from ...core.precision import SINGLE
from ..base import Transform, TransformClaim
from ..harmonic.blocks import every_second, interleave
from ..layout import Band, Shape
from ..registry import add
from .arguments import Level, check_level
from .packing import Cell, pack, packed_layout, unpack


@add("laplacian")
class Laplacian(Transform):
    """Laplacian pyramid over all signal axes, its levels packed into one (channels, K) tensor, coarse to fine.

        G_0 = x,   G_{l+1} = reduce(G_l),   L_l = G_l - expand(G_{l+1}),   z = (G_levels, L_{levels-1}, …, L_0)

    T⁻¹ adds up: G_l = L_l + expand(G_{l+1}). `reduce` smooths with the taps (¼ - a/2, ¼, a, ¼, ¼ - a/2) along each axis
    and keeps samples 0, 2, 4, …; `expand` is its transpose times 2 in the inside. Edges are mirrored about the last
    sample, so that a constant has no detail at any size. It is redundant, K ≈ n 2^d / (2^d - 1) for d axes, T T⁻¹ is not
    the identity, and it is exact for every size.

    levels: the number of halvings; None takes 3, or as many as the signal allows, "max" the deepest; a warning says where
    that is 0, the signal itself.
    a: the middle tap; 0.4 is close to a Gaussian, 0.375 binomial, 0.5 triangular.

    Bands are "g3" (the coarsest copy), "l3", "l2", "l1", named after the octave that holds most of them; they overlap,
    and have no orientation. The centre frequency of a band is the mean frequency of its energy for white noise: 0.67/2,
    0.59/4, 0.55/8, … cycles/sample for a = 0.4. Sample k of l_j is centred on sample 2^(j-1) k of the signal.
    Source: Burt & Adelson 1983 (REDUCE, EXPAND, the generating kernel).
    Raises: TypeError or ValueError for levels that the signal does not allow, or an a outside 0…1.

    >>> from pullback.transforms import get
    >>> get("laplacian(levels=1)", shape=(1, 4))(torch.ones(1, 1, 4))
    tensor([[[1., 1., 0., 0., 0., 0.]]])
    """

    def __init__(self, shape: Shape, levels: Level = None, a: float = 0.4) -> None:
        super().__init__(shape)
        deepest = (max(self.shape[1:]) - 1).bit_length()
        self.levels = check_level("laplacian", levels, deepest, str(self.shape), "levels")
        self.a = check_number("laplacian", "a", a, 0, 1)
        self.spec = f"laplacian(levels={self.levels}, a={self.a})"
        self._sizes = [tuple(-(-n // 2**step) for n in self.shape[1:]) for step in range(self.levels + 1)]  # of G_0, G_1, …
        self._cells = self._grid()
        self.layout = packed_layout(self.shape, self._cells)
        self.claims = TransformClaim.LINEAR | TransformClaim.RECONSTRUCTS if self.levels else TransformClaim.ORTHOGONAL

    def analysis(self, x: Tensor) -> Tensor:
        parts = []
        for sizes in self._sizes[:-1]:
            low = self._reduce(x)
            parts.append(x - self._expand(low, sizes))
            x = low
        return pack([x, *reversed(parts)])

    def synthesis(self, z: Tensor) -> Tensor:
        low, *details = unpack(z, self._cells)
        for detail, sizes in zip(details, reversed(self._sizes[:-1])):
            low = detail + self._expand(low, sizes)
        return low

    def transpose(self, g: Tensor) -> Tensor:
        parts = [g]
        for _ in range(self.levels):
            parts.append(self._expand_transposed(parts[-1]))
        return pack(parts[::-1])

    def _reduce(self, x: Tensor) -> Tensor:
        """G_{l+1} from G_l."""
        for axis in (axis for axis in range(2, x.ndim) if x.shape[axis] > 1):
            even, odd, n = every_second(x, axis, 0), every_second(x, axis, 1), x.shape[axis]
            m = even.shape[axis]
            near, far = _mirror_odd(odd, axis, n), _mirror(even, axis, n)
            beside = near.narrow(axis, 0, m) + near.narrow(axis, 1, m)
            beyond = far.narrow(axis, 0, m) + far.narrow(axis, 2, m)
            x = self.a * even + 0.25 * beside + (0.25 - self.a / 2) * beyond
        return x

    def _expand(self, low: Tensor, sizes: Sequence[int]) -> Tensor:
        """A signal of `sizes` between whose samples 0, 2, 4, … `low` is smoothed."""
        for axis, n in ((axis, n) for axis, n in enumerate(sizes, start=2) if n > 1):
            m, wide = low.shape[axis], _mirror(low, axis, n)
            even = 2 * self.a * low + (0.5 - self.a) * (wide.narrow(axis, 0, m) + wide.narrow(axis, 2, m))
            odd = 0.5 * (wide.narrow(axis, 1, n // 2) + wide.narrow(axis, 2, n // 2))
            low = interleave(even, odd, axis)
        return low

    def _expand_transposed(self, g: Tensor) -> Tensor:
        """The transpose of `_expand`, which carries a covector from the larger signal to the smaller one."""
        for axis in (axis for axis in range(2, g.ndim) if g.shape[axis] > 1):
            even, odd, n = every_second(g, axis, 0), every_second(g, axis, 1), g.shape[axis]
            m = even.shape[axis]
            wide = even.new_zeros([*g.shape[:axis], m + 2, *g.shape[axis + 1 :]])
            taps = [(0, even, 0.5 - self.a), (1, even, 2 * self.a), (2, even, 0.5 - self.a), (1, odd, 0.5), (2, odd, 0.5)]
            for start, part, weight in taps:
                wide.narrow(axis, start, part.shape[axis]).add_(part, alpha=weight)
            for source, target in zip((0, m + 1), _mirrors(m, n)):
                wide.select(axis, target + 1).add_(wide.select(axis, source))
            g = wide.narrow(axis, 1, m)
        return g

    def _grid(self) -> list[Cell]:
        """The parts of z in order; samples of G_step and L_step are 2^step apart."""
        bands = [(f"g{self.levels}", self.levels, 0.0)]
        bands += [(f"l{step + 1}", step, 2.0 ** -(step + 2)) for step in reversed(range(self.levels))]
        cells = []
        for (name, step, low), centre in zip(bands, _centres(self.a, self.levels)):
            band, sizes = Band(name, step + 1, "", low, 2.0 ** -(step + 1)), self._sizes[step]
            cells.append(Cell(band, sizes, (centre,) * len(sizes), 2.0**step, 0.0))
        return cells

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        yield cls((1, 1), 0)
        yield from (cls(shape) for shape in [(2, 8), (1, 13), (1, 2), (1, 1, 4)])
        yield from [cls((2, 16), 0), cls((1, 17), a=0.5), cls((3, 6, 5), 2, a=0.375), cls((1, 4, 3, 6), 1)]


def _centres(a: float, levels: int) -> list[float]:
    """Mean frequency of the energy of white noise in each part of z along one axis, without aliasing."""
    frequency = (torch.arange(4096, dtype=SINGLE) + 0.5) / 8192
    passed, responses = torch.ones_like(frequency), []
    for step in range(levels):
        turn = 2 * math.pi * 2**step * frequency
        low = a + 0.5 * turn.cos() + (0.5 - a) * (2 * turn).cos()
        responses.append(passed * (1 - low**2))
        passed = passed * low
    energy = torch.stack([passed, *reversed(responses)]) ** 2
    return ((energy * frequency).sum(1) / energy.sum(1)).tolist()


def _mirrors(m: int, n: int) -> tuple[int, int]:
    """Indices of the m even samples of n that the mirror puts at -2 and beyond the end."""
    return min(1, m - 1), m - 2 if n % 2 else m - 1


def _mirror(even: Tensor, axis: int, n: int) -> Tensor:
    """The m even samples of n with one more on either side."""
    m = even.shape[axis]
    before, after = (even.narrow(axis, i, 1) for i in _mirrors(m, n))
    return torch.cat([before, even, after], axis)


def _mirror_odd(odd: Tensor, axis: int, n: int) -> Tensor:
    """The odd samples of n from -1 to the one after the last even sample."""
    parts = [odd.narrow(axis, 0, 1), odd]
    return torch.cat([*parts, odd.narrow(axis, odd.shape[axis] - 1, 1)] if n % 2 else parts, axis)
