"""Callables as methods: what they receive, what they may change, and that every change is undone and named."""

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.subjects import normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.attribution import targets
from pullback.axioms import NAMES
from pullback.axioms.rewrites.modules import small_network

Method = Callable[[nn.Module, Tensor, Any, Tensor], Tensor]


def taylor(f: nn.Module, z: Tensor, target: Tensor, z0: Tensor) -> Tensor:
    """Gradient × displacement, as code around Captum writes it."""
    z = z.detach().requires_grad_()
    return (z - z0) * torch.autograd.grad(f(z).gather(1, target[:, None]).sum(), z)[0]


# The target --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [1, [1, 1], (1, 1), torch.tensor([1, 1]), torch.tensor(1), np.int64(1), torch.tensor([1, 1], dtype=torch.int32)],
    ids=repr,
)
def test_a_class_target_is_one_int64_tensor_in_every_law(given: Any) -> None:
    seen: list[Any] = []

    def method(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
        seen.append((type(target), target.dtype, tuple(target.shape), len(z)))
        target.fill_(target[0])  # a method may write into it
        return taylor(f, z, target, z0)

    report = pb.axioms.check(small_network((1, 6)).double(), normal(2, 1, 6), given, method=method)
    assert {entry[:2] for entry in seen} == {(Tensor, torch.int64)}
    assert all(shape == (rows,) for *_, shape, rows in seen)
    assert report.holds("batch_independence")


def test_captum_like_callables_take_the_target_as_it_comes() -> None:
    captum = pytest.importorskip("captum.attr")
    methods: dict[str, Method] = {
        "saliency": lambda f, z, target, z0: captum.Saliency(f).attribute(z.requires_grad_(), target=target, abs=False),
        "integrated": lambda f, z, target, z0: captum.IntegratedGradients(f).attribute(z, z0, target=target, n_steps=8),
        "shapley": lambda f, z, target, z0: captum.ShapleyValueSampling(f).attribute(z, z0, target=target, n_samples=2),
        "deep": lambda f, z, target, z0: captum.DeepLift(f).attribute(z, z0, target=target),
    }
    for name, method in methods.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report = pb.axioms.check(small_network((1, 6)).double(), normal(3, 1, 6), [2, 0, 1], method=method, axioms="dummy")
        assert report.holds("dummy"), (name, str(report))


def test_other_targets_arrive_as_they_were_given() -> None:
    seen: list[Any] = []

    def method(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
        seen.append(target)
        return torch.zeros_like(z)

    model, x, last = small_network((1, 6)).double(), normal(2, 1, 6), lambda output: output[:, -1]
    pb.axioms.check(model, x, last, method=method, axioms="dummy")
    assert seen
    assert all(target is last for target in seen)
    seen.clear()
    pb.axioms.check(small_network((1, 6), classes=1).double(), x, None, method=method, axioms="dummy")
    assert seen
    assert all(target is None for target in seen)


def test_targets_that_depend_on_the_output_are_fixed_at_x() -> None:
    model, x = small_network((1, 6)).double(), normal(3, 1, 6)
    seen: list[Any] = []

    def method(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
        seen.append(target)
        return taylor(f, z, target, z0)

    pb.axioms.check(model, x, targets.predicted(), method=method, axioms="batch_independence")
    assert torch.equal(seen[0], model(x[:1]).argmax(1))
    report = pb.axioms.check(
        model, x, targets.difference(2, 0), method="integrated_gradients", axioms=["completeness", "linearity"]
    )
    assert all(f.holds for f in report), str(report)
    with pytest.raises(ValueError, match="one example at a time"):
        pb.axioms.check(model, torch.cat([x, -3 * x]), targets.top_k(2), method="gradient", axioms="dummy")


# What a method may do wrong ----------------------------------------------------------------------------------------------


def leaky(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
    """Returns the right map, and leaves everything else changed."""
    values = taylor(f, z, target, z0).detach()
    torch.set_default_dtype(torch.float16)
    torch.set_grad_enabled(False)
    torch.autograd.set_detect_anomaly(True)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    warnings.simplefilter("always")
    nn.modules.module.register_module_forward_hook(lambda module, args, output: None)
    f.train()
    layer = next(m for m in f.modules() if isinstance(m, nn.Linear))
    layer.register_forward_hook(lambda module, args, output: 2 * output)
    layer.weight.requires_grad_(False)
    layer.bias.grad = torch.ones_like(layer.bias)
    with torch.no_grad():
        layer.weight.mul_(2)
    z.zero_()
    z0.fill_(7)
    return values


def ambient() -> tuple[Any, ...]:
    return (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.is_anomaly_enabled(),
        random.getstate(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_rng_state().tolist(),
        list(warnings.filters),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
        len(nn.modules.module._global_forward_hooks),
    )


@pytest.mark.parametrize("explode", [False, True])
def test_leaks_are_named_and_nothing_leaks(explode: bool) -> None:
    def method(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
        values = leaky(f, z, target, z0)
        if explode:
            raise KeyError("after the leak")
        return values

    model, x = small_network((1, 6)).double(), normal(2, 1, 6)
    before, weights, kept = ambient(), [p.detach().clone() for p in model.parameters()], x.clone()
    report = pb.axioms.check(model, x, 0, method=method)
    assert ambient() == before
    assert torch.equal(x, kept)
    assert all(torch.equal(a, b) and a.requires_grad and a.grad is None for a, b in zip(model.parameters(), weights))
    assert not any(m.training or m._forward_hooks for m in model.modules())
    (note,) = [note for note in report.notes if "does not put back" in note]
    for name in (
        "default dtype (torch.float16)",
        "grad mode",
        "anomaly",
        "deterministic",
        "training mode of",
        "hooks on",
        "hooks on all modules",
        "numbers of",
        "requires_grad of",
        "gradients in",
    ):
        assert name in note, name
    clean = pb.axioms.check(model, x, 0, method=taylor)
    assert not clean.notes
    expected = [None] * len(NAMES) if explode else [f.holds for f in clean]
    assert [f.holds for f in report] == expected, str(report)


def test_a_method_that_raises_everywhere_is_reported_law_by_law() -> None:
    def broken(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
        raise ZeroDivisionError("never works")

    report = pb.axioms.check(small_network((1, 6)).double(), normal(2, 1, 6), 0, method=broken)
    assert [f.axiom for f in report] == list(NAMES)
    for finding in report:
        assert finding.verdict == "not applicable"
        assert "ZeroDivisionError: never works" in finding.reason
    assert "never works" in report.to_html()
    assert pb.axioms.AxiomReport.from_dict(report.to_dict()) == report


# One bar for completeness ------------------------------------------------------------------------------------------------


class Steep(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(12 * x.flatten(1).mean(1, keepdim=True) - 6)


@pytest.mark.parametrize(("steps", "kept"), [(6, False), (8, False), (14, True)])
def test_the_same_residual_has_the_same_verdict_for_ours_and_theirs(steps: int, kept: bool) -> None:
    ours = f"integrated_gradients(steps={steps}, rule=midpoint)"

    def theirs(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
        return pb.attribute(f, z, target, method=ours, baseline=z0).values

    x = torch.ones(1, 1, 4).double()
    a, b = (pb.axioms.check(Steep(), x, method=method, axioms="completeness")["completeness"] for method in (ours, theirs))
    assert a.residual == pytest.approx(b.residual, rel=1e-9)
    assert a.tolerance == pytest.approx(b.tolerance, rel=1e-9)
    assert a.tolerance == pytest.approx(1e-2, rel=1e-3)
    assert a.holds is b.holds is kept
    if 1e-2 < a.residual <= 5e-2:
        assert "5 % that the literature accepts" in a.reason
        assert "5 % that the literature accepts" in b.reason


def test_a_certified_map_tells_its_gap_before_the_correction_and_its_order() -> None:
    model, x = smooth_net((1, 12)), normal(1, 1, 12)
    method = "integrated_gradients(tol=0, max_evaluations=32)"
    finding = pb.axioms.check(model, x, 0, method=method, axioms="completeness")["completeness"]
    details = finding.details
    assert finding.residual < 1e-12
    assert 1e-11 < details["before its correction"] < 1e-2
    assert details["order"] > 2  # the path is smooth, and so the rule converges fast
    assert set(map(int, details["gap by steps"])) == {24, 31}
    assert "before its correction" in finding.reason
    assert details["quadrature"] + details["dtype"] + details["inverse"] == pytest.approx(finding.residual, abs=1e-14)


def test_a_sampler_that_cannot_tell_gets_no_verdict() -> None:
    def guess(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
        return taylor(f, z, target, z0) * (1 + 3 * torch.randn((), dtype=torch.double))

    report = pb.axioms.check(small_network((1, 6)).double(), normal(2, 1, 6), 0, method=guess)
    for axiom in ("completeness", "input_shift_invariance"):
        assert report[axiom].verdict == "not applicable"
        assert "take more samples" in report[axiom].reason
    assert report.holds("determinism") is False


# Precision ---------------------------------------------------------------------------------------------------------------


class Rough(nn.Module):
    """A network whose gradient varies so fast that single precision is wrong by one per cent."""

    def __init__(self) -> None:
        super().__init__()
        self.net = smooth_net((1, 6))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(2000 * self.net(x))


def test_rounding_is_measured_against_double_precision() -> None:
    report = pb.axioms.check(
        Rough().float(), normal(2, 1, 6, dtype=torch.float32), 0, method="gradient", axioms="implementation_invariance"
    )
    finding = report["implementation_invariance"]
    assert finding.holds, str(report)
    assert "noise floor of the model" in finding.tolerance_source


def test_a_broken_law_in_single_precision_is_measured_again_in_double(monkeypatch: pytest.MonkeyPatch) -> None:
    from pullback.axioms.trial import Trial

    monkeypatch.setattr(Trial, "noise_floor", 0.0)
    model, x = Rough().float(), normal(2, 1, 6, dtype=torch.float32)
    finding = pb.axioms.check(model, x, 0, method="gradient", axioms="implementation_invariance")["implementation_invariance"]
    assert finding.holds
    assert "decided in double precision" in finding.reason

    def offset(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
        odd = any(isinstance(m, nn.Linear) and m.bias is None for m in f.modules())
        return taylor(f, z, target, z0) * (1.002 if odd else 1)

    smooth = smooth_net((1, 6)).float()
    wrong = pb.axioms.check(smooth, x, 0, method=offset, axioms="implementation_invariance")["implementation_invariance"]
    assert wrong.holds is False
    assert "decided in double precision" in wrong.reason
    assert "changed by factor_linear" in wrong.reason


# What it costs -----------------------------------------------------------------------------------------------------------


def test_a_full_check_of_certified_gradients_costs_a_few_maps() -> None:
    seen: list[tuple[int, int]] = []
    report = pb.axioms.check(
        small_network((1, 12)).double(),
        normal(1, 1, 12),
        0,
        method="integrated_gradients(tol=0)",
        progress=lambda done, planned: seen.append((done, planned)),
    )
    assert [finding.axiom for finding in report] == list(NAMES)
    assert seen == [(done, len(NAMES)) for done in range(len(NAMES) + 1)]
    assert report.evaluations < 7 * 200
    assert "max_evaluations=24" in report.notes[0]
