"""Maps of each axis by itself as one matrix product per axis, which a GPU does faster than anything clever."""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...core.constant import Constant
from ...core.isolation import defaults

LARGEST = 512  # samples of an axis up to which n² products beat a transform of n log n operations in many passes


class Matrices:
    """A linear map (batch, 1, n) -> (batch, 1, n) of each signal axis, as a matrix.

    sizes: n of each axis.  along_last: the maps, one per axis, asked in double precision and only when they are needed.
    """

    def __init__(self, sizes: Sequence[int], along_last: Sequence[Callable[[Tensor], Tensor]]) -> None:
        self._sizes, self._along_last = tuple(sizes), tuple(along_last)

    def suit(self, x: Tensor) -> bool:
        """Whether products are the faster way for x, which they are where there are processors for all of them."""
        return x.is_cuda and max(self._sizes) <= LARGEST

    def __call__(self, x: Tensor) -> Tensor:
        """All axes of x (batch, channels, *sizes)."""
        for axis, matrix in enumerate(self._matrices, start=2):
            rows = matrix.like(x)
            x = x @ rows if axis == x.ndim - 1 else (rows.T @ x.flatten(axis + 1)).unflatten(-1, x.shape[axis + 1 :])
        return x

    @functools.cached_property
    def _matrices(self) -> list[Constant]:
        """What becomes of each unit vector. Shape of each: (n, n)."""
        with torch.inference_mode(False), torch.no_grad(), torch._C._DisableFuncTorch(), defaults():
            units = [torch.eye(n, dtype=torch.double)[:, None] for n in self._sizes]
            return [Constant(apply(unit)[:, 0]) for apply, unit in zip(self._along_last, units)]
