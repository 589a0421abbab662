"""Number formats: the dtype of sums, the residual that rounding explains, and whether products may be rounded to tf32."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

SINGLE = torch.float32  # the narrowest format of transforms, sums and the numbers of layouts


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which transforms and sums are carried out: single precision or wider."""
    return torch.promote_types(dtype, SINGLE)


def tolerance(dtype: torch.dtype) -> float:
    """The largest relative residual that rounding explains: 3 eps^(2/3), 1.1e-10 in double and 7e-5 in single precision.

    The rounding error of a transform or a small model grows with the number of operations, but by much less than
    eps^(-1/3). A law that is really broken exceeds this tolerance by orders of magnitude.
    Raises: TypeError where dtype is not a floating-point one.

    >>> f"{tolerance(torch.float64):.1e}, {tolerance(torch.float32):.1e}"
    '1.1e-10, 7.3e-05'
    """
    return float(3 * torch.finfo(dtype).eps ** (2 / 3))


@contextlib.contextmanager
def full_products(x: Tensor) -> Iterator[None]:
    """Inside, products on the device of x keep the precision of x: no autocast, no tf32, no bfloat16 products of a CPU.

    With tf32, T⁻¹T x would differ from x by a thousandth, with bfloat16 by a hundredth.
    """
    autocast = torch.autocast(x.device.type, enabled=False) if autocasts(x) else contextlib.nullcontext()
    with autocast, tf32(False) if x.is_cuda else _full_on_cpu():
        yield


def autocasts(x: Tensor) -> bool:
    """Whether torch.autocast narrows products with x."""
    return torch.amp.is_autocast_available(x.device.type) and torch.is_autocast_enabled(x.device.type)


@contextlib.contextmanager
def _full_on_cpu() -> Iterator[None]:
    """Inside, products on a CPU are not rounded to bfloat16, which `torch.set_float32_matmul_precision("medium")` allows."""
    # torch before 2.9 has no such switch, and its compiler cannot read it
    matmul: Any = None if torch.compiler.is_compiling() else getattr(torch.backends.mkldnn, "matmul", None)
    before = getattr(matmul, "fp32_precision", "none")
    if before in ("none", "ieee"):
        yield
        return
    try:
        matmul.fp32_precision = "ieee"
        yield
    finally:
        matmul.fp32_precision = before


def in_full_products(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """function(x) inside `full_products`. Where autocast is on, its derivative is computed without autocast too.

    Autograd computes derivatives in the modes of the code that asks for them: here each node of the graph leaves autocast.
    """
    if not (autocasts(x) and x.requires_grad and torch.is_grad_enabled()):
        with full_products(x):
            return function(x)
    start = x.view_as(x)
    with full_products(x):
        out = function(start)
    nodes, seen = [out.grad_fn], {None, start.grad_fn}
    while nodes:
        node = nodes.pop()
        if node not in seen:
            seen.add(node)
            node.register_prehook(functools.partial(_leave_autocast, x.device.type))  # type: ignore[union-attr]
            nodes += [before for before, _ in node.next_functions]  # type: ignore[union-attr]
    return out


def _leave_autocast(kind: str, gradients: object) -> None:
    """A hook of one node; autograd restores the modes after each node."""
    torch.set_autocast_enabled(kind, False)


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
