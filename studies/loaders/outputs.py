"""What models return: the table of scores in it, by name where it holds several tensors, and the first cause of an error."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from ...core.checks import quoted
from ...core.files import plain
from ...core.precision import wide

Output = str | int | Callable[[Any], Tensor]
_MOST = 6  # parts of an output that a message names


class MissingOutput(ValueError):
    """The output that was asked for is not among those that the model returns."""


def pick(found: Any, path: Output) -> Any:
    """The part of what a model returned that `path` names.

    path: a key, an index or an attribute; several of them joined by dots, as "heads.0"; or a callable that takes `found`.
    Raises: MissingOutput that lists the parts.

    >>> pick({"heads": [1, {"a.b": 2}]}, "heads.1.a.b"), pick((3, 4), -1), pick((3, 4), lambda both: sum(both))
    (2, 4, 7)
    """
    if callable(path):
        return path(found)
    whole, left = found, str(path)
    while left:
        keys = [key for key in found if f"{left}.".startswith(f"{key}.")] if isinstance(found, Mapping) else []
        key = max(map(str, keys), key=len, default=left.partition(".")[0])
        found, left = _part(found, key, _missing(path, whole)), left[len(key) + 1 :]
    return found


def _missing(path: Output, whole: Any) -> MissingOutput:
    alone = ", which needs no output" if isinstance(whole, Tensor) else ""
    return MissingOutput(f"output {quoted(path)}: the model returns {describe(whole)[:180]}{alone}.")


def _part(found: Any, key: str, error: Exception) -> Any:
    if isinstance(found, Mapping) and key in found:
        return found[key]
    values = None if isinstance(found, Tensor) else list(_parts(found).values())
    if values and re.fullmatch(r"-?\d{1,9}", key) and -len(values) <= int(key) < len(values):
        return values[int(key)]
    if isinstance(found, Tensor) or not hasattr(found, key) or callable(getattr(found, key)):
        raise error
    return getattr(found, key)


def _parts(found: Any) -> dict[str, Any]:
    """The parts of a container by key, index or attribute; {} for anything else. An iterator is read."""
    if isinstance(found, Mapping):
        return {str(key): value for key, value in found.items()}
    if isinstance(found, Sequence) and not isinstance(found, str | bytes):
        names = getattr(found, "_fields", range(len(found)))
        return {str(name): value for name, value in zip(names, found)}
    if isinstance(found, Iterator):
        return {str(place): value for place, value in enumerate(found)}
    return {} if isinstance(found, Tensor) else dict(getattr(found, "__dict__", {}))


def tables(found: Any, rows: int | None, depth: int = 3) -> Iterator[str]:
    """The paths, as `pick` takes them, of what is a table of scores of so many rows; None for any number.

    >>> import torch
    >>> list(tables({"logits": torch.zeros(1, 5), "aux": (torch.zeros(1, 2), torch.zeros(1, 2, 2))}, 1))
    ['logits', 'aux.0']
    """
    for name, value in _parts(found).items() if depth else ():
        count = len(value) if rows is None and isinstance(value, Tensor) and value.ndim else rows or 1
        if as_table(value, count) is not None:
            yield name
        else:
            yield from (f"{name}.{inner}" for inner in tables(value, rows, depth - 1))


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
    """What a model returned, in words: a shape, or a type with its first parts.

    >>> describe({"logits": torch.zeros(1, 5), "loss": None})
    "dict with 'logits' (1, 5), 'loss' (None)"
    """
    if found is None:
        return "None"
    if isinstance(found, Tensor):
        return f"{tuple(found.shape)}" if found.is_floating_point() else f"{tuple(found.shape)} of {found.dtype}"
    parts = {} if isinstance(found, Iterator) else _parts(found)
    listed = [f"{plain(name)[:40]!r} {_short(value)}" for name, value in parts.items()]
    more = ", …" if len(listed) > _MOST else ""
    return type(found).__name__ + (f" with {', '.join(listed[:_MOST])}{more}" if listed else "")


def _short(value: Any) -> str:
    return describe(value) if isinstance(value, Tensor) else f"({'None' if value is None else type(value).__name__})"
