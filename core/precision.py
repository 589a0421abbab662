"""Number formats: the dtype of sums, the residual that rounding explains, and whether products may be rounded to tf32."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which transforms and sums are carried out: single precision or wider."""
    return torch.promote_types(dtype, torch.float32)


def tolerance(dtype: torch.dtype) -> float:
    """The largest relative residual that rounding explains: 3 eps^(2/3), 1.1e-10 in double and 7e-5 in single precision.

    The rounding error of a transform or a small model grows with the number of operations, but by much less than
    eps^(-1/3). A law that is really broken exceeds this tolerance by orders of magnitude.
    Raises: TypeError where dtype is not a floating-point one.

    >>> f"{tolerance(torch.float64):.1e}, {tolerance(torch.float32):.1e}"
    '1.1e-10, 7.3e-05'
    """
    return float(3 * torch.finfo(dtype).eps ** (2 / 3))


def full_products(x: Tensor) -> contextlib.AbstractContextManager[None]:
    """Inside, products on the device of x keep single precision: with tf32, T⁻¹T x would differ from x by a thousandth."""
    return tf32(False) if x.is_cuda else contextlib.nullcontext()


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Inside, tf32 in matrix products and convolutions is allowed or forbidden."""
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    parts: list[Any] = [matmul, cudnn]
    value: bool | str = allowed
    name = "allow_tf32"
    try:
        before = [getattr(part, name) for part in parts]
    except RuntimeError:  # the caller uses torch's newer switches, which cannot be mixed with these
        parts, name, value = [matmul, cudnn.conv, cudnn.rnn], "fp32_precision", "tf32" if allowed else "ieee"
        before = [getattr(part, name) for part in parts]
    try:
        for part in parts:
            setattr(part, name, value)
        yield
    finally:
        for part, old in zip(parts, before):
            setattr(part, name, old)
