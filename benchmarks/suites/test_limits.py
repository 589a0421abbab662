"""Every registered method in one and in ten domains, against the bare model loop of as many forwards and backwards.

The loop runs the same network on chunks of as many rows as the largest of the method, and nothing else. Throughput, peak
memory, and the time of the first call, with nothing built, are stored beside the ratio. Both run the network as it is: what
an equal network gains is measured by test_optimize.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from benchmarks.measure import calls
from benchmarks.measure.checks import check_evaluations, check_input, check_map, check_result
from benchmarks.measure.counting import Counted, bare_steps, counted
from benchmarks.measure.memory import peak_megabytes
from benchmarks.measure.timing import Ratio, Step, interleaved, paired, seconds
from benchmarks.subjects.cases import templates, timed
from benchmarks.subjects.models import QUICK, Subject, subject
from pullback.attribution import Attribution
from pullback.core.precision import tf32
from pullback.studies.compare.grid import DOMAINS

GOALS = {1: 1.03, 10: 1.08}
PLAIN = {"optimize": False}
ONE = DOMAINS[3]
TEN = (ONE, *DOMAINS[::4]) if QUICK else DOMAINS
KEY = ("integrated_gradients(steps={n})", "smoothgrad(samples={n})", "rise(masks={n})")
MODELS = ("efficientnet-lite0", "resnet50", "vit-b16", "audio", "volume")
EVERYTHING = "small" if QUICK else MODELS[0]  # the network on which every method runs
CASES = [(EVERYTHING, template, domains) for template in templates() for domains in GOALS]
# A method that runs the model anew in each domain gains nothing from several: other networks time it in one.
CASES += [
    (name, template, domains)
    for name in MODELS
    if name != EVERYTHING
    for template in KEY
    for domains in GOALS
    if domains == 1 or template != KEY[2]
]


@pytest.mark.usefixtures("keeps_memory")
@pytest.mark.parametrize(("name", "template", "domains"), CASES)
def test_limit(benchmark: Any, name: str, template: str, domains: int, device: str, rounds: int) -> None:
    """Goal: at most 1.03 × the loop in one domain, 1.08 × in ten."""
    anew = domains > 1 and calls.runs_each_domain(timed(template, 8))
    samples = _samples(name, device, anew)
    method = timed(template, samples)
    case = subject(name, device, images=1 if device == "cpu" and name == MODELS[0] else None)
    check_input(case.x)
    model, again = Counted(case.module), Counted(case.module)
    transform = list(TEN) if domains > 1 else [ONE]
    run = lambda tell=None: calls.attribute(model, case.x, case.target, method, transform, progress=tell, execution=PLAIN)
    found: list[Attribution] = []
    first: list[float] = []
    once = lambda: first.append(seconds(lambda: found.extend(benchmark.pedantic(run, rounds=1))))
    peak_mb = peak_megabytes(once, device)
    rows, chunk = model.tally.rows, model.tally.most
    check_evaluations(rows, found, calls.planned(method, [att.transform for att in found], len(case.x)))
    steps = bare_steps(again, case, chunk, rows, calls.memory_format(found[0]))
    bare_peak_mb = peak_megabytes(lambda: [step() for _, step in steps], device)
    with tf32(False):
        _check(found if device == "cpu" else run(), case, method)
        patient = name == MODELS[0] and template in KEY and not anew
        limits = (rounds, 9) if patient else (min(rounds, 4), 3)
        measured = _measured((model, again), run, steps, rows, *limits)
    measured.record(benchmark)
    info = benchmark.extra_info
    info.update(model=name, method=template.format(n=samples), domains=domains, goal=GOALS[domains])
    info.update(images=len(case.x), chunk=chunk, forward=rows[0], backward=rows[1])
    info["images_per_s"] = round(len(case.x) / measured.ours_s, 3)
    info.update(first_s=round(first[0], 4), peak_mb=round(peak_mb, 1), bare_peak_mb=round(bare_peak_mb, 1))


def _check(found: Sequence[Attribution], case: Subject, method: calls.Method) -> None:
    """Every map says something; the first and the last domain's are those of an untimed run in that domain alone.

    It runs the network as it is, too: masks move where another form of it rounds otherwise.
    """
    for att in found:
        check_result(att.values)
    for att in (*found[:1], *found[1:][-1:]):
        check_map(att, case, method, execution=PLAIN)


def _measured(
    models: tuple[Counted, Counted],
    run: Callable[..., object],
    steps: Sequence[Step],
    rows: calls.Evaluations,
    rounds: int,
    most: float,
) -> Ratio:
    """`run` over `steps`, each of which must bring its rows through its own model each time."""
    ours, bare = (model.tally for model in models)
    if torch.cuda.is_available():
        loop = lambda: [step() for _, step in steps]
        return paired(counted(run, ours, rows), counted(loop, bare, rows), rounds, warm=True, most=most)
    (ratio, spent), other = bare.during(lambda: ours.during(lambda: interleaved(run, steps, rounds, most)))
    assert spent == other == tuple(ratio.rounds * row for row in rows)
    return ratio


def _samples(name: str, device: str, anew: bool) -> int:
    """Rows per image: 25, which wavelet SmoothGrad was published with, where time allows; the certified rule needs 8."""
    if QUICK:
        return 8
    if device == "cpu":
        return 3 if name == "vit-b16" else 4 if anew else 25 if name == MODELS[0] else 8
    return 32
