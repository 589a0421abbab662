"""Ours against what other libraries do for the same job, in one run, in turn, after the results were found equal.

ratio is ours / theirs, so 0.5 means that ours takes half the time. Captum works on `pb.Pullback`, which it takes as any
other module. Methods that draw random numbers are compared in law: as close to ours as ours to themselves with a new seed.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import ptwt
import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

import pullback as pb
from benchmarks.measure import calls
from benchmarks.measure.checks import check_input, check_result
from benchmarks.measure.counting import Counted, MeasuresNothing, counted
from benchmarks.measure.memory import peak_megabytes
from benchmarks.measure.timing import paired
from benchmarks.subjects.models import QUICK, Subject, subject
from pullback.core.precision import tf32

DOMAIN = "dwt(db4, level=3)"
SAMPLES = 4 if QUICK else 16
LAW = 64 if QUICK else 256  # samples with which random methods are compared


def scaled(case: Subject) -> Subject:
    """With each signal scaled to max - min = 2, so that one standard deviation of noise suits all."""
    flat = case.x.flatten(1)
    x = 2 * case.x / (flat.amax(1) - flat.amin(1)).reshape(-1, 1, 1, 1)
    check_input(x)
    return Subject(case.name, case.module, x, case.target)


@pytest.fixture(scope="module")
def case(device: str) -> Subject:
    """What is timed."""
    return scaled(subject("efficientnet-lite0", device))


@pytest.fixture(scope="module")
def cheap(device: str) -> Subject:
    """What random methods are compared on, with as many samples as that takes."""
    return scaled(subject("small", device, 2, quick=True))


def same_law(theirs: Tensor, ours: Tensor, again: Tensor) -> None:
    """Two draws of one law: of one length, and as close to each other as `ours` to `again`, drawn with another seed.

    Raises: MeasuresNothing where they are not, or where our own draws differ too much to compare by.
    """
    cosine = lambda a, b: float(torch.cosine_similarity(a.flatten().double(), b.flatten().double(), 0))
    length, within, across = float(theirs.norm() / ours.norm()), cosine(ours, again), cosine(theirs, ours)
    if within < 0.8:
        raise MeasuresNothing(f"two of our own draws have cosine {within:.3f}: too few samples to compare by.")
    if not 0.9 < length < 1.1 or across < within - 0.1:
        raise MeasuresNothing(f"theirs is {length:.2f} × as long, cosine {across:.3f}; ours again {within:.3f}.")


def check_said(found: Any) -> None:
    """Raises: MeasuresNothing where a result holds nothing, or what is not finite."""
    leaves = tree_leaves(found.values if isinstance(found, pb.Attribution) else found)
    check_result(torch.cat([torch.as_tensor(leaf).detach().flatten() for leaf in leaves])[None])


def versus(
    benchmark: Any,
    sides: tuple[Callable[[], Any], Callable[[], Any]],
    models: tuple[Counted, Counted],
    device: str,
    turns: int,
    goal: float = 1.0,
    by_row: bool = False,
    **notes: Any,
) -> None:
    """Times ours and theirs in turn, with the rows that each brings through its model.  by_row: for equally many rows."""
    runs: list[Callable[[], Any]] = [lambda: benchmark.pedantic(sides[0], rounds=1), sides[1]]
    firsts = [
        model.tally.during(lambda: peak_megabytes(lambda: check_said(run()), device))  # noqa: B023
        for run, model in zip(runs, models)
    ]
    (peak, rows), (their_peak, their_rows) = firsts
    jobs = (counted(side, model.tally, spent) for side, model, (_, spent) in zip(sides, models, firsts))
    measured = paired(*jobs, min(turns, 5), warm=True, most=6)
    measured.record(benchmark)
    info = benchmark.extra_info
    if by_row:
        info |= {name: round(info[name] * their_rows[0] / rows[0], 5) for name in ("ratio", "low", "high")}
        info["for_equal_rows"] = True
    info.update(goal=goal, forward=rows[0], backward=rows[1], peak_mb=round(peak, 1), **notes)
    info.update(their_forward=their_rows[0], their_backward=their_rows[1], their_peak_mb=round(their_peak, 1))


def captum_job(job: str, f: nn.Module, z: Tensor, samples: int, chunk: int, noise: float = 0.2) -> Callable[[], Tensor]:
    """What Captum does, at class 0.  noise: its standard deviation."""
    attr = pytest.importorskip("captum.attr")
    if job == "IntegratedGradients":
        return lambda: attr.IntegratedGradients(f).attribute(z, target=0, n_steps=samples, internal_batch_size=chunk)
    if job == "GradientShap":
        return lambda: attr.GradientShap(f).attribute(z, 0 * z[:1], n_samples=samples, stdevs=noise, target=0).detach()
    tunnel, at_once = attr.NoiseTunnel(attr.Saliency(f)), max(1, chunk // len(z))
    options = {"nt_samples": samples, "nt_samples_batch_size": at_once, "stdevs": noise, "abs": False}
    return lambda: tunnel.attribute(z, target=0, **options)


CAPTUM = {
    "IntegratedGradients": "integrated_gradients(steps={n})",
    "NoiseTunnel(Saliency)": "smoothgrad(samples={n}, spread=0.1)",
    "GradientShap": "gradient_shap(samples={n}, spread=0.1)",
}


@pytest.mark.parametrize("job", CAPTUM)
def test_captum(benchmark: Any, case: Subject, cheap: Subject, job: str, device: str, rounds: int) -> None:
    """Goal: not slower than Captum on f∘T⁻¹ at as many gradients, in chunks of as many rows."""
    chunk, model = calls.rows_per_forward(case.x), Counted(case.module)

    def both(of: Subject, model: Counted, samples: int, noise: float = 0.2) -> tuple[Callable[..., Tensor], ...]:
        transform = pb.transforms.get(DOMAIN, tuple(of.x.shape[1:])).to(device)
        method = CAPTUM[job].format(n=samples)
        ours = lambda seed=0: calls.attribute(model, of.x, 0, method, transform, seed=seed).values
        return ours, captum_job(job, pb.Pullback(model, transform), transform(of.x), samples, chunk, noise)

    sides = both(case, model, SAMPLES)
    if job == "IntegratedGradients":
        with tf32(False):
            check_result(sides[1](), sides[0]())
    else:
        torch.manual_seed(0)
        known, other = both(cheap, Counted(cheap.module), LAW)
        same_law(other(), known(), known(1))
    if job == "NoiseTunnel(Saliency)":  # without noise, it is the gradient
        with tf32(False):
            gradient = calls.attribute(model, case.x, 0, "gradient", DOMAIN).values
            check_result(both(case, model, 1, 0.0)[1](), gradient)
    notes = {"method": CAPTUM[job].format(n=SAMPLES), "peer": f"Captum {job}", "chunk": chunk}
    versus(benchmark, (sides[0], sides[1]), (model, model), device, rounds, **notes)


def shapley_jobs(of: Subject, model: Counted, orders: int) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """Shapley values of the four bands of the first signal from random orders, (bands,): ours and Captum's."""
    attr = pytest.importorskip("captum.attr")
    x, chunk = of.x[:1], calls.rows_per_forward(of.x)
    transform = pb.transforms.get("dwt(db4, level=1)", tuple(x.shape[1:])).to(x.device)
    z, f, index = transform(x), pb.Pullback(model, transform), transform.layout.index.to(x.device)
    method = f"shapley(by=band, exact=False, pairs={orders // 2})"
    sampling = attr.ShapleyValueSampling(f)
    options = {"feature_mask": index[None], "n_samples": orders, "perturbations_per_eval": chunk}
    places = [int((index == band).nonzero()[0, -1]) for band in range(len(transform.layout.bands))]
    ours = lambda: transform.layout.sum(calls.attribute(model, x, of.target, method, transform).values)[0]
    return ours, lambda: sampling.attribute(z, 0 * z, target=of.target, **options).detach()[0, 0, places]


def test_captum_shapley_sampling_over_bands(benchmark: Any, case: Subject, cheap: Subject, device: str, rounds: int) -> None:
    """Goal: not slower for equally many rows. On a cheap network, many orders of both come near the exact values."""
    transform = pb.transforms.get("dwt(db4, level=1)", tuple(cheap.x.shape[1:])).to(device)
    exact_values = calls.attribute(cheap.module, cheap.x[:1], cheap.target, "shapley(by=band)", transform).values
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  (Captum draws from numpy's global state)
    for job in shapley_jobs(cheap, Counted(cheap.module), 256):
        check_result(job()[None], transform.layout.sum(exact_values), 0.2)
    model = Counted(case.module)
    notes = {"method": "shapley(by=band, exact=False, pairs=4)", "peer": "Captum ShapleyValueSampling"}
    notes["chunk"] = calls.rows_per_forward(case.x)
    versus(benchmark, shapley_jobs(case, model, 8), (model, model), device, rounds, by_row=True, **notes)


def wavelet_gradient_per_sample(
    model: nn.Module, x: Tensor, target: int, samples: int, spread: float, seed: int = 42
) -> list[Tensor]:
    """γ = 1/n Σ_i ∇_z f(T⁻¹ T(x + δ_i)) the way it is published (Kasmi et al. 2025): a haar pyramid of 3 levels of each
    noisy batch, one leaf of autograd for every band, the model behind the inverse transform, and one backward for each
    sample down to the coefficients. Noise is drawn on the CPU, image by image.

    Its saliency maps, mosaics and conversions to numpy are left out: they would only add to its time.
    """
    generator = np.random.default_rng(seed)
    std = [spread * float(image.max() - image.min()) for image in x]
    totals: list[Tensor] = []
    for _ in range(samples):
        noise = np.stack([generator.normal(0, s, image.shape) for s, image in zip(std, x)])
        noisy = x + torch.from_numpy(noise.astype(np.float32)).to(x.device)
        low, *details = ptwt.wavedec2(noisy, "haar", level=3, mode="reflect")
        leaves = [band.requires_grad_() for band in (low, *(band for triple in details for band in triple))]
        model(ptwt.waverec2(_nested(leaves), "haar"))[:, target].mean().backward()
        gradients = [leaf.grad for leaf in leaves]
        totals = [g / samples if not totals else totals[i] + g / samples for i, g in enumerate(gradients)]
    return totals


def _nested(pyramid: list[Tensor]) -> list[Any]:
    """Bands as ptwt wants them: the low one, then triples of details."""
    return [pyramid[0], *(ptwt.WaveletDetailTuple2d(*pyramid[at : at + 3]) for at in range(1, len(pyramid), 3))]


def in_signal(pyramid: list[Tensor], images: int) -> Tensor:
    """The pyramid as a signal; haar is orthonormal, so lengths and angles stay. Undoes the mean over images."""
    return images * ptwt.waverec2(_nested(pyramid), "haar")


def back(att: pb.Attribution) -> Tensor:
    """Our map as a signal."""
    return att.transform.inverse(att.values)


@pytest.mark.parametrize("frozen", [False, True], ids=["as loaded", "frozen"])
def test_published_wavelet_smoothgrad(
    benchmark: Any, photos: Tensor, case: Subject, cheap: Subject, frozen: bool, device: str, rounds: int
) -> None:
    """Goal: at most half its time on a CPU, a quarter on a GPU. 25 samples, spread 0.25, haar, 3 levels: its defaults.

    as loaded: its backward also fills the gradients of the parameters, as a model straight from its loader has it.
    frozen: the same with `requires_grad_(False)`, which its users would have to know about.
    """
    samples, x = (3, case.x) if QUICK else (25, photos[:2] if device == "cpu" else photos)
    check_input(x)
    spec = "smoothgrad(samples={}, spread=0.25)".format
    smoothgrad = lambda model, x, n, seed=0: calls.attribute(model, x, 0, spec(n), "dwt(haar, level=3)", seed=seed)
    if not frozen:  # the law does not depend on it
        known = [back(smoothgrad(cheap.module, cheap.x, LAW, seed)) for seed in (0, 1)]
        theirs = wavelet_gradient_per_sample(cheap.module, cheap.x, 0, LAW, 0.25)
        same_law(in_signal(theirs, len(cheap.x)), *known)
    model, other = Counted(case.module), Counted(copy.deepcopy(case.module).requires_grad_(not frozen))
    with tf32(False):
        plain = wavelet_gradient_per_sample(other, x, 0, 1, 0.0)
        check_result(in_signal(plain, len(x)), back(calls.attribute(model, x, 0, "gradient", "dwt(haar, level=3)")))
    sides = lambda: smoothgrad(model, x, samples), lambda: wavelet_gradient_per_sample(other, x, 0, samples, 0.25)
    peer = f"published wavelet SmoothGrad, {'frozen' if frozen else 'as loaded'}"
    notes = {"goal": 0.5 if device == "cpu" else 0.25, "method": spec(samples), "peer": peer, "images": len(x)}
    versus(benchmark, sides, (model, other), device, rounds, **notes)


@pytest.mark.parametrize("metric", ["Sparseness", "PixelFlipping"])
def test_quantus(benchmark: Any, case: Subject, metric: str, device: str, rounds: int) -> None:
    """The metrics that both have: the Gini index, and f when only the first coefficients of a ranking are kept, which is
    what is left of a signal when its last pixels are flipped first. Goal: not slower."""
    quantus = pytest.importorskip(
        "quantus", reason="Quantus does not load: pip install '.[bench]'; its OpenCV needs libGL", exc_type=ImportError
    )
    at, steps = calls.attribute(case.module, case.x, case.target, "gradient"), 3 if QUICK else 12
    model, other = Counted(case.module), Counted(copy.deepcopy(case.module)).eval()
    options = {"normalise": False, "disable_warnings": True, "display_progressbar": False}
    if metric == "Sparseness":
        judge, maps = quantus.Sparseness(abs=True, **options), at.values
        ours = lambda: pb.metrics.gini(maps)[:, None]
    else:
        size = at.values[0].numel() // steps
        judge = quantus.PixelFlipping(abs=False, features_in_step=size, perturb_baseline=0.0, **options)
        places = at.values.flatten(1).abs().argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        maps, kept = places.to(at.values).view_as(at.values), [1 - step / steps for step in range(1, steps)]
        ours = lambda: pb.metrics.kept_score(model, at, case.target, fractions=kept)
    arrays = {"x_batch": case.x.cpu().numpy(), "a_batch": maps.cpu().numpy()}
    labels = np.full(len(maps), case.target)
    theirs = lambda: judge(model=other, y_batch=labels, softmax=False, device=device, **arrays)
    by_row, notes = metric == "PixelFlipping", {"peer": f"Quantus {metric}", "images": len(maps)}
    with tf32(False):
        found = torch.tensor(np.array(theirs()), dtype=maps.dtype).reshape(len(maps), -1)
        check_result(found[:, : steps - 1], ours().cpu(), 1e-3)  # their last step flips everything
        versus(benchmark, (ours, theirs), (model, other), device, rounds, by_row=by_row, **notes)
