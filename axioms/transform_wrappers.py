"""Transforms in disguise, for laws that ask the same question in other coordinates."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor

from ..transforms import Pixel, Transform, TransformClaim


class Rescaled(Transform):
    """z' = (T x - d) / c; d = None for no shift."""

    def __init__(self, inner: Transform, scale: Tensor, shift: Tensor | None) -> None:
        super().__init__()
        self.inner, self.shape, self.layout = inner, inner.shape, inner.layout
        self.claims = (
            inner.claims
            & ~TransformClaim.ISOMETRIC
            & (~TransformClaim.NONE if shift is None else ~TransformClaim.LINEAR)
        )
        self.spec = f"{inner.spec} in other units"
        self.register_buffer("scale", scale)
        self.register_buffer("shift", torch.zeros_like(scale) if shift is None else shift)

    def analysis(self, x: Tensor) -> Tensor:
        return (self.inner.analysis(x) - self.get_buffer("shift").to(x)) / self.get_buffer("scale").to(x)

    def synthesis(self, z: Tensor) -> Tensor:
        return self.inner.synthesis(z * self.get_buffer("scale").to(z) + self.get_buffer("shift").to(z))

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        inner = Pixel((1, 4))
        yield cls(inner, torch.tensor([[1.0, 2.0, 3.0, 4.0]]), None)


class Opaque(Transform):
    """T without its claim to be linear: `attribute` then runs f∘T⁻¹ and differentiates through T⁻¹, without T.adjoint."""

    def __init__(self, inner: Transform) -> None:
        super().__init__()
        self.inner, self.shape, self.layout = copy.deepcopy(inner), inner.shape, inner.layout
        self.claims, self.spec = inner.claims & ~TransformClaim.LINEAR, f"{inner.spec} by autograd"

    def analysis(self, x: Tensor) -> Tensor:
        return self.inner.analysis(x)

    def synthesis(self, z: Tensor) -> Tensor:
        return self.inner.synthesis(z)

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        return [cls(Pixel((1, 4)))]
