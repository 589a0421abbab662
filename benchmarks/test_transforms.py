"""Analysis, synthesis and adjoint of every transform, and the peers that do the same job, in one run."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import ptwt
import pytest
import pywt
import scipy.fft
import torch
import torch_dct
from guard import Counted, check_result, counted, peak_megabytes
from laws import check_transform, flat, packed, pyramid
from models import QUICK, subject
from timing import paired, seconds
from torch import Tensor

from pullback.studies.compare.grid import DOMAINS
from pullback.transforms import DWT, PCA, Linear, Transform, TransformClaim, get, names

SHAPES = {"image": (16, 3, 224, 224), "audio": (8, 1, 65536), "volume": (4, 1, 64, 64, 64)}
QUICK_SHAPES = {"image": (2, 3, 64, 64), "audio": (2, 1, 4096), "volume": (1, 1, 48, 48, 48)}
SIZES = QUICK_SHAPES if QUICK else SHAPES
# A dense matrix of the signal's own size is what these are, so that they get signals which it fits.
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


def normal(shape: tuple[int, ...], device: str) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("name", names())
def test_transform(benchmark: Any, name: str, kind: str, device: str) -> None:
    """Milliseconds of T, T⁻¹ and the adjoint; how far memory rises while each runs, its result included, in MB."""
    try:
        transform, shape = build(name, kind)
    except ValueError as error:
        pytest.skip(str(error))
    x = normal(shape, device)
    z = transform(x)
    jobs = {"analysis": lambda: transform(x), "synthesis": lambda: transform.inverse(z)}
    if TransformClaim.LINEAR in transform.claims:
        jobs["adjoint"] = lambda: transform.adjoint(x)
    check_transform(transform, x, *(run() for run in jobs.values()))
    for job, run in jobs.items():
        benchmark.extra_info[job] = round(1e3 * min(seconds(run) for _ in range(1 if QUICK else 4)), 2)
        benchmark.extra_info[f"{job}_peak_mb"] = round(peak_megabytes(run, device), 1)
    benchmark.extra_info.update(kind=kind, shape=list(shape), spec=transform.spec, signal_mb=round(x.nbytes / 2**20, 2))
    benchmark.pedantic(jobs["analysis"], rounds=1)


@dataclass(frozen=True)
class Peer:
    """Another's way to do the job of `ours`.

    run: what is timed.  flat: what it returned, in the order of our packing.
    mode: the boundary mode of PyWavelets that it has, where ours has another.
    """

    ours: Transform
    run: Callable[[], Any]
    flat: Callable[[Any], np.ndarray]
    mode: str = ""


def _peer(job: str, x: Tensor) -> Peer:
    axes = tuple(range(2, x.ndim))
    shape, array, dims = tuple(x.shape[1:]), x.cpu().numpy(), x.ndim - 2
    kind, theirs = job.split(" / ")
    if theirs == "ptwt":
        split = (ptwt.wavedec, ptwt.wavedec2, ptwt.wavedec3)[dims - 1]
        _, wavelet, *mode = kind.split()
        spec = f"dwt({wavelet}, level=3{', mode=reflect' * bool(mode)})"
        run = lambda: split(x, wavelet, mode="reflect", level=3)
        return Peer(get(spec, shape), run, _ptwt_flat, "" if mode else "reflect")
    dct = (torch_dct.dct, torch_dct.dct_2d, torch_dct.dct_3d)[dims - 1]
    db4 = get("dwt(db4, level=3)", shape)
    return {
        "PyWavelets": Peer(db4, lambda: pywt.wavedecn(array, "db4", mode="periodization", level=3, axes=axes), flat),
        "scipy": Peer(get("dct", shape), lambda: scipy.fft.dctn(array, norm="ortho", axes=axes), np.asarray),
        "torch-dct": Peer(get("dct", shape), lambda: dct(x, norm="ortho"), lambda found: found.cpu().numpy()),
        "torch.fft": Peer(get("dft", shape), lambda: torch.fft.fftn(x, dim=axes, norm="ortho"), packed),
    }[theirs]


def check_peer(peer: Peer, x: Tensor) -> None:
    """Both find the same coefficients; or each those that PyWavelets finds in its own boundary mode.

    Raises: MeasuresNothing where they do not.
    """
    ours, theirs = peer.ours(x), torch.from_numpy(peer.flat(peer.run()))
    check_transform(peer.ours, x, ours)
    if not isinstance(peer.ours, DWT) or not peer.mode:
        return check_result(theirs, ours.cpu(), 1e-3)
    other = get(f"dwt({peer.ours.wavelet.name}, level={peer.ours.level}, mode={peer.mode})", tuple(x.shape[1:]))
    return check_result(theirs, torch.from_numpy(pyramid(other, x.cpu())), 1e-3)


def _ptwt_flat(found: Any) -> np.ndarray:
    """ptwt's pyramid, whose steps are tensors, tuples (da, ad, dd) or dictionaries, in the order of our packing."""
    low, *steps = found
    for place, step in enumerate(steps):
        parts = {"d": step} if isinstance(step, Tensor) else step
        named = parts if isinstance(parts, dict) else dict(zip(("da", "ad", "dd"), parts))
        steps[place] = {key: part.cpu().numpy() for key, part in named.items()}
    return flat([low.cpu().numpy(), *steps])


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize(
    "job",
    [
        "dwt haar / ptwt",
        "dwt db4 / ptwt",
        "dwt sym8 / ptwt",
        "dwt db4 reflect / ptwt",
        "dwt db4 / PyWavelets",
        "dct / scipy",
        "dct / torch-dct",
        "dft / torch.fft",
    ],
)
def test_against_peer(benchmark: Any, job: str, kind: str, device: str) -> None:
    """Ours over theirs. Goal against ptwt: never slower. Coefficients are compared before they are timed, with each other's
    where both have the same: ptwt pads the ends by reflection, and `dwt` joins them unless it is told to reflect too."""
    if device != "cpu" and job.endswith(("PyWavelets", "scipy")):
        pytest.skip("it runs on the CPU only")
    x = normal(SIZES[kind], device)
    peer = _peer(job, x)
    ours = lambda: peer.ours(x)
    check_peer(peer, x)
    measured = paired(ours, peer.run, 1 if QUICK else 7)
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
    measured = paired(carry, counted(one_pass, model.tally, len(x), len(x)), 1 if QUICK else 5)
    measured.record(benchmark)
    benchmark.extra_info["goal"] = 0.05
    benchmark.pedantic(carry, rounds=1)
