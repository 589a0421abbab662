"""Verdicts are the known ones, each law catches a method that breaks it alone, and no verdict depends on the seed."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.controls import CONTROLS, draws, integrate, judged, keeper, surprises
from support.subjects import Untraceable, normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.attribution.methods.integrated_gradients.quadrature import gauss_legendre
from pullback.axioms import NAMES
from pullback.axioms.method_laws import LAWS
from pullback.axioms.outcome import Outcome
from pullback.axioms.rewrites.modules import small_network
from pullback.axioms.tolerances import Tolerance
from pullback.axioms.trial import Trial
from pullback.studies.axiom_matrix.captum_methods import captum_methods
from pullback.studies.axiom_matrix.literature import TABLE, Expectation
from pullback.studies.axiom_matrix.matrix import find_method
from pullback.transforms import Pixel

check_module = importlib.import_module("pullback.axioms.check")  # the package's `check` is the function
DOMAINS = ("pixel", "dwt(haar, level=2)", "dct", "dft", "dwt(db4, level=1, mode=reflect)", "swt(haar, level=1)")


@pytest.mark.parametrize("method", CONTROLS, ids=lambda m: m.__name__)
def test_each_law_catches_the_method_that_breaks_it_alone(method: Callable[..., Tensor]) -> None:
    report = judged(method)
    broken = {f.axiom for f in report if f.holds is False}
    assert broken == CONTROLS[method], str(report)
    assert all(f.holds is not None for f in report), str(report)
    assert all(report[axiom].counterexample for axiom in broken)


def test_sensitivity_says_which_differences_are_on_built_in_functions() -> None:
    model, x = smooth_net((1, 8)), normal(2, 1, 8)
    found = pb.axioms.check(model, x, 0, method="gradient", axioms=["sensitivity"])["sensitivity"]
    assert found.holds is False
    assert "3 of 3 differences on built-in functions got no share; 0 of 1 on the model" in found.reason
    blind = lambda f, z, target, z0: torch.zeros_like(z)
    found = pb.axioms.check(model, x, 0, method=blind, axioms=["sensitivity"])["sensitivity"]
    assert "3 of 3 differences on built-in functions got no share; 1 of 1 on the model" in found.reason
    flat = pb.axioms.check(lambda x: x.flatten(1).sum(1) * 0, x, method=blind, axioms=["sensitivity"])["sensitivity"]
    assert flat.reason.startswith("3 of 3 differences on built-in functions got no share")
    assert "on the model" not in flat.reason


def test_every_law_has_a_control() -> None:
    assert set().union(*CONTROLS.values()) == set(NAMES)
    assert all(len(broken) <= 1 for broken in CONTROLS.values())


def always(kept: bool) -> Callable[[Trial], Outcome]:
    return lambda trial: Outcome(0.0 if kept else 2.0, Tolerance(1.0, "vacuous"))


@pytest.mark.parametrize("axiom", NAMES)
def test_a_law_made_vacuous_is_noticed(axiom: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The controls notice it, and so does the table of the literature, if one of its entries breaks the law."""
    assert surprises(axiom) == []
    breakers = [entry for entry in TABLE if entry.axiom == axiom and entry.holds == bool(entry.differs)]
    for kept in (True, False):
        laws = tuple(replace(law, measure=always(kept)) if law.name == axiom else law for law in LAWS)
        monkeypatch.setattr(check_module, "LAWS", laws)
        noticed = [method for method, broken in CONTROLS.items() if broken == {axiom}] if kept else [keeper]
        assert surprises(axiom) == [method.__name__ for method in noticed]
        for entry in breakers[:1] if kept else []:
            assert not agrees(entry, verdict(entry.method, entry.axiom))
    assert breakers or axiom in NEVER_BROKEN_BY_NAMED_METHODS


NEVER_BROKEN_BY_NAMED_METHODS = {"dummy", "symmetry", "batch_independence"}


# The literature's table --------------------------------------------------------------------------------------------------


def small(dtype: torch.dtype = torch.float64, seed: int = 0, size: int = 12) -> tuple[nn.Module, Tensor]:
    return small_network((1, size), seed=seed).to(dtype), normal(2, 1, size, seed=100 + seed, dtype=dtype)


@pytest.fixture(scope="module")
def reports() -> dict[str, pb.axioms.AxiomReport]:
    """Every method of the table on one small ReLU network with biases."""
    pytest.importorskip("captum")
    model, x = small()
    known = captum_methods()
    names = dict.fromkeys(entry.method for entry in TABLE)
    return {name: pb.axioms.check(model, x, 0, method=known.get(name, name)) for name in names}


def verdict(method: str, axiom: str) -> pb.axioms.Finding:
    """One entry of the table alone."""
    model, x = small()
    return pb.axioms.check(model, x, 0, method=find_method(method), axioms=axiom)[axiom]


def agrees(entry: Expectation, finding: pb.axioms.Finding) -> bool:
    return finding.holds is (entry.holds if not entry.differs else not entry.holds)


@pytest.mark.parametrize("entry", TABLE, ids=lambda e: f"{e.method} {e.axiom}")
def test_the_literature_is_reproduced(entry: Expectation, reports: dict[str, pb.axioms.AxiomReport]) -> None:
    finding = reports[entry.method][entry.axiom]
    assert agrees(entry, finding), (entry, finding)


def test_input_x_gradient_is_complete_on_a_homogeneous_network() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(8, 6, bias=False), nn.ReLU(), nn.Linear(6, 2, bias=False)).double().eval()
    assert pb.axioms.check(net, normal(2, 1, 8), 0, method="input_x_gradient", axioms="completeness").holds("completeness")


@pytest.mark.parametrize("seed", [6, 18, 20])
def test_linearity_adds_a_network_that_responds(seed: int) -> None:
    """|gradient| is not linear. At these points all units of the first companion are dead, so that it would pass."""
    model, x = small_network((1, 8)).double(), normal(1, 1, 8, seed=seed)
    finding = pb.axioms.check(model, x, 0, method=absolute, axioms="linearity")["linearity"]
    assert finding.holds is False, finding


def absolute(f: nn.Module, z: Tensor, target: Tensor, z0: Tensor) -> Tensor:
    z = z.detach().requires_grad_()
    return torch.autograd.grad(f(z).gather(1, target[:, None]).sum(), z)[0].abs()


# Verdicts over seeds, precisions and domains -----------------------------------------------------------------------------


def batch_normalised(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
    """|gradient| divided by its maximum over the batch, times |coefficients|. Some texts call it integrated gradients."""
    z = z.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(f(z).gather(1, target[:, None]).sum(), z)
    return gradient.abs() / gradient.abs().max() * z.detach().abs()


@pytest.mark.parametrize("seed", range(20))
def test_no_false_alarm_and_no_miss(seed: int) -> None:
    dtype, domain = (torch.float64, torch.float32)[seed % 2], DOMAINS[seed // 2 % len(DOMAINS)]
    model, x = small(dtype, seed, size=10)
    kept = pb.axioms.check(model, x, 0, method="integrated_gradients", transform=domain, seed=seed)
    assert {f.axiom for f in kept if f.holds is not True} == {"input_shift_invariance"}, str(kept)
    local = pb.axioms.check(model, x, 0, method="gradient", transform=domain, seed=seed)
    assert {f.axiom for f in local if not f.holds} == {"completeness", "sensitivity", "affine_invariance"}, str(local)
    wrong = pb.axioms.check(
        model,
        x,
        0,
        method=batch_normalised,
        transform=domain,
        seed=seed,
        axioms=["completeness", "batch_independence", "linearity", "dummy"],
    )
    assert [f.holds for f in wrong] == [False, True, False, False], str(wrong)


def test_the_batch_normalised_gradient_is_caught_with_numbers() -> None:
    model, x = small()
    report = pb.axioms.check(model, x, 0, method=batch_normalised, transform="dwt(haar, level=2)")
    gap = report["completeness"].counterexample
    assert abs(gap["total"] - (gap["f(x)"] - gap["f(x₀)"])) == pytest.approx(abs(gap["gap"]))
    assert report["completeness"].residual > 0.1
    alone = report["batch_independence"].counterexample
    assert report["batch_independence"].residual > 0.01
    assert alone["alone"] != alone["in a batch"]


@pytest.mark.parametrize("domain", DOMAINS)
def test_captum_finds_the_same_verdicts_in_every_domain(domain: str) -> None:
    pytest.importorskip("captum")
    model, x = small()
    methods = captum_methods()
    axioms = ["completeness", "sensitivity", "dummy", "implementation_invariance", "linearity"]
    verdicts = {
        name: [f.holds for f in pb.axioms.check(model, x, 0, method=methods[name], transform=domain, axioms=axioms)]
        for name in ("captum.DeepLift", "captum.GuidedBackprop")
    }
    assert verdicts["captum.DeepLift"][:4] == [True, True, True, False]
    assert verdicts["captum.GuidedBackprop"][:2] == [False, False]
    assert verdicts["captum.GuidedBackprop"][3] is False


def test_rules_for_modules_are_caught_where_the_network_has_none_of_them() -> None:
    """DeepLift has no rule for ReLU6, and is a gradient there, until ReLU6 is written with ReLU."""
    pytest.importorskip("captum")
    net = nn.Sequential(nn.Flatten(), nn.Linear(8, 12), nn.ReLU6(), nn.Linear(12, 2)).double().eval()
    for number, parameter in enumerate(net.parameters()):
        parameter.data = 3 * normal(*parameter.shape, seed=number)
    report = pb.axioms.check(net, normal(2, 1, 8), 0, method=find_method("captum.DeepLift"), axioms="implementation_invariance")
    finding = report["implementation_invariance"]
    assert finding.holds is False
    assert "identity_residual" in finding.reason
    assert not any("raised" in note for note in finding.details["skipped"])


# The gap, split ----------------------------------------------------------------------------------------------------------


def test_the_gap_is_split_and_its_order_measured() -> None:
    model, x = smooth_net((1, 8)), normal(2, 1, 8)
    midpoint = pb.axioms.check(model, x, 0, method="integrated_gradients(steps=8, rule=midpoint)")["completeness"]
    assert midpoint.holds
    assert midpoint.details["order"] == pytest.approx(2, abs=0.2)
    assert midpoint.details["dtype"] == 0
    assert midpoint.details["quadrature"] == pytest.approx(midpoint.residual, rel=1e-6) or midpoint.details[
        "quadrature"
    ] == pytest.approx(-midpoint.residual, rel=1e-6)
    single = pb.axioms.check(model.float(), x.float(), 0, method="integrated_gradients(steps=32)")["completeness"]
    assert 0 < abs(single.details["dtype"]) < 1e-4
    assert abs(single.details["quadrature"]) < 1e-9


def test_an_inverse_that_is_not_exact_shows_in_its_part() -> None:
    class Rounded(Pixel):
        def synthesis(self, z: Tensor) -> Tensor:
            return z + 1e-3

    report = pb.axioms.check(smooth_net((1, 8)), normal(1, 1, 8), 0, method="integrated_gradients", transform=Rounded((1, 8)))
    assert abs(report["completeness"].details["inverse"]) > 1e-6


def test_too_few_steps_are_broken_with_advice() -> None:
    class Steep(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(40 * x.flatten(1).mean(1, keepdim=True) - 20)

    report = pb.axioms.check(Steep(), torch.ones(1, 1, 4).double(), method="integrated_gradients(steps=4, rule=midpoint)")
    assert report.holds("completeness") is False
    assert "steps" in report["completeness"].reason


def test_a_rule_that_does_not_converge_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    from pullback.attribution.methods.integrated_gradients import estimator as paths

    biased = lambda steps: (gauss_legendre(steps)[0], 1.03 * gauss_legendre(steps)[1])
    monkeypatch.setitem(paths.RULES, "gauss_legendre", biased)
    report = pb.axioms.check(
        smooth_net((1, 8)), normal(2, 1, 8), 0, method="integrated_gradients(steps=64)", axioms="completeness"
    )
    assert report.holds("completeness") is False
    assert "no convergence" in report["completeness"].reason


# Bad input ---------------------------------------------------------------------------------------------------------------


def test_wrong_shapes_nan_and_exceptions_are_named_and_the_rest_runs() -> None:
    model, x = small()

    def pooled(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
        return z.mean(-1)

    def hollow(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
        return z / 0 * 0

    def picky(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
        if len(z) > 2:
            raise NotImplementedError("only two at once")
        return integrate(f, z, target, z0)

    shape = pb.axioms.check(model, x, 0, method=pooled)
    assert all(f.verdict == "UNUSABLE" and "tensor of z's shape, (" in f.reason for f in shape)
    assert all(
        "24 numbers that are NaN" in pb.axioms.check(model, x, 0, method=hollow)[a].reason for a in ("dummy", "linearity")
    )
    report = pb.axioms.check(model, x, 0, method=picky)
    assert report["batch_independence"].verdict == "not applicable"
    assert "NotImplementedError: only two at once" in report["batch_independence"].reason
    assert report.holds("dummy")


def test_a_model_with_dropout_on_is_named_and_judged_in_eval_mode() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(8, 6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 2)).double().train()
    x = normal(2, 1, 8)
    own = pb.axioms.check(model, x, 0, method="input_x_gradient")
    assert "Dropout '3' is in training mode" in own.notes[0]
    assert own["determinism"].verdict == "not applicable"
    assert own.holds("dummy")
    assert own.holds("implementation_invariance")
    foreign = pb.axioms.check(model, x, 0, method=keeper)
    assert foreign.holds("determinism") is False
    assert "model.eval()" in foreign["determinism"].reason
    assert foreign.holds("dummy")
    assert model.training
    assert model[3].training


def test_an_untraceable_model_is_named_and_still_rewritten_by_surgery() -> None:
    report = pb.axioms.check(Untraceable().double().eval(), normal(1, 1, 8), 0, method="gradient")
    assert report.holds("implementation_invariance")
    assert any("cannot trace Untraceable" in note for note in report["implementation_invariance"].details["skipped"])
    assert report.holds("linearity")


def test_a_model_without_anything_to_rewrite_is_not_applicable() -> None:
    class Sum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1).sum(1, keepdim=True).square()

    report = pb.axioms.check(Sum(), normal(1, 1, 8), method="gradient")
    assert report["implementation_invariance"].verdict == "not applicable"
    assert "found nothing to rewrite" in report["implementation_invariance"].reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axioms": "honesty"}, "expected 'all'"),
        ({"x": torch.ones(3, dtype=torch.long)}, "floating-point"),
        ({"model": 3}, "must be a module"),
        ({"method": 3}, "must be a spec"),
        ({"method": "gradiend"}, "gradient"),
        ({"transform": "dcd"}, "dct"),
        ({"baseline": normal(7)}, "baseline"),
        ({"target": "cat"}, "target"),
    ],
)
def test_questions_that_make_no_sense_are_refused(change: dict[str, Any], message: str) -> None:
    model, x = small()
    question: dict[str, Any] = {"method": "gradient", "model": model, "x": x, "target": 0} | change
    with pytest.raises((ValueError, TypeError), match=message):
        pb.axioms.check(**question)


# Hygiene -----------------------------------------------------------------------------------------------------------------


def test_nothing_of_the_callers_is_changed() -> None:
    model, x = small()
    weights = [p.clone() for p in model.parameters()]
    state, kept = torch.get_rng_state(), x.clone()
    pb.axioms.check(model, x, 0, method=draws)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(x, kept)
    assert all(torch.equal(a, b) and a.grad is None and a.requires_grad for a, b in zip(model.parameters(), weights))
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())


def test_the_same_seed_gives_the_same_report() -> None:
    model, x = small()
    assert (
        pb.axioms.check(model, x, 0, method="smoothgrad").to_dict()
        == pb.axioms.check(model, x, 0, method="smoothgrad").to_dict()
    )


def test_functions_and_callable_targets_are_accepted() -> None:
    model, x = small()
    report = pb.axioms.check(lambda rows: model(rows), x, lambda out: out[:, 1], method="integrated_gradients", transform="dct")
    assert report.holds("completeness")
    bent = pb.axioms.check(model, x, lambda out: out.log_softmax(1)[:, 1], method="integrated_gradients", axioms="linearity")
    assert "not linear" in bent["linearity"].reason


@pytest.mark.parametrize("shape", [(), (1,), (2, 2)], ids=str)
def test_outputs_of_any_shape_are_added_to(shape: tuple[int, ...]) -> None:
    last: nn.Module = nn.Flatten(0) if not shape else nn.Unflatten(1, shape)
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 4 if len(shape) > 1 else 1), last).double().eval()
    report = pb.axioms.check(
        net, normal(2, 1, 6), lambda out: out.reshape(len(out), -1)[:, 0], method="gradient", axioms="linearity"
    )
    assert report.holds("linearity"), str(report)
