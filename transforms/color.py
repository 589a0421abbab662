"""Colour spaces: a change of basis in the channels, the same at every sample."""

import math
from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from ..core.constant import Constant
from .base import Transform, TransformClaim, check_shape
from .layout import Band, Layout, sample_layout
from .registry import add

_R, _G, _B = 0.299, 0.587, 0.114  # ITU-R BT.601, section 2.5.1

# space: (names of the channels, rows)
SPACES = {
    "opponent": (
        ("luminance", "red-green", "yellow-blue"),
        [
            [1 / math.sqrt(3)] * 3,
            [1 / math.sqrt(2), -1 / math.sqrt(2), 0.0],
            [1 / math.sqrt(6), 1 / math.sqrt(6), -2 / math.sqrt(6)],
        ],
    ),
    "ycbcr": (
        ("Y", "Cb", "Cr"),
        [[_R, _G, _B], [-_R / (2 - 2 * _B), -_G / (2 - 2 * _B), 0.5], [0.5, -_G / (2 - 2 * _R), -_B / (2 - 2 * _R)]],
    ),
}


@add("color")
class Color(Transform):
    """z = M x in the three channels of every sample; any number of signal axes. One band per colour channel.

    space: `opponent`, orthonormal: (R + G + B)/√3, (R - G)/√2, (R + G - 2B)/√6; or `ycbcr`, ITU-R BT.601:
    Y = 0.299 R + 0.587 G + 0.114 B, Cb = (B - Y)/1.772, Cr = (R - Y)/1.402, without offsets, so that it is linear.

    Shapes: z has the shape of x. Raises: ValueError unless the signal has 3 channels, or for an unknown space.

    >>> from pullback.transforms import get
    >>> grey = torch.full((1, 3, 2), 0.5)
    >>> get("color(ycbcr)", shape=(3, 2))(grey).round(decimals=4).abs()
    tensor([[[0.5000, 0.5000],
             [0.0000, 0.0000],
             [0.0000, 0.0000]]])
    """

    def __init__(self, shape: tuple[int, ...], space: str = "opponent") -> None:
        super().__init__()
        self.shape = check_shape("color", shape, dims=range(0, 10))
        if self.shape[0] != 3:
            raise ValueError(f"color: expected signals with 3 channels (red, green, blue), got shape {self.shape}.")
        if space not in SPACES:
            raise ValueError(f"color: expected space in {', '.join(SPACES)}; got {space!r}.")
        names, rows = SPACES[space]
        matrix = torch.tensor(rows, dtype=torch.double)
        self._forward, self._inverse = Constant(matrix), Constant(torch.linalg.inv(matrix))
        self.claims = (
            TransformClaim.ORTHOGONAL if space == "opponent" else TransformClaim.LINEAR | TransformClaim.BIJECTIVE
        )
        self.spec = f"color({space})"
        self.layout = _layout(self.shape, names)

    def analysis(self, x: Tensor) -> Tensor:
        return _mix(self._forward.like(x), x)

    def synthesis(self, z: Tensor) -> Tensor:
        return _mix(self._inverse.like(z), z)

    def transpose(self, g: Tensor) -> Tensor:
        return _mix(self._inverse.like(g).T, g)

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        for space in SPACES:
            yield cls((3,), space)
            yield cls((3, 5), space)
            yield cls((3, 2, 3), space)
            yield cls((3, 2, 1, 2), space)


def _mix(matrix: Tensor, x: Tensor) -> Tensor:
    return (matrix @ x.reshape(len(x), 3, math.prod(x.shape[2:]))).reshape(x.shape)


def _layout(shape: tuple[int, ...], names: tuple[str, ...]) -> Layout:
    index = torch.arange(3).reshape(-1, *[1] * (len(shape) - 1)).expand(shape).contiguous()
    return replace(sample_layout(shape, ""), bands=tuple(Band(name) for name in names), index=index)
