"""`Constant`: a fixed tensor that never loses precision."""

import torch
from torch import Tensor

from .isolation import lasting_tensors


class Constant:
    """A tensor that is kept in double precision, whatever happens to the module that holds it.

    `like(x)` is a copy in the dtype and on the device of x. The copy depends on the data and not on `.to()` or `.half()`:
    a module that was narrowed and widened again still has every digit, and data on another device gets a copy there.
    """

    def __init__(self, value: Tensor) -> None:
        with lasting_tensors():
            double = torch.promote_types(value.dtype, torch.double)
            self.value = value.detach().to(double).cpu().clone(memory_format=torch.contiguous_format)
        self._copy = self.value

    def like(self, x: Tensor) -> Tensor:
        """The tensor in the dtype (or its complex counterpart) and on the device of x; the last copy is kept."""
        dtype = x.dtype.to_complex() if self.value.is_complex() else x.dtype
        copy = self._copy
        if copy.dtype != dtype or copy.device != x.device:
            with lasting_tensors():
                self._copy = copy = self.value.to(x.device, dtype)
        return copy
