"""Number formats, compilers and memory formats through `attribute`, and transforms, against what the device can do.

Two floors are counted: the time that the operations of a job take at the speed of a large matrix product in that number
format, and the time that its least bytes take at the speed of a large copy, both measured in the same run. A job cannot
be faster than the larger of the two. Everything runs on a CPU too, smaller.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from guard import check_input, check_result, peak_megabytes, rounded
from models import PLANS, QUICK, Subject, signals, subject
from timing import median_seconds, paired
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import pullback as pb
from pullback.attribution.memory import Saved
from pullback.transforms import Claim, names
from pullback.transforms.products import tf32

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


def gradient_loop(case: Subject, inputs: Tensor, chunks: int) -> Callable[[], Tensor]:
    """The eager loop in full single precision: forward and backward, nothing else."""

    def run() -> Tensor:
        total = torch.zeros_like(inputs[0])
        for _ in range(chunks):
            points = inputs.detach().requires_grad_()
            total += torch.autograd.grad(case.module(points)[:, case.target].sum(), points)[0].sum(0)
        return total

    def full() -> Tensor:
        with tf32(False):
            return run()

    return full if inputs.is_cuda else run


def cases() -> list[tuple[str, str]]:
    """(model, options) that say something new: a transformer looks at an image once, graphs help networks of many layers."""
    # On a CPU the limits say what the transformer takes.
    found = [
        (name, options) for name in (MODELS if ON_GPU else MODELS[:2]) for options in (OPTIONS if ON_GPU else ON_CPU)
    ]
    dull = {"vit-b16": ("fp32 channels_last", "bf16 channels_last", "bf16 compiled channels_last", "bf16 CUDA graphs"),
            "resnet50": ("bf16 compiled", "bf16 CUDA graphs"), "efficientnet-lite0": ("bf16 compiled",)}  # fmt: skip
    return [(name, options) for name, options in found if options not in dull[name]]


@pytest.mark.parametrize(("name", "options"), cases())
def test_execution(benchmark: Any, name: str, options: str, device: str, rounds: int) -> None:
    """SmoothGrad over the eager float32 loop of as many rows. Goal on a GPU: bf16 and compiled, at most 1/3 of it."""
    torch._dynamo.reset()
    case = subject(name, device, images=8 if device == "cuda" else 1)
    check_input(case.x)
    samples = 8 if QUICK else SAMPLES
    rows, chunk = samples * len(case.x), 128 if device == "cuda" else samples
    method = f"smoothgrad(samples={samples})"
    run = lambda: pb.attribute(case.module, case.x, case.target, method=method, rows=chunk, **OPTIONS[options])
    start = time.perf_counter()
    found = benchmark.pedantic(run, rounds=1)
    first = time.perf_counter() - start
    full = pb.attribute(case.module, case.x, case.target, method=method, rows=chunk)
    check_result(found.values, full.values, 1.0)
    cosine = torch.cosine_similarity(found.values.flatten(1), full.values.flatten(1)).min()
    precision = found.settings["execution"]["precision"]
    chunk = min(chunk, rows)
    measured = paired(run, gradient_loop(case, signals((chunk, *case.x.shape[1:]), seed=1).to(device), rows // chunk),
                      min(rounds, 3), warm=True, most=8)  # fmt: skip
    by_operations, by_bytes = floor_seconds(case, rows, precision, device)
    measured.record(benchmark)
    benchmark.extra_info.update(rounded({
        "model": name, "options": options, "precision": precision, "rows": rows, "chunk": chunk,
        "rows_per_s": rows / measured.ours_s, "first_s": first, "cosine": float(cosine),
        "floor_operations_s": by_operations, "floor_bytes_s": by_bytes,
        "of_floor": max(by_operations, by_bytes) / measured.ours_s, "peak_mb": peak_megabytes(run, device),
        "agreement": found.settings["execution"].get("agreement"),
    }))  # fmt: skip
    if options in ("bf16 compiled", "bf16 compiled channels_last"):
        benchmark.extra_info["goal"] = 1 / 3


@pytest.mark.parametrize("method", ["integrated_gradients(steps=50)", "smoothgrad(samples=25)"])
@pytest.mark.parametrize("name", MODELS)
def test_maps_in_narrower_formats(benchmark: Any, name: str, method: str, device: str) -> None:
    """Cosine with the map of full precision, the smallest over the images; `auto` must hold 0.999."""
    if device == "cpu":
        pytest.skip("on a CPU every run is in full precision unless bf16 is asked for")
    case = subject(name, device, images=8)
    full = pb.attribute(case.module, case.x, case.target, method=method, precision="fp32")
    double = None
    if "integrated" in method:  # whose points do not depend on the number format
        double = pb.attribute(
            subject(name, device, images=8).module.double(), case.x.double(), case.target, method=method
        )
        case.module.float()
    for precision in ("fp32", "tf32", "bf16", "auto"):
        found = pb.attribute(case.module, case.x, case.target, method=method, precision=precision)
        reference = full if double is None else double
        cosine = torch.cosine_similarity(found.values.double().flatten(1), reference.values.double().flatten(1)).min()
        benchmark.extra_info[precision] = round(float(cosine), 6)
    benchmark.extra_info.update(model=name, method=method, chosen=found.settings["execution"]["precision"])
    assert benchmark.extra_info["auto"] >= 0.999
    benchmark.pedantic(
        lambda: pb.attribute(case.module, case.x, case.target, method=method, precision="auto"), rounds=1
    )


SPECS = {"dwt": ("dwt(haar, level=3)", "dwt(db4, level=3)", "dwt(sym8, level=3)", "dwt(db4, level=3, mode=reflect)"),
         "along": ("along(dct, axes=1)",), "inverse_of": ("inverse_of(dct)",)}  # fmt: skip
BUILT = [
    spec
    for name in names()
    for spec in SPECS.get(name, (name,))
    if name not in ("linear", "pca", "per_axis", "restrict")
]


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
    check_result(transform.inverse(z), x, 1e-3)
    jobs = {"analysis": lambda: transform(x), "synthesis": lambda: transform.inverse(z)}
    if Claim.LINEAR in transform.claims:
        jobs["adjoint"] = lambda: transform.adjoint(x)
    least = (x.nbytes + z.nbytes) / speeds(device)["bytes"]
    for job, run in jobs.items():
        benchmark.extra_info[job] = round(least / median_seconds(run, queued=QUEUED), 4)
    benchmark.extra_info.update(
        spec=spec, images=len(x), milliseconds=round(1e3 * median_seconds(jobs["analysis"], queued=QUEUED), 3), goal=0.5
    )
    benchmark.pedantic(jobs["analysis"], rounds=1)
