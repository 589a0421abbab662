"""Number formats: the dtype in which sums are carried out, and whether products may be rounded to tf32."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which transforms and sums are carried out: single precision or wider."""
    return torch.promote_types(dtype, torch.float32)


def full_products(x: Tensor) -> contextlib.AbstractContextManager[None]:
    """Inside, products on the device of x keep single precision: with tf32, T⁻¹T would miss x by a thousandth."""
    return tf32(False) if x.is_cuda else contextlib.nullcontext()


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Allows or forbids tf32 in matrix products and convolutions."""
    cuda: Any = torch.backends.cuda
    cudnn: Any = torch.backends.cudnn
    parts: list[Any] = [cuda.matmul, cudnn]
    value: bool | str = allowed
    name = "allow_tf32"
    try:
        before = [getattr(part, name) for part in parts]
    except RuntimeError:  # the caller uses torch's newer switches, which refuse to be mixed with these
        parts, name, value = [cuda.matmul, cudnn.conv, cudnn.rnn], "fp32_precision", "tf32" if allowed else "ieee"
        before = [getattr(part, name) for part in parts]
    try:
        for part in parts:
            setattr(part, name, value)
        yield
    finally:
        for part, old in zip(parts, before):
            setattr(part, name, old)
