"""Checks that what a callable returned is a map of the coefficients."""

from typing import Any

import torch
from torch import Tensor


class MethodFault(Exception):
    """A method returned something that is not a map of the coefficients; the message says what came."""


def read_map(answer: Any, z: Tensor) -> Tensor:
    """`answer` as a map in z's dtype, without a graph; a copy, since a method may return a buffer that it overwrites later.

    z: the coefficients that the method was asked about, (batch, *coeff).
    Raises: MethodFault unless the answer is a dense, real, finite floating-point tensor of z's shape, on its device.
    """
    if problem := _problem(answer, z):
        device = "" if z.device.type == "cpu" else f" on {z.device}"
        raise MethodFault(f"{problem}; expected a dense, real floating-point tensor of z's shape, {tuple(z.shape)}{device}")
    values = torch.empty_like(z).copy_(answer.detach())
    if wrong := int((~values.isfinite()).sum()):
        expected = f"expected finite numbers of z's shape, {tuple(z.shape)}"
        raise MethodFault(f"{wrong} numbers that are NaN or infinite in {short(z.dtype)}; {expected}")
    return values


def _problem(answer: Any, z: Tensor) -> str:
    """What is wrong with the answer, "" where it is a map."""
    if not isinstance(answer, Tensor):
        return f"{type(answer).__name__}, which is not a tensor"
    if answer.is_nested:
        return "a nested tensor"
    if answer.layout != torch.strided:
        return f"a tensor of layout {short(answer.layout)}"
    if not answer.is_floating_point():
        return f"a tensor of {short(answer.dtype)}"
    if answer.shape != z.shape:
        return f"a tensor of shape {tuple(answer.shape)}"
    return f"a tensor on {answer.device}" if answer.device != z.device else ""


def short(kind: torch.dtype | torch.layout) -> str:
    """The name of a dtype or layout without "torch."."""
    return str(kind).removeprefix("torch.")
