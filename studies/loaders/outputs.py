"""What models return: the table of scores in it, and the first cause of an error."""

import re
from typing import Any

from torch import Tensor

from ...core.precision import wide


def as_table(output: Any, rows: int) -> Tensor | None:
    """`output` as (rows, classes), in single precision or wider; None where it is no number or row of numbers for each row.

    >>> as_table(torch.zeros(2), 2).shape, as_table(torch.zeros(5), 1).shape, as_table(torch.zeros(5), 2)
    (torch.Size([2, 1]), torch.Size([1, 5]), None)
    """
    if not isinstance(output, Tensor) or not output.is_floating_point():
        return None
    if output.ndim < 2 and rows == 1:
        output = output.reshape(1, -1)
    elif tuple(output.shape) == (rows,):
        output = output[:, None]
    fits = output.ndim == 2 and len(output) == rows and output.shape[1] > 0
    return output.to(wide(output.dtype)) if fits else None


def true_cause(error: BaseException) -> str:
    """The first line of an error; for TorchScript, which begins with its own traceback, the line of the error inside it."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    inner = [line for line in lines if re.match(r"(\w+\.)*\w*(Error|Exception): ", line)]
    found = inner[-1] if inner and "TorchScript" in lines[0] else next(iter(lines), "")
    return (re.sub(r"^RuntimeError: ", "", found) or type(error).__name__).rstrip(".")[:160]


def describe(found: Any) -> str:
    """What a model returned, in words: a shape, or a type with its first keys."""
    if isinstance(found, Tensor):
        return f"{tuple(found.shape)}" if found.is_floating_point() else f"{tuple(found.shape)} of {found.dtype}"
    keys = f" with {', '.join(map(repr, list(found)[:3]))}" if isinstance(found, dict) else ""
    return type(found).__name__ + keys
