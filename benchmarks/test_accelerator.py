"""Number formats, compilers and memory formats through `attribute`, and transforms, against what the device can do.

Two floors are counted: the time that the operations of a job take at the speed of a large matrix product in that number
format, and the time that its least bytes take at the speed of a large copy, both measured in the same run. A job cannot
be faster than the larger of the two. Everything runs on a CPU too, smaller.
"""

import contextlib
import copy
import functools
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from direct import Direct
from guard import (
    Counted,
    MeasuresNothing,
    bare_steps,
    check_input,
    check_result,
    counted,
    exact,
    outside_compilers,
    peak_megabytes,
    rounded,
)
from laws import check_transform
from models import PLANS, QUICK, Subject, signals, subject
from planned import planned
from references import expected
from timing import median_seconds, paired
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

import pullback as pb
from pullback.attribution.engine.memory import Saved
from pullback.core.precision import tf32
from pullback.transforms import TransformClaim, names

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
ON_CPU = ("fp32", "fp32 channels_last")
ON_SMALL = ("bf16", "auto")  # on a CPU they gain nothing: on one small network it shows that they run, and are right
# Cosine with the map of full precision: EfficientNet in bf16 has 0.83, all else 0.9 and more; a wrong map has 0.
LEAST = {"fp32": 0.999, "tf32": 0.97, "bf16": 0.7, "auto": 0.999}
MODELS = ("efficientnet-lite0", "resnet50", "vit-b16")


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
    """(by operations, by bytes) for one forward and backward of so many rows.

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


def eager(case: Subject, model: Counted, chunk: int, rows: int) -> Callable[[], None]:
    """The eager loop in full single precision: forward and backward on so many rows, nothing else."""
    inputs = signals((chunk, *case.x.shape[1:]), seed=1).to(case.x)
    steps = bare_steps(model, inputs, rows, rows, case.target)

    def run() -> None:
        with tf32(False) if inputs.is_cuda else contextlib.nullcontext():
            for _, step in steps:
                step()

    return run


def check_map(found: Tensor, expected: Tensor, precision: str) -> float:
    """The smallest cosine with a map of full precision; in full precision, the values are compared themselves.

    Raises: MeasuresNothing where they differ by more than 3 %, or in narrower formats below LEAST.
    """
    check_result(found, expected if precision == "fp32" else None)
    cosine = torch.cosine_similarity(found[: len(expected)].double().flatten(1), expected.double().flatten(1))
    if not float(cosine.min()) >= LEAST[precision]:
        raise MeasuresNothing(
            f"in {precision} the cosine with the map of full precision is {float(cosine.min()):.3f}; "
            f"allowed is {LEAST[precision]}."
        )
    return float(cosine.min())


def cases() -> list[tuple[str, str]]:
    """(model, options) that say something new: a transformer looks at an image once, graphs help networks of many layers."""
    # On a CPU the limits say what the transformer takes.
    if not ON_GPU:
        return [(name, options) for name in MODELS[:2] for options in ON_CPU] + [
            ("small", options) for options in ON_SMALL
        ]
    dull = {
        "vit-b16": ("fp32 channels_last", "bf16 channels_last", "bf16 compiled channels_last", "bf16 CUDA graphs"),
        "resnet50": ("bf16 compiled", "bf16 CUDA graphs"),
        "efficientnet-lite0": ("bf16 compiled",),
    }
    return [(name, options) for name in MODELS for options in OPTIONS if options not in dull[name]]


@pytest.mark.parametrize(("name", "options"), cases())
def test_execution(benchmark: Any, name: str, options: str, device: str, rounds: int) -> None:
    """SmoothGrad over the eager float32 loop of as many rows. Goal on a GPU: bf16 and compiled, at most 1/3 of it."""
    torch._dynamo.reset()
    case = subject(name, device, images=8 if device == "cuda" else 1)
    check_input(case.x)
    samples = 8 if QUICK else SAMPLES
    rows = samples * len(case.x)
    chunk = min(rows, 128) if device == "cuda" else samples
    model, again = Counted(case.module), Counted(case.module)
    method = f"smoothgrad(samples={samples})"
    run = lambda: pb.attribute(model, case.x, case.target, method=method, batch_size=chunk, **OPTIONS[options])
    bare = eager(case, again, chunk, rows)
    forward, backward = planned(method, [pb.transforms.get("pixel", tuple(case.x.shape[1:]))], len(case.x))
    # The gradients of two signals and half way to them are held against each other in each number format.
    asked = OPTIONS[options].get("precision", "fp32")
    formats = 0 if asked == "fp32" else 2 if asked != "auto" else 3 if device == "cuda" else 0
    probed = formats * 2 * min(2, len(case.x))
    run = counted(run, model.tally, forward + probed, backward + probed)
    with outside_compilers():
        start = time.perf_counter()
        found = benchmark.pedantic(run, rounds=1)
        first = time.perf_counter() - start
        precision = found.settings["execution"]["precision"]
        with exact():
            known = expected(method, Direct(case.module, found.transform, case.x[:1], case.target))
        cosine = check_map(found.values, known, precision)
        bare()
        measured = paired(run, counted(bare, again.tally, rows, rows), min(rounds, 3), warm=True, most=8)
        peak = peak_megabytes(run, device)
    by_operations, by_bytes = floor_seconds(case, rows, precision, device)
    measured.record(benchmark)
    benchmark.extra_info.update(
        rounded(
            {
                "model": name,
                "options": options,
                "precision": precision,
                "rows": rows,
                "chunk": chunk,
                "rows_per_s": rows / measured.ours_s,
                "first_s": first,
                "cosine": cosine,
                "floor_operations_s": by_operations,
                "floor_bytes_s": by_bytes,
                "of_floor": max(by_operations, by_bytes) / measured.ours_s,
                "peak_mb": peak,
                "agreement": found.settings["execution"].get("agreement"),
            }
        )
    )
    if options in ("bf16 compiled", "bf16 compiled channels_last"):
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
    full = pb.attribute(double, x.double(), target, method=method)
    first = Direct(double, full.transform, x[:1].double(), int(target[0]))
    check_result(full.values, expected(method, first), 1e-3)
    for precision in LEAST:
        found = pb.attribute(case.module, x, target, method=method, precision=precision)
        check_result(found.values)
        cosine = torch.cosine_similarity(found.values.double().flatten(1), full.values.flatten(1)).min()
        benchmark.extra_info[precision] = round(float(cosine), 6)
    benchmark.extra_info.update(model=name, method=method, chosen=found.settings["execution"]["precision"])
    assert all(benchmark.extra_info[precision] >= least for precision, least in LEAST.items()), benchmark.extra_info
    benchmark.pedantic(lambda: pb.attribute(case.module, x, target, method=method, precision="auto"), rounds=1)


SPECS = {
    "dwt": ("dwt(haar, level=3)", "dwt(db4, level=3)", "dwt(sym8, level=3)", "dwt(db4, level=3, mode=reflect)"),
    "along": ("along(dct, axes=1)",),
    "inverse_of": ("inverse_of(dct)",),
}
BUILT = [
    spec
    for name in names()
    for spec in SPECS.get(name, (name,))
    # pixel hands on the tensor that it gets: there is nothing to time.
    if name not in ("linear", "pca", "per_axis", "restrict", "pixel")
]


def check_share(share: float) -> float:
    """Of the speed of a copy, rounded.  Raises: MeasuresNothing where it is more than a copy's, but for what clocks are off."""
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
        transform = pb.transforms.get(spec, shape)
    except ValueError as error:
        pytest.skip(str(error))
    x = signals((256 if device == "cuda" else 2 if QUICK else 16, *shape)).to(device)
    z = transform(x)
    jobs = {"analysis": lambda: transform(x), "synthesis": lambda: transform.inverse(z)}
    if TransformClaim.LINEAR in transform.claims:
        jobs["adjoint"] = lambda: transform.adjoint(x)
    check_transform(transform, x, *(run() for run in jobs.values()))
    least = (x.nbytes + z.nbytes) / speeds(device)["bytes"]
    for job, run in jobs.items():
        benchmark.extra_info[job] = check_share(least / median_seconds(run, queued=QUEUED))
    benchmark.extra_info.update(
        spec=spec, images=len(x), milliseconds=round(1e3 * median_seconds(jobs["analysis"], queued=QUEUED), 3), goal=0.5
    )
    benchmark.pedantic(jobs["analysis"], rounds=1)
