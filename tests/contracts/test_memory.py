"""Peak memory follows the batch size, not samples × steps: every registered method, on tiny inputs."""

import pytest
import torch

import pullback as pb
from benchmarks.measure import memory


@pytest.mark.parametrize("method", pb.attribution.names())
def test_peak_memory_is_flat_in_samples(method: str) -> None:
    """Numbers per sample, such as scores, may grow; nothing of the signal's size may."""
    one, sixteen = memory.held(method, images=1, side=16, rows=8, times=(1, 16))
    numbers = memory.numbers(method, images=1, side=16, n=16)
    assert sixteen < 1.15 * one + 4 * numbers, (one, sixteen, 4 * numbers)


def test_the_measure_sees_what_is_held_and_what_is_freed() -> None:
    kilobyte = lambda: torch.zeros(256)
    assert memory.peak(lambda: [kilobyte() for _ in range(5)]) == 5 * 1024
    assert memory.peak(lambda: [kilobyte().sum() for _ in range(5)]) < 1.2 * 1024
    assert memory.peak(lambda: torch.stack([kilobyte() for _ in range(5)])) == 10 * 1024
    held = memory.peak(lambda: [torch.zeros(64, 64) + n for n in range(16)])
    assert held > 1.25 * memory.peak(lambda: [torch.zeros(64, 64) + n for n in range(1)])  # the control
