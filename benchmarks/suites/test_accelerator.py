"""Number formats, compilers and memory formats through `attribute`, and transforms, against what the device can do.

A job cannot be faster than its floor: its operations at the speed of a large matrix product in that number format, or its
least bytes at the speed of a large copy, both measured in the same run. Everything runs on a CPU too, smaller.
"""

import copy
import functools
import time
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import calls
from benchmarks.measure.checks import check_evaluations, check_input, check_result, checked_jobs, untimed
from benchmarks.measure.counting import Counted, MeasuresNothing, bare_steps, counted
from benchmarks.measure.memory import peak_megabytes
from benchmarks.measure.timing import median_seconds, paired
from benchmarks.subjects.models import PLANS, QUICK, Subject, signals, subject
from pullback.attribution.engine.memory import Saved
from pullback.core.precision import tf32
from pullback.transforms import get, names

ON_GPU = torch.cuda.is_available()
SAMPLES = 64 if ON_GPU else 8
QUEUED = 10 if ON_GPU else 1  # transforms timed together, as maps of many images queue them
OPTIONS: dict[str, dict[str, Any]] = {
    "fp32": {"memory_format": "contiguous"},
    "fp32 channels_last": {"memory_format": "channels_last"},
    "tf32": {"precision": "tf32"},
    "bf16": {"precision": "bf16", "memory_format": "contiguous"},
    "bf16 channels_last": {"precision": "bf16", "memory_format": "channels_last"},
    "bf16 compiled": {"precision": "bf16", "compile": True, "memory_format": "contiguous"},
    "bf16 compiled channels_last": {"precision": "bf16", "compile": True, "memory_format": "channels_last"},
    "bf16 CUDA graphs": {"precision": "bf16", "compile": {"mode": "reduce-overhead"}},
    "auto": {"precision": "auto"},
}
# The least cosine with the map of full precision: EfficientNet in bf16 has 0.83, all else 0.9 and more; a wrong map has 0.
LEAST = {"fp32": 0.999, "tf32": 0.97, "bf16": 0.7, "auto": 0.999}
MODELS = ("efficientnet-lite0", "resnet50", "vit-b16")
# Left out on a GPU: a transformer looks at an image once, and graphs help networks of many layers.
DULL = {
    "vit-b16": ("fp32 channels_last", "bf16 channels_last", "bf16 compiled channels_last", "bf16 CUDA graphs"),
    "resnet50": ("bf16 compiled", "bf16 CUDA graphs"),
    "efficientnet-lite0": ("bf16 compiled",),
}
# On a CPU narrower formats gain nothing; one small network shows that they run, and are right.
CPU_CASES = [(name, options) for name in MODELS[:2] for options in ("fp32", "fp32 channels_last")]
CPU_CASES += [("small", options) for options in ("bf16", "auto")]
GPU_CASES = [(name, options) for name in MODELS for options in OPTIONS if options not in DULL[name]]


@functools.lru_cache
def speeds(device: str) -> dict[str, float]:
    """Operations per second in each number format and bytes per second, of one large product and one large copy."""
    side = 8192 if device == "cuda" else 1024
    a, b = torch.randn((2, side, side), generator=torch.Generator().manual_seed(0)).to(device)
    product = lambda x, y: 2 * side**3 / median_seconds(lambda: x @ y)
    with tf32(False):
        found = {"fp32": product(a, b)}
    if device == "cuda":
        with tf32(True):
            found["tf32"] = product(a, b)
    found["bf16"] = product(a.bfloat16(), b.bfloat16())
    source = torch.randn(2**26 if device == "cuda" else 2**22, device=device)
    target = torch.empty_like(source)
    return found | {"bytes": 2 * source.nbytes / median_seconds(lambda: target.copy_(source), queued=QUEUED)}


def floor_seconds(case: Subject, rows: int, precision: str, device: str) -> tuple[float, float]:
    """(by operations, by bytes) for one forward and backward of as many rows.

    Bytes: what autograd keeps is written once and read once, at the width of the format; the parameters are read twice.
    """
    x = case.x[:1].clone().requires_grad_()
    with FlopCounterMode(display=False) as counter:
        case.module(x)[:, case.target].sum().backward()  # the counter does not see autograd.grad
    with Saved(case.module) as saved:
        case.module(x)
    width = 0.5 if precision == "bf16" else 1.0
    parameters = sum(p.nbytes for p in case.module.parameters())
    moved = width * (2 * saved.bytes * rows + 2 * parameters) + 4 * x.nbytes * rows
    known = speeds(device)
    return counter.get_total_flops() * rows / known[precision], moved / known["bytes"]


def check_precision(found: Tensor, expected: Tensor, precision: str) -> float:
    """The smallest cosine with a map of full precision; in full precision, the values themselves are compared.

    Raises: MeasuresNothing where they differ by more than 3 %, or in narrower formats below LEAST.
    """
    check_result(found, expected if precision == "fp32" else None)
    cosine = torch.cosine_similarity(found[: len(expected)].double().flatten(1), expected.double().flatten(1))
    least = float(cosine.min())
    if not least >= LEAST[precision]:
        raise MeasuresNothing(
            f"in {precision} the cosine with the map of full precision is {least:.3f}; allowed is {LEAST[precision]}."
        )
    return least


@pytest.mark.parametrize(("name", "options"), GPU_CASES if ON_GPU else CPU_CASES)
def test_execution(benchmark: Any, name: str, options: str, device: str, rounds: int) -> None:
    """SmoothGrad over the eager float32 loop of as many rows. Goal on a GPU: bf16 and compiled, at most 1/3 of it."""
    torch._dynamo.reset()
    case = subject(name, device, images=8 if device == "cuda" else 1)
    check_input(case.x)
    samples = 8 if QUICK else SAMPLES
    rows = samples * len(case.x)
    chunk = min(rows, 128) if device == "cuda" else samples
    model, again = Counted(case.module), Counted(case.module)
    model = model.hidden() if "compile" in OPTIONS[options] else model
    method, pixel = f"smoothgrad(samples={samples})", get("pixel", tuple(case.x.shape[1:]))
    run = lambda: calls.attribute(model, case.x, case.target, method, batch_size=chunk, execution=OPTIONS[options])
    steps = bare_steps(again, case, chunk, (rows, rows))
    start = time.perf_counter()
    found = benchmark.pedantic(run, rounds=1)
    first, spent = (
        time.perf_counter() - start,
        model.tally.rows,
    )  # with rows that compare formats, which no result counts
    plan = calls.planned(method, [pixel], len(case.x))
    check_evaluations(calls.evaluations([found]), [found], plan, "memory_format" in OPTIONS[options])
    precision = found.settings["execution"]["precision"]
    with tf32(False):  # the loop runs in full single precision; what ours allows inside, it decides itself
        cosine = check_precision(found.values, untimed(case, method, pixel), precision)
        loop = counted(lambda: [step() for _, step in steps], again.tally, (rows, rows))
        loop()
        measured = paired(counted(run, model.tally, spent), loop, min(rounds, 3), warm=True, most=8)
    peak = peak_megabytes(run, device)
    by_operations, by_bytes = floor_seconds(case, rows, precision, device)
    measured.record(benchmark)
    floors = {"floor_operations_s": by_operations, "floor_bytes_s": by_bytes}
    numbers = {"rows_per_s": rows / measured.ours_s, "first_s": first, "cosine": cosine, "peak_mb": peak, **floors}
    numbers["of_floor"] = max(floors.values()) / measured.ours_s
    benchmark.extra_info |= {key: round(value, 5) for key, value in numbers.items()}
    benchmark.extra_info.update(model=name, options=options, precision=precision, rows=rows, chunk=chunk)
    benchmark.extra_info["agreement"] = found.settings["execution"].get("agreement")
    if options.startswith("bf16 compiled"):
        benchmark.extra_info["goal"] = 1 / 3


@pytest.mark.parametrize("method", ["integrated_gradients(steps=50)", "smoothgrad(samples=25)"])
@pytest.mark.parametrize("name", MODELS)
def test_maps_in_narrower_formats(benchmark: Any, photos: Tensor, name: str, method: str, device: str) -> None:
    """Cosine with the map in double precision, the smallest over four photos, of their predicted classes; at least LEAST.

    Noise is the same numbers in every format, so that both methods can be compared.
    """
    if device == "cpu":
        pytest.skip("on a CPU every run is in full precision unless bf16 is asked for")
    case = subject(name, device, images=1)
    x = functional.interpolate(photos, case.x.shape[2:], mode="area")  # as they are, unless the run is a quick one
    check_input(x)
    target = case.module(x).argmax(1)
    double = copy.deepcopy(case.module).double()  # the network itself is kept for other benchmarks
    full = calls.attribute(double, x.double(), target, method)
    check_result(full.values)
    run = lambda precision: calls.attribute(case.module, x, target, method, execution={"precision": precision})
    for precision in LEAST:
        found = run(precision)
        check_result(found.values)
        cosine = torch.cosine_similarity(found.values.double().flatten(1), full.values.flatten(1)).min()
        benchmark.extra_info[precision] = round(float(cosine), 6)
    benchmark.extra_info.update(model=name, method=method, chosen=found.settings["execution"]["precision"])
    assert all(benchmark.extra_info[precision] >= least for precision, least in LEAST.items()), benchmark.extra_info
    benchmark.pedantic(lambda: run("auto"), rounds=1)


SPECS = {
    "dwt": ("dwt(haar, level=3)", "dwt(db4, level=3)", "dwt(sym8, level=3)", "dwt(db4, level=3, mode=reflect)"),
    "along": ("along(dct, axes=1)",),
    "inverse_of": ("inverse_of(dct)",),
}
# Without pixel, which returns the tensor that it gets, and without those that need more than a shape.
UNTIMED = ("linear", "pca", "per_axis", "restrict", "pixel")
BUILT = [spec for name in names() if name not in UNTIMED for spec in SPECS.get(name, (name,))]


def check_share(share: float) -> float:
    """The share of a copy's speed, rounded.  Raises: MeasuresNothing where it is above 1, but for what clocks are off."""
    if share > 1.2:
        raise MeasuresNothing(f"{share:.3g} × the speed of a copy: nothing that reads and writes all is so fast.")
    return round(share, 4)


@pytest.mark.parametrize("spec", BUILT)
def test_bandwidth(benchmark: Any, spec: str, device: str) -> None:
    """T, T⁻¹ and the adjoint: the time of reading every sample once and writing every coefficient once, over theirs.

    Goal on a GPU, 256 images of 224²: 0.5.
    """
    shape = PLANS["resnet50"].quick if QUICK else PLANS["resnet50"].shape
    try:
        transform = get(spec, shape)
    except ValueError as error:
        pytest.skip(str(error))
    x = signals((256 if device == "cuda" else 2 if QUICK else 16, *shape)).to(device)
    jobs = checked_jobs(transform, x)
    least = (x.nbytes + transform(x).nbytes) / speeds(device)["bytes"]
    for job, run in jobs.items():
        benchmark.extra_info[job] = check_share(least / median_seconds(run, queued=QUEUED))
    milliseconds = round(1e3 * median_seconds(jobs["analysis"], queued=QUEUED), 3)
    benchmark.extra_info.update(spec=spec, images=len(x), milliseconds=milliseconds, goal=0.5)
    benchmark.pedantic(jobs["analysis"], rounds=1)
