"""Ten domains from one gradient stream, against one domain."""

import functools
from typing import Any

from torch import Tensor

from benchmarks.measure import calls
from benchmarks.measure.checks import check_evaluations, check_input, check_result
from benchmarks.measure.counting import Counted, counted
from benchmarks.measure.timing import paired
from benchmarks.subjects.models import QUICK, subject
from pullback import Pullback
from pullback.core.precision import tf32
from pullback.studies.compare.grid import DOMAINS


def test_ten_domains_cost_the_rows_of_one(benchmark: Any, photos: Tensor, device: str, rounds: int) -> None:
    """Goal: equal model rows, and at most 1.10 × the time of one domain."""
    case, samples = subject("efficientnet-lite0", device), 3 if QUICK else 25
    model, x = Counted(case.module), case.x if QUICK else photos[:2] if device == "cpu" else photos
    check_input(x)
    method = f"integrated_gradients(steps={samples}, rule=gauss_legendre)"
    run = lambda domains: calls.attribute(model, x, 0, method, domains)
    one, ten = run([DOMAINS[3]]), benchmark.pedantic(lambda: run(list(DOMAINS)), rounds=1)
    rows = calls.evaluations([*one, *ten])
    check_evaluations(rows, ten, calls.planned(method, [one[0].transform], len(x)))
    with tf32(False):  # the same domain on f∘T⁻¹ itself
        direct = calls.attribute(Pullback(case.module, ten[3].transform), ten[3].coefficients, 0, method)
        check_result((ten if device == "cpu" else run(list(DOMAINS)))[3].values, direct.values, 0.01)
    jobs = (functools.partial(run, domains) for domains in (list(DOMAINS), [DOMAINS[3]]))
    measured = paired(*(counted(job, model.tally, rows) for job in jobs), min(rounds, 5), warm=True, most=12)
    measured.record(benchmark)
    benchmark.extra_info.update(goal=1.10, images=len(x), forward=rows[0], backward=rows[1])
