"""Stability under noise, shifts and JPEG: closed forms, references, and signals that do not fit."""

import warnings

import pytest
import torch
from support.subjects import normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.metrics import MaxSensitivity, TopKStability, explainer, measure
from pullback.metrics.perturbation import Jpeg, Noise, Shift, perturbation

SHAPE = (1, 16)


def quadratic(x: Tensor) -> Tensor:
    """f(x) = ½ Σ x², whose gradient is x."""
    return 0.5 * x.flatten(1).square().sum(1)


@pytest.mark.parametrize("spec", ["pixel", "dct", "dwt(haar, level=2)"])
def test_max_sensitivity_of_a_quadratic_model_is_the_radius(spec: str) -> None:
    """The gradient is x itself, so ‖g(x + δ) - g(x)‖ / ‖g(x)‖ = ‖δ‖ / ‖x‖ in every orthonormal domain."""
    att = pb.attribute(quadratic, normal(3, *SHAPE), method="gradient", transform=spec)
    (found,) = measure(quadratic, att, "max_sensitivity(radius=0.3, samples=3)")
    torch.testing.assert_close(found.curve, torch.full((3, 3), 0.3, dtype=torch.float64), rtol=1e-10, atol=0)
    assert found.axis == (1.0, 2.0, 3.0)


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients(steps=4, rule=gauss_legendre)"])
def test_max_sensitivity_is_equal_in_orthonormal_domains_and_not_in_others(method: str) -> None:
    model, x = smooth_net(SHAPE), normal(3, *SHAPE)
    in_domain = lambda spec: (
        measure(model, pb.attribute(model, x, 1, method=method, transform=spec), MaxSensitivity(), 1)[0].value
    )
    torch.testing.assert_close(in_domain("dct"), in_domain("pixel"), rtol=1e-10, atol=1e-10)
    assert (in_domain("dwt(bior2.2, level=2)") - in_domain("pixel")).abs().max() > 1e-6


def test_the_norm_of_shares_would_depend_on_the_domain() -> None:
    """The control of the law above: shares, judged by their values, differ between orthonormal domains."""
    model, x = smooth_net(SHAPE), normal(3, *SHAPE)

    def of_shares(spec: str) -> Tensor:
        explain = explainer("input_x_gradient", spec)
        own, moved = explain(model, x, 1).values, explain(model, Noise(0.05, 1)(x, 0, 0), 1).values
        return (moved - own).flatten(1).norm(dim=1) / own.flatten(1).norm(dim=1)

    assert (of_shares("pixel") - of_shares("dct")).abs().max() > 1e-3


def test_max_sensitivity_agrees_with_captum() -> None:
    captum = pytest.importorskip("captum.metrics")
    attr = pytest.importorskip("captum.attr")
    model, x = smooth_net(SHAPE), normal(2, *SHAPE)
    ours = measure(model, pb.attribute(model, x, 1, method="gradient"), "max_sensitivity(radius=0.2, samples=1)", 1)[0].value
    with warnings.catch_warnings(action="ignore"):
        saliency = attr.Saliency(model)
        theirs = captum.sensitivity_max(
            lambda inputs, **_: saliency.attribute(inputs, target=1, abs=False),
            x,
            perturb_func=lambda inputs, *_: Noise(0.2, 1)(inputs, 0, 0),
            n_perturb_samples=1,
        )
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=0)


def test_noise_has_the_radius_and_depends_on_the_seed_alone() -> None:
    x, noise = normal(3, 2, 5, 4), Noise(0.1, 2)
    moved = noise(x, 0, 0) - x
    torch.testing.assert_close(moved.flatten(1).norm(dim=1), 0.1 * x.flatten(1).norm(dim=1), rtol=1e-9, atol=0)
    torch.testing.assert_close(noise(x[1:2], 0, 0), noise(x, 0, 0)[1:2], rtol=0, atol=0)
    assert not torch.allclose(noise(x, 0, 0), noise(x, 1, 0))
    assert not torch.allclose(noise(x, 0, 0), noise(x, 0, 1))


class Equivariant(nn.Module):
    """Σ of squares of a circular convolution: its gradient moves with the signal."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - 0.7 * x.roll(1, -1) + 0.3 * x.roll(3, -1)).square().flatten(1).sum(1)


def test_a_shift_tells_stationary_wavelets_and_pixels_from_decimated_ones() -> None:
    model, x = Equivariant().eval(), normal(3, 1, 32)
    maps = pb.attribute(
        model,
        x,
        method="input_x_gradient",
        transform=["pixel", "dwt(haar, level=2, mode=periodization)", "swt(haar, level=2)"],
    )
    by_one = [measure(model, att, TopKStability("shift", amount=1))[0] for att in maps]
    by_four = [measure(model, att, TopKStability("shift", amount=4))[0] for att in maps]
    for found in (by_one[0], by_one[2], *by_four):
        torch.testing.assert_close(found.value, torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-10)
    assert by_one[1].value.max() < 0.95
    assert by_one[0].curve is not None
    assert by_one[0].curve.shape == (3, 2)


def test_a_selection_of_everything_is_stable_up_to_the_noise() -> None:
    model, x = smooth_net(SHAPE), normal(2, *SHAPE)
    att = pb.attribute(model, x, 1, method="input_x_gradient", transform="dct")
    (found,) = measure(model, att, "top_k_stability(keep=1.0, amount=0.01, samples=2)", 1)
    assert found.details["overlap"].tolist() == [[1.0, 1.0]] * 2
    assert 0.999 < float(found.value.min()) <= float(found.value.max()) < 1
    (worse,) = measure(model, att, "top_k_stability(amount=2.0, samples=2)", 1)
    assert float(worse.value.max()) < 0.99


def test_jpeg_keeps_constants_and_changes_noise() -> None:
    x = normal(2, 3, 16, 16, dtype=torch.float32)
    assert 0.01 < float((Jpeg(75)(x, 0, 0) - x).abs().mean()) < 1
    assert torch.equal(Jpeg(75)(torch.full((1, 1, 8, 8), 0.3), 0, 0), torch.full((1, 1, 8, 8), 0.3))
    assert Jpeg(75)(x[:, :1], 0, 0).shape == (2, 1, 16, 16)
    net = smooth_net((3, 16, 16)).float()
    (found,) = measure(net, pb.attribute(net, x, 1, method="gradient"), "top_k_stability(under=jpeg)", 1)
    assert 0 < float(found.value.min()) < 1


@pytest.mark.parametrize(
    ("shape", "change", "match"),
    [
        ((1, 16), Jpeg(75), "needs images"),
        ((2, 8, 8), Jpeg(75), "needs images"),
        ((1, 4, 4, 4), Jpeg(75), "needs images"),
        ((5,), Shift(1), "nowhere to go"),
        ((1, 8), Shift(8), "nowhere to go"),
        ((1, 1, 1), Shift(1), "nowhere to go"),
    ],
)
def test_signals_that_a_change_does_not_fit_are_refused(shape: tuple[int, ...], change: Shift, match: str) -> None:
    with pytest.raises(ValueError, match=match) as raised:
        change.count(shape)
    assert len(str(raised.value)) <= 300


@pytest.mark.parametrize("spec", ["max_sensitivity(radius=0)", "max_sensitivity(samples=0)", "top_k_stability(keep=0)"])
def test_options_that_make_no_sense_are_refused(spec: str) -> None:
    with pytest.raises(ValueError, match="must"):
        pb.metrics.get(spec)
    for under, amount in (("noise", 0), ("shift", 0), ("jpeg", 101), ("blur", 1)):
        with pytest.raises(ValueError, match="top_k_stability"):
            TopKStability(under, amount)
    assert perturbation("x", "shift", 2.0, 1) == Shift(2)


def test_zero_maps_and_zero_signals_have_no_stability() -> None:
    constant = lambda x: x.flatten(1).sum(1) * 0 + 3
    att = pb.attribute(constant, normal(2, *SHAPE), method="gradient")
    for found in measure(constant, att, ["max_sensitivity(samples=1)", "top_k_stability(samples=1)"]):
        assert found.value.isnan().all()
    zero = pb.attribute(quadratic, torch.zeros(1, *SHAPE), method="gradient", baseline=1.0)
    assert measure(quadratic, zero, "max_sensitivity(samples=1)")[0].value.isnan().all()


@pytest.mark.parametrize("shape", [(6,), (1, 12), (2, 6, 5), (1, 4, 3, 2)])
def test_signals_of_any_number_of_axes_have_numbers(shape: tuple[int, ...]) -> None:
    model = smooth_net(shape)
    att = pb.attribute(model, normal(1, *shape), 0, method="gradient")
    specs = ["max_sensitivity(samples=1)", "top_k_stability(samples=1)"] + ["top_k_stability(under=shift)"] * (len(shape) > 1)
    assert all(found.value.isfinite().all() for found in measure(model, att, specs, 0))
