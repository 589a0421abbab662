"""Gratings in four directions, and a small network that names the direction."""

import torch
from torch import Tensor, nn

from .fit import fitted


def trained_on_gratings(seed: int = 0, steps: int = 150) -> tuple[nn.Module, Tensor]:
    """A small ReLU network with batch normalisation, trained to name one of four directions, and three new gratings.

    Shapes: x (3, 1, 16, 16), in double precision.
    """
    generator = torch.Generator().manual_seed(seed)
    network = fitted(_network, (gratings(64, generator) for _ in range(steps)), seed)
    return network, gratings(3, generator)[0]


def _network() -> nn.Module:
    first = (nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.ReLU())
    return nn.Sequential(*first, nn.Flatten(), nn.Linear(8 * 7 * 7, 32), nn.ReLU(), nn.Linear(32, 4)).double()


def gratings(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noisy sine gratings in four directions, (count, 1, 16, 16), and the direction of each, (count,).

    >>> x, label = gratings(5, torch.Generator().manual_seed(0))
    >>> x.shape, label.max() < 4
    (torch.Size([5, 1, 16, 16]), tensor(True))
    """
    label = torch.randint(4, (count,), generator=generator)
    draw = torch.rand(count, 2, 1, 1, generator=generator, dtype=torch.double)
    angle = label.double().reshape(-1, 1, 1) * torch.pi / 4
    rows, columns = torch.meshgrid(*[torch.arange(16, dtype=torch.double)] * 2, indexing="ij")
    distance = rows * angle.cos() + columns * angle.sin()
    wave = torch.sin((0.6 + 0.5 * draw[:, 0]) * distance + 2 * torch.pi * draw[:, 1])
    noise = torch.randn(count, 16, 16, generator=generator, dtype=torch.double)
    return (wave + 0.3 * noise)[:, None], label
