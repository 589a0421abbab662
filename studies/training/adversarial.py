"""Four ways to train a small residual network: as usual, and three that train against attacks."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from ...core.isolation import random_state
from .fit import shuffled

EPSILON = 0.1  # the largest change of a pixel, of values in [0, 1]
EPOCHS, BATCH, RATE = 5, 128, 5e-3
PGD_STEPS, REPLAYS = 5, 4
Step = Callable[[Tensor, Tensor], Tensor]  # one step of the optimizer on (x, label); it returns the gradient for x


class Block(nn.Module):
    """Two convolutions with batch normalisation, and a way around them: relu(h(x) + x)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        first = (nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())
        self.inner = nn.Sequential(*first, nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after))
        same = before == after and stride == 1
        self.around = nn.Identity() if same else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return (self.inner(x) + self.around(x)).relu()


def network(classes: int = 10) -> nn.Module:
    """A residual network of 3 blocks, 77,818 parameters: (batch, 1, height, width) to (batch, classes)."""
    first = (nn.Conv2d(1, 16, 5, 2, 2, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    blocks = (Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
    return nn.Sequential(*first, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


def gradient(network: Callable[[Tensor], Tensor], x: Tensor, label: Tensor) -> Tensor:
    """The gradient of the cross entropy, summed over the batch, with respect to x."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        loss = nn.functional.cross_entropy(network(x), label, reduction="sum")
        (found,) = torch.autograd.grad(loss, x)
    return found


def attacked(
    network: Callable[[Tensor], Tensor],
    x: Tensor,
    label: Tensor,
    start: Tensor,
    epsilon: float | Tensor = EPSILON,
    steps: int = PGD_STEPS,
    step: float = 1.5 / PGD_STEPS,
    low: float | Tensor = 0.0,
    high: float | Tensor = 1.0,
) -> Tensor:
    """x after projected gradient ascent on the cross entropy, within `epsilon` of x and between `low` and `high`.

    start: the first change, in [-1, 1] of epsilon.  step: the length of a step, in units of epsilon.
    Source: Madry et al. 2018, §2.1.

    >>> line, x = nn.Linear(1, 2), torch.full((1, 1), 0.5)
    >>> (attacked(line, x, torch.tensor([0]), torch.zeros_like(x)) - x).abs().round(decimals=6)
    tensor([[0.1000]])
    """
    lowest, highest = torch.as_tensor(low).to(x), torch.as_tensor(high).to(x)

    def inside(moved: Tensor) -> Tensor:
        return (x + ((moved - x) / epsilon).clamp(-1, 1) * epsilon).clamp(lowest, highest)

    moved = inside(x + start * epsilon)
    for _ in range(steps):
        moved = inside(moved + step * epsilon * gradient(network, moved, label).sign())
    return moved


def _usual(made: nn.Module, step: Step, batches: Iterator[tuple[Tensor, Tensor]], random: torch.Generator) -> None:
    """Empirical risk minimisation: the loss of the data as they are."""
    for x, label in batches:
        step(x, label)


def _pgd(made: nn.Module, step: Step, batches: Iterator[tuple[Tensor, Tensor]], random: torch.Generator) -> None:
    """The loss after projected gradient ascent of 5 steps from a random start.  Source: Madry et al. 2018."""
    for x, label in batches:
        step(attacked(made, x, label, _uniform(x, random)), label)


def _fast(made: nn.Module, step: Step, batches: Iterator[tuple[Tensor, Tensor]], random: torch.Generator) -> None:
    """The loss after one step of 1.25 ε from a random start.  Source: Wong, Rice & Kolter 2020."""
    for x, label in batches:
        step(attacked(made, x, label, _uniform(x, random), steps=1, step=1.25), label)


def _free(made: nn.Module, step: Step, batches: Iterator[tuple[Tensor, Tensor]], random: torch.Generator) -> None:
    """Each batch 4 times; one gradient changes the weights and the attack, which the next batch takes over.

    Source: Shafahi et al. 2019, algorithm 1.
    """
    change: Tensor | None = None
    for x, label in batches:
        change = torch.zeros_like(x) if change is None else change
        for _ in range(REPLAYS):
            found = step((x + change[: len(x)]).clamp(0, 1), label)
            change[: len(x)] = (change[: len(x)] + EPSILON * found.sign()).clamp(-EPSILON, EPSILON)


# By name: how it trains, and the gradients for each image that is shown once.
RECIPES = {"erm": (_usual, 1), "pgd": (_pgd, 1 + PGD_STEPS), "fast": (_fast, 2), "free": (_free, REPLAYS)}


def rounds(recipe: str, epochs: int) -> int:
    """Rounds through the data: Free shows each image 4 times in one, and gets half of the rounds of the others."""
    return -(-epochs // 2) if recipe == "free" else epochs


def gradients(recipe: str, images: int, epochs: int = EPOCHS) -> int:
    """The gradients that a training takes.

    >>> [gradients(recipe, 20_000) for recipe in RECIPES]
    [100000, 600000, 200000, 240000]
    """
    return images * rounds(recipe, epochs) * RECIPES[recipe][1]


def trained(x: Tensor, label: Tensor, recipe: str = "erm", seed: int = 0, epochs: int = EPOCHS) -> nn.Module:
    """The network after training with one of `RECIPES` on images x (count, 1, height, width) with classes `label`.

    Adam; its rate rises to 0.005 and falls to 0 (Smith & Topin 2019). The torch of this process uses one thread meanwhile: the
    order of sums decides the last bits, and stored results know a network by its bits.
    """
    with random_state(seed, torch.device("cpu")):
        made, threads = network(), torch.get_num_threads()
    total = rounds(recipe, epochs) * -(-len(x) // BATCH) * (REPLAYS if recipe == "free" else 1)
    torch.set_num_threads(1)
    try:
        batches = shuffled(x, label, BATCH, rounds(recipe, epochs), seed)
        RECIPES[recipe][0](made, _stepper(made, total), batches, torch.Generator().manual_seed(seed + 1))
    finally:
        torch.set_num_threads(threads)
    return made.requires_grad_(False).eval()


def _stepper(made: nn.Module, total: int) -> Step:
    """One step of the optimizer, of `total` steps in all."""
    optimizer = torch.optim.Adam(made.parameters(), lr=RATE)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=max(2, total))

    def step(x: Tensor, label: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        optimizer.zero_grad()
        nn.functional.cross_entropy(made(x), label).backward()
        optimizer.step()
        rate.step()
        return torch.zeros_like(x) if x.grad is None else x.grad

    return step


def _uniform(x: Tensor, random: torch.Generator) -> Tensor:
    """A random start in [-1, 1] of ε."""
    return 2 * torch.rand(x.shape, generator=random) - 1
