"""Training of a small classifier, to the same bits on every run."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from ...core.isolation import random_state


def fitted(network: Callable[[], nn.Module], batches: Iterable[tuple[Tensor, Tensor]], seed: int = 0) -> nn.Module:
    """A network trained by Adam on the cross entropy of each batch (x, label), in eval mode and without gradients.

    network: makes the network, with first weights that follow `seed`. The torch of this process uses one thread meanwhile:
    the order of sums decides the last bits, and stored results know a network by its bits.
    """
    with random_state(seed, torch.device("cpu")):
        made, threads = network(), torch.get_num_threads()
    optimizer = torch.optim.Adam(made.parameters(), lr=3e-3)
    torch.set_num_threads(1)
    try:
        for x, label in batches:
            optimizer.zero_grad()
            nn.functional.cross_entropy(made(x), label).backward()
            optimizer.step()
    finally:
        torch.set_num_threads(threads)
    return made.requires_grad_(False).eval()


def shuffled(x: Tensor, label: Tensor, size: int, epochs: int, seed: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of `size` examples in an order that follows `seed`, each example once in an epoch.

    >>> [len(x) for x, label in shuffled(torch.zeros(5, 1), torch.zeros(5), size=2, epochs=1)]
    [2, 2, 1]
    """
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=generator).split(size):
            yield x[rows], label[rows]
