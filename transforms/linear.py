"""Linear transforms that are not a wavelet, cosine or Fourier family. Here: the signal itself."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from .base import Claim, Transform, check_shape
from .layout import Band, Layout, signal_position
from .registry import register


@register("pixel")
class Pixel(Transform):
    """T = identity: the samples themselves, in one band.

    >>> from pullback.transforms import get
    >>> get("pixel", shape=(3, 4, 4)).claims == Claim.ORTHOGONAL
    True
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = check_shape("pixel", shape, dims=range(0, 10))
        self.claims = Claim.ORTHOGONAL
        self.spec = "pixel"
        position = signal_position(self.shape)
        index = torch.zeros(self.shape, dtype=torch.long)
        self.layout = Layout((Band("pixels"),), index, torch.full_like(position, math.nan), position)

    def analysis(self, x: Tensor) -> Tensor:
        return x

    def synthesis(self, z: Tensor) -> Tensor:
        return z

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        return [cls((5,)), cls((2, 4)), cls((1, 3, 4)), cls((1, 2, 3, 2))]
