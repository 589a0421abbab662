"""The peak memory of every registered method: it follows the batch size, not samples × steps."""

from typing import Any

import pytest

import pullback as pb
from benchmarks.measure.memory import TIMES, held
from benchmarks.subjects.models import QUICK


@pytest.mark.parametrize("method", pb.attribution.names())
def test_peak_memory_is_flat_in_samples(benchmark: Any, method: str) -> None:
    """Goal: 16 times the samples hold at most 1.15 times the bytes. Also stored: four times the rows, or the images."""
    side = 24 if QUICK else 64
    flat = held(method, images=4, side=side, rows=8)
    benchmark.extra_info |= {"samples": TIMES, "bytes": flat, "growth": round(flat[-1] / flat[0], 4), "goal": 1.15}
    if not QUICK:
        benchmark.extra_info["bytes, rows × 4"] = held(method, images=4, side=side, rows=32, times=(1,))[0]
        benchmark.extra_info["bytes, images × 4"] = held(method, images=16, side=side, rows=8, times=(1,))[0]
    benchmark.pedantic(lambda: None, rounds=1)
