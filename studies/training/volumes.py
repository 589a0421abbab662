"""Digits in space, and a small network that names them."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .fit import fitted, shuffled

SIDE, THICKNESS, MOST = 32, 8, 30.0  # voxels, voxels, degrees of a turn about each axis


def extruded(digits: Tensor, generator: torch.Generator) -> Tensor:
    """Digits (count, 1, 28, 28) as volumes (count, 1, 32, 32, 32), axes depth, height, width.

    Each is repeated over 8 voxels of depth and turned about all three axes, by angles from -30° to 30°.

    >>> extruded(torch.ones(2, 1, 28, 28), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 1, 32, 32, 32])
    """
    edge = (SIDE - digits.shape[-1]) // 2
    flat = torch.nn.functional.pad(digits, (edge,) * 4)[:, :, None]
    front = (SIDE - THICKNESS) // 2
    solid = torch.nn.functional.pad(flat.expand(-1, -1, THICKNESS, -1, -1), (0, 0, 0, 0, front, front))
    angle = torch.deg2rad((2 * torch.rand(3, len(digits), generator=generator) - 1) * MOST).to(digits)
    turns = torch.nn.functional.pad(_turns(angle), (0, 1))
    grid = torch.nn.functional.affine_grid(turns, list(solid.shape), align_corners=False)
    return torch.nn.functional.grid_sample(solid, grid, align_corners=False)


def _turns(angle: Tensor) -> Tensor:
    """A turn about each axis after the other, (3, count) angles to (count, 3, 3)."""
    turn = torch.eye(3).to(angle).expand(angle.shape[1], 3, 3)
    for axis, each in enumerate(angle):
        one, other = (number for number in range(3) if number != axis)
        step = torch.eye(3).to(angle).repeat(angle.shape[1], 1, 1)
        step[:, one, one] = step[:, other, other] = each.cos()
        step[:, one, other], step[:, other, one] = -each.sin(), each.sin()
        turn = turn @ step
    return turn


def network() -> nn.Module:
    """Three convolutions that halve each axis, and a linear layer: (batch, 1, 32, 32, 32) to (batch, 10)."""
    first = (nn.Conv3d(1, 8, 5, stride=2, padding=2), nn.ReLU())
    second = (nn.Conv3d(8, 16, 3, stride=2, padding=1), nn.ReLU())
    third = (nn.Conv3d(16, 32, 3, stride=2, padding=1), nn.ReLU())
    return nn.Sequential(*first, *second, *third, nn.Flatten(), nn.Linear(32 * 4**3, 10))


def trained(digits: Tensor, label: Tensor, seed: int = 0, epochs: int = 12) -> nn.Module:
    """The network after `epochs` rounds through the digits (count, 1, 28, 28) with their names (count,), turned anew in each.

    The last sixth of the rounds takes larger batches, so that the weights settle.
    """

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(seed)
        for epoch in range(epochs):
            size = 50 if epoch < epochs * 5 / 6 else 250
            yield from shuffled(extruded(digits, generator), label, size, 1, seed + epoch)

    return fitted(network, batches(), seed)
