"""What a foreign method answered: a map of the coefficients, or why it is none."""

from typing import Any

import torch
from torch import Tensor


class MethodFault(Exception):
    """The method's answer is no map of the coefficients; the message says what it is and what was expected."""


def read_map(answer: Any, z: Tensor) -> Tensor:
    """The answer as a map in z's dtype, without a graph, in memory of its own.

    A method may hand out the buffer that its next call overwrites: kept as it is, two answers would always be equal.
    z: (batch, *coeff), the coefficients that were asked about.

    Raises: MethodFault unless the answer is a dense real floating-point tensor of z's shape, on its device, and finite.
    """
    if problem := _problem(answer, z):
        device = "" if z.device.type == "cpu" else f" on {z.device}"
        raise MethodFault(
            f"{problem}; expected a dense, real floating-point tensor of z's shape, {tuple(z.shape)}{device}"
        )
    values = torch.empty_like(z).copy_(answer.detach())
    if not bool(values.isfinite().all()):
        raise MethodFault(
            f"{int((~values.isfinite()).sum())} numbers that are NaN or infinite in {short(z.dtype)}; expected "
            f"finite numbers of z's shape, {tuple(z.shape)}"
        )
    return values


def _problem(answer: Any, z: Tensor) -> str:
    """What is wrong with the answer, "" where it is a map."""
    if not isinstance(answer, Tensor):
        return f"{type(answer).__name__}, which is no tensor"
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
    """`kind` without the name of its library."""
    return str(kind).removeprefix("torch.")
