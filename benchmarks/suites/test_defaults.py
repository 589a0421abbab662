"""Every registered method as a user finds it, with its default samples and options, against the bare loop of its evaluations.

The loop runs the network as it is, on as many inputs as the method asks for, in chunks of as many rows as its largest.
"""

from typing import Any

import pytest
import torch

import pullback as pb
from benchmarks.measure import calls
from benchmarks.measure.checks import check_input, check_result
from benchmarks.measure.counting import Counted, bare_steps
from benchmarks.measure.timing import interleaved, paired
from benchmarks.subjects.cases import first_example
from benchmarks.subjects.models import QUICK, subject
from pullback.attribution import Estimator
from pullback.studies.compare.grid import DOMAINS

GOALS = {1: 1.10, 10: 1.12}
ONE = DOMAINS[3]
TEN = (ONE, *DOMAINS[::4]) if QUICK else DOMAINS
MODEL = "small" if QUICK else "efficientnet-lite0"
MANY = 300  # rows from which on one round is enough: its turns, one for each chunk, are as many repetitions


def method_of(name: str) -> str | Estimator:
    """A method by its bare name, or, where it needs arguments, as its first example."""
    try:
        pb.attribution.get(name)
    except (TypeError, ValueError):
        return first_example(name)
    return name


def cases() -> list[tuple[str, int]]:
    """Not in ten domains: a method that runs the model anew in each, which gains nothing from several."""
    names = [name for name in pb.attribution.names() if not (QUICK and name in ("mask", "rise", "lime", "kernel_shap"))]
    each = [(name, domains) for name in names for domains in GOALS]
    return [(name, domains) for name, domains in each if domains == 1 or not calls.runs_each_domain(method_of(name))]


@pytest.mark.usefixtures("keeps_memory")
@pytest.mark.parametrize(("name", "domains"), cases())
def test_a_method_at_its_defaults(benchmark: Any, name: str, domains: int, device: str, rounds: int) -> None:
    """Goal: at most 1.10 × the contiguous loop in one domain, 1.12 × in ten."""
    case, method = subject(MODEL, device, images=1), method_of(name)
    check_input(case.x)
    model, again = Counted(case.module), Counted(case.module)
    transform = list(TEN) if domains > 1 else [ONE]
    run = lambda tell=None: calls.attribute(model, case.x, case.target, method, transform, progress=tell)
    found, rows = model.tally.during(lambda: benchmark.pedantic(run, rounds=1))
    for att in found:
        check_result(att.values)
    steps = bare_steps(again, case, model.tally.most, rows)
    steps[0][1](), steps[-1][1]()
    times = 1 if sum(rows) > MANY else min(rounds, 5)
    if torch.cuda.is_available():
        measured = paired(run, lambda: [step() for _, step in steps], times, warm=True, most=6)
    else:
        measured = interleaved(run, steps, times, 6)
    measured.record(benchmark)
    info, execution = benchmark.extra_info, found[0].settings["execution"]
    info.update(model=MODEL, method=name if method == name else repr(method), domains=domains, goal=GOALS[domains])
    info.update(forward=rows[0], backward=rows[1], chunk=model.tally.most, optimized=execution.get("optimized", False))
    info["images_per_s"] = round(1 / measured.ours_s, 3)
