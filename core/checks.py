"""Checks of arguments, each with one clear error: who, what was expected, what came."""

import math
import numbers
import operator
import os
import reprlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

_LENGTH = 80  # characters of a value of the user that a message repeats
_SHORT = reprlib.Repr()
_SHORT.maxlist = _SHORT.maxtuple = 20
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = _LENGTH


def quoted(value: object) -> str:
    """`value` as a message shows it: its repr on one line, cut to 80 characters, whatever the value is.

    >>> quoted("db4"), len(quoted("a" * 1_000_000)), quoted({1: None})
    ("'db4'", 80, '{1: None}')
    """
    try:
        text = " ".join(line.strip() for line in _SHORT.repr(value).splitlines())
    except Exception:  # a whole number of more digits than Python writes, or a `__repr__` that fails
        return f"a value of type {type(value).__name__}"
    return shortened(text)


def shortened(text: str, length: int = _LENGTH) -> str:
    """`text`, cut to `length` characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def whole(value: object) -> int | None:
    """`value` as an int where it is a whole number of Python, NumPy or torch, else None; truth values and 8.0 are none.

    >>> import numpy as np
    >>> whole(np.int64(8)), whole(torch.tensor(8)), whole(8.0), whole(True)
    (8, 8, None, None)
    """
    if isinstance(value, bool) or getattr(value, "dtype", None) == torch.bool:
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):
        return None


def listed(value: object, most: int = 2**20) -> list[Any] | None:
    """The entries of a list, tuple, range, array or tensor of at most `most` ones; None for anything else.

    >>> listed((1, 2)), listed(torch.tensor([3])), listed(3), listed("ab"), listed(range(10**9))
    ([1, 2], [tensor(3)], None, None, None)
    """
    if not isinstance(value, (list, tuple, range, np.ndarray, Tensor)) or getattr(value, "ndim", 1) == 0:
        return None
    return list(value) if len(value) <= most else None


def check_file(who: str, path: object, advice: str) -> Path:
    """`path`, if it is the path of a file; advice: what to do where it is not.

    Raises: TypeError where it is no path; ValueError where there is no file.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{who}: expected the path of a file, got {quoted(path)}; {advice}.")
    try:
        found = Path(path).is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a character that no name can hold
        found = False
    if not found:
        raise ValueError(f"{who}: there is no file {quoted(os.fspath(path))}; {advice}.")
    return Path(path)


def check_seed(who: str, value: object) -> int:
    """`value`, if it is a whole number from 0 to 2⁶³ - 1.  Raises: TypeError or ValueError where it is not.

    >>> check_seed("attribute", -1)
    Traceback (most recent call last):
    ValueError: attribute: seed must be a whole number of at least 0, got -1.
    """
    seed = check_count(who, "seed", value, 0)
    if seed >= 2**63:
        raise ValueError(f"{who}: seed must be less than 2**63, got {quoted(seed)}.")
    return seed


def check_count(who: str, what: str, value: object, least: int = 1, multiple: int = 1) -> int:
    """`value`, if it is a whole number of at least `least` and a multiple of `multiple`; who, what: begin the message.

    Raises: TypeError where it is not a whole number; ValueError where it is too small or not a multiple.

    >>> check_count("rise", "masks", 0)
    Traceback (most recent call last):
    ValueError: rise: masks must be a whole number of at least 1, got 0.
    """
    wanted = f"a whole number of at least {least}" + (f", a multiple of {multiple}" if multiple > 1 else "")
    count = whole(value)
    if count is None:
        raise TypeError(f"{who}: {what} must be {wanted}, got {quoted(value)}.")
    if count < least or count % multiple:
        raise ValueError(f"{who}: {what} must be {wanted}, got {quoted(count)}.")
    return count


def check_choice(who: str, what: str, value: object, choices: Collection[str]) -> None:
    """Raises: ValueError that lists the choices unless `value` is one of them."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{who}: expected {what} in {', '.join(choices)}; got {quoted(value)}.")


def choose(who: str, what: str, value: object, choices: Collection[str]) -> str:
    """The one of `choices` that `value` names, in capitals or not.  Raises: ValueError that lists the choices.

    >>> choose("dwt", "mode", "Symmetric", ("zero", "symmetric"))
    'symmetric'
    """
    named = value.lower() if isinstance(value, str) else value
    check_choice(who, what, named if isinstance(named, str) and named in choices else value, choices)
    return str(named if named in choices else value)


def check_path(who: str, value: object) -> str:
    """`value`, a name or a path, as text.  Raises: TypeError for anything else.

    >>> check_path("load_model", 3)
    Traceback (most recent call last):
    TypeError: load_model: expected a name or a path, got int.
    """
    if not isinstance(value, str | os.PathLike) or not isinstance(found := os.fspath(value), str):
        raise TypeError(f"{who}: expected a name or a path, got {type(value).__name__}.")
    return found


def is_number(value: object) -> bool:
    """Whether `value` is a real number of Python or NumPy, and not a truth value or text."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_number(who: str, what: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    """`value` as a float, if it is a finite real number from `least` to `most`.  Raises: ValueError where it is not."""
    if not is_number(value) or not least <= value <= most or not _fits(value):
        bound = "" if least == -math.inf else f" of at least {least}" if most == math.inf else f" from {least} to {most}"
        raise ValueError(f"{who}: {what} must be a finite number{bound}, got {quoted(value)}.")
    return float(value)


def _fits(value: Any) -> bool:
    """Whether `value` is a finite float; a whole number of 400 digits is none."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def check_finite(who: str, value: Tensor) -> Tensor:
    """`value` (batch, …), if all of it is finite.

    Raises: ValueError that begins with `who` and names the first example with NaN or infinity.

    >>> check_finite("x", torch.tensor([[0.0], [torch.nan]]))
    Traceback (most recent call last):
    ValueError: x: example 1 holds NaN or infinity; clean or drop it.
    """
    wrong = not_finite(value)
    if wrong is not None:
        raise ValueError(f"{who}: example {wrong} holds NaN or infinity; clean or drop it.")
    return value


def not_finite(value: Tensor) -> int | None:
    """The first example of `value` (batch, …) that holds NaN or infinity, or None."""
    if bool(value.detach().sum().isfinite()):  # one cheap pass: a sum with NaN or infinity in it is not finite
        return None
    finite = value.isfinite().flatten(1).all(1)
    return None if bool(finite.all()) else int((~finite).nonzero()[0, 0])
