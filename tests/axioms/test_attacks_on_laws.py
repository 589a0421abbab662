"""Attacks on the laws: numbers whose squares underflow, scores that rounding hides, methods that recognise the checker."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.controls import integrate, spreads_a_tenth
from support.subjects import normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.axioms import NAMES
from pullback.axioms.rewrites.modules import small_network
from pullback.transforms.laws import relative_distance

KEEPER = {"input_shift_invariance"}  # with the zero baseline, which does not move
LOCAL = {"completeness", "sensitivity", "affine_invariance"}  # what a gradient breaks


def broken(report: pb.axioms.AxiomReport) -> set[str]:
    assert all(f.holds is not None for f in report), str(report)
    return {f.axiom for f in report if not f.holds}


class Affine(nn.Module):
    """gain · f(x) + offset."""

    def __init__(self, model: nn.Module, gain: float, offset: float = 0.0) -> None:
        super().__init__()
        self.model, self.gain, self.offset = model, gain, offset

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * self.model(x) + self.offset


def affine(gain: float, offset: float, dtype: torch.dtype) -> tuple[nn.Module, Tensor]:
    return Affine(small_network((1, 8)).to(dtype), gain, offset).eval(), normal(2, 1, 8, dtype=dtype)


# Small and large numbers -------------------------------------------------------------------------------------------------

SCALES = [
    (1e-30, 0.0, torch.float),
    (1.0, 1e4, torch.float),
    (1.0, 1e8, torch.float),
    (1e-200, 0.0, torch.double),
    (1e-12, 1.0, torch.double),
]


@pytest.mark.parametrize(("gain", "offset", "dtype"), SCALES)
def test_verdicts_do_not_depend_on_the_scale_of_the_score(gain: float, offset: float, dtype: torch.dtype) -> None:
    model, x = affine(gain, offset, dtype)
    assert broken(pb.axioms.check(model, x, 0, method="integrated_gradients")) == KEEPER
    assert broken(pb.axioms.check(model, x, 0, method="gradient")) == LOCAL


@pytest.mark.parametrize("gain", [1e30, 1e200])
def test_verdicts_on_very_large_scores(gain: float) -> None:
    model, x = affine(gain, 0, torch.float if gain < 1e38 else torch.double)
    assert broken(pb.axioms.check(model, x, 0, method="gradient")) == LOCAL


@pytest.mark.parametrize("dtype", [torch.float, torch.double])
@pytest.mark.parametrize("exponent", [-40, 0, 30, -300, 300])
def test_maps_are_compared_at_any_size(exponent: int, dtype: torch.dtype) -> None:
    if dtype == torch.float and not -38 < exponent < 38:
        exponent //= 10
    a = normal(2, 1, 6).mul(10.0**exponent).to(dtype)
    assert relative_distance(a, 1.01 * a) == pytest.approx(0.01 / 1.01, rel=1e-5)
    assert relative_distance(a, a) == relative_distance(0 * a, 0 * a) == 0
    assert relative_distance(a, a / 0) == float("inf")


def loud(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
    """|gradient|: not linear."""
    z = z.detach().requires_grad_()
    return torch.autograd.grad(f(z).gather(1, target[:, None]).sum(), z)[0].abs()


def test_breakers_are_caught_at_small_scales() -> None:
    model, x = affine(1e-30, 0, torch.float)
    wrong = pb.axioms.check(model, x, 0, method=loud, axioms=["linearity", "affine_invariance"])
    assert broken(wrong) == {"linearity", "affine_invariance"}
    assert broken(pb.axioms.check(model, x, 0, method=spreads_a_tenth, axioms=["dummy", "determinism"])) == {"dummy"}


def test_scores_that_rounding_hides_are_measured_in_double_or_not_at_all() -> None:
    model, x = affine(1, 1e8, torch.float)
    finding = pb.axioms.check(model, x, 0, method="gradient", axioms="completeness")["completeness"]
    assert finding.holds is False
    assert "rounding hides" in finding.reason
    model, x = affine(1e-16, 1.0, torch.double)
    hidden = pb.axioms.check(model, 1e3 * x, 0, method=loud, axioms="completeness")["completeness"]
    assert hidden.verdict == "not applicable"
    assert "take another baseline" in hidden.reason


class Even(nn.Module):
    """(x₀ - ½)² of the first sample: f(1) = f(0), with a slope on the way."""

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1)[:, :1] - 0.5).square()


@pytest.mark.parametrize(("share", "kept"), [(0.0, True), (1e-3, False)])
def test_nothing_may_be_shared_out_where_the_score_does_not_change(share: float, kept: bool) -> None:
    def method(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
        return torch.full_like(z, share)

    report = pb.axioms.check(Even(), torch.ones(2, 1, 4).double(), method=method, axioms="completeness")
    assert report.holds("completeness") is kept
    assert pb.axioms.check(Even(), torch.ones(2, 1, 4).double(), method="integrated_gradients", axioms="completeness").holds(
        "completeness"
    )


def test_a_model_in_half_precision_is_added_to() -> None:
    model = small_network((1, 8)).bfloat16()
    x = normal(2, 1, 8, dtype=torch.float)
    assert broken(pb.axioms.check(model, x, 0, method="gradient")) == LOCAL
    assert pb.axioms.check(model, x, 0, method=loud, axioms="linearity").holds("linearity") is False


# Methods that watch the checker ------------------------------------------------------------------------------------------


def watching(look: Callable[[nn.Module], float]) -> Callable[..., Tensor]:
    """Integrated gradients times 1 + look(f) / 1000."""
    return lambda f, z, target, z0: integrate(f, z, target, z0, nodes=6) * (1 + 1e-3 * look(f))


def test_what_depends_on_the_call_is_not_deterministic() -> None:
    calls, seen = itertools.count(), dict[int, int]()
    generator = torch.Generator().manual_seed(0)
    watchers = {
        "count": lambda f: next(calls),
        "id": lambda f: seen.setdefault(id(f), len(seen)),
        "own generator": lambda f: float(torch.rand((), generator=generator)),
    }
    for name, look in watchers.items():
        report = pb.axioms.check(smooth_net((1, 6)), normal(1, 1, 6), 1, method=watching(look), axioms="determinism")
        assert report.holds("determinism") is False, name
    fixed = pb.axioms.check(smooth_net((1, 6)), normal(1, 1, 6), 1, method=watching(lambda f: 0.5), axioms="determinism")
    assert fixed.holds("determinism")


def test_a_constant_map_keeps_only_what_a_constant_keeps() -> None:
    report = pb.axioms.check(
        small_network((1, 8)).double(), normal(2, 1, 8), 0, method=lambda f, z, target, z0: torch.ones_like(z)
    )
    assert broken(report) == {"completeness", "dummy", "linearity"}  # its total is one number everywhere


def test_even_shares_of_the_difference_are_complete_and_not_a_dummys() -> None:
    def even(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
        with torch.no_grad():
            delta = (f(z) - f(z0)).gather(1, target[:, None])
        return (delta / z[0].numel()).reshape(-1, 1, 1).expand_as(z)

    report = pb.axioms.check(small_network((1, 8)).double(), normal(2, 1, 8), 0, method=even)
    assert broken(report) == {"dummy", "input_shift_invariance"}


def test_a_method_for_one_architecture_is_still_judged_where_it_runs() -> None:
    def picky(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
        assert any(type(module).__name__ == "Affine" for module in f.modules()), "made for another network"
        return loud(f, z, target, z0)

    model, x = affine(1, 0, torch.double)
    report = pb.axioms.check(model, x, 0, method=picky, axioms=["completeness", "determinism", "sensitivity"])
    assert report.holds("completeness") is False
    assert report.holds("determinism")
    assert "made for another network" in report["sensitivity"].reason


# Other inputs ------------------------------------------------------------------------------------------------------------


class Pair(nn.Module):
    """A network of an image and a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.vector = small_network((1, 3, 3)), small_network((4,), seed=1)

    def forward(self, image: Tensor, vector: Tensor) -> Tensor:
        return self.image(image) + self.vector(vector)


def test_a_model_of_several_inputs_is_judged_on_all_of_them_at_once() -> None:
    parts = normal(2, 1, 3, 3), normal(2, 4, seed=1)
    joint = pb.attribution.Joint(Pair().double().eval(), parts)
    for transform in ("pixel", "dct"):
        x = joint.pack(*parts)
        assert broken(pb.axioms.check(joint, x, 0, method="integrated_gradients", transform=transform)) == KEEPER
        assert broken(pb.axioms.check(joint, x, 0, method="gradient", transform=transform)) == LOCAL


DOMAINS = {
    (1, 40): ["swt(haar, level=1)", "laplacian(levels=1)"],
    (2, 9): ["dtcwt(level=1)"],
    (3, 6, 7): ["laplacian(levels=1)"],
    (1, 4, 5, 3): ["dwt(haar, level=1)", "swt(haar, level=1)"],
}


@pytest.mark.parametrize(("shape", "transform"), [(s, t) for s, ts in DOMAINS.items() for t in ts], ids=str)
def test_one_signal_of_any_kind_in_a_domain_with_more_coefficients(shape: tuple[int, ...], transform: str) -> None:
    model, x = small_network(shape).double(), normal(1, *shape)
    assert broken(pb.axioms.check(model, x, 0, method="integrated_gradients", transform=transform)) == KEEPER
    assert broken(pb.axioms.check(model, x, 0, method="gradient", transform=transform)) == LOCAL
    spread = lambda f, z, target, z0: _spread(f, z, target, z0)
    wrong = pb.axioms.check(model, x, 0, method=spread, transform=transform, axioms=["dummy", "determinism"])
    assert broken(wrong) == {"dummy"}


def _spread(f: nn.Module, z: Tensor, target: Tensor, z0: Tensor) -> Tensor:
    values = z * loud(f, z, target, z0)
    return values + 0.1 * values.abs().flatten(1).mean(1).reshape(-1, *[1] * (z.ndim - 1))


# The caller's own tolerance ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axiom", NAMES)
def test_a_larger_tolerance_never_breaks_a_law_and_a_smaller_one_never_mends_it(axiom: str) -> None:
    model, x = small_network((1, 8)).double(), normal(2, 1, 8)
    for method in ("gradient", loud):
        residuals = [pb.axioms.check(model, x, 0, method=method, axioms=axiom, tolerance=bar)[axiom] for bar in (0.0, 0.5, 1e9)]
        holds = [bool(finding.holds) for finding in residuals]
        assert holds == sorted(holds), (method, holds)
        assert holds[-1]
        assert all(f.tolerance_source.startswith("given by the caller") for f in residuals)


@pytest.mark.parametrize("tolerance", [-1e-9, float("nan"), float("inf"), "1e-3", True])
def test_tolerances_that_make_no_sense_are_refused(tolerance: Any) -> None:
    with pytest.raises(ValueError, match="tolerance must be a finite number of at least 0"):
        pb.axioms.check(small_network((1, 8)).double(), normal(2, 1, 8), 0, method="gradient", tolerance=tolerance)
