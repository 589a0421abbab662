"""How many evaluations a map of a given accuracy takes: found by bisection, on signals apart from those that are timed."""

from collections.abc import Callable, Sequence

from torch import Tensor

LADDER = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)  # numbers of steps, each about 1.4 times the one before


def errors(found: Tensor, reference: Tensor) -> Tensor:
    """‖a - a'‖ / ‖a'‖ of each map, (examples,)."""
    wide = reference.flatten(1).double()
    return (found.flatten(1).double() - wide).norm(dim=1) / wide.norm(dim=1)


def least(error: Callable[[int], float], goal: float, ladder: Sequence[int] = LADDER) -> int | None:
    """The smallest rung of `ladder` at which `error`, which falls from rung to rung, is at most `goal`; None where none is.

    >>> least(lambda steps: 1 / steps, 0.05), least(lambda steps: 1.0, 0.05)
    (24, None)
    """
    low, high = 0, len(ladder)
    while low < high:
        middle = (low + high) // 2
        if error(ladder[middle]) <= goal:
            high = middle
        else:
            low = middle + 1
    return ladder[low] if low < len(ladder) else None
