"""The numbers of largest size in each row, for sets of several sizes at once: their sums, and the smallest size in each."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.floating[Any]]
Keys = NDArray[Any]  # whole numbers without a sign

SHORT = 4096  # numbers in a row, up to which sorting them is the fastest


class Largest:
    """For each count, the `count` numbers of largest size in each row, and all others of the size of the smallest of them.

    The bits of a number, with the sign moved from the front to the end, rise with its size. So whole numbers are sorted in
    place of pairs of a size and a sign, and each number is read from its key again.

    rows: (rows, numbers), in single or double precision.  counts: from 1 to the numbers of a row.

    >>> found = Largest(np.array([[3.0, -1.0, 2.0, -4.0]]), [1, 3])
    >>> found.sums().tolist(), found.sizes().tolist()
    ([[-4.0, 1.0]], [[4.0, 2.0]])
    """

    def __init__(self, rows: Rows, counts: Sequence[int]) -> None:
        self._rows, self._sign = np.ascontiguousarray(rows), 8 * rows.itemsize - 1
        places = [rows.shape[1] - count for count in counts]
        self._places = sorted(set(places))  # of the smallest of each set, in rising order of sizes
        self._columns = [self._places.index(place) for place in places]
        bits = self._rows.view(f"u{rows.itemsize}")
        self._keys = (bits << 1) | (bits >> self._sign)
        if rows.shape[1] <= SHORT:
            self._keys.sort(1)
        else:
            for row in self._keys:
                self._arrange(row)

    def sizes(self) -> Rows:
        """The smallest size in each set. Shape: (rows, counts)."""
        return np.abs(self._numbers(self._keys[:, self._places]))[:, self._columns]

    def sums(self) -> Rows:
        """The sum of each set. Shape: (rows, counts)."""
        first = self._places[0]
        parts = np.add.reduceat(self._numbers(self._keys[:, first:]), [place - first for place in self._places], 1)
        found = parts[:, ::-1].cumsum(1)[:, ::-1][:, self._columns]
        if (tied := self._tied()[:, self._columns]).any():
            least = self.sizes()
            for row, column in np.argwhere(tied):
                numbers = self._rows[row]
                found[row, column] = numbers[np.abs(numbers) >= least[row, column]].sum()
        return found

    def _arrange(self, keys: Keys) -> None:
        """Puts at each place the key that sorting would, with none that is larger before it; sorts no further."""
        below = 0
        for place in self._places:
            keys[below:].partition(place - below)
            below = place + 1

    def _tied(self) -> NDArray[np.bool_]:
        """Whether a number before a place has the size of the one that stands there, which is not 0. Shape: (rows, places)."""
        least = self._keys[:, self._places]
        if not self._places[-1]:
            return np.zeros(least.shape, dtype=bool)
        before = np.maximum.reduceat(self._keys[:, : self._places[-1]], [0, *self._places[:-1]], 1)
        before[:, [place == 0 for place in self._places]] = 0
        return (before >> 1 == least >> 1) & (least > 1)

    def _numbers(self, keys: Keys) -> Rows:
        return ((keys >> 1) | (keys << self._sign)).view(self._rows.dtype)
