"""Transforms that wrap another one, for laws that put the same problem in other coordinates."""

from collections.abc import Iterable

import torch
from torch import Tensor

from ..core.copies import copied
from ..transforms import Pixel, Transform, TransformClaim


class Rescaled(Transform):
    """z' = (T x - d) / c; without a shift, d = 0."""

    def __init__(self, inner: Transform, scale: Tensor, shift: Tensor | None) -> None:
        super().__init__()
        self.inner, self.shape, self.layout = inner, inner.shape, inner.layout
        lost = TransformClaim.ISOMETRIC if shift is None else TransformClaim.ISOMETRIC | TransformClaim.LINEAR
        self.claims, self.spec = inner.claims & ~lost, f"{inner.spec} in other units"
        self.register_buffer("scale", scale)
        self.register_buffer("shift", torch.zeros_like(scale) if shift is None else shift)

    def analysis(self, x: Tensor) -> Tensor:
        return (self.inner.analysis(x) - self.get_buffer("shift").to(x)) / self.get_buffer("scale").to(x)

    def synthesis(self, z: Tensor) -> Tensor:
        return self.inner.synthesis(z * self.get_buffer("scale").to(z) + self.get_buffer("shift").to(z))

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        return [cls(Pixel((1, 4)), torch.tensor([[1.0, 2.0, 3.0, 4.0]]), None)]


class Opaque(Transform):
    """T without its claim to be linear: `attribute` then differentiates f∘T⁻¹ and does not use T.adjoint."""

    def __init__(self, inner: Transform) -> None:
        super().__init__()
        self.inner, self.shape, self.layout = copied(inner), inner.shape, inner.layout
        self.claims, self.spec = inner.claims & ~TransformClaim.LINEAR, f"{inner.spec} by autograd"

    def analysis(self, x: Tensor) -> Tensor:
        return self.inner.analysis(x)

    def synthesis(self, z: Tensor) -> Tensor:
        return self.inner.synthesis(z)

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        return [cls(Pixel((1, 4)))]
