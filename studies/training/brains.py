"""Parts of a brain, and a small network that names the region in their middle."""

from collections.abc import Iterator

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

from .fit import fitted

SIDE, REGIONS = 32, 116  # voxels of a part; classes
_HEADS, _ZOOM, _TURN = 16, 0.08, 6.0  # deformed copies of the brain; the most that an axis is stretched; degrees
_GAIN, _GAMMA, _NOISE = 0.1, 0.3, 0.03  # how much brightness, contrast and noise vary


def network() -> nn.Module:
    """Three convolutions that halve each axis, and a linear layer: (batch, 1, 32, 32, 32) to (batch, 116)."""
    first = (nn.Conv3d(1, 16, 3, stride=2, padding=1), nn.ReLU())
    second = (nn.Conv3d(16, 32, 3, stride=2, padding=1), nn.ReLU())
    third = (nn.Conv3d(32, 32, 3, stride=2, padding=1), nn.ReLU())
    return nn.Sequential(*first, *second, *third, nn.Flatten(), nn.Linear(32 * 4**3, REGIONS))


def trained(brain: Tensor, labels: Tensor, seed: int = 0, steps: int = 500) -> nn.Module:
    """The network after `steps` batches of 64 new parts of one brain (i, j, k) with the region of each voxel, 0 for none."""
    return fitted(network, parts(brain, labels, steps, 64, seed), seed)


def parts(brain: Tensor, labels: Tensor, steps: int, size: int, seed: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of parts (size, 1, 32, 32, 32) and their regions, 0 … 115; all regions are equally frequent.

    Each comes from one of 16 copies of the brain that are stretched by up to 8 % and turned by up to 6° about each axis, with
    another brightness, contrast and noise.
    """
    generator, edge = torch.Generator().manual_seed(seed), SIDE // 2
    heads = [_deformed(brain, labels, generator) for _ in range(_HEADS)]
    padded = [nn.functional.pad(values, (edge,) * 6) for values, _ in heads]
    places = [[(named == region + 1).nonzero() for region in range(REGIONS)] for _, named in heads]
    for _ in range(steps):
        region, head = (torch.randint(most, (size,), generator=generator) for most in (REGIONS, _HEADS))
        cut = [_part(padded[h], places[h][r], generator) for h, r in zip(head.tolist(), region.tolist())]
        gain, gamma = (2 * torch.rand(2, size, 1, 1, 1, 1, generator=generator) - 1).to(brain)
        x = torch.stack(cut)[:, None].clamp(min=0) ** (1 + _GAMMA * gamma) * (1 + _GAIN * gain)
        yield x + _NOISE * torch.randn(x.shape, generator=generator), region


def _part(padded: Tensor, points: Tensor, generator: torch.Generator) -> Tensor:
    """The part around one of the points."""
    point = points[int(torch.randint(len(points), (), generator=generator))].tolist()
    return padded[tuple(slice(at, at + SIDE) for at in point)]


def _deformed(brain: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A stretched and turned copy of a brain, and of the regions of its voxels."""
    draw = (2 * torch.rand(2, 3, generator=generator) - 1).double().numpy()
    matrix = np.diag(1 + _ZOOM * draw[0])
    for axis, angle in enumerate(np.deg2rad(_TURN) * draw[1]):
        one, other = (number for number in range(3) if number != axis)
        turn = np.eye(3)
        turn[[one, other], [one, other]], turn[one, other], turn[other, one] = np.cos(angle), -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    middle = (np.array(brain.shape) - 1) / 2
    shift = middle - matrix @ middle
    moved = [ndimage.affine_transform(each.numpy(), matrix, shift, order=order) for each, order in ((brain, 1), (labels, 0))]
    return torch.from_numpy(moved[0]), torch.from_numpy(moved[1])
