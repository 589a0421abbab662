"""Baselines by name, in the signal and in z, and attributions averaged over random baselines."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from captum.attr import IntegratedGradients
from scipy import ndimage
from support.compare import close
from support.nonlinear import Curved, three_linear_domains_and_a_curved_one
from support.subjects import linear_net, normal, smooth_net

import pullback as pb
from pullback.attribution import baselines
from pullback.attribution.baselines import Baseline, among, in_domain
from pullback.attribution.baselines.base import baselines as registry
from pullback.attribution.call import resolve_baseline

SHAPE = (2, 9, 8)
NAMED = [example for name in baselines.names() for example in registry.maker(name).examples()]
DOMAINS = three_linear_domains_and_a_curved_one(SHAPE)


@pytest.mark.parametrize("baseline", NAMED, ids=repr)
def test_a_named_baseline_belongs_to_the_example_and_not_to_the_batch(baseline: Baseline) -> None:
    x = normal(4, *SHAPE)
    state = torch.get_rng_state()
    whole = resolve_baseline(baseline, x)
    assert whole.shape == x.shape
    assert whole.dtype == x.dtype
    close(resolve_baseline(baseline, x[2:3]), whole[2:3], 0)
    close(resolve_baseline(baseline, x.flip(0)), whole.flip(0), 0)
    assert torch.equal(torch.get_rng_state(), state)
    other = resolve_baseline(baseline, x, seed=1)
    assert torch.equal(other, whole) != baseline.random


def test_blur_is_the_gaussian_filter_with_half_sample_reflection() -> None:
    x = normal(2, *SHAPE)
    for sigma in (1.5, 4.0):
        expected = ndimage.gaussian_filter(x.numpy(), (0, 0, sigma, sigma), mode="reflect", truncate=12)
        aliased = 4 * math.exp(-0.5 * (math.pi * sigma) ** 2)  # scipy samples the Gaussian, so its spectrum repeats
        close(resolve_baseline(f"blur(sigma={sigma})", x), torch.from_numpy(expected), aliased + 1e-12)
    close(resolve_baseline("blur(sigma=0)", x), x)
    close(resolve_baseline("blur(sigma=50)", x), resolve_baseline("mean", x), 1e-9)


def test_mean_uniform_and_gaussian_are_what_they_say() -> None:
    x = normal(2, 1, 40, 40)
    close(resolve_baseline("mean(example)", x), x.mean((1, 2, 3), keepdim=True).expand_as(x))
    drawn = resolve_baseline("uniform(low=-2, high=3)", x)
    assert float(drawn.min()) >= -2
    assert float(drawn.max()) < 3
    assert abs(float(drawn.mean()) - 0.5) < 0.1
    own = resolve_baseline("uniform", x).flatten(1)
    assert bool((own.amin(1) >= x.flatten(1).amin(1)).all())
    assert bool((own.amax(1) <= x.flatten(1).amax(1)).all())
    spread = x.flatten(1).amax(1) - x.flatten(1).amin(1)
    ratio = (resolve_baseline("gaussian(spread=0.2)", x) - x).flatten(1).std(1) / spread
    assert bool(((ratio - 0.2).abs() < 0.02).all())


def test_zero_coefficients_share_one_stream_in_linear_domains_and_are_each_domains_own_zero_elsewhere() -> None:
    x, f = normal(2, *SHAPE), smooth_net(SHAPE)
    plain = pb.attribute(f, x, 0, method="integrated_gradients(steps=32)", transform=DOMAINS)
    zero = pb.attribute(f, x, 0, method="integrated_gradients(steps=32)", transform=DOMAINS, baseline=in_domain())
    for a, b in zip(plain[:3], zero[:3]):
        close(a.values, b.values)
        close(a.score_difference, b.score_difference)
    assert (
        zero[0].settings["evaluations"]["gradient"] == 2 * 2 * 32
    )  # one evaluator for three linear domains, and one for the curved one
    curved = zero[3]
    close(curved.displacement, Curved(SHAPE)(x))
    with torch.no_grad():
        close(curved.score_difference, f(x)[:, 0] - f(torch.ones_like(x))[:, 0])
    assert float(curved.completeness_gap.abs().max()) < 1e-6
    assert not torch.allclose(plain[3].score_difference, curved.score_difference)


def test_coefficients_can_be_the_baseline() -> None:
    x, f = normal(2, *SHAPE), smooth_net(SHAPE)
    domain = pb.transforms.get("dwt(db2, level=1, mode=symmetric)", SHAPE)
    z0 = 0.3 * normal(*domain.layout.shape, seed=4)  # outside the range of this redundant T
    att = pb.attribute(f, x, 0, method="integrated_gradients(steps=64)", transform=domain, baseline=in_domain(z0))
    close(att.displacement, domain(x) - z0)
    assert float(att.completeness_gap.abs().max()) < 1e-8
    assert att.settings["baseline"] == f"in_domain(tensor {tuple(z0.shape)})"
    assert att.settings["baseline_coordinates"] == "z"


def test_settings_name_the_baseline_and_survive_saving(tmp_path: Path) -> None:
    x = normal(1, *SHAPE)
    att = pb.attribute(linear_net(SHAPE), x, method="input_x_gradient", baseline="blur(sigma=3)")
    att.save(tmp_path / "a.safetensors")
    settings = pb.Attribution.load(tmp_path / "a.safetensors").settings
    assert (settings["baseline"], settings["baseline_coordinates"]) == ("blur(sigma=3)", "signal")


@pytest.mark.parametrize("steps", [1, 4])
def test_expected_gradients_of_a_linear_model_need_no_steps(steps: int) -> None:
    x, f, references = normal(3, *SHAPE), linear_net(SHAPE), normal(5, *SHAPE, seed=1)
    method = f"expected_gradients(samples=5, steps={steps})"
    for att in pb.attribute(f, x, method=method, transform=DOMAINS[:3], baseline=among(references)):
        T = att.transform
        w = T.adjoint(f[1].weight.detach().reshape(1, *SHAPE))
        close(att.values, (T(x) - T(references).mean(0)) * w)
        with torch.no_grad():
            close(att.score_difference, f(x)[:, 0] - f(references).mean())
        close(att.completeness_gap, torch.zeros(3, dtype=x.dtype))


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
def test_expected_gradients_are_the_mean_of_captums_integrated_gradients_on_the_pullback(domain: Any) -> None:
    x, f, references = normal(2, *SHAPE), smooth_net(SHAPE), normal(3, *SHAPE, seed=1)
    T = pb.transforms.get(domain, SHAPE)
    att = pb.attribute(f, x, 1, method="expected_gradients(samples=3, steps=24)", transform=T, baseline=among(references))
    captum = IntegratedGradients(pb.Pullback(f, T))
    maps = [
        captum.attribute(T(x), baselines=T(r[None]).expand(2, *T.layout.shape), target=1, n_steps=24, method="gausslegendre")
        for r in references
    ]
    close(att.values, torch.stack(maps).mean(0), 1e-6)
    with torch.no_grad():
        close(att.score_difference, f(x)[:, 1] - f(references)[:, 1].mean())
    close(att.displacement, T(x) - T(references).mean(0))


def test_random_alphas_converge_to_the_integral() -> None:
    x, f = normal(2, 1, 6), smooth_net((1, 6))
    exact = pb.attribute(f, x, 0, method="integrated_gradients(steps=64)").values
    errors = [
        float((pb.attribute(f, x, 0, method=f"expected_gradients(samples={n})").values - exact).abs().max()) for n in (8, 512)
    ]
    assert errors[1] < 2e-3
    assert errors[1] < errors[0] / 8


def test_the_heatmap_of_expected_gradients_holds_the_total() -> None:
    x, f = normal(2, *SHAPE), smooth_net(SHAPE)
    att = pb.attribute(f, x, 0, method="expected_gradients(samples=4)", transform="dct", baseline="uniform")
    close(att.heatmap().flatten(1).sum(1), att.values.flatten(1).sum(1))


@pytest.mark.parametrize("method", ["expected_gradients(samples=5)", "gradient_shap(samples=5, spread=0.2)"])
def test_a_fixed_baseline_is_read_once_and_a_random_one_for_each_draw(method: str) -> None:
    f, x = smooth_net((1, 8)), normal(2, 1, 8)
    fixed, drawn = (pb.attribute(f, x, 0, method=method, baseline=baseline) for baseline in (0.3, "uniform"))
    forwards = [att.settings["evaluations"]["forward"] for att in (fixed, drawn)]
    assert forwards[1] - forwards[0] == 2 * (5 - 1)
    if method.startswith("expected"):
        torch.testing.assert_close(fixed.score_difference, f(x)[:, 0] - f(torch.full_like(x, 0.3))[:, 0])


def test_gradient_shap_totals_its_own_score_difference() -> None:
    x, f = normal(2, *SHAPE), smooth_net(SHAPE)
    options: dict[str, Any] = {"transform": DOMAINS, "baseline": "uniform"}
    shap = pb.attribute(f, x, 0, method="gradient_shap(samples=3, spread=0.2, steps=24)", **options)
    for att in shap:
        assert float(att.completeness_gap.abs().max()) < 1e-6
    still = pb.attribute(f, x, 0, method="gradient_shap(samples=3, spread=0)", **options)
    plain = pb.attribute(f, x, 0, method="expected_gradients(samples=3)", **options)
    for a, b, c in zip(still, plain, shap):
        close(a.values, b.values)
        close(a.score_difference, b.score_difference)
        assert not torch.allclose(a.values, c.values)


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ("blurr", "Did you mean 'blur'"),
        ("blur(sigma=-1)", "at least 0"),
        ("blur(width=1)", "sigma"),
        ("blur >> mean", "expected one baseline"),
        ("uniform(1, 0)", "low must lie below high"),
        ("mean(per=row)", "channel, example"),
        ("gaussian(around=median)", "input, mean, zero"),
        (torch.zeros(3, 3), "expected a real tensor of shape"),
        (in_domain(torch.zeros(7)), "expected coefficients of pixel"),
        (among(torch.zeros(3, 1, 4)), "references of shape"),
        (in_domain(torch.full(SHAPE, torch.nan)), "example 0 holds NaN"),
    ],
)
def test_bad_baselines_say_what_was_expected(baseline: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pb.attribute(linear_net(SHAPE), normal(1, *SHAPE), method="input_x_gradient", baseline=baseline)


def test_the_room_builds_baselines_by_name() -> None:
    assert baselines.names() == ["blur", "gaussian", "mean", "uniform", "zero"]
    assert baselines.get("blur(sigma=3)") == baselines.get(baselines.Blur(3)) == baselines.Blur(sigma=3)
    assert baselines.get(None) == baselines.Zero()
    assert baselines.get(0.5).describe() == "0.5"
    x = normal(1, *SHAPE)
    for named in (baselines.Blur(3), baselines.Mean("example"), baselines.Uniform(0, 1), baselines.Gaussian(0.1)):
        close(resolve_baseline(named, x), resolve_baseline(named.describe(), x), 0)


def test_bad_kinds_of_baseline() -> None:
    with pytest.raises(TypeError, match=r"choices: blur, gaussian, mean, uniform, zero"):
        pb.attribute(linear_net(SHAPE), normal(1, *SHAPE), baseline=object())  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="at least one reference"):
        among(torch.zeros(0, 2, 3))
    with pytest.raises(ValueError, match="samples must be a whole number"):
        pb.attribution.get("expected_gradients(samples=0)")
    with pytest.raises(ValueError, match="spread must be a finite number of at least 0"):
        pb.attribution.get("gradient_shap(spread=-1)")
