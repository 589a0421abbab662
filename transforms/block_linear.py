"""One orthogonal matrix on every block of a signal, and its lapped form."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.checks import check_count, listed, quoted
from ..core.constant import Constant
from ..core.precision import SINGLE
from .base import Transform, TransformClaim
from .grouped import Grouped, random_basis, read_matrices
from .harmonic.cosine import DCT2, DCT4
from .layout import Layout, Shape, spread, unknown
from .pca import rank_layout
from .registry import add


@add("block_linear")
class BlockLinear(Grouped):
    """One orthogonal matrix on every block of the signal, all channels together: z_block = A y_block.

    matrix: (m, m), or its first k rows (k, m), m = channels · Π block; rows are atoms. As a tensor, an array, nested
    lists, or the path of a file that `save` wrote. The samples of a block are in the order of the signal, channels first.
    block: samples along each axis; one number, or one for each axis. Each axis must hold a whole number of blocks.
    overlap: True for an orthogonal lapped transform, whose atoms reach over half of the neighbouring blocks: y is x with the
    samples on either side of each edge between blocks mixed first, by ½ [I J; J -I] [I 0; 0 V] [I J; J -I], where J mirrors
    and V = J C_IIᵀ C_IV J. A constant stays constant, and with the DCT for A it is the fast lapped transform of type II.
    Block sizes are then even.

    Coefficient k of a block takes the place of sample k, and has the centre of its block as position and no frequency.
    Bands are octaves of the rank of the atom: "atom 1", …, and the finest holds the last half.
    Shapes: z has the shape of x. Sources: Malvar & Staelin 1989; Tran, Liang & Tu 2003, §IV (the step before the blocks).
    Raises: TypeError or ValueError for blocks that do not fill the signal, or a matrix that is of another size, not
    orthogonal, or not in the file.

    >>> haar = torch.tensor([[1.0, 1.0], [1.0, -1.0]]) / 2**0.5
    >>> BlockLinear((1, 4), haar, block=2)(torch.tensor([[[3.0, 1.0, 2.0, 2.0]]])).round(decimals=4)
    tensor([[[2.8284, 1.4142, 2.8284, 0.0000]]])
    """

    def __init__(self, shape: Shape, matrix: Any, block: int | Sequence[int] = 8, overlap: bool = False) -> None:
        super().__init__(shape)
        if overlap is not True and overlap is not False:
            raise TypeError(f"block_linear: overlap must be true or false, got {quoted(overlap)}.")
        self.block = _blocks(block, self.shape, overlap)
        self.overlap = overlap
        given, matrix = (
            (matrix, read_matrices(self.name, matrix)) if isinstance(matrix, (str, Path)) else (None, {"block": matrix})
        )
        self.spec = "block_linear" if given is None else self.spec_of(given)
        self._edges = [Constant(_edge(size)) for size in self.block] if overlap else []
        self._set_groups({"block": _block_table(self.shape, self.block)}, matrix)
        self.claims = TransformClaim.ORTHOGONAL
        self.layout = self._layout()

    @classmethod
    def identity(cls, shape: Shape, block: int | Sequence[int] = 8, overlap: bool = False) -> "BlockLinear":
        """The transform whose matrix is the identity: the groups alone.

        >>> BlockLinear.identity((3, 8, 8), 4).tables["block"].shape
        torch.Size([4, 48])
        """
        return cls(shape, torch.eye(shape[0] * math.prod(_blocks(block, tuple(shape), overlap))), block, overlap)

    @property
    def factors(self) -> tuple[int, ...]:
        """The number of channels, and of samples along each axis of a block: an atom has this shape."""
        return (self.shape[0], *self.block)

    def with_matrices(self, matrices: Mapping[str, Any]) -> "BlockLinear":
        return BlockLinear(self.shape, matrices["block"], self.block, self.overlap)

    def spec_of(self, path: str | Path) -> str:
        block = self.block[0] if len(set(self.block)) == 1 else list(self.block)
        return f"block_linear({str(path)!r}, block={block}{', overlap=true' if self.overlap else ''})"

    @property
    def atoms(self) -> Tensor:
        """The atoms as blocks, without the overlap. Shape: (k, channels, *block), double precision."""
        return self.matrices["block"].reshape(-1, self.shape[0], *self.block)

    def first(self, x: Tensor) -> Tensor:
        for axis, edge in enumerate(self._edges, start=2):
            x = _over_edges(x, axis, edge.like(x))
        return x

    def undo_first(self, y: Tensor) -> Tensor:
        for axis, edge in enumerate(self._edges, start=2):
            y = _over_edges(y, axis, edge.like(y).T)
        return y

    def _layout(self) -> Layout:
        ranks, table = rank_layout(math.prod(self.block) * self.shape[0], "atom"), self.tables["block"]
        index = torch.empty(math.prod(self.shape), dtype=torch.long)
        index[table] = ranks.index.expand(table.shape)
        starts = [torch.arange(n, dtype=SINGLE) // size * size for n, size in zip(self.shape[1:], self.block)]
        centres = [start + (size - 1) / 2 for start, size in zip(starts, self.block)]
        grids = tuple((1, int((index == number).sum())) for number in range(len(ranks.bands)))
        nowhere = unknown((len(self.block), *self.shape))
        return Layout(ranks.bands, index.reshape(self.shape), nowhere, spread(centres, self.shape), grids)

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        yield from [
            cls((1, 6), random_basis(2), 2),
            cls((2, 4, 6), random_basis(12), [2, 3]),
            cls((1, 4, 4, 2), random_basis(8), 2),
        ]
        yield from [
            cls((2, 12), random_basis(8), 4, True),
            cls((1, 4, 8), random_basis(16), 4, True),
            cls((1, 8), random_basis(8)[:3], 8),
        ]


def _blocks(block: int | Sequence[int], shape: Shape, overlap: bool) -> Shape:
    """The block size of each signal axis."""
    given, sizes = listed(block), shape[1:]
    wanted = [block] * len(sizes) if given is None else given
    if len(wanted) != len(sizes):
        raise ValueError(f"block_linear: block must be one number or one for each of {len(sizes)} axes, got {quoted(block)}.")
    blocks = tuple(check_count("block_linear", "block", size, multiple=2 if overlap else 1) for size in wanted)
    if any(n % size for n, size in zip(sizes, blocks)):
        advice = "take a block that divides every axis, or restrict(block_linear(…), crop=…)"
        raise ValueError(f"block_linear: a signal of {sizes} does not hold whole blocks of {quoted(blocks)}; {advice}.")
    return blocks


def _block_table(shape: Shape, block: Shape) -> Tensor:
    """The places of the samples of each block in the flattened signal, (blocks, channels · Π block)."""
    places = torch.arange(math.prod(shape)).reshape(shape)
    for axis, size in enumerate(block, start=1):
        places = places.unfold(axis, size, size)
    return places.movedim(0, len(block)).flatten(0, len(block) - 1).flatten(1)


def _edge(size: int) -> Tensor:
    """The orthogonal matrix that mixes the `size` samples about an edge between blocks. Shape: (size, size)."""
    half = torch.eye(size // 2, dtype=torch.double)
    mirror = half.flip(0)
    turn = mirror @ DCT2(size // 2).forward(half) @ DCT4(size // 2)(half) @ mirror
    sums = torch.cat([torch.cat([half, mirror], 1), torch.cat([mirror, -half], 1)])
    return sums @ torch.block_diag(half, turn) @ sums / 2


def _over_edges(x: Tensor, axis: int, matrix: Tensor) -> Tensor:
    """The matrix on the samples about each edge between blocks along an axis; the two half blocks at the ends stay."""
    size, n = len(matrix), x.shape[axis]
    head, middle, tail = x.movedim(axis, -1).split([size // 2, n - size, size // 2], -1)
    mixed = (middle.unflatten(-1, (n // size - 1, size)) @ matrix.T).flatten(-2)
    return torch.cat([head, mixed, tail], -1).movedim(-1, axis)
