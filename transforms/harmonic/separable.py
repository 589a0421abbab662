"""Maps of each axis by itself, on a GPU as one matrix product per axis."""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...core.constant import Constant
from ...core.isolation import lasting_tensors
from ..base import Transform, TransformClaim
from .blocks import each_axis

Map = Callable[[Tensor], Tensor]

LARGEST = 512  # samples of an axis up to which n² products on a GPU beat n log n operations in many passes


class SeparableTransform(Transform):
    """An orthonormal transform of each axis by itself, with T = `_forward` and T⁻¹ = `_inverse`."""

    claims = TransformClaim.ORTHOGONAL
    _forward: "Separable"
    _inverse: "Separable"

    def analysis(self, x: Tensor) -> Tensor:
        return self._forward(x)

    def synthesis(self, z: Tensor) -> Tensor:
        return self._inverse(z)


class Separable:
    """A linear map of each signal axis of x (batch, channels, *sizes).

    sizes: n of each axis.  along_last: the maps (…, n) -> (…, n), one per axis, each for the last axis.
    direct: all of them at once, if that is faster than one after the other.
    """

    def __init__(self, sizes: Sequence[int], along_last: Sequence[Map], direct: Map | None = None) -> None:
        self._sizes, self._along_last = tuple(sizes), tuple(along_last)
        self._direct = direct or functools.partial(each_axis, along_last=self._along_last)

    def __call__(self, x: Tensor) -> Tensor:
        if not x.is_cuda or max(self._sizes) > LARGEST:
            return self._direct(x)
        for axis, matrix in enumerate(self._matrices, start=2):
            rows = matrix.like(x)
            x = x @ rows if axis == x.ndim - 1 else (rows.T @ x.flatten(axis + 1)).unflatten(-1, x.shape[axis + 1 :])
        return x

    @functools.cached_property
    def _matrices(self) -> list[Constant]:
        """The images of the unit vectors, in double precision. Shape of each: (n, n)."""
        with lasting_tensors(), torch.no_grad():
            units = [torch.eye(n, dtype=torch.double)[:, None] for n in self._sizes]
            return [Constant(apply(unit)[:, 0]) for apply, unit in zip(self._along_last, units)]
