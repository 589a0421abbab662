"""Paths whose gradient grows without bound, or nearly so, at an end, or jumps inside: right, or said to be wrong."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients as CaptumIG
from support.integrated_gradients import MISSED, SPEC, error
from support.subjects import normal
from torch import Tensor, nn

import pullback as pb
from pullback.attribution import ConvergenceWarning
from pullback.attribution.methods.integrated_gradients import group as groups

Function = Callable[[Tensor], Tensor]
X, ONES = normal(3, 1, 6).abs() + 0.1, torch.ones(2, 1, 6, dtype=torch.float64)
INSIDE = torch.linspace(0.0, 0.8, 12, dtype=torch.float64).reshape(2, 1, 6)
SEPARABLE: dict[str, tuple[Function, Tensor, Tensor, float]] = {  # h of f(x) = Σ h(x_k), x, x₀, bar: a_k = h(x_k) - h(x₀_k)
    "root": (torch.sqrt, X, 0 * X, 1e-9),
    "root with a floor": (lambda x: (x + 1e-8).sqrt(), X, 0 * X, 1e-3),
    "root of a clamp, whose gradient is 0 at zero": (lambda x: x.clamp(min=1e-12).sqrt(), X, 0 * X, 1e-5),
    "tenth root": (lambda x: x**0.1, X, 0 * X, 1e-9),
    "power 0.9": (lambda x: x**0.9, X, 0 * X, 1e-9),
    "power 1.5, whose gradient is finite": (lambda x: x**1.5, X, 0 * X, 1e-4),
    "roots of two kinds": (lambda x: 3 * x**0.2 + x.sqrt() + (3 * x).cos(), X, 0 * X, 1e-2),
    "logarithm": (lambda x: (x + 1e-8).log(), X, 0 * X, 1e-7),
    "logarithm with a large floor": (lambda x: (x + 1e-3).log(), X, 0 * X, 1e-6),
    "steep": (lambda x: (1e6 * x).tanh() + x, X, 0 * X, 1e-2),
    "root that ends at x": (lambda x: -(1 - x).sqrt(), ONES, INSIDE, 1e-6),
    "from x to zero": (torch.sqrt, 0 * ONES, INSIDE + 0.1, 1e-9),
    "both ends": (lambda x: (2 * x - 1).asin() + x, ONES, 0 * ONES, 1e-6),
}


@pytest.mark.parametrize("name", list(SEPARABLE))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_singular_ends_are_resolved(name: str, dtype: torch.dtype) -> None:
    h, x, base, bar = SEPARABLE[name]
    found = pb.attribute(lambda u: h(u).flatten(1).sum(1), x.to(dtype), baseline=base.to(dtype))
    true = h(x) - h(base)
    wrong = (found.values.double() - true).flatten(1).norm(dim=1) / true.flatten(1).norm(dim=1)
    assert float(wrong.max()) < (bar if dtype == torch.float64 else max(bar, 3e-5))
    assert bool(found.details["converged"].all())
    assert bool((wrong < 3 * found.details["map_error"] + 3e-5).all())
    assert bool((found.details["evaluations"] <= 100).all())


def test_the_square_root_is_exact_to_1e_6_in_single_precision() -> None:
    x = X.float()
    found = pb.attribute(lambda u: u.sqrt().flatten(1).sum(1), x, transform=["pixel", "dct"])
    assert float((found[0].values - x.sqrt()).abs().max()) < 1e-6
    assert float(found[1].completeness_gap.abs().max()) < 1e-5


@pytest.mark.parametrize("offset", [1.0, 100.0])
def test_a_singular_baseline_beside_which_single_precision_has_few_points(offset: float) -> None:
    x = (X + offset).float()
    found = pb.attribute(lambda u: (u - offset).sqrt().flatten(1).sum(1), x, baseline=offset)
    true = (x - offset).double().sqrt()
    wrong = (found.values - true).flatten(1).norm(dim=1) / true.flatten(1).norm(dim=1)
    assert float(wrong.max()) < 1e-3
    assert bool((wrong < 3 * found.details["map_error"] + 1e-4).all())
    assert bool(found.details["converged"].all())


@pytest.mark.parametrize("rule", ["gauss_legendre", "midpoint", "graded"])
def test_open_rules_do_without_the_ends_and_the_trapezoid_names_them(rule: str) -> None:
    f = lambda u: u.sqrt().flatten(1).sum(1)
    found = pb.attribute(f, X, method=f"{SPEC}(steps=64, rule='{rule}')")
    torch.testing.assert_close(found.values, X.sqrt(), rtol=0.1, atol=0)
    for options in ("", ", correct=True"):
        with pytest.raises(ValueError, match=r"not finite for example 0; .* a rule without nodes at the ends"):
            pb.attribute(f, X, method=f"{SPEC}(steps=64, rule='trapezoid'{options})")


class Magnitudes(nn.Module):
    """A linear read-out of the magnitude spectrogram."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = normal(17, 9)
        self.register_buffer("window", torch.hann_window(32, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        z = torch.stft(x[:, 0], 32, 16, window=self.window, return_complex=True)
        return ((z.real**2 + z.imag**2).sqrt() * self.weight).flatten(1).sum(1)


def test_a_spectrogram_of_silence_needs_one_more_gradient_only() -> None:
    """|STFT| is linear along a path from silence: only the gradient at silence itself is not finite."""
    x, net = normal(2, 1, 128), Magnitudes().eval()
    found = pb.attribute(net, x, transform=["pixel", "dwt(db4, level=2)"])
    assert float(error(found[0], pb.attribute(net, x, method=f"{SPEC}(steps=8)")).max()) < 1e-12
    assert float(found[1].completeness_gap.abs().max()) < 1e-10
    assert found[0].details["evaluations"].tolist() == [18, 18]


class RMSNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


class Block(nn.Module):
    """x + b(act(a(norm(x)))), without biases."""

    def __init__(self, seed: int, act: nn.Module) -> None:
        super().__init__()
        self.norm, self.act = RMSNorm(), act
        self.a, self.b = normal(32, 16, seed=seed) / 4, normal(16, 32, seed=seed + 1) / 32**0.5

    def forward(self, x: Tensor) -> Tensor:
        return x + self.act(self.norm(x) @ self.a.T) @ self.b.T


def stack(act: nn.Module) -> nn.Module:
    head = nn.Linear(16, 3, bias=False).double()
    head.weight.data = normal(3, 16, seed=9)
    return nn.Sequential(*(Block(seed, act) for seed in (1, 3, 5)), RMSNorm(), head).eval()


def in_log_alpha(model: Function, x: Tensor, base: Tensor, smallest: float = 1e-18) -> Tensor:
    """x ⊙ ∫ ∇f dα by Gauss-Legendre in 150 panels of log α, in double precision."""
    at, weight = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(12))
    edges = torch.linspace(math.log(smallest), 0, 151, dtype=torch.float64)
    low, width = edges[:-1, None], edges.diff()[:, None]
    alpha = (low + width * (at + 1) / 2).exp().flatten()
    maps = []
    for one, start in zip(x, base):
        points = (start + alpha.reshape(-1, *[1] * one.ndim) * (one - start)).requires_grad_()
        (gradient,) = torch.autograd.grad(model(points).sum(), points)
        maps.append((one - start) * torch.tensordot((weight * width / 2).flatten() * alpha, gradient, 1))
    return torch.stack(maps)


def distance(values: Tensor, true: Tensor) -> Tensor:
    return (values - true).flatten(1).norm(dim=1) / true.flatten(1).norm(dim=1)


@MISSED
@pytest.mark.parametrize("act", [nn.GELU(), nn.ReLU()], ids=repr)
def test_stacked_rms_norms_are_far_better_than_captum_and_say_how_good_they_are(act: nn.Module) -> None:
    net, x = stack(act), normal(3, 16, seed=2)
    true = in_log_alpha(lambda u: net(u)[:, 1], x, 0 * x)
    captum = distance(CaptumIG(net).attribute(x, target=1, n_steps=50), true)
    for spec in (SPEC, f"{SPEC}(max_evaluations=1000)"):
        found = pb.attribute(net, x, 1, method=spec)
        wrong = distance(found.values, true)
        assert bool((wrong < 0.02 * captum).all()), (wrong, captum)
        assert bool((wrong < 3 * found.details["map_error"]).all())


ATTENTION = [normal(4, 4, seed=seed) for seed in range(3)]
AVERAGES: dict[str, tuple[Function, Tensor, Tensor]] = {
    "layer norm of a constant": (
        lambda u: (nn.functional.layer_norm(u, (6,)) @ normal(6, seed=1)).tanh(),
        normal(2, 6),
        torch.full((2, 6), 0.5, dtype=torch.float64),
    ),
    "group norm of a constant": (
        lambda u: (nn.functional.group_norm(u, 2) * normal(8, 1, seed=1)).tanh().flatten(1).sum(1),
        normal(2, 8, 3),
        torch.full((2, 8, 3), 0.3, dtype=torch.float64),
    ),
    "log-magnitudes": (lambda u: ((u @ normal(6, 6, seed=3)) ** 2 + 1e-10).log10().sum(1), normal(2, 6), torch.zeros(2, 6)),
    "attention to zero embeddings": (
        lambda u: ((u @ ATTENTION[0] @ u.mT).softmax(-1) @ u @ ATTENTION[1]).mean(1) @ ATTENTION[2][0],
        normal(2, 5, 4),
        torch.zeros(2, 5, 4),
    ),
}


@pytest.mark.parametrize("name", list(AVERAGES))
def test_normalisations_and_log_magnitudes(name: str) -> None:
    f, x, base = AVERAGES[name]
    found = pb.attribute(f, x, baseline=base.double())
    wrong = distance(found.values, in_log_alpha(f, x, base.double()))
    assert float(wrong.max()) < 0.01
    assert bool((wrong < 3 * found.details["map_error"] + 1e-6).all())
    assert bool(found.details["converged"].all())


UNRESOLVED: dict[str, Function] = {
    "a root inside": lambda u: (u.flatten(1).sum(1) - 0.777).abs().sqrt(),
    "a pole inside": lambda u: 1 / (u.flatten(1).sum(1) - 0.777),
    "a steep step inside": lambda u: (5000 * (u.flatten(1).sum(1) - 0.777)).tanh(),
    "a step below every node": lambda u: (1e30 * u).tanh().flatten(1).sum(1),
    "an angle, which is no continuous function at zero": lambda u: torch.atan2(u[:, 0, 0], u[:, 0, 1]),
}


@pytest.mark.parametrize("name", list(UNRESOLVED))
def test_what_is_not_resolved_is_not_certified(name: str) -> None:
    """Control: the integral does not exist, or lies where no node is. The true maps of sums are proportional to x."""
    with pytest.warns(ConvergenceWarning, match="3 of 3 examples not converged"):
        found = pb.attribute(UNRESOLVED[name], X)
    assert not found.details["converged"].any()
    if "pole" not in name and "angle" not in name:
        part = torch.ones_like(X) if "below" in name else X
        true = part * (found.score_difference / part.flatten(1).sum(1)).reshape(3, 1, 1)
        assert bool((error(found, pb.Attribution(**(vars(found) | {"values": true}))) < 3 * found.details["map_error"]).all())


def test_an_error_larger_than_the_map_is_seen_and_not_hidden_by_a_correction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: without the search for singular ends, one gap holds 1e4 times the true map. Nothing is corrected there."""
    monkeypatch.setattr(groups, "singular_ends", lambda *_: np.zeros(2, dtype=bool))
    net, x = stack(nn.GELU()), normal(3, 16, seed=2)
    with pytest.warns(ConvergenceWarning):
        found = pb.attribute(net, x, 1)
    wrong = distance(found.values, in_log_alpha(lambda u: net(u)[:, 1], x, 0 * x))
    assert float(wrong.min()) > 100
    assert bool((found.details["map_error"] > wrong / 10).all())
    assert not found.details["correction"].any()
    assert torch.equal(found.details["residual"], found.details["residual_corrected"])


@MISSED
@pytest.mark.parametrize("evaluations", [8, 12, 20, 33, 50, 64, 100, 200, 400])
def test_singular_paths_keep_to_their_budget_and_to_their_estimate(evaluations: int) -> None:
    for name in ("root", "both ends", "root that ends at x"):
        h, x, base, _ = SEPARABLE[name]
        f = lambda u, h=h: h(u).flatten(1).sum(1)
        found = pb.attribute(f, x, baseline=base, method=f"{SPEC}(tol=1e-9, max_evaluations={evaluations})")
        assert found.settings["evaluations"]["gradient"] == int(found.details["evaluations"].sum())
        assert bool((found.details["evaluations"] <= evaluations).all())
        true = h(x) - h(base)
        assert bool((distance(found.values, true) < 3 * found.details["map_error"] + 1e-7).all())


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_singular_and_regular_examples_share_a_batch(rows: int) -> None:
    f, base = lambda u: u.sqrt().flatten(1).sum(1), torch.zeros(3, 1, 6, dtype=torch.float64)
    base[1] = 0.5
    found = pb.attribute(f, X, baseline=base, batch_size=rows)
    assert len(found.details["evaluations"].unique()) == 2
    for example in range(3):
        alone = pb.attribute(f, X[example : example + 1], baseline=base[example : example + 1])
        torch.testing.assert_close(found.values[example], alone.values[0], rtol=1e-10, atol=1e-12)


def test_nodes_and_weights_of_a_singular_path_give_its_map() -> None:
    found = pb.attribute(lambda u: u.sqrt().flatten(1).sum(1), X)
    nodes, weights = found.details["nodes"], found.details["weights"]
    assert bool(((nodes > 0) == (weights != 0)).all())
    one = nodes.where(nodes > 0, 1)[:, :, None] * X.flatten(1)[:, None]
    shares = torch.einsum("en,enk->ek", weights, 0.5 * one.rsqrt()) * X.flatten(1)
    torch.testing.assert_close(shares, found.values.flatten(1), rtol=1e-10, atol=1e-12)


def test_a_missed_tolerance_is_said_once_per_call_and_in_the_repr() -> None:
    f, domains = UNRESOLVED["a root inside"], ["pixel", "dct", "polar"]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        maps = pb.attribute(f, X, transform=domains)
        longer = pb.attribute(f, X, method=f"{SPEC}(keep=True)").resume(f, X)
        whole = pb.attribute(f, X, method=f"{SPEC}(tol=0)")
        pb.attribute(lambda u: u.exp().flatten(1).sum(1), X)
    texts = [str(one.message) for one in said]
    assert len(texts) == 3
    assert all(one.category is ConvergenceWarning and one.filename == __file__ for one in said)
    assert all("3 of 3 examples not converged (map_error up to " in text and len(text) <= 300 for text in texts)
    assert all("allow more than max_evaluations=200, or a larger tol than 0.01" in text for text in texts)
    assert all("3 of 3 examples not converged (map_error up to " in repr(one) for one in (*maps, longer))
    assert "converged" not in repr(whole)  # no tolerance was asked for


@pytest.mark.parametrize("sharpness", [20.0, 45.0, 60.0])
def test_a_softmax_that_underflows_has_the_map_of_double_precision(sharpness: float) -> None:
    """Its gradient is 1e-40 on a part of the path; its inverse is no number of single precision."""
    weight = normal(6, 6, seed=1)
    for column in range(6):
        model = lambda x, column=column: (x @ weight.to(x) * sharpness).softmax(1)[:, column]
        x = normal(2, 6, seed=2).abs() + 0.2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pb.attribution.ConvergenceWarning)
            found, right = (pb.attribute(model, each).values for each in (x.float(), x))
        torch.testing.assert_close(found.double(), right, rtol=0, atol=1e-4)
