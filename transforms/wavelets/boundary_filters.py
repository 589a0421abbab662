"""One level of an orthonormal wavelet on an interval: the signal is not continued, and its two ends are not joined."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.constant import Constant
from ...core.isolation import lasting_tensors
from .filterbank import Bank, FilterBank


class BoundaryBank(Bank):
    """A periodic `FilterBank` whose filters near an end are replaced by orthonormal ones that stay inside the signal.

    The rows of the analysis matrix that would reach over an end are cut there. Their remains are orthogonal to all rows
    inside, so Gram-Schmidt completes those to an orthonormal basis: A Aᵀ = I for every even n of at least the filter's
    length. Cut rows of long filters are almost dependent, and one pass leaves A Aᵀ - I at 1e-4 (db38); the second pass,
    after the rows inside are projected out, takes it to rounding.

    It is computed as the periodic bank plus a correction of the few coefficients near the ends.
    Sources: Strang & Nguyen 1996, ch. 8; Jensen & la Cour-Harbo 2001, §10.3 (Gram-Schmidt boundary filters).
    """

    def __init__(self, wavelet: Any) -> None:
        super().__init__(wavelet)
        self._periodic = FilterBank(wavelet)
        self._edges: dict[int, tuple[Tensor, Tensor, Constant]] = {}

    def _correlate(self, x: Tensor, filters: int, axis: int) -> Tensor:
        bands = self._periodic._correlate(x, filters, axis)
        columns, rows, edges = self._edge(x.shape[axis], x)
        near = x.index_select(axis, columns).movedim(axis, -1)
        return bands.index_add(axis, rows, (near @ edges.T).movedim(-1, axis))

    def _transpose(self, low: Tensor, high: Tensor, filters: int, axis: int, size: int) -> Tensor:
        x = self._periodic._transpose(low, high, filters, axis, size)
        columns, rows, edges = self._edge(size, x)
        near = torch.cat([low, high], axis).index_select(axis, rows).movedim(axis, -1)
        return x.index_add(axis, columns, (near @ edges).movedim(-1, axis))

    def _edge(self, n: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(columns, rows, edges): boundary minus periodic matrix where it is not zero, approximations first."""
        if n not in self._edges:
            with lasting_tensors():
                self._edges[n] = _edge_matrices(self._analysis, n)
        columns, rows, edges = self._edges[n]
        return columns.to(like.device), rows.to(like.device), edges.like(like)


def inside(start: int, stop: int, taps: int) -> tuple[int, int]:
    """The outputs whose filters read nothing but samples start…stop - 1, as (start, stop)."""
    first, last = (start + taps // 2) // 2, (stop - taps // 2 + 1) // 2
    return first, max(first, last)


def _edge_matrices(filters: tuple[Any, ...], n: int) -> tuple[Tensor, Tensor, Constant]:
    taps = len(filters[0])
    m = min(n, 4 * taps)  # both ends, and enough rows inside that the ends do not meet
    wrapped, cut, reaches_out = _matrices(filters, m)
    whole = cut[~reaches_out]
    ends = _orthonormalise(cut[reaches_out])
    ends = _orthonormalise(ends - (ends @ whole.T) @ whole)
    correction = ends - wrapped[reaches_out]
    columns = np.flatnonzero(np.abs(correction).max(0, initial=0) > 1e-16)
    band, place = np.divmod(np.flatnonzero(reaches_out), m // 2)
    rows = _stretch(place, m // 4, (n - m) // 2) + torch.from_numpy(band) * (n // 2)
    return _stretch(columns, m // 2, n - m), rows, Constant(torch.from_numpy(correction[:, columns]))


def _orthonormalise(rows: np.ndarray) -> np.ndarray:
    """Gram-Schmidt, carried out as a QR factorisation whose R has a positive diagonal."""
    q, r = np.linalg.qr(rows.T)
    return (q * np.where(np.diag(r) < 0, -1, 1)).T


def _stretch(index: np.ndarray, middle: int, gap: int) -> Tensor:
    """Places in the short matrix as places in the long one: those past the middle belong to the other end."""
    return torch.from_numpy(np.where(index < middle, index, index + gap))


def _matrices(filters: tuple[Any, ...], n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Analysis matrices that wrap around and that are cut at the ends, (n, n) each; which rows reach out, (n,)."""
    taps = len(filters[0])
    reach = 2 * np.arange(n // 2)[:, None] + np.arange(taps) + 1 - taps // 2  # (n/2, taps)
    outside = (reach < 0) | (reach >= n)
    wrapped, cut = np.zeros((n, n)), np.zeros((n, n))
    for band, weights in enumerate(filters):
        rows = np.arange(n // 2)[:, None] + band * (n // 2)
        np.add.at(wrapped, (rows, reach % n), np.broadcast_to(weights, reach.shape))
        np.add.at(cut, (rows, reach % n), np.where(outside, 0, weights))
    return wrapped, cut, np.tile(outside.any(1), 2)
