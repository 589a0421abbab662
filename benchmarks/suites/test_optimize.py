"""What a user waits for with the default options, against the bare loop of the network as it is, in both memory formats.

A network with BatchNorm runs as an equal one with fewer operations, so that it may need less time than the loop itself.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.measure import calls
from benchmarks.measure.checks import check_evaluations, check_input, check_result
from benchmarks.measure.counting import Counted, bare_steps
from benchmarks.measure.memory import peak_megabytes
from benchmarks.measure.timing import interleaved, paired, seconds
from benchmarks.subjects.models import PLANS, QUICK, Subject, signals, subject
from pullback.attribution import Attribution
from pullback.attribution.engine.equal_network import has_norms
from pullback.studies import load_model, load_photos
from pullback.transforms import get

MODELS = ("small",) if QUICK else ("efficientnet-lite0", "resnet50", "vit-b16", "audio", "volume")
LOOPS = {"contiguous": 0.85, "channels_last": 0.9}  # goals of networks with BatchNorm
OTHERS = 1.03  # the goal of networks without
METHODS = ("smoothgrad(samples={n})", "integrated_gradients(steps={n})")
DOMAIN = "dwt(db4, level=3)"


def cases() -> list[tuple[str, str, str]]:
    """Channels_last is a format of images."""
    loops = lambda name: LOOPS if len(PLANS[name].shape) == 3 else ("contiguous",)
    return [(name, method, loop) for name in MODELS for method in METHODS for loop in loops(name)]


@pytest.mark.usefixtures("keeps_memory")
@pytest.mark.parametrize(("name", "method", "loop"), cases())
def test_default_options_against_the_loop(
    benchmark: Any, name: str, method: str, loop: str, device: str, rounds: int, photos: Tensor
) -> None:
    """Goal: at most 0.85 × the contiguous loop and 0.9 × the channels_last loop with BatchNorm, 1.03 × without."""
    case = subject(name, device, images=1)
    case = Subject(name, case.module, photos[:1], case.target) if name == "efficientnet-lite0" else case
    check_input(case.x)
    method = method.format(n=_samples(name, method))
    model, again = Counted(case.module), Counted(case.module)
    run = lambda tell=None: calls.attribute(model, case.x, case.target, method, DOMAIN, progress=tell)
    found: list[Attribution] = []
    peak_mb = peak_megabytes(lambda: found.append(benchmark.pedantic(run, rounds=1)), device)
    rows, execution = model.tally.rows, found[0].settings["execution"]
    check_evaluations(rows, found, calls.planned(method, [get(DOMAIN, tuple(case.x.shape[1:]))], 1))
    steps = bare_steps(again, case, model.tally.most, rows, loop)
    bare_peak_mb = peak_megabytes(lambda: [step() for _, step in steps], device)
    check_result(found[0].values)
    if torch.cuda.is_available():
        measured = paired(run, lambda: [step() for _, step in steps], min(rounds, 5), warm=True, most=6)
    else:
        measured = interleaved(run, steps, min(rounds, 5), 6)
    measured.record(benchmark)
    info, back = benchmark.extra_info, bare_steps(again, case, model.tally.most, (rows[1], rows[1]), loop)
    alone = seconds(lambda: [step() for _, step in back])
    info.update(of_gradients=round(measured.ours_s / alone, 5))  # over the method's own gradients, without further readings
    info.update(model=name, method=method, loop=loop, goal=LOOPS[loop] if has_norms(case.module) else OTHERS)
    info.update(forward=rows[0], backward=rows[1], chunk=model.tally.most)
    info.update(normed=has_norms(case.module), memory_format=execution["memory_format"])
    info.update(optimized=execution.get("optimized", False), not_optimized=execution.get("not_optimized", ""))
    info.update(peak_mb=round(peak_mb, 1), bare_peak_mb=round(bare_peak_mb, 1))


def _samples(name: str, method: str) -> int:
    """25 of SmoothGrad and 50 of integrated gradients, or what a large network on a CPU can bear."""
    if QUICK:
        return 40
    if not torch.cuda.is_available() and name in ("resnet50", "vit-b16"):
        return 25 if name == "resnet50" else 4
    return 50 if method.startswith("integrated") else 25


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("small", "vit-b16")] or ["efficientnet-lite0"])
def test_maps_equal_those_of_the_network_itself(benchmark: Any, name: str, method: str, device: str) -> None:
    """The smallest cosine of the two maps, over 20 photos or a few signals. Goal: 0.99999 in single precision."""
    case = subject(name, device, images=1)
    if not has_norms(case.module):
        pytest.skip("it has no BatchNorm")
    x = (
        _photos(2 if QUICK else 20).to(case.x)
        if name == "efficientnet-lite0"
        else signals((2, *case.x.shape[1:]), seed=3).to(case.x)
    )
    given = method.format(n=_samples(name, method) if len(x) > 2 else 24)
    run: Callable[[bool], list[Attribution]] = lambda on: [
        calls.attribute(case.module, one[None], case.module(one[None]).argmax(1), given, execution={"optimize": on})
        for one in x
    ]
    plain, found = run(False), benchmark.pedantic(lambda: run(True), rounds=1)
    for one in (*plain, *found):
        check_result(one.values)
    flat = lambda maps: torch.cat([each.values.flatten(1).double() for each in maps])
    cosine = torch.cosine_similarity(flat(found), flat(plain))
    on = sum(each.settings["execution"].get("optimized", False) for each in found)
    benchmark.extra_info.update(model=name, method=given, cosine=round(float(cosine.min()), 7), goal_cosine=0.99999)
    benchmark.extra_info.update(images=len(x), optimized=on)


def _photos(count: int) -> Tensor:
    prepare = load_model("efficientnet-lite0").prepare
    return torch.stack([prepare(image) for _, image in load_photos("imagenet-sample", count)])
