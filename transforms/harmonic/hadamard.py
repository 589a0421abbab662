"""Walsh–Hadamard transform."""

import functools
import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ...core.precision import SINGLE
from ..base import Transform
from ..layout import Shape
from ..reference import Reference
from ..registry import add
from .blocks import Runs, block_layout
from .reference_libraries import hadamard_reference
from .separable import Separable, SeparableTransform

_RADIX = 16  # rows whose sums and differences are computed before they are written


@add("hadamard")
class Hadamard(SeparableTransform):
    """Orthonormal Walsh–Hadamard transform over all signal axes, in sequency order; T⁻¹ = T.

    z_k = n^-½ Σ_j ±x_j, where row k of the signs changes sign k times: its centre frequency is k / 2n cycles/sample.

    Hadamard matrices of this kind need a power of two. An axis of another size is cut into powers of two by its binary
    digits, largest first (13 = 8 + 4 + 1), and each part is transformed by itself: no sample is padded or dropped, and
    the whole stays orthonormal. Its coefficients then have the centre of their part as position. n log n additions.
    Shapes: z has the shape of x. Sources: Fino & Algazi 1976 (fast transform); Harmuth 1969 (sequency).
    Raises: ValueError unless the signal has one to three axes.

    >>> from pullback.transforms import get
    >>> get("hadamard", shape=(1, 4))(torch.tensor([[[1.0, 1.0, -1.0, -1.0]]]))
    tensor([[[0., 2., 0., 0.]]])
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self._runs = [_powers(n) for n in self.shape[1:]]
        self._order = {length: _sequency(length) for runs in self._runs for length, _ in runs}
        self.layout = block_layout(self.shape, self._runs, lambda n: torch.arange(n, dtype=SINGLE) / (2 * n))
        maps = [functools.partial(self._along, -1, runs) for runs in self._runs]
        self._forward = self._inverse = Separable(self.shape[1:], maps, self._each)  # the matrix in sequency order is symmetric

    def _each(self, x: Tensor) -> Tensor:
        for axis, runs in enumerate(self._runs, start=2):
            x = self._along(axis, runs, x)
        return x.contiguous()

    def _along(self, axis: int, runs: Runs, x: Tensor) -> Tensor:
        # The axis goes first, so that sums and differences run over contiguous memory.
        parts = x.movedim(axis, 0).contiguous().split([length for length, _ in runs])
        return torch.cat([self._walsh(part) for part in parts]).movedim(0, axis)

    def _walsh(self, x: Tensor) -> Tensor:
        """The transform along the first axis of n = 2^m samples: several stages at a time, then the order."""
        n, done = len(x), 1
        x = x / math.sqrt(n)
        while done < n:
            parts = x.unflatten(0, (done, min(_RADIX, n // done), -1)).unbind(1)
            x = torch.stack(_butterflies(parts), 1).flatten(0, 2)
            done *= len(parts)
        return x.index_select(0, self._order[n].to(x.device))

    @property
    def reference(self) -> Reference:
        return hadamard_reference(self._runs)

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        return [cls(shape) for shape in [(1, 1), (2, 8), (1, 13), (3, 6, 5), (1, 1, 4), (1, 4, 3, 6)]]


def _butterflies(parts: Sequence[Tensor]) -> list[Tensor]:
    """Sums and differences of 2^m parts, in the order of Sylvester's matrix: m 2^m additions."""
    pairs = list(zip(parts[: len(parts) // 2], parts[len(parts) // 2 :]))
    return _butterflies([a + b for a, b in pairs]) + _butterflies([a - b for a, b in pairs]) if pairs else list(parts)


def _powers(n: int) -> Runs:
    """n as a sum of different powers of two, largest first."""
    return tuple((1 << bit, 1) for bit in reversed(range(n.bit_length())) if n >> bit & 1)


def _sequency(n: int) -> Tensor:
    """Row of the Hadamard matrix of n = 2^m rows that changes sign k times, for each k: the reversed bits of k ^ k/2."""
    gray = torch.arange(n) ^ (torch.arange(n) >> 1)
    order = torch.zeros_like(gray)
    for bit in range(n.bit_length() - 1):
        order = order << 1 | (gray >> bit & 1)
    return order
