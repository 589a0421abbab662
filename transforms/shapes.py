"""Shapes of signals and coefficients: whole numbers, as many axes as a transform takes, and small enough for one machine."""

import itertools
import math
import warnings
from collections.abc import Iterable, Mapping, Set

from ..core.checks import quoted, whole
from .layout import Shape

LARGEST_SIGNAL = 2**27  # samples of a signal, or coefficients with a table of bands: the table takes some 5 GiB
LARGEST = 2**30  # coefficients of a pyramid, whose table is made when it is read
MOST_AXES = 10  # of a signal, channels included


def check_shape(name: str, shape: Iterable[int], dims: Iterable[int] = (1, 2, 3)) -> Shape:
    """`shape` as a tuple of one signal, channels first, if it has one of `dims` signal axes.

    Warns where the channels seem to be last, of a transform over all signal axes: that would run over them.
    """
    sizes = _whole_numbers(name, shape)
    allowed = tuple(dims)
    if len(sizes) - 1 not in allowed or any(n < 1 for n in sizes):
        wanted = f"(channels, *spatial) with {' or '.join(map(str, allowed))} signal axes, each of at least 1 sample"
        raise ValueError(
            f"{name}: shape must be {wanted}, got {quoted(sizes)}; one signal, channels first, without the batch axis."
        )
    check_size(name, "samples", sizes, LARGEST_SIGNAL)
    if 0 not in allowed and sizes[-1] <= (8 if len(sizes) == 2 else 4) and min(sizes[:-1]) >= 12:
        advice = f"if the channels are last, move them with x.movedim(-1, 1), or take along({name}, axes=…)"
        warnings.warn(
            f"{name}: shape {sizes} means {sizes[0]} channels, and {sizes[-1]} samples along the last axis; {advice}.",
            stacklevel=2,
        )
    return sizes


def _whole_numbers(name: str, shape: Iterable[int]) -> Shape:
    wanted = "(channels, *spatial) of one signal, in whole numbers"
    if isinstance(shape, Iterable) and not isinstance(shape, (str, bytes, Set, Mapping)) and getattr(shape, "ndim", 1) == 1:
        sizes = [whole(n) for n in itertools.islice(shape, MOST_AXES + 1)]
        if None not in sizes:
            return tuple(n for n in sizes if n is not None)
    raise TypeError(f"{name}: shape must be {wanted}, got {quoted(shape)}.")


def check_size(who: str, what: str, sizes: Iterable[int], most: int = LARGEST) -> None:
    """Raises: ValueError, before anything is allocated, where a tensor of `sizes` has too many entries for one machine."""
    count = math.prod(sizes)
    if count > most:
        raise ValueError(
            f"{who}: expected at most {most:,} {what}, got {quoted(count)}; cut the signal, or take a smaller transform."
        )
