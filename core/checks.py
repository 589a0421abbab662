"""Checks of arguments, each with one clear error: who, what was expected, what came."""

import math
from collections.abc import Collection
from typing import Any

from torch import Tensor


def check_count(who: str, what: str, value: object, least: int = 1, multiple: int = 1) -> int:
    """`value`, if it is a whole number of at least `least` and a multiple of `multiple`; who, what: begin the message.

    Raises: TypeError where it is not a whole number; ValueError where it is too small or not a multiple.

    >>> check_count("rise", "masks", 0)
    Traceback (most recent call last):
    ValueError: rise: masks must be a whole number of at least 1, got 0.
    """
    wanted = f"a whole number of at least {least}" + (f", a multiple of {multiple}" if multiple > 1 else "")
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{who}: {what} must be {wanted}, got {value!r}.")
    if value < least or value % multiple:
        raise ValueError(f"{who}: {what} must be {wanted}, got {value}.")
    return value


def check_choice(who: str, what: str, value: object, choices: Collection[object]) -> None:
    """Raises: ValueError that lists the choices unless `value` is one of them."""
    if value not in choices:
        raise ValueError(f"{who}: expected {what} in {', '.join(map(str, choices))}; got {value!r}.")


def is_number(value: object) -> bool:
    """Whether `value` is a real number, and not a truth value or text."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_number(who: str, what: str, value: Any, least: float = -math.inf, most: float = math.inf) -> None:
    """Raises: ValueError unless `value` is a finite real number from `least` to `most`."""
    if not is_number(value) or not least <= value <= most or math.isinf(value):
        bound = "" if least == -math.inf else f" of at least {least}" if most == math.inf else f" from {least} to {most}"
        raise ValueError(f"{who}: {what} must be a finite number{bound}, got {value!r}.")


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
