"""What each law costs: model evaluations and seconds of a full check of integrated gradients on a real model."""

import os
import time
from typing import Any

import pytest
import torch
from models import QUICK, subject

import pullback as pb


@pytest.mark.parametrize("method", ["integrated_gradients(max_evaluations=200)"])
def test_full_check_of_integrated_gradients(benchmark: Any, request: Any, device: str, method: str) -> None:
    """Goal: all laws in one domain under 90 s on 2 CPU cores."""
    if QUICK:
        small = subject("small", device, images=1)
        model, x = small.module, small.x
    else:
        model, x = request.getfixturevalue("efficientnet").module, request.getfixturevalue("photos")[:1]
    with torch.no_grad():
        target = model(x).argmax(1)
    laws: dict[str, dict[str, float]] = {}
    last = time.perf_counter()

    def note(finding: pb.axioms.Finding) -> None:
        nonlocal last
        now = time.perf_counter()
        laws[finding.axiom] = {"evaluations": finding.evaluations, "seconds": round(now - last, 2)}
        last = now

    def run() -> pb.axioms.AxiomReport:
        nonlocal last
        last = time.perf_counter()
        return pb.axioms.check(
            model,
            x,
            target,
            method=method,
            transform="dwt(db4, level=2)" if QUICK else "dwt(db4, level=3)",
            progress=note,
        )

    report = benchmark.pedantic(run, rounds=1)
    assert set(laws) == set(pb.axioms.NAMES)
    assert {f.axiom for f in report if not f.holds} <= {"input_shift_invariance"}, str(report)
    seconds = sum(law["seconds"] for law in laws.values())
    benchmark.extra_info.update(
        method=method,
        goal_s=90,
        seconds=round(seconds, 1),
        evaluations=report.evaluations,
        laws=laws,
        load_average=round(os.getloadavg()[0], 1),
    )
