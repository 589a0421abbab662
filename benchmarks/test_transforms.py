"""Analysis, synthesis and adjoint of every transform, and the peers that do the same job, in one run."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import ptwt
import pytest
import pywt
import scipy.fft
import torch
import torch_dct
from guard import peak_megabytes
from models import QUICK, subject
from timing import paired, seconds
from torch import Tensor

from pullback.studies.compare import DOMAINS
from pullback.transforms import PCA, Claim, Linear, Transform, get, names

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
    assert float((transform.inverse(z) - x).abs().max()) < 1e-3
    jobs = {"analysis": lambda: transform(x), "synthesis": lambda: transform.inverse(z)}
    if Claim.LINEAR in transform.claims:
        jobs["adjoint"] = lambda: transform.adjoint(x)
    for job, run in jobs.items():
        benchmark.extra_info[job] = round(1e3 * min(seconds(run) for _ in range(1 if QUICK else 5)), 2)
        benchmark.extra_info[f"{job}_peak_mb"] = round(peak_megabytes(run, device), 1)
    benchmark.extra_info.update(kind=kind, shape=list(shape), spec=transform.spec, signal_mb=round(x.nbytes / 2**20, 2))
    benchmark.pedantic(jobs["analysis"], rounds=1)


def _wavedec(x: Tensor) -> Any:
    return {1: ptwt.wavedec, 2: ptwt.wavedec2, 3: ptwt.wavedec3}[x.ndim - 2]


def _peers(kind: str, x: Tensor) -> dict[str, tuple[Transform, Callable[[], object], Callable[[], np.ndarray] | None]]:
    """{job: (ours, theirs, their coefficients flat for the check, where they are comparable)}."""
    axes = tuple(range(2, x.ndim))
    shape, array = tuple(x.shape[1:]), x.cpu().numpy()
    jobs: dict[str, tuple[Transform, Callable[[], object], Callable[[], np.ndarray] | None]] = {}
    for wavelet in ("haar", "db4", "sym8"):
        ours = get(f"dwt({wavelet}, level=3)", shape)
        jobs[f"dwt {wavelet} / ptwt"] = (ours, lambda w=wavelet: _wavedec(x)(x, w, mode="reflect", level=3), None)  # type: ignore[misc]
    padded = lambda: _wavedec(x)(x, "db4", mode="reflect", level=3)
    jobs["dwt db4 reflect / ptwt"] = (
        get("dwt(db4, level=3, mode=reflect)", shape),
        padded,
        lambda: _ptwt_flat(padded()),
    )
    db4 = get("dwt(db4, level=3)", shape)
    multi = lambda: pywt.wavedecn(array, "db4", mode="periodization", level=3, axes=axes)
    flat = lambda: _flat(multi())
    jobs["dwt db4 / PyWavelets"] = (db4, multi, flat)
    dct = get("dct", shape)
    jobs["dct / scipy"] = (dct, lambda: scipy.fft.dctn(array, norm="ortho", axes=axes),
                           lambda: scipy.fft.dctn(array, norm="ortho", axes=axes))  # fmt: skip
    theirs = {1: torch_dct.dct, 2: torch_dct.dct_2d, 3: torch_dct.dct_3d}[len(axes)]
    jobs["dct / torch-dct"] = (dct, lambda: theirs(x, norm="ortho"), lambda: theirs(x, norm="ortho").cpu().numpy())
    jobs["dft / torch.fft"] = (get("dft", shape), lambda: torch.fft.fftn(x, dim=axes, norm="ortho"), None)
    return jobs


def _flat(pyramid: Any) -> np.ndarray:
    """PyWavelets' pyramid in the order of our packing."""
    low, *steps = pyramid
    bands = [low, *(step[key] for step in steps for key in sorted(step))]
    return np.concatenate([band.reshape(*band.shape[:2], -1) for band in bands], -1)


def _ptwt_flat(pyramid: Any) -> np.ndarray:
    """The same of ptwt's, whose steps are tensors, tuples (da, ad, dd) or dictionaries."""
    low, *steps = pyramid
    for place, step in enumerate(steps):
        parts = {"d": step} if isinstance(step, Tensor) else step
        named = parts if isinstance(parts, dict) else dict(zip(("da", "ad", "dd"), parts))
        steps[place] = {key: part.cpu().numpy() for key, part in named.items()}
    return _flat([low.cpu().numpy(), *steps])


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("job", ["dwt haar / ptwt", "dwt db4 / ptwt", "dwt sym8 / ptwt", "dwt db4 reflect / ptwt",
                                 "dwt db4 / PyWavelets", "dct / scipy", "dct / torch-dct", "dft / torch.fft"])  # fmt: skip
def test_against_peer(benchmark: Any, job: str, kind: str, device: str) -> None:
    """Ours over theirs. Goal against ptwt: never slower. The coefficients are compared before they are timed."""
    if device != "cpu" and job.endswith(("PyWavelets", "scipy")):
        pytest.skip("it runs on the CPU only")
    x = normal(SIZES[kind], device)
    ours, theirs, flat = _peers(kind, x)[job]
    if flat is not None:
        np.testing.assert_allclose(ours(x).cpu().numpy(), flat(), atol=1e-3)
    measured = paired(lambda: ours(x), theirs, 1 if QUICK else 7)
    measured.record(benchmark)
    benchmark.extra_info["kind"] = kind
    if "ptwt" in job:
        benchmark.extra_info["goal"] = 1.0
    benchmark.pedantic(lambda: ours(x), rounds=1)


def test_ten_domains_against_one_pass_of_a_resnet50(benchmark: Any, device: str) -> None:
    """T x and one adjoint in each of ten domains, over one forward + backward of as many images. Goal: at most 0.05.

    It is paid once for a map, not once for each gradient that the map is made of.
    """
    case = subject("resnet50", device, images=2 if QUICK else 4)
    model, x = case.module, case.x
    domains = [get(spec, tuple(x.shape[1:])) for spec in DOMAINS]

    def carry() -> list[Tensor]:
        return [part for domain in domains for part in (domain(x), domain.adjoint(x))]

    def one_pass() -> Tensor:
        point = x.clone().requires_grad_()
        return torch.autograd.grad(model(point)[:, 0].sum(), point)[0]

    assert bool(one_pass().abs().max() > 0)
    assert len(carry()) == 20
    measured = paired(carry, one_pass, 1 if QUICK else 5)
    measured.record(benchmark)
    benchmark.extra_info["goal"] = 0.05
    benchmark.pedantic(carry, rounds=1)
