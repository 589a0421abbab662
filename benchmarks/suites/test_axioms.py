"""What each law costs: evaluations and seconds of a full check of integrated gradients on a real model."""

import os
import time
from typing import Any

import pytest
import torch

import pullback as pb
from benchmarks.measure import calls
from benchmarks.subjects.models import QUICK, subject


@pytest.mark.parametrize("method", ["integrated_gradients(max_evaluations=200)"])
def test_full_check_of_integrated_gradients(benchmark: Any, request: Any, device: str, method: str) -> None:
    """Goal: all laws in one domain under 90 s on 2 CPU cores."""
    case = subject("small" if QUICK else "efficientnet-lite0", device, images=1)
    model, x = case.module, case.x if QUICK else request.getfixturevalue("photos")[:1]
    with torch.no_grad():
        target = model(x).argmax(1)
    times: list[float] = []
    options: dict[str, Any] = {
        "transform": "dwt(db4, level=2)" if QUICK else "dwt(db4, level=3)",
        "progress": lambda done, planned: times.append(time.perf_counter()),
    }
    report = benchmark.pedantic(lambda: calls.check_axioms(method, model, x, target, **options), rounds=1)
    laws: dict[str, dict[str, float]] = {
        finding.axiom: {"evaluations": calls.cost_of(finding), "seconds": round(after - before, 2)}
        for finding, before, after in zip(report, times, times[1:], strict=False)
    }
    assert set(laws) == set(pb.axioms.NAMES)
    assert {finding.axiom for finding in report if not finding.holds} <= {"input_shift_invariance"}, str(report)
    seconds, load = round(sum(law["seconds"] for law in laws.values()), 1), round(os.getloadavg()[0], 1)
    benchmark.extra_info.update(method=method, goal_s=90, seconds=seconds, evaluations=calls.cost_of(report))
    benchmark.extra_info.update(laws=laws, load_average=load)
