"""Random orders of places, keyed by content: permutations, uniform, and the same in any batch."""

import pytest
import torch
from scipy import stats
from torch import Tensor

from pullback.attribution.engine import random as drawn
from pullback.attribution.engine.random import Keyed
from pullback.attribution.engine.row_index import RowIndex

SIZE, SAMPLES = 12, 6_000
SIGNAL = torch.arange(8.0).reshape(2, 4)


def orders(signal: Tensor, samples: int, size: int = SIZE) -> Tensor:
    """The order of the places, (examples × samples, size)."""
    index = RowIndex.product(torch.full((len(signal),), samples), signal.device)
    return Keyed(signal, 3).priorities(index, size, "test").argsort(1)


def worst(order: Tensor) -> float:
    """The smaller p of two questions: is each place first, and each pair of places the first two, equally often?"""
    pair = order[:, 0] * SIZE + order[:, 1]
    counts = torch.bincount(pair, minlength=SIZE * SIZE).reshape(SIZE, SIZE)
    apart = counts[~torch.eye(SIZE, dtype=torch.bool)]
    return float(min(stats.chisquare(counts.sum(1)).pvalue, stats.chisquare(apart).pvalue))


def test_every_order_is_equally_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    assert worst(orders(SIGNAL[:1], SAMPLES)) > 0.01
    monkeypatch.setattr(drawn, "_mixed", lambda number: number)  # the control: the steps alone do not mix
    assert worst(orders(SIGNAL[:1], SAMPLES)) < 1e-9


def test_no_two_places_are_equal() -> None:
    index = RowIndex.product(torch.tensor([2, 2]), SIGNAL.device)
    found = Keyed(SIGNAL, 0).priorities(index, 4096, "test")
    assert all(len(row.unique()) == 4096 for row in found)


def test_an_order_does_not_depend_on_the_batch() -> None:
    together = orders(SIGNAL, 3)
    assert torch.equal(together, torch.cat([orders(SIGNAL[e : e + 1], 3) for e in range(2)]))
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(together[0], together[3])
