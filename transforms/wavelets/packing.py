"""Bands of different sizes, one after another in one (channels, K) tensor."""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.precision import SINGLE
from ..layout import Band, Later, Layout, Shape, unknown
from ..shapes import check_size


@dataclass(frozen=True)
class Cell:
    """One band and the grid of its coefficients.

    size: one entry per signal axis.  centre: its frequency along each axis, in cycles/sample.
    step, offset: coefficient k of an axis is centred on sample step · k + offset; one number for all axes, or one for each.
    copies: the number of coefficients at each place, such as the real and the imaginary part.
    periodic: whether a position beyond one end is counted from the other end, or moved to the end.
    inner: (start, stop) along each axis of the coefficients that have the frequency `centre`; None means all of them.
    """

    band: Band
    size: Shape
    centre: tuple[float, ...]
    step: float | tuple[float, ...]
    offset: float | tuple[float, ...]
    copies: int = 1
    periodic: bool = False
    inner: tuple[tuple[int, int], ...] | None = None

    @property
    def grid(self) -> Shape:
        """Shape of the band's coefficients after batch and channels: (copies, *size), or size for one copy."""
        return self.size if self.copies == 1 else (self.copies, *self.size)


def pack(parts: Iterable[Tensor]) -> Tensor:
    """Tensors (batch, channels, …) in one row: (batch, channels, K)."""
    parts = list(parts)
    if any(part.requires_grad for part in parts):
        return torch.cat([part.flatten(2) for part in parts], -1)
    # Bands are often views: this copies them once; flattening them first would copy them twice.
    sizes = [math.prod(part.shape[2:]) for part in parts]
    row = parts[0].new_empty((*parts[0].shape[:2], sum(sizes)))
    for part, place in zip(parts, row.split(sizes, -1)):
        place.unflatten(-1, part.shape[2:]).copy_(part)
    return row


def unpack(z: Tensor, cells: Sequence[Cell]) -> list[Tensor]:
    """Views of the bands of z (batch, channels, K), each (batch, channels, *grid)."""
    parts = z.split([math.prod(cell.grid) for cell in cells], -1)
    return [part.unflatten(-1, cell.grid) for cell, part in zip(cells, parts)]


# Numbers in one block on each kind of device: what the last cache of a CPU core holds beside the results made from it.
_BLOCK = {"cpu": 2**19}


def blockwise(function: Callable[[Tensor], Tensor], x: Tensor, shape: Shape) -> Tensor:
    """function(x), a block of examples at a time where their tensors then stay in the cache; `shape` is that of one result."""
    rows = max(1, _BLOCK.get(x.device.type, x.numel()) // max(1, x[:1].numel()))
    if len(x) <= rows or x.requires_grad:
        return function(x)
    out = x.new_empty((len(x), *shape))
    for start in range(0, len(x), rows):
        out[start : start + rows] = function(x[start : start + rows])
    return out


def packed_layout(shape: Shape, cells: Sequence[Cell]) -> Layout:
    """The layout of z as `pack` makes it, for signals of `shape`; its tensors are computed when they are first read."""
    counts = [math.prod(cell.grid) for cell in cells]
    whole = (shape[0], sum(counts))
    check_size("wavelets", "coefficients", whole)
    makers = (functools.partial(_table, axes, tuple(cells), shape) for axes in (_frequencies, _positions))
    frequency, position = (Later((len(shape) - 1, *whole), make) for make in makers)
    index = Later(whole, functools.partial(_index, counts, whole))
    grids = tuple((shape[0], *cell.grid) for cell in cells)
    return Layout(tuple(cell.band for cell in cells), index, frequency, position, grids)


def _index(counts: list[int], whole: tuple[int, int]) -> Tensor:
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)).expand(whole).contiguous()


def _table(axes: Callable[[Cell, Sequence[int]], list[Tensor]], cells: Sequence[Cell], shape: Shape) -> Tensor:
    """The numbers that `axes` gives for each axis of a cell, for all coefficients. Shape: (dims, channels, K), a view."""
    grids = [torch.stack(torch.meshgrid(*axes(cell, shape[1:]), indexing="ij")) for cell in cells]
    rows = [grid.flatten(1).repeat(1, cell.copies) for grid, cell in zip(grids, cells)]
    return torch.cat(rows, -1)[:, None].expand(-1, shape[0], -1)


def _frequencies(cell: Cell, sizes: Sequence[int]) -> list[Tensor]:
    axes = [unknown((m,)) for m in cell.size]
    for axis, centre, (start, stop) in zip(axes, cell.centre, cell.inner or [(0, m) for m in cell.size]):
        axis[start:stop] = centre
    return axes


def _positions(cell: Cell, sizes: Sequence[int]) -> list[Tensor]:
    steps, offsets = ((by if isinstance(by, tuple) else [by] * len(sizes)) for by in (cell.step, cell.offset))
    axes = [step * torch.arange(m, dtype=SINGLE) + offset for m, step, offset in zip(cell.size, steps, offsets)]
    return [axis % n if cell.periodic else axis.clamp(0, n - 1) for axis, n in zip(axes, sizes)]
