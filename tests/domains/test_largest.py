"""The largest numbers of each row: against masks over all numbers, with ties, zeros, both precisions, short and long rows."""

import numpy as np
import pytest

from pullback.domains.largest import SHORT, Largest, Rows

DRAWN = np.random.default_rng(0)


def masked(rows: Rows, counts: list[int]) -> tuple[Rows, Rows]:
    """(smallest sizes, sums) by the definition."""
    size = np.abs(rows)
    least = np.sort(size, 1)[:, [rows.shape[1] - count for count in counts]]
    kept = size[:, None] >= least[..., None]
    return least, (rows[:, None] * kept).sum(2, dtype=np.float64)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [7, 784, SHORT + 1000])
@pytest.mark.parametrize("kind", ["normal", "whole numbers", "mostly zeros", "pairs of opposite signs", "all zeros"])
def test_sums_and_sizes_are_those_of_masks(dtype: type, width: int, kind: str) -> None:
    rows = DRAWN.standard_normal((3, width))
    if kind == "whole numbers":
        rows = np.round(2 * rows)
    elif kind == "mostly zeros":
        rows *= np.arange(width) % 5 == 0
    elif kind == "pairs of opposite signs":
        rows[:, 1::2] = -rows[:, : width - width % 2 : 2]
    elif kind == "all zeros":
        rows *= 0
    rows = rows.astype(dtype)
    counts = [max(1, round(part * width)) for part in (0.01, 0.02, 0.5, 0.1, 0.02, 1.0)]
    least, sums = masked(rows, counts)
    found = Largest(rows, counts)
    assert (found.sizes() == least).all()
    assert found.sums() == pytest.approx(sums, rel=1e-4, abs=1e-3 if dtype is np.float32 else 1e-9)
    assert found.sums().dtype == dtype


def test_ties_are_added_to_a_set() -> None:
    """Of four numbers of size 2 one is among the two largest, and all four count."""
    rows = np.array([[2.0, -2.0, 3.0, 2.0, 2.0, 1.0]])
    assert Largest(rows, [2]).sums().tolist() == [[7.0]]
    assert Largest(rows, [1]).sums().tolist() == [[3.0]]


def test_the_numbers_that_are_given_stay() -> None:
    rows = DRAWN.standard_normal((2, 10))
    before = rows.copy()
    Largest(rows, [3]).sums()
    assert (rows == before).all()


def test_nan_is_not_hidden() -> None:
    assert np.isnan(Largest(np.array([[1.0, np.nan, 2.0]]), [2]).sums()).all()
