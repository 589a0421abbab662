"""The numbers that statistics take: one for each unit."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ...core.checks import is_number

Numbers = NDArray[np.float64]
ENOUGH = 20  # units from which on a conclusion is drawn: with 8 skewed numbers a 95 % interval covers far less than that
LEAST = 0.05  # of the median |f(x) - f(x₀)|; ratios to a smaller difference are dropped


def per_unit(who: str, values: ArrayLike, cluster: Sequence[Hashable] | None = None) -> Numbers:
    """One number for each unit: `values`, or their mean in each cluster, without NaN and infinities; NaN where none is left.

    cluster: a label for each value; those with one label are one unit, as crops of one photo are.

    Raises: TypeError where `values` are no numbers; ValueError where they are not one row, or have not one label each.

    >>> per_unit("example", [1, 3, 8, np.nan], ["a", "a", "b", "c"])
    array([ 2.,  8., nan])
    """
    found = _numbers(who, values)
    if cluster is None:
        return found
    labels = np.asarray(pd.factorize(pd.Series(list(cluster), dtype=object))[0])
    if len(labels) != len(found) or (labels < 0).any():
        unknown = f", {int((labels < 0).sum())} of them unknown" if (labels < 0).any() else ""
        raise ValueError(f"{who}: expected a cluster for each of {len(found)} values, got {len(labels)}{unknown}.")
    known = np.where(np.isfinite(found), found, np.nan)
    if labels.max(initial=-1) + 1 == len(known):
        return known
    return pd.Series(known).groupby(labels).mean().to_numpy()


def _numbers(who: str, values: Any) -> Numbers:
    try:
        raw = np.asarray(values)
        if raw.dtype.kind in "USMmc" or (raw.dtype == object and any(isinstance(one, str | bytes) for one in raw.flat)):
            raise TypeError
        found = np.asarray(raw, dtype=float)
    except (TypeError, ValueError, OverflowError):
        kind = getattr(values, "dtype", type(values).__name__)
        raise TypeError(f"{who}: expected one real number for each unit, got {kind}.") from None
    if found.ndim != 1:
        raise ValueError(f"{who}: expected one row of numbers, one for each unit; got shape {found.shape}.")
    return found


def check_level(who: str, level: float) -> float:
    """`level` as it is.  Raises: ValueError where it is not in (0, 1)."""
    if not is_number(level) or not 0 < level < 1:
        raise ValueError(f"{who}: level must be between 0 and 1, as in 0.95; got {level!r}.")
    return level


def large_enough(differences: ArrayLike, *, least: float = LEAST) -> NDArray[np.bool_]:
    """Where |f(x) - f(x₀)| ≥ least × its median, so that a share of it means something; False for NaN and infinities.

    A share of a difference near zero may have any size, and one such unit can decide a mean. The rule uses nothing of the
    maps, and stands before they are scored.

    Shape: (units,).  Raises: ValueError where `least` is not in [0, 1].

    >>> large_enough([10.0, -9.0, 8.0, 0.1, np.nan])
    array([ True,  True,  True, False, False])
    """
    if not is_number(least) or not 0 <= least <= 1:
        raise ValueError(f"large_enough: expected `least` in [0, 1], a fraction of the median; got {least!r}.")
    size = np.abs(_numbers("large_enough", differences))
    known = np.isfinite(size) & (size > 0)
    return known & (size >= least * (np.median(size[known]) if known.any() else 0.0))


def matrix(who: str, values: ArrayLike) -> Numbers:
    """`values` as a matrix of numbers.  Raises: TypeError for other values; ValueError for rows that differ in length."""
    rows = [_numbers(who, row) for row in np.atleast_1d(np.asarray(values, dtype=object))]
    if len({len(row) for row in rows}) > 1:
        raise ValueError(f"{who}: expected as many numbers in each row, got {sorted({len(row) for row in rows})}.")
    return np.array(rows)
