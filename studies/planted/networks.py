"""Networks that read planted signals: small ones that are trained in a second, and closed forms."""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from ..training.fit import fitted
from .signals import Recipe

Kind = Literal["dense", "deep", "convolutional"]
KINDS: tuple[Kind, ...] = ("dense", "deep", "convolutional")
_STEPS, _BATCH = 300, 128


def network(kind: Kind, shape: tuple[int, ...]) -> nn.Module:
    """A network of two classes: dense (one hidden layer of ReLUs), deep (tanh, then ReLU), or convolutional."""
    samples = torch.Size(shape).numel()
    if kind == "dense":
        return nn.Sequential(nn.Flatten(), nn.Linear(samples, 64), nn.ReLU(), nn.Linear(64, 2))
    if kind == "deep":
        return nn.Sequential(nn.Flatten(), nn.Linear(samples, 64), nn.Tanh(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2))
    layer = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(shape) - 2]
    first = (layer(shape[0], 4, 3, padding=1), nn.ReLU(), layer(4, 4, 3, padding=1), nn.ReLU())
    return nn.Sequential(*first, nn.Flatten(), nn.Linear(4 * samples // shape[0], 32), nn.ReLU(), nn.Linear(32, 2))


def trained(recipe: Recipe, kind: Kind, seed: int = 0, turned: bool = False, steps: int = _STEPS) -> nn.Module:
    """A network that was trained on new signals in every step.  turned: it names the bit of the distractors instead."""
    generator = torch.Generator().manual_seed(seed)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(steps):
            parts = recipe.draw(_BATCH, generator)
            yield parts.x, parts.other if turned else parts.label

    return fitted(lambda: network(kind, recipe.shape), batches(), seed)


class ClosedForm(nn.Module):
    """f(x) = Σ_k c_k φ(⟨q_k, x⟩) with known atoms q_k: a network that needs no training, whose truth is exact.

    form: "linear" (φ(t) = t), "quadratic" (t²) or "saturating" (tanh t).  Shapes: atoms (atoms, *shape), weights (atoms,).

    >>> f = ClosedForm(torch.eye(3)[:2, None], torch.tensor([2.0, 1.0]), "quadratic")
    >>> f(torch.tensor([[[3.0, 1.0, 7.0]]]))
    tensor([19.])
    """

    def __init__(self, atoms: Tensor, weights: Tensor, form: str = "linear") -> None:
        super().__init__()
        self.register_buffer("atoms", atoms.flatten(1))
        self.register_buffer("weights", weights)
        self.form = form

    def forward(self, x: Tensor) -> Tensor:
        found = x.flatten(1) @ self.get_buffer("atoms").T
        return {"linear": found, "quadratic": found.square(), "saturating": found.tanh()}[self.form] @ self.get_buffer(
            "weights"
        )
