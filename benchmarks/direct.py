"""f∘T⁻¹ by automatic differentiation around one signal, slowly and plainly: what references are made of."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pullback.attribution.engine.random import Keyed
from pullback.transforms import Transform

CHUNK = 8


@dataclasses.dataclass(frozen=True)
class Direct:
    """g(z) = f(T⁻¹ z)[target] around one signal x (1, *shape), from the baseline zero."""

    model: Callable[[Tensor], Tensor]
    transform: Transform
    x: Tensor
    target: int

    @property
    def z(self) -> Tensor:
        return self.transform(self.x)

    def values(self, z: Tensor) -> Tensor:
        """g at each row.  Shape: (rows,)."""
        with torch.no_grad():
            return torch.cat([self.model(self.transform.inverse(part))[:, self.target] for part in z.split(CHUNK)])

    def gradients(self, z: Tensor) -> Tensor:
        """∇g at each row, with autograd through T⁻¹.  Shape: that of z."""
        parts = []
        for part in z.split(CHUNK):
            points = part.detach().clone().requires_grad_()
            score = self.model(self.transform.inverse(points))[:, self.target].sum()
            parts += torch.autograd.grad(score, points)
        return torch.cat(parts)

    # The numbers that the library draws for this signal and seed 0: a reference that drew others would only be near.

    def noisy(self, samples: int, spread: float) -> Tensor:
        """T(x + δ), one row per sample."""
        std = spread * (self.x.max() - self.x.min())
        return self.transform(self.x + std * self.drawn(samples, tuple(self.x.shape[1:]), Tensor.normal_))

    def unit(self, samples: int) -> Tensor:
        """(k + u_k) / samples, as a column for every axis of z."""
        drawn = self.drawn(samples, (1,), Tensor.uniform_, "alpha")[:, 0]
        alpha = (torch.arange(samples, device=drawn.device) + drawn) / samples
        return alpha.reshape(-1, *[1] * (self.z.ndim - 1))

    def drawn(self, samples: int, shape: tuple[int, ...], draw: Callable[..., Any], stream: str = "") -> Tensor:
        """One tensor of `shape` for each sample, filled by `draw`."""
        sample = torch.arange(samples)
        return Keyed(self.x, 0).draw(torch.zeros_like(sample), sample, shape, draw, stream)

    def generator(self, stream: str) -> np.random.Generator:
        """What designs are drawn from."""
        return Keyed(self.x, 0).generator(0, stream)
