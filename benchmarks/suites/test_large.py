"""Large signals run in 4 GB, and in hardly more memory than the bare loop of the same chunks takes."""

from typing import Any

import pytest

from benchmarks.measure.child import LARGE, in_child
from benchmarks.subjects.models import QUICK

MOST, MORE = 4 * 2**30, 1.15  # bytes of the whole process; ours over the loop's, less what the process held before


@pytest.mark.parametrize("kind", LARGE)
def test_a_large_signal(benchmark: Any, kind: str, device: str) -> None:
    """Goal: peak memory of the process below 4 GB in three domains; in one, a call adds at most 1.15 × what the loop adds."""
    if device != "cpu":
        pytest.skip("it measures the memory of a process")
    three = benchmark.pedantic(lambda: in_child("three domains", kind, quick=QUICK), rounds=1)
    ours, loop = (in_child(side, kind, three["chunk"], QUICK) for side in ("one domain", "loop"))
    added, their = (side["peak"] - side["before"] for side in (ours, loop))
    growth = round(added / max(1, their), 3)
    benchmark.extra_info.update(kind=kind, chunk=ours["chunk"], growth=growth, goal=MORE)
    peaks = {"peak_gb": three, "one_peak_gb": ours, "bare_peak_gb": loop}
    benchmark.extra_info.update({name: round(side["peak"] / 2**30, 3) for name, side in peaks.items()})
    assert QUICK or three["peak"] <= MOST
