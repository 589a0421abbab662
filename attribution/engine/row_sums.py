"""Sums over rows, and rows that are sums of a few signals, each in one pass over memory."""

import torch
from torch import Tensor

from ...core.precision import full_products
from .row_index import RowIndex


def accumulate(total: Tensor, index: RowIndex, rows: Tensor, weights: Tensor | None = None) -> None:
    """total[example of r] += weights[r] rows[r] for each row r, in place.  weights: (rows,); None for 1."""
    axes = _memory_order(rows)
    rows, total = rows.permute(0, *axes), total.permute(0, *axes)
    with full_products(rows):
        for entry, first, last in index.runs():
            part = rows[first:last]
            total[entry] += part.sum(0) if weights is None else torch.tensordot(weights[first:last], part, 1)


def along(start: Tensor, step: Tensor, index: RowIndex, by: Tensor) -> Tensor:
    """start[example] + by ⊙ step[example] for each row, without a copy of either. Shape: (rows, *shape).

    start, step: (batch, *shape), or what broadcasts to it.  by: (rows, *shape), or what broadcasts to it.
    """
    parts = [torch.addcmul(start[e : e + 1], by[first:last], step[e : e + 1]) for e, first, last in index.runs()]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def combined(start: Tensor, weights: Tensor, parts: Tensor) -> Tensor:
    """start + Σ_i weights[r, i] parts[i] for each row r.  start: (*shape).  parts: (n, *shape). Shape: (rows, *shape)."""
    axes = _memory_order(parts)
    held = parts.permute(0, *axes)
    begin = start.permute([axis - 1 for axis in axes]).reshape(1, -1)
    with full_products(parts):
        rows = torch.addmm(begin, weights, held.flatten(1)).unflatten(1, held.shape[1:])
    back = sorted(range(len(axes)), key=axes.__getitem__)
    return rows.permute(0, *(axis + 1 for axis in back))


def _memory_order(rows: Tensor) -> list[int]:
    """The axes after the first, in the order in which memory holds them."""
    return sorted(range(1, rows.ndim), key=rows.stride, reverse=True)
