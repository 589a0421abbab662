"""Metrics of a map, against a bare loop over as many inputs of the same size."""

from typing import Any

import torch
from torch import Tensor

import pullback as pb
from benchmarks.measure.counting import Counted
from benchmarks.measure.timing import paired
from benchmarks.subjects.models import QUICK, subject

METRICS = ["selection_error", "gain", "insertion", "rate_fidelity", "ff"]


def test_metrics_evaluate_as_fast_as_a_bare_loop(benchmark: Any, photos: Tensor, device: str, rounds: int) -> None:
    """Goal: at most 1 / 0.9 of the time of a loop that evaluates as many inputs, in the same chunks, and does nothing else."""
    case = subject("efficientnet-lite0", device)
    x = case.x if QUICK else photos
    model = Counted(case.module)
    att = pb.attribute(model, x, 0, method="input_x_gradient", transform="dwt(db4, level=3)")
    before = model.tally.rows
    ours = lambda: pb.metrics.measure(model, att, METRICS, 0)
    found = benchmark.pedantic(ours, rounds=1)
    assert all(bool(each.value.isfinite().all()) for each in found)
    evaluations = model.tally.rows[0] - before[0]
    size = max(1, min(model.tally.most, evaluations))
    fed = x[torch.arange(size, device=x.device) % len(x)]

    def bare() -> None:
        with torch.no_grad():
            for start in range(0, evaluations, size):
                model(fed[: min(size, evaluations - start)])

    measured = paired(ours, bare, min(rounds, 5), most=60)
    measured.record(benchmark)
    benchmark.extra_info.update(goal=round(1 / 0.9, 3), images=len(x), forward=evaluations, metrics=", ".join(METRICS))
