"""Analysis, synthesis and adjoint of every transform, and the peers that do the same job, in one run."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ptwt
import pytest
import pywt
import scipy.fft
import torch
import torch_dct
from torch import Tensor
from torch.utils._pytree import tree_leaves

from benchmarks.measure.checks import check_result, check_transform, checked_jobs
from benchmarks.measure.counting import Counted, counted
from benchmarks.measure.memory import peak_megabytes
from benchmarks.measure.timing import paired, seconds
from benchmarks.subjects.models import QUICK, signals, subject
from pullback.studies.compare.grid import DOMAINS
from pullback.transforms import PCA, Linear, Transform, get, names

SHAPES = {"image": (16, 3, 224, 224), "audio": (8, 1, 65536), "volume": (4, 1, 64, 64, 64)}
QUICK_SHAPES = {"image": (2, 3, 64, 64), "audio": (2, 1, 4096), "volume": (1, 1, 48, 48, 48)}
SIZES = QUICK_SHAPES if QUICK else SHAPES
# These hold a dense matrix of the signal's own size, so they get smaller signals.
DENSE = {"image": (16, 3, 24, 24), "audio": (8, 1, 1024), "volume": (4, 1, 8, 8, 8)}
NO_ARGUMENT = {"along": "along(dct, axes=1)", "inverse_of": "inverse_of(dct)"}


def build(name: str, kind: str) -> tuple[Transform, tuple[int, ...]]:
    """The transform and the shape of a batch for it.  Raises: ValueError where it does not take such signals."""
    shape = DENSE[kind] if name in ("linear", "pca") else SIZES[kind]
    generator = torch.Generator().manual_seed(1)
    if name == "linear":
        n = math.prod(shape[2:])
        return Linear(shape[1:], torch.eye(n) + torch.randn(n, n, generator=generator) / (4 * n**0.5)), shape
    if name == "pca":
        return PCA.fit(torch.randn(64, *shape[1:], generator=generator), components=32), shape
    half = [[0, n // 2] for n in shape[2:]]
    parts = ", ".join(["none", "dct", "dwt(db4)", "dft"][: len(shape) - 1])
    special = {"per_axis": f"per_axis({parts})", "restrict": f"restrict(dct, crop={half})"}
    return get(special.get(name) or NO_ARGUMENT.get(name, name), shape[1:]), shape


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("name", names())
def test_transform(benchmark: Any, name: str, kind: str, device: str) -> None:
    """Milliseconds of T, T⁻¹ and the adjoint; how far memory rises while each runs, its result included, in MB."""
    try:
        transform, shape = build(name, kind)
    except ValueError as error:
        pytest.skip(str(error))
    x = signals(shape).to(device)
    jobs = checked_jobs(transform, x)
    for job, run in jobs.items():
        benchmark.extra_info[job] = round(1e3 * min(seconds(run) for _ in range(1 if QUICK else 4)), 2)
        benchmark.extra_info[f"{job}_peak_mb"] = round(peak_megabytes(run, device), 1)
    benchmark.extra_info.update(kind=kind, shape=list(shape), spec=transform.spec, signal_mb=round(x.nbytes / 2**20, 2))
    benchmark.pedantic(jobs["analysis"], rounds=1)


@dataclass(frozen=True)
class Peer:
    """Another library's way to do the job of `ours`.

    run: what is timed.  same: our transform with the very coefficients of `run`, where `ours` has other boundaries.
    """

    ours: Transform
    run: Callable[[], Any]
    same: Transform


JOBS = (
    *("dwt haar / ptwt", "dwt db4 / ptwt", "dwt sym8 / ptwt", "dwt db4 reflect / ptwt", "dwt db4 / PyWavelets"),
    *("dct / scipy", "dct / torch-dct", "dft / torch.fft"),
)


def peer(job: str, x: Tensor) -> Peer:
    """The two sides of a job: "ours / library"."""
    axes, array, dims = tuple(range(2, x.ndim)), x.cpu().numpy(), x.ndim - 2
    make = functools.partial(get, shape=tuple(x.shape[1:]))
    kind, theirs = job.split(" / ")
    if theirs == "ptwt":  # it pads the ends by reflection; `dwt` joins them unless it is asked to reflect too
        split = (ptwt.wavedec, ptwt.wavedec2, ptwt.wavedec3)[dims - 1]
        wavelet, is_same = kind.split()[1], kind.endswith("reflect")
        same = make(f"dwt({wavelet}, level=3, mode=reflect)")
        ours = same if is_same else make(f"dwt({wavelet}, level=3)")
        return Peer(ours, lambda: split(x, wavelet, mode="reflect", level=3), same)
    dct = (torch_dct.dct, torch_dct.dct_2d, torch_dct.dct_3d)[dims - 1]
    run = {
        "PyWavelets": lambda: pywt.wavedecn(array, "db4", mode="periodization", level=3, axes=axes),
        "scipy": lambda: scipy.fft.dctn(array, norm="ortho", axes=axes),
        "torch-dct": lambda: dct(x, norm="ortho"),
        "torch.fft": lambda: torch.fft.fftn(x, dim=axes, norm="ortho"),
    }[theirs]
    ours = make("dwt(db4, level=3)" if theirs == "PyWavelets" else kind)
    return Peer(ours, run, ours)


def sizes_of(found: Any) -> Tensor:
    """|coefficients| of each signal in rising order, whatever arrays they come in.  Shape: (signals, coefficients)."""
    parts = [torch.as_tensor(leaf).cpu() for leaf in tree_leaves(found)]
    parts = [torch.view_as_real(part) if part.is_complex() else part for part in parts]
    return torch.cat([part.abs().flatten(1) for part in parts], 1).double().sort(dim=1).values


def check_peer(of: Peer, x: Tensor) -> None:
    """Both sides find coefficients of the same sizes; of a complex spectrum, the lengths are compared.

    Raises: MeasuresNothing where they do not.
    """
    check_transform(of.ours, x, of.ours(x))
    theirs, same = sizes_of(of.run()), sizes_of(of.same(x))
    if of.ours.name == "dft":
        theirs, same = theirs.norm(dim=1, keepdim=True), same.norm(dim=1, keepdim=True)
    check_result(theirs, same, 1e-3)


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("job", JOBS)
def test_against_peer(benchmark: Any, job: str, kind: str, device: str) -> None:
    """Ours over theirs. Goal against ptwt: never slower. Coefficients are compared before they are timed."""
    if device != "cpu" and job.endswith(("PyWavelets", "scipy")):
        pytest.skip("it runs on the CPU only")
    x = signals(SIZES[kind]).to(device)
    theirs = peer(job, x)
    ours = lambda: theirs.ours(x)
    check_peer(theirs, x)
    measured = paired(ours, theirs.run, 1 if QUICK else 7)
    measured.record(benchmark)
    benchmark.extra_info["kind"] = kind
    if "ptwt" in job:
        benchmark.extra_info["goal"] = 1.0
    benchmark.pedantic(ours, rounds=1)


def test_ten_domains_against_one_pass_of_a_resnet50(benchmark: Any, device: str) -> None:
    """T x and one adjoint in each of ten domains, over one forward + backward of as many images. Goal: at most 0.05.

    It is paid once for a map, not once for each gradient that the map is made of.
    """
    case = subject("resnet50", device, images=2 if QUICK else 4)
    model, x = Counted(case.module), case.x
    domains = [get(spec, tuple(x.shape[1:])) for spec in DOMAINS]

    def carry() -> list[Tensor]:
        return [part for domain in domains for part in (domain(x), domain.adjoint(x))]

    def one_pass() -> Tensor:
        point = x.clone().requires_grad_()
        return torch.autograd.grad(model(point)[:, 0].sum(), point)[0]

    found = carry()
    for domain, z, adjoint in zip(domains, found[::2], found[1::2], strict=True):
        check_transform(domain, x, z, None, adjoint)
    check_result(one_pass())
    measured = paired(carry, counted(one_pass, model.tally, (len(x), len(x))), 1 if QUICK else 5)
    measured.record(benchmark)
    # A floor: each job reads every sample and writes every coefficient once, at the speed of a copy of these very tensors.
    target, moved = torch.empty_like(x), sum(x.nbytes + part.nbytes for part in found)
    copies = min(seconds(lambda: target.copy_(x)) for _ in range(9))
    floor = moved / (2 * x.nbytes) * copies
    benchmark.extra_info.update(goal=0.05, moved_mb=round(moved / 2**20, 1), floor_s=round(floor, 6))
    benchmark.extra_info["floor_ratio"] = round(floor / measured.bare_s, 6)
    benchmark.pedantic(carry, rounds=1)
