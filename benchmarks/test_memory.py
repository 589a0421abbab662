"""Peak memory of every registered method: it follows `rows`, not samples × steps."""

from typing import Any

import pytest
from memory import SPECS, TIMES, line
from models import QUICK

from pullback.attribution.estimator import estimators


def test_every_method_is_measured() -> None:
    assert set(SPECS) == set(estimators.names())


@pytest.mark.parametrize("method", list(SPECS))
def test_peak_memory_is_flat_in_samples(benchmark: Any, method: str) -> None:
    """Goal: 16 times the samples hold at most 1.15 times the bytes. Also stored: four times the rows, or the images."""
    side = 24 if QUICK else 64
    flat = line(method, images=4, side=side, batch_size=8)
    benchmark.extra_info |= {"samples": TIMES, "bytes": flat, "growth": round(flat[-1] / flat[0], 4), "goal": 1.15}
    if not QUICK:
        benchmark.extra_info["bytes, rows × 4"] = line(method, images=4, side=side, batch_size=32, times=(1,))[0]
        benchmark.extra_info["bytes, images × 4"] = line(method, images=16, side=side, batch_size=8, times=(1,))[0]
    benchmark.pedantic(lambda: None, rounds=1)
