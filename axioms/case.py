"""`Case`: one attribution problem, which a method is asked to solve."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..attribution import Pullback
from ..attribution.engine.open_engine import open_engine
from ..attribution.engine.score import Score, Target
from ..core.copies import copied
from ..transforms import Pixel, Transform


@dataclass(frozen=True, eq=False)
class Case:
    """One attribution problem: which coefficients of T x account for f(x) - f(x₀)?  f: the target of the model's output."""

    model: nn.Module
    x: Tensor  # (batch, *shape)
    base: Tensor  # x₀, (batch, *shape)
    target: Target
    transform: Transform

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one signal."""
        return tuple(self.x.shape[1:])

    def in_signal(self) -> "Case":
        """The problem in the coordinates of the signal, T = 1."""
        return replace(self, transform=Pixel(self.shape))

    def in_coefficients(self) -> "Case":
        """The problem for g = f∘T⁻¹, where z is the signal."""
        model, flat = Pullback(self.model, self.transform), Pixel(self.transform.layout.shape)
        return Case(model, self.transform(self.x), self.transform(self.base), self.target, flat)

    def in_double(self) -> "Case":
        """The problem in double precision."""
        return replace(self, model=copied(self.model).double(), x=self.x.double(), base=self.base.double())

    def subset(self, index: Sequence[int]) -> "Case":
        """The problem for these examples, in this order."""
        target = self.target
        if isinstance(target, Tensor) and target.ndim == 1:
            target = target[torch.as_tensor(index, device=target.device)]
        elif isinstance(target, Sequence):
            target = [target[i] for i in index]
        return replace(self, x=self.x[list(index)], base=self.base[list(index)], target=target)

    def scores(self) -> tuple[Tensor, Tensor]:
        """f(x) and f(x₀), (batch,) each, in double precision."""
        example = torch.arange(len(self.x), device=self.x.device)
        with open_engine(self.model, self.x, self.target, check=False) as engine:
            both = lambda: torch.stack([engine.scores(example, points.__getitem__) for points in (self.x, self.base)])
            point, origin = engine.as_recorded(both).double()
        return point, origin

    def target_argument(self) -> Any:
        """The target as a callable method gets it: one class per example, int64 (batch,), or a callable, or None."""
        choose = Score.of(self.target, len(self.x), self.x.device).choose
        return choose.clone() if isinstance(choose, Tensor) else choose
