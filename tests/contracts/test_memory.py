"""Peak memory depends on the batch size, not on samples × steps: every registered method, on tiny inputs."""

import importlib
import sys

import pytest
import torch
from support import ROOT

from pullback.attribution.estimator import estimators

sys.path.append(str(ROOT / "benchmarks"))  # as `make bench` has it
memory = importlib.import_module("memory")


def test_every_method_is_measured() -> None:
    assert set(memory.SPECS) == set(estimators.names())


@pytest.mark.parametrize("method", list(memory.SPECS))
def test_peak_memory_is_flat_in_samples(method: str) -> None:
    """Only single numbers per sample, such as scores, may grow with the samples; nothing of the size of the signal may."""
    one, sixteen = memory.line(method, images=1, side=16, rows=8, times=(1, 16))
    numbers = memory.numbers(method, images=1, side=16, n=16)
    assert sixteen < 1.15 * one + 4 * numbers, (one, sixteen, 4 * numbers)


def test_the_measure_sees_what_is_held_and_what_is_freed() -> None:
    kilobyte = lambda: torch.zeros(256)
    assert memory.peak(lambda: [kilobyte() for _ in range(5)]) == 5 * 1024
    assert memory.peak(lambda: [kilobyte().sum() for _ in range(5)]) < 1.2 * 1024
    assert memory.peak(lambda: torch.stack([kilobyte() for _ in range(5)])) == 10 * 1024
    held = memory.peak(lambda: [torch.zeros(64, 64) + n for n in range(16)])
    assert held > 1.25 * memory.peak(lambda: [torch.zeros(64, 64) + n for n in range(1)])  # the control
