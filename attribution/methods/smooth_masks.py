"""Smooth random masks: in each band a coarse grid of random bits, shifted at random and interpolated linearly."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.precision import full_products
from ...transforms import Layout

# (n,) places along each axis of a band whose coefficients form a grid, row by row.
Axes = list[Tensor]


@dataclass(frozen=True, eq=False)
class SmoothMasks:
    """The masks of one layout: `of(bits, shift)`.

    Where the coefficients of a band form a grid, interpolation is a product with one small matrix along each axis; in the few
    layouts with other bands, each coefficient is interpolated by itself.

    cells: of the grid along each axis, over the places of all coefficients.
    bands: for each band, the places along its axes, or the places of each coefficient, (dims, n).
    order: the coefficients in the order of the bands, (coefficients,); None where they have this order already.
    channels: the number of channels that share one mask.
    """

    cells: int
    bands: list[Axes | Tensor]
    order: Tensor | None
    layout: Layout
    channels: int

    @classmethod
    def on(cls, layout: Layout, cells: int, like: Tensor) -> "SmoothMasks":
        """like: has the dtype and the device of the masks."""
        place, index = places(layout), layout.index
        shared = index.ndim > 1 and bool((index == index[:1]).all()) and bool((place == place[:, :1]).all())
        place, index = (place[:, 0], index[0]) if shared else (place, index)
        place, index = place.flatten(1), index.flatten()
        order = index.argsort(stable=True)
        back = None if bool((order.diff() == 1).all()) else order.argsort().to(like.device)
        counts = torch.bincount(index, minlength=len(layout.bands)).tolist()
        bands = [_axes(part) or part for part in place[:, order].to(like).split(counts, 1)]
        return cls(cells, bands, back, layout, len(layout.index) if shared else 1)

    @property
    def side(self) -> int:
        """Nodes of the grid along each axis: cells + 1, and one more for the shift."""
        return self.cells + 2

    @property
    def dims(self) -> int:
        """The number of axes of the places."""
        return len(self.layout.position)

    @property
    def bits(self) -> int:
        """The number of random bits of a mask."""
        return len(self.bands) * self.side**self.dims

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one mask: that of one z, with 1 in place of channels that share a mask."""
        return (1 if self.channels > 1 else self.layout.shape[0], *self.layout.shape[1:])

    def of(self, bits: Tensor, shift: Tensor) -> Tensor:
        """Masks.  bits: (rows, bits).  shift: (rows, dims), in cells. Shape: (rows, *shape)."""
        grids = bits.unflatten(1, (len(self.bands), *[self.side] * self.dims)).unbind(1)
        with full_products(bits):
            masks = torch.cat([self._band(band, grid, shift) for band, grid in zip(self.bands, grids)], 1)
        masks = masks if self.order is None else masks[:, self.order]
        return masks.unflatten(1, self.shape)

    def _band(self, band: Axes | Tensor, grid: Tensor, shift: Tensor) -> Tensor:
        """grid: (rows, side, …). Shape: (rows, n)."""
        if isinstance(band, Tensor):
            return interpolate(grid, self.side, self.cells * band + shift[:, :, None])
        node = torch.arange(self.side, device=shift.device).to(shift)
        for axis, place in enumerate(band):
            at = self.cells * place + shift[:, axis : axis + 1]
            hats = (1 - (at[:, :, None] - node).abs()).clamp_(min=0)  # the weights of linear interpolation, (rows, n, side)
            # This axis moves to the end, so that the next one is first.
            grid = (grid.flatten(2) if grid.ndim > 2 else grid[:, :, None]).mT @ hats.mT
            grid = grid.unflatten(1, [*[self.side] * (self.dims - 1 - axis), *map(len, band[:axis])] or [1])
        return grid.flatten(1)


def places(layout: Layout) -> Tensor:
    """The place of each coefficient in [0, 1] per axis, (dims, *coeff): its position, or its frequency where it has none."""
    position, axes = layout.position, tuple(range(1, layout.position.ndim))
    extent = position.nan_to_num(0).amax(axes, keepdim=True).clamp(min=1)
    placed = torch.where(position.isnan(), 2 * layout.frequency, position / extent)
    return placed.nan_to_num(0).clamp(0, 1)


def interpolate(grid: Tensor, side: int, at: Tensor) -> Tensor:
    """Linear interpolation between the nodes of a grid with `side` nodes along each axis.

    grid: (rows, side, …).  at: (rows, dims, n) in [0, side - 1). Shape: (rows, n).
    """
    low = at.floor().clamp(0, side - 2)
    part = at - low
    mask = grid.new_zeros(len(grid), at.shape[2])
    for corner in itertools.product((0, 1), repeat=at.shape[1]):
        weight, node = torch.ones_like(mask), torch.zeros_like(mask, dtype=torch.long)
        for axis, step in enumerate(corner):
            weight = weight * (part[:, axis] if step else 1 - part[:, axis])
            node = node * side + low[:, axis].long() + step
        mask = mask + weight * grid.reshape(len(grid), -1).gather(1, node)
    return mask


def _axes(place: Tensor) -> Axes | None:
    """The places along each axis if `place` (dims, n) is a grid, row by row; None if it is not, or has no axes."""
    if len(place) < 2:
        return list(place) or None
    for row in _rows(place):
        if row == 0 or place.shape[1] % row:
            continue
        blocks = place.unflatten(1, (-1, row))
        if bool((blocks[0] == blocks[0, :, :1]).all()) and bool((blocks[1:] == blocks[1:, :1]).all()):
            rest = _axes(blocks[1:, 0])
            if rest is not None:
                return [blocks[0, :, 0], *rest]
    return None


def _rows(place: Tensor) -> Iterator[int]:
    """Possible lengths of a row: until its own place changes, or until the places in it start again."""
    for starts in (place[0].diff() != 0, place[1].diff() < 0):
        first = starts.nonzero()
        yield int(first[0]) + 1 if len(first) else place.shape[1]
