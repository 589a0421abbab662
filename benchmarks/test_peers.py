"""Ours against what others do for the same job, in one run, in turn, after the results were found equal.

ratio is ours / theirs, so 0.5 means that ours takes half the time. Captum works on `pb.Pullback`, which it takes as any
other module. Methods that draw random numbers are compared in law: as close to ours as ours to themselves with a new seed.
"""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import ptwt
import pytest
import torch
from direct import Direct
from games import gains
from guard import Counted, MeasuresNothing, check_input, check_result, counted, exact, peak_megabytes
from models import QUICK, Subject, subject
from timing import paired
from torch import Tensor, nn

import pullback as pb

Result = TypeVar("Result")

DOMAIN = "dwt(db4, level=3)"
SAMPLES = 4 if QUICK else 16
LAW = 64 if QUICK else 256  # samples with which random methods are compared
# Cosine of what was timed, two draws of few samples, with ours: 0.17 and more was measured, and a map of other numbers has
# 0.002 by chance. A quick run has too few samples and pixels to tell.
LEAST = -1.0 if QUICK else 0.08


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
    """Two draws of one law: of one length, and pointing as much the same way as `ours` and `again`, drawn by another seed.

    Raises: MeasuresNothing where they do not, or where our own draws differ too much to compare by.
    """
    cosine = lambda a, b: float(torch.cosine_similarity(a.flatten().double(), b.flatten().double(), 0))
    length = float(theirs.double().norm() / ours.double().norm())
    within, across = cosine(ours, again), cosine(theirs, ours)
    if within < 0.8:
        raise MeasuresNothing(f"two of our own draws have cosine {within:.3f}: too few samples to compare by.")
    if not 0.9 < length < 1.1 or across < within - 0.1:
        raise MeasuresNothing(
            f"theirs is {length:.2f} × as long, cosine {across:.3f}; ours with a new seed {within:.3f}."
        )


def same_way(theirs: Tensor, ours: Tensor, least: float = LEAST) -> None:
    """What was timed, itself: it points somewhat the same way as ours, and is about as long.

    Raises: MeasuresNothing where it does not.
    """
    check_result(theirs)
    check_result(ours)
    cosine = float(torch.cosine_similarity(theirs.flatten().double(), ours.flatten().double(), 0))
    length = float(theirs.double().norm() / ours.double().norm())
    if not cosine >= least or not 1 / 3 < length < 3:
        raise MeasuresNothing(f"theirs is {length:.2f} × as long as ours, and the cosine is {cosine:.3f}.")


def rows_of(job: Callable[[], Result], model: Counted) -> tuple[Result, tuple[int, int]]:
    """What one call returns, and its (forward, backward) rows."""
    before = model.tally.now()
    result = job()
    return result, model.tally.since(before)


def versus(
    benchmark: Any,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    models: tuple[Counted, Counted],
    device: str,
    rounds: int,
    goal: float,
    by_row: bool = False,
    agree: Callable[[Any, Any], None] | None = None,
    **notes: Any,
) -> None:
    """Times both in turn, with the rows that each brings through its model.

    by_row: times for equally many rows.  agree: called with (theirs, ours), what the first run of each returned.
    """
    found: list[tuple[Any, tuple[int, int]]] = []
    first = lambda: found.append(rows_of(lambda: benchmark.pedantic(ours, rounds=1), models[0]))
    memory = (
        peak_megabytes(first, device),
        peak_megabytes(lambda: found.append(rows_of(theirs, models[1])), device),
    )
    (known, ours_rows), (other, theirs_rows) = found
    if agree is not None:
        agree(other, known)
    ours, theirs = counted(ours, models[0].tally, *ours_rows), counted(theirs, models[1].tally, *theirs_rows)
    measured = paired(ours, theirs, min(rounds, 5), warm=True, most=6)
    measured.record(benchmark)
    if by_row:
        share = theirs_rows[0] / ours_rows[0]
        scaled = {name: round(share * getattr(measured, name), 5) for name in ("ratio", "low", "high", "processor")}
        benchmark.extra_info.update(scaled, for_equal_rows=True)
    benchmark.extra_info.update(
        goal=goal,
        forward=ours_rows[0],
        backward=ours_rows[1],
        their_forward=theirs_rows[0],
        their_backward=theirs_rows[1],
        peak_mb=round(memory[0], 1),
        their_peak_mb=round(memory[1], 1),
        **notes,
    )


def captum_job(job: str, f: nn.Module, z: Tensor, samples: int, chunk: int, noise: float = 0.2) -> Callable[[], Tensor]:
    """What Captum does, at class 0.  noise: its standard deviation."""
    attr = pytest.importorskip("captum.attr")
    if job == "IntegratedGradients":
        return lambda: attr.IntegratedGradients(f).attribute(z, target=0, n_steps=samples, internal_batch_size=chunk)
    if job == "GradientShap":
        return lambda: attr.GradientShap(f).attribute(z, 0 * z[:1], n_samples=samples, stdevs=noise, target=0).detach()
    tunnel, at_once = attr.NoiseTunnel(attr.Saliency(f)), max(1, chunk // len(z))
    return lambda: tunnel.attribute(
        z, nt_samples=samples, nt_samples_batch_size=at_once, stdevs=noise, target=0, abs=False
    )


CAPTUM = {
    "IntegratedGradients": "integrated_gradients(steps={n})",
    "NoiseTunnel(Saliency)": "smoothgrad(samples={n}, spread=0.1)",
    "GradientShap": "gradient_shap(samples={n}, spread=0.1)",
}


@pytest.mark.parametrize("job", CAPTUM)
def test_captum(benchmark: Any, case: Subject, cheap: Subject, job: str, device: str, rounds: int) -> None:
    """Goal: not slower than Captum on f∘T⁻¹ at as many gradients, in chunks of as many rows."""
    chunk = pb.attribution.rows.budget("auto", tuple(case.x.shape[1:]), case.x.device)

    def both(
        of: Subject, model: Counted, samples: int, noise: float = 0.2
    ) -> tuple[Callable[..., Tensor], Callable[[], Tensor]]:
        transform = pb.transforms.get(DOMAIN, tuple(of.x.shape[1:])).to(device)
        method = CAPTUM[job].format(n=samples)
        ours = lambda seed=0: pb.attribute(model, of.x, 0, method=method, transform=transform, seed=seed).values
        return ours, captum_job(job, pb.Pullback(model, transform), transform(of.x), samples, chunk, noise)

    model = Counted(case.module)
    ours, theirs = both(case, model, SAMPLES)
    if job == "IntegratedGradients":
        with exact():
            check_result(theirs(), ours())
    else:
        torch.manual_seed(0)
        known, other = both(cheap, Counted(cheap.module), LAW)
        same_law(other(), known(), known(1))
    if job == "NoiseTunnel(Saliency)":  # without noise, it is the gradient
        with exact():
            check_result(
                both(case, model, 1, 0.0)[1](),
                pb.attribute(model, case.x, 0, method="gradient", transform=DOMAIN).values,
            )
    versus(
        benchmark,
        ours,
        theirs,
        (model, model),
        device,
        rounds,
        1.0,
        method=CAPTUM[job].format(n=SAMPLES),
        peer=f"Captum {job}",
        chunk=chunk,
        agree=same_way,
    )


def test_captum_shapley_sampling_over_bands(benchmark: Any, case: Subject, device: str, rounds: int) -> None:
    """Goal: not slower for equally many rows. Both are within 5 standard errors of the exact values."""
    attr = pytest.importorskip("captum.attr")
    transform = pb.transforms.get("dwt(db4, level=1)", tuple(case.x.shape[1:])).to(device)
    model, x, orders = Counted(case.module), case.x[:1], 8
    z, f, index = transform(x), pb.Pullback(model, transform), transform.layout.index.to(device)
    chunk = pb.attribution.rows.budget("auto", tuple(x.shape[1:]), x.device)
    method = f"shapley(by=band, exact=False, pairs={orders // 2})"
    ours = lambda: pb.attribute(model, x, case.target, method=method, transform=transform)
    theirs = lambda: attr.ShapleyValueSampling(f).attribute(
        z, 0 * z, target=case.target, feature_mask=index[None], n_samples=orders, perturbations_per_eval=chunk
    )
    exact = gains(Direct(case.module, transform, x, case.target), transform.layout)
    error = 5 * exact.std(0) / orders**0.5 + 1e-3
    first = [int((index == band).nonzero()[0, -1]) for band in range(len(transform.layout.bands))]
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  (Captum draws from numpy's global state)
    captum = theirs().detach()[0, 0].cpu()
    for found in (transform.layout.sum(ours().values)[0].cpu(), torch.stack([captum[at] for at in first])):
        if not bool(((found - exact.mean(0)).abs() <= error).all()):
            raise MeasuresNothing(f"{found.tolist()} is not within {error.tolist()} of {exact.mean(0).tolist()}.")
    versus(
        benchmark,
        ours,
        theirs,
        (model, model),
        device,
        rounds,
        1.0,
        by_row=True,
        method=method,
        peer="Captum ShapleyValueSampling",
        chunk=chunk,
    )


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
        triples = [ptwt.WaveletDetailTuple2d(*leaves[at : at + 3]) for at in range(1, len(leaves), 3)]
        output = model(ptwt.waverec2([leaves[0], *triples], "haar"))
        output[:, target].mean().backward()
        gradients = [leaf.grad for leaf in leaves]
        totals = [g / samples if not totals else totals[i] + g / samples for i, g in enumerate(gradients)]
    return totals


def in_signal(pyramid: list[Tensor], images: int) -> Tensor:
    """The pyramid as a signal; haar is orthonormal, so lengths and angles stay. Undoes the mean over images."""
    triples = [ptwt.WaveletDetailTuple2d(*pyramid[at : at + 3]) for at in range(1, len(pyramid), 3)]
    return images * ptwt.waverec2([pyramid[0], *triples], "haar")


def _in_signal(of: Subject, samples: int, seed: int = 0) -> Tensor:
    """Ours, as a signal."""
    found = pb.attribute(
        of.module,
        of.x,
        0,
        method=f"smoothgrad(samples={samples}, spread=0.25)",
        transform="dwt(haar, level=3)",
        seed=seed,
    )
    return found.transform.inverse(found.values)


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

    if not frozen:  # the law does not depend on it
        known = [_in_signal(cheap, LAW, seed) for seed in (0, 1)]
        same_law(in_signal(wavelet_gradient_per_sample(cheap.module, cheap.x, 0, LAW, 0.25), len(cheap.x)), *known)
    model, theirs_model = Counted(case.module), Counted(copy.deepcopy(case.module).requires_grad_(not frozen))
    with exact():
        plain = wavelet_gradient_per_sample(theirs_model, x, 0, 1, 0.0)
        at_x = pb.attribute(model, x, 0, method="gradient", transform="dwt(haar, level=3)")
    check_result(in_signal(plain, len(x)), at_x.transform.inverse(at_x.values))
    method = f"smoothgrad(samples={samples}, spread=0.25)"
    ours = lambda: pb.attribute(model, x, 0, method=method, transform="dwt(haar, level=3)")
    theirs = lambda: wavelet_gradient_per_sample(theirs_model, x, 0, samples, 0.25)
    agree = lambda pyramid, att: same_way(in_signal(pyramid, len(x)), att.transform.inverse(att.values))
    versus(
        benchmark,
        ours,
        theirs,
        (model, theirs_model),
        device,
        rounds,
        0.5 if device == "cpu" else 0.25,
        method=method,
        peer=f"published wavelet SmoothGrad, {'frozen' if frozen else 'as loaded'}",
        images=len(x),
        agree=agree,
    )


@pytest.mark.parametrize("metric", ["Sparseness", "PixelFlipping"])
def test_quantus(benchmark: Any, case: Subject, metric: str, device: str, rounds: int) -> None:
    """The metrics that both have: the Gini index, and f when only the first coefficients of a ranking are kept, which is
    what is left of a signal when its last pixels are flipped first. Goal: not slower."""
    quantus = pytest.importorskip(
        "quantus", reason="Quantus does not load: pip install '.[bench]'; its OpenCV needs libGL", exc_type=ImportError
    )
    at, steps = pb.attribute(case.module, case.x, case.target, method="gradient"), 3 if QUICK else 12
    model, theirs_model = Counted(case.module), Counted(copy.deepcopy(case.module)).eval()
    options = {
        "abs": metric == "Sparseness",
        "normalise": False,
        "disable_warnings": True,
        "display_progressbar": False,
    }
    if metric == "Sparseness":
        judge, maps = quantus.Sparseness(**options), at.values
        ours = lambda: pb.metrics.gini(maps)[:, None]
    else:
        size = at.values[0].numel() // steps
        judge = quantus.PixelFlipping(features_in_step=size, perturb_baseline=0.0, **options)
        places = at.values.flatten(1).abs().argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        maps, kept = places.to(at.values).view_as(at.values), [1 - step / steps for step in range(1, steps)]
        ours = lambda: pb.metrics.kept_score(model, at, case.target, fractions=kept)
    arrays, labels = {"x_batch": case.x.cpu().numpy(), "a_batch": maps.cpu().numpy()}, np.full(len(maps), case.target)
    theirs = lambda: judge(model=theirs_model, y_batch=labels, softmax=False, device=device, **arrays)
    with exact():
        found = torch.tensor(np.array(theirs()), dtype=maps.dtype).reshape(len(maps), -1)
        check_result(found[:, : steps - 1], ours().cpu(), 1e-3)  # their last step flips everything
        versus(
            benchmark,
            ours,
            theirs,
            (model, theirs_model),
            device,
            rounds,
            1.0,
            by_row=metric == "PixelFlipping",
            peer=f"Quantus {metric}",
            images=len(maps),
        )
