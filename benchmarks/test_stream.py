"""One gradient stream for ten domains, against one."""

from typing import Any

from guard import Counted, check_input, check_result, counted, evaluations, exact
from models import QUICK, subject
from timing import paired
from torch import Tensor

import pullback as pb
from pullback.studies.compare.grid import DOMAINS


def test_ten_domains_cost_the_rows_of_one(
    benchmark: Any, photos: Tensor, device: str, samples: int, rounds: int
) -> None:
    """Goal: equal model rows, at most 1.10 × the time of one domain."""
    case = subject("efficientnet-lite0", device)
    model, x = Counted(case.module), case.x if QUICK else photos[:2] if device == "cpu" else photos
    check_input(x)
    method = f"integrated_gradients(steps={samples}, rule=gauss_legendre)"
    run = lambda domains: pb.attribute(model, x, 0, method=method, transform=domains)
    one, ten = run([DOMAINS[3]]), benchmark.pedantic(lambda: run(list(DOMAINS)), rounds=1)
    rows = evaluations([att.settings for att in [*one, *ten]])
    assert rows == (len(x) * (samples + 2) + 1, len(x) * samples)  # one row is a rehearsal
    with exact():
        direct = pb.attribute(pb.Pullback(case.module, ten[3].transform), ten[3].coefficients, 0, method=method)
        check_result((ten if device == "cpu" else run(list(DOMAINS)))[3].values, direct.values, 0.01)
    jobs = [
        counted(lambda domains=domains: run(domains), model.tally, *rows) for domains in (list(DOMAINS), [DOMAINS[3]])
    ]
    measured = paired(*jobs, min(rounds, 5), warm=True, most=12)
    measured.record(benchmark)
    benchmark.extra_info.update(goal=1.10, images=len(x), forward=rows[0], backward=rows[1])
