"""Transforms that are not linear, for tests."""

from collections.abc import Iterable

import torch
from torch import Tensor

import pullback as pb
from pullback.transforms import Transform, TransformClaim


class Curved(Transform):
    """z = asinh(x - 1), sample by sample: T⁻¹(0) = 1, and zero coefficients are not the zero signal."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.layout = pb.transforms.get("dct", shape).layout
        self.claims = TransformClaim.BIJECTIVE
        self.spec = "curved"

    def analysis(self, x: Tensor) -> Tensor:
        return torch.asinh(x - 1)

    def synthesis(self, z: Tensor) -> Tensor:
        return torch.sinh(z) + 1

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        return [cls((1, 8))]


class Sinh(Curved):
    """z = sinh x, sample by sample: T⁻¹(0) = 0."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(shape)
        self.layout, self.spec = pb.transforms.Pixel(shape).layout, "sinh"

    def analysis(self, x: Tensor) -> Tensor:
        return x.sinh()

    def synthesis(self, z: Tensor) -> Tensor:
        return z.asinh()


def three_linear_domains_and_a_curved_one(shape: tuple[int, ...]) -> list[str | Transform]:
    """The signal itself, an orthonormal and a redundant transform, which share one stream of gradients, and `Curved`."""
    return ["pixel", "dct", "dwt(db2, level=1, mode=symmetric)", Curved(shape)]
