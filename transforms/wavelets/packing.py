"""Bands of different sizes, one after another in one (channels, K) tensor."""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..layout import Band, Layout


@dataclass(frozen=True)
class Cell:
    """One band and the grid of its coefficients.

    size: one entry per signal axis.  centre: its frequency along each axis, in cycles/sample.
    step, offset: coefficient k of an axis is centred on sample step · k + offset.
    copies: how many coefficients stand at each place, such as the real and the imaginary part.
    periodic: whether a place past an end is one past the other end, or the end itself.
    """

    band: Band
    size: tuple[int, ...]
    centre: tuple[float, ...]
    step: float
    offset: float
    copies: int = 1
    periodic: bool = False

    @property
    def grid(self) -> tuple[int, ...]:
        """What `unpack` gives the band's coefficients after batch and channels: (copies, *size), or size for one copy."""
        return self.size if self.copies == 1 else (self.copies, *self.size)


def pack(parts: Iterable[Tensor]) -> Tensor:
    """Tensors (batch, channels, …) in one row: (batch, channels, K)."""
    parts = list(parts)
    if any(part.requires_grad for part in parts):
        return torch.cat([part.flatten(2) for part in parts], -1)
    # Bands are often views: this copies them once, flattening them first would be twice.
    sizes = [math.prod(part.shape[2:]) for part in parts]
    row = parts[0].new_empty((*parts[0].shape[:2], sum(sizes)))
    for part, place in zip(parts, row.split(sizes, -1)):
        place.unflatten(-1, part.shape[2:]).copy_(part)
    return row


def unpack(z: Tensor, cells: Sequence[Cell]) -> list[Tensor]:
    """Views of the bands of z (batch, channels, K), each (batch, channels, *grid)."""
    parts = z.split([math.prod(cell.grid) for cell in cells], -1)
    return [part.unflatten(-1, cell.grid) for cell, part in zip(cells, parts)]


# Elements of a block on each kind of device: about what the last cache of a CPU core holds beside what is made from it.
_BLOCK = {"cpu": 2**19}


def blockwise(function: Callable[[Tensor], Tensor], x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """function(x), a block of examples at a time where that is faster; its result for one example has `shape`.

    A redundant transform makes many large tensors; in blocks they stay in the cache, which halves the time on a CPU.
    """
    rows = max(1, _BLOCK.get(x.device.type, x.numel()) // max(1, x[:1].numel()))
    if len(x) <= rows or x.requires_grad:
        return function(x)
    out = x.new_empty((len(x), *shape))
    for start in range(0, len(x), rows):
        out[start : start + rows] = function(x[start : start + rows])
    return out


class PackedLayout(Layout):
    """The layout of z as `pack` makes it. Bands and places are worked out when they are asked for: most maps never do."""

    @classmethod
    def of(cls, shape: tuple[int, ...], cells: Sequence[Cell]) -> "PackedLayout":
        """shape: of the signals, (channels, *spatial)."""
        sizes = [math.prod(cell.grid) for cell in cells]
        made = cls.__new__(cls)  # three of the fields are left to the properties below
        vars(made).update(
            bands=tuple(cell.band for cell in cells),
            _signal=shape,
            _cells=tuple(cells),
            _shape=(shape[0], sum(sizes)),
            _counts=torch.tensor(sizes),
        )
        return made

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one z."""
        return vars(self).get("_shape") or tuple(self.index.shape)

    @functools.cached_property
    def index(self) -> Tensor:
        """The band of each coefficient. Shape: (channels, K)."""
        counts = vars(self)["_counts"]
        return torch.arange(len(counts)).repeat_interleave(counts).expand(self.shape[0], -1).contiguous()

    @functools.cached_property
    def frequency(self) -> Tensor:
        """The centre of each coefficient's band, in cycles/sample. Shape: (dims, channels, K)."""
        cells: tuple[Cell, ...] = vars(self)["_cells"]
        centres = torch.tensor([cell.centre for cell in cells], dtype=torch.get_default_dtype())  # (cells, dims)
        return self._spread(centres.repeat_interleave(vars(self)["_counts"], 0).T)

    @functools.cached_property
    def position(self) -> Tensor:
        """Where each coefficient is centred, in samples. Shape: (dims, channels, K)."""
        return self._spread(torch.cat([_position(vars(self)["_signal"], cell) for cell in vars(self)["_cells"]], -1))

    def _spread(self, places: Tensor) -> Tensor:
        return places[:, None].expand(-1, *self.shape)


def packed_layout(shape: tuple[int, ...], cells: Sequence[Cell]) -> Layout:
    """The layout of z as `pack` makes it, for signals of `shape` (channels, *spatial)."""
    return PackedLayout.of(shape, cells)


def _position(shape: tuple[int, ...], cell: Cell) -> Tensor:
    """(dims, copies × size)."""
    axes = [cell.step * torch.arange(m, dtype=torch.get_default_dtype()) + cell.offset for m in cell.size]
    axes = [axis % n if cell.periodic else axis.clamp(0, n - 1) for axis, n in zip(axes, shape[1:])]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1).repeat(1, cell.copies)
