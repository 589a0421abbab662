"""Colour spaces: a change of basis in the channels, the same at every sample."""

import math
from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from ..core.checks import choose
from ..core.constant import Constant
from .base import Transform, TransformClaim
from .layout import Band, Shape, sample_layout
from .registry import add

_R, _G, _B = 0.299, 0.587, 0.114  # ITU-R BT.601, section 2.5.1
_YCBCR = [[_R, _G, _B], [-_R / (2 - 2 * _B), -_G / (2 - 2 * _B), 0.5], [0.5, -_G / (2 - 2 * _R), -_B / (2 - 2 * _R)]]
_OPPONENT = {3: [1.0, 1.0, 1.0], 2: [1.0, -1.0, 0.0], 6: [1.0, 1.0, -2.0]}  # squared length: row before it is scaled to 1
_SCALED = [[value / math.sqrt(length) for value in row] for length, row in _OPPONENT.items()]

# space: (names of the channels, rows)
SPACES = {"opponent": (("luminance", "red-green", "yellow-blue"), _SCALED), "ycbcr": (("Y", "Cb", "Cr"), _YCBCR)}


@add("color")
class Color(Transform):
    """z = M x in the three channels of every sample; any number of signal axes. One band per colour channel.

    space: `opponent`, orthonormal: (R + G + B)/√3, (R - G)/√2, (R + G - 2B)/√6; or `ycbcr`, ITU-R BT.601:
    Y = 0.299 R + 0.587 G + 0.114 B, Cb = (B - Y)/1.772, Cr = (R - Y)/1.402, without offsets, so that it is linear.
    Shapes: z has the shape of x. Sources: van de Sande, Gevers & Snoek 2010 (opponent); ITU-R BT.601.
    Raises: ValueError unless the signal has 3 channels, or for an unknown space.

    >>> from pullback.transforms import get
    >>> grey = torch.full((1, 3, 2), 0.5)
    >>> get("color(ycbcr)", shape=(3, 2))(grey).round(decimals=4).abs()
    tensor([[[0.5000, 0.5000],
             [0.0000, 0.0000],
             [0.0000, 0.0000]]])
    """

    def __init__(self, shape: Shape, space: str = "opponent") -> None:
        super().__init__(shape, range(10))
        if self.shape[0] != 3:
            raise ValueError(f"color: expected signals with 3 channels (red, green, blue), got shape {self.shape}.")
        space = choose("color", "space", space, SPACES)
        names, rows = SPACES[space]
        matrix = torch.tensor(rows, dtype=torch.double)
        self._forward, self._inverse = Constant(matrix), Constant(torch.linalg.inv(matrix))
        bijective = TransformClaim.LINEAR | TransformClaim.BIJECTIVE
        self.claims = TransformClaim.ORTHOGONAL if space == "opponent" else bijective
        self.spec = f"color({space})"
        index = torch.arange(3).reshape(-1, *[1] * (len(self.shape) - 1)).expand(self.shape).contiguous()
        self.layout = replace(sample_layout(self.shape, ""), bands=tuple(map(Band, names)), index=index)

    def analysis(self, x: Tensor) -> Tensor:
        return _mix(self._forward.like(x), x)

    def synthesis(self, z: Tensor) -> Tensor:
        return _mix(self._inverse.like(z), z)

    def transpose(self, g: Tensor) -> Tensor:
        return _mix(self._inverse.like(g).T, g)

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        for space in SPACES:
            yield from (cls(shape, space) for shape in [(3,), (3, 5), (3, 2, 3), (3, 2, 1, 2)])


def _mix(matrix: Tensor, x: Tensor) -> Tensor:
    return (matrix @ x.reshape(len(x), 3, math.prod(x.shape[2:]))).reshape(x.shape)
