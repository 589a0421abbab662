"""`Constant`: a fixed tensor that never loses precision."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor


class Constant:
    """A tensor kept in double precision, whatever becomes of the module around it.

    `like(x)` is the copy in the dtype and on the device of x. It follows the data and not `.to()` or `.half()`: a module
    that was narrowed and widened again still holds every digit, and data on another device finds its copy there.
    """

    def __init__(self, value: Tensor) -> None:
        with _plain():
            double = torch.promote_types(value.dtype, torch.double)
            self.value = value.detach().to(double).cpu().clone(memory_format=torch.contiguous_format)
        self._copy = self.value

    def like(self, x: Tensor) -> Tensor:
        """The tensor in the dtype (or its complex one) and on the device of x; the last copy is kept."""
        dtype = x.dtype.to_complex() if self.value.is_complex() else x.dtype
        copy = self._copy
        if copy.dtype != dtype or copy.device != x.device:
            with _plain():
                self._copy = copy = self.value.to(x.device, dtype)
        return copy


@contextlib.contextmanager
def _plain() -> Iterator[None]:
    """Inside, tensors are made that outlive any mode: inference tensors cannot be used under autograd later, and what is made
    under torch.func dies with it."""
    with torch.inference_mode(False), torch._C._DisableFuncTorch():
        yield
