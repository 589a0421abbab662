"""Cosine transforms."""

from collections.abc import Callable, Iterable

import torch
import torch_dct
from torch import Tensor

from .base import Claim, Transform, check_shape
from .layout import octave_layout
from .registry import register


@register("dct")
class DCT(Transform):
    """Orthonormal DCT-II over all signal axes; T⁻¹ is the DCT-III.

    z_k = s_k Σ_n x_n cos(π k (2n + 1) / 2N) with s_0 = √(1/N), s_k = √(2/N), along each axis.
    Coefficient k has centre frequency k / 2N cycles/sample.

    Shapes: z has the shape of x. Source: Ahmed, Natarajan & Rao 1974.

    >>> from pullback.transforms import get
    >>> get("dct", shape=(1, 4))(torch.ones(1, 1, 4))
    tensor([[[2., 0., 0., 0.]]])
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = check_shape("dct", shape)
        self.claims = Claim.ORTHOGONAL
        self.spec = "dct"
        self.layout = octave_layout(self.shape, [torch.arange(n) / (2 * n) for n in self.shape[1:]])

    def analysis(self, x: Tensor) -> Tensor:
        return _each_axis(torch_dct.dct, x)

    def synthesis(self, z: Tensor) -> Tensor:
        return _each_axis(torch_dct.idct, z)

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        return [cls(shape) for shape in [(1, 1), (2, 8), (1, 9), (3, 6, 5), (1, 1, 4), (1, 4, 3, 6)]]


def _each_axis(along_last: Callable[..., Tensor], x: Tensor) -> Tensor:
    for axis in range(2, x.ndim):
        x = along_last(x.transpose(axis, -1), norm="ortho").transpose(axis, -1)
    return x.contiguous()
