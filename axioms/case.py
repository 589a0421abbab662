"""`Case`: one attribution problem, which a method is asked to solve."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..attribution import Pullback
from ..attribution.engine.open_engine import open_engine
from ..attribution.engine.score import Target, for_examples, takes_example
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
        target = for_examples(self.target, torch.as_tensor(index))
        return replace(self, x=self.x[list(index)], base=self.base[list(index)], target=target)

    def scores(self) -> tuple[Tensor, Tensor]:
        """f(x) and f(x₀), (batch,) each, in double precision."""
        example = torch.arange(len(self.x), device=self.x.device)
        with open_engine(self.model, self.x, self.target, check=False) as engine:
            both = lambda: torch.stack([engine.scores(example, points.__getitem__) for points in (self.x, self.base)])
            point, origin = engine.as_recorded(both).double()
        return point, origin

    def target_argument(self) -> Any:
        """The target as a callable method gets it: int64 (batch,) or (batch, axes), a callable of the output, or None."""
        target: Any = self.target
        if callable(target):
            example = torch.arange(len(self.x), device=self.x.device)
            return functools.partial(target, example=example) if takes_example(target) else target
        if target is None:
            return None
        classes = torch.as_tensor(target, device=self.x.device)
        return classes.clone() if classes.ndim else classes.repeat(len(self.x))
