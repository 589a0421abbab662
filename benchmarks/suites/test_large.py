"""Large signals run in 4 GB, and in hardly more memory than the bare loop of the same chunks takes."""

from typing import Any

import pytest

from benchmarks.measure.child import LARGE, in_child
from benchmarks.subjects.models import QUICK

MOST, MORE = 4 * 2**30, 1.15  # bytes of the whole process; ours over the loop's, less what the process held before


@pytest.mark.parametrize("kind", LARGE)
def test_a_large_signal(benchmark: Any, kind: str, device: str) -> None:
    """Goal: peak memory of the process below 4 GB, and what a call adds at most 1.15 × what the loop adds."""
    if device != "cpu":
        pytest.skip("it measures the memory of a process")
    ours = benchmark.pedantic(lambda: in_child("ours", kind, quick=QUICK), rounds=1)
    loop = in_child("loop", kind, ours["chunk"], QUICK)
    added, their = (side["peak"] - side["before"] for side in (ours, loop))
    growth = round(added / max(1, their), 3)
    benchmark.extra_info.update(kind=kind, chunk=ours["chunk"], growth=growth, goal=MORE)
    benchmark.extra_info.update(peak_gb=round(ours["peak"] / 2**30, 3), bare_peak_gb=round(loop["peak"] / 2**30, 3))
    assert QUICK or ours["peak"] <= MOST
