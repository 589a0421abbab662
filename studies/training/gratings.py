"""Gratings in four directions, and a small network that names the direction."""

import torch
from torch import Tensor, nn

from ...core.isolation import random_state


def trained_on_gratings(seed: int = 0, steps: int = 150) -> tuple[nn.Module, Tensor]:
    """A small ReLU network with batch normalisation, trained to name one of four directions, and three new gratings.

    Shapes: x (3, 1, 16, 16), in double precision.
    """
    generator, threads = torch.Generator().manual_seed(seed), torch.get_num_threads()
    with random_state(seed, torch.device("cpu")):
        first = (nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.ReLU())
        network = nn.Sequential(*first, nn.Flatten(), nn.Linear(8 * 7 * 7, 32), nn.ReLU(), nn.Linear(32, 4)).double()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    torch.set_num_threads(1)  # the order of sums decides the last bits, and stored results know the network by its bits
    try:
        for _ in range(steps):
            x, label = gratings(64, generator)
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x), label).backward()
            optimizer.step()
    finally:
        torch.set_num_threads(threads)
    network.requires_grad_(False)
    return network.eval(), gratings(3, generator)[0]


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
