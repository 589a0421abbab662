"""Tensors as people have them (subclasses, other layouts, views), made ordinary tensors once, where they come in."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .precision import wide

_ADVICE = {  # what torch calls a form -> what to do
    "a nested tensor": "pad it to one shape: torch.nested.to_padded_tensor({who}, 0.0)",
    "a quantized tensor": "pass {who}.dequantize()",
    "on the meta device": "it holds no numbers there; pass the tensor with its values",
    "in an 8-bit floating-point format": "torch cannot compute in it; pass {who}.float()",
}


def without_subclass(value: Tensor) -> Tensor:
    """`value` as a plain torch.Tensor of the same numbers and the same graph, such as a Parameter or MONAI's MetaTensor.

    A subclass that holds its numbers in other tensors (DTensor, MaskedTensor) has no such form; it is returned as it is.

    >>> type(without_subclass(torch.nn.Parameter(torch.ones(2))))
    <class 'torch.Tensor'>
    """
    if type(value) is Tensor or _holds_others(value):
        return value
    with torch._C.DisableTorchFunctionSubclass():  # the subclass itself may refuse, or return itself
        return value.as_subclass(Tensor)


def ordinary(who: str, value: Any) -> Tensor:
    """`value` as a dense plain tensor with its numbers in memory; its graph is kept.  who: begins the message.

    Raises: TypeError where it is no tensor; ValueError for a sparse, nested, quantized or meta tensor, with the way on.

    >>> ordinary("x", torch.ones(1, 2).to_sparse())
    Traceback (most recent call last):
    ValueError: x: expected a dense tensor, got one in torch.sparse_coo; pass x.to_dense().
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{who}: expected a tensor, got {type(value).__name__}{array_advice(value, who)}.")
    value = without_subclass(value)
    form = _other_form(value)
    if form:
        advice = _ADVICE.get(form, "pass {who}.to_dense()" if "torch." in form else "pass a plain torch.Tensor").format(who=who)
        got = form if form.startswith("a ") else f"one {form}"
        raise ValueError(f"{who}: expected a dense tensor, got {got}; {advice}.")
    return value.resolve_conj().resolve_neg()


def array_advice(value: object, who: str) -> str:
    """How to make a tensor of a NumPy array, for the end of a message; "" for anything else."""
    if not isinstance(value, np.ndarray):
        return ""
    plain = value.flags.writeable and value.dtype.isnative and all(step >= 0 for step in value.strides)
    copy = "" if plain else ".astype('float32')"  # torch reads no negative strides, foreign byte orders or locked arrays
    return f"; pass torch.from_numpy({who}{copy})"


def limits(dtype: torch.dtype) -> tuple[float, float]:
    """The smallest and the largest size of a signal whose coefficients and shares keep the precision of `dtype`.

    tiny / eps: the numbers that a device may round to zero are then below the rounding of the largest ones.
    max · eps: then differences of two signals, and the coefficients of an orthonormal T (at most √n times as large for n
    samples), are finite. Half precision is computed in single precision.

    >>> "{:.0e} {:.0e}".format(*limits(torch.float32))
    '1e-31 4e+31'
    """
    info = torch.finfo(wide(dtype))
    return info.tiny / info.eps, info.max * info.eps


def check_range(who: str, value: Tensor, least: bool = False) -> Tensor:
    """`value` (batch, …), if it is finite and its size lies within `limits`.  least: whether the lower limit holds too.

    Raises: ValueError that names the first example with NaN, infinity, or numbers that are too large, or only too small ones.

    >>> check_range("x", torch.tensor([[1.0], [3e38]]))
    Traceback (most recent call last):
    ValueError: x: example 1 holds numbers up to 3e+38, too large for float32 (limit 4e+31): sums would overflow; scale x.
    """
    low, high = limits(value.dtype)
    size = torch.linalg.vector_norm(value.detach(), torch.inf, tuple(range(1, value.ndim))).to(wide(value.dtype))
    good = (size <= high) & ((size >= low) | (size == 0)) if least else size <= high  # NaN is never good
    if bool(good.all()):
        return value
    example = int((~good).nonzero()[0, 0])
    found, kind = float(size[example]), str(wide(value.dtype)).removeprefix("torch.")
    if not torch.isfinite(size[example]):
        raise ValueError(f"{who}: example {example} holds NaN or infinity; clean or drop it.")
    if found > high:
        what = f"numbers up to {found:.0e}, too large for {kind} (limit {high:.0e}): sums would overflow"
    else:
        what = f"no number above {found:.0e}, too small for {kind} (limit {low:.0e}): it would lose precision"
    raise ValueError(f"{who}: example {example} holds {what}; scale {who}.")


def _holds_others(value: Tensor) -> bool:
    """Whether the numbers are elsewhere: the class handles torch's operations itself, below autograd."""
    return type(value).__torch_dispatch__ != Tensor.__torch_dispatch__


def _other_form(value: Tensor) -> str:
    """In which form a tensor is that is not dense; "" for a dense one."""
    if value.is_nested:
        return "a nested tensor"
    if _holds_others(value):
        return f"a {type(value).__name__}"
    if value.is_quantized:
        return "a quantized tensor"
    if value.layout != torch.strided:
        return f"in {value.layout}"
    if value.is_meta:
        return "on the meta device"
    narrow = value.is_floating_point() and value.element_size() == 1
    return "in an 8-bit floating-point format" if narrow else ""


def ranks(score: Tensor) -> Tensor:
    """The rank of every entry of an example, from 0 for the largest, ties by position. Shape: as score, int32."""
    order = descending(score.flatten(1))
    rank = torch.arange(order.shape[1], device=score.device, dtype=torch.int32).expand_as(order)
    return torch.empty_like(rank).scatter_(1, order, rank).reshape(score.shape)


def descending(rows: Tensor) -> Tensor:
    """Where the entries of each row stand, from the largest, ties by position; as argsort, in a third of its time on a CPU.

    There NumPy sorts whole numbers, whose upper half orders the entries and whose lower half is their place.
    """
    single = rows.is_floating_point() and torch.finfo(rows.dtype).bits == 32
    if not (rows.is_cpu and single) or bool(rows.isnan().any()):
        return rows.argsort(dim=1, descending=True, stable=True)
    bits = (rows.detach() + 0).view(torch.int32)  # + 0 makes -0 equal to 0
    falling = ~(bits ^ (bits >> 31 & 0x7FFFFFFF))  # as negative numbers grow, their bits fall
    packed = (falling.long() << 32) + torch.arange(rows.shape[1], device=rows.device)
    packed.numpy().sort(axis=1)
    return packed & 0xFFFFFFFF
