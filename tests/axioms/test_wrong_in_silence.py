"""Methods that are wrong in silence: they explain another function, or mix examples a little; and models that hide it."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from support.subjects import normal
from support.uncopyable import MODELS, Holder, X, held, net
from torch import Tensor, nn

import pullback as pb
from benchmarks.scripts.axiom_verdicts import Shortcut, leaks, takes_the_shortcut
from pullback.attribution import Evaluator
from pullback.attribution.methods.gradients import Gradient
from pullback.axioms.case import Case
from pullback.axioms.rewrites.modules import small_network

SHAPE = (1, 8)


def network(dtype: torch.dtype = torch.float64) -> nn.Module:
    return small_network(SHAPE).to(dtype)


# Another function ----------------------------------------------------------------------------------------------------------


class Fused(nn.Module):
    """Another function where neither the input nor a weight takes gradients, as in torch's own TransformerEncoderLayer."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.requires_grad_(requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.network(x)
        return y if x.requires_grad and torch.is_grad_enabled() else y + 0.1 * y.sin()


def explains_probabilities(f: nn.Module, z: Tensor, target: Tensor, z0: Tensor) -> Tensor:
    return pb.attribute(lambda z: f(z).softmax(1), z, target, baseline=z0).values


def explains_half_precision(f: nn.Module, z: Tensor, target: Tensor, z0: Tensor) -> Tensor:
    coarse = lambda z: f(z.mul(4).round().div(4).detach() + z - z.detach())  # rounded on the way forward only
    return pb.attribute(coarse, z, target, baseline=z0).values


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("wrap", [Shortcut, Fused])
def test_the_function_without_gradients_is_another_one(wrap: Callable[[nn.Module], nn.Module], dtype: torch.dtype) -> None:
    model, x = wrap(network(dtype)).eval(), normal(2, *SHAPE, dtype=dtype)
    report = pb.axioms.check(model, x, 0, method=takes_the_shortcut)
    assert report.holds("completeness") is False
    for axiom in ("dummy", "linearity", "determinism", "batch_independence"):
        assert report.holds(axiom), str(report)
    right = pb.axioms.check(model, x, 0, method="integrated_gradients(steps=64)", axioms="implementation_invariance")
    assert right.holds("implementation_invariance")
    plain = pb.axioms.check(network(dtype), x, 0, method=takes_the_shortcut, axioms="completeness")
    assert plain.holds("completeness")  # the control: without a shortcut it explains the model


@pytest.mark.parametrize("method", [explains_probabilities, explains_half_precision])
def test_the_map_of_another_function_is_caught(method: Callable[..., Tensor]) -> None:
    assert not pb.axioms.check(network(), normal(2, *SHAPE), 0, method=method, axioms="completeness").holds("completeness")


def test_scores_are_read_as_gradients_see_them() -> None:
    x, plain = normal(3, *SHAPE), network()
    read_scores = lambda model, x, target: Case(model, x, 0 * x, target, pb.transforms.get("pixel", SHAPE)).scores()[0]
    for wrapped in (Shortcut(plain), Fused(plain)):
        assert torch.equal(read_scores(wrapped, x, 1), plain(x)[:, 1].detach())
    with torch.no_grad():
        assert torch.equal(read_scores(Fused(plain), x, 1), plain(x)[:, 1])
    assert not read_scores(Fused(plain), x, 1).requires_grad

    def without_gradients(x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            raise RuntimeError("this model runs in inference only")
        return x.flatten(1)

    assert torch.equal(read_scores(without_gradients, x, 1), x[:, 0, 1])


@dataclass(frozen=True)
class Mistaken(Gradient):
    """Integrated gradients whose difference of scores is off by a ten-thousandth: far below the 1 % of completeness."""

    claims = pb.attribution.MethodClaim.COMPLETE
    kind = "share"
    off: float = 1e-4

    def estimate(self, evaluator: Evaluator) -> pb.attribution.Estimate:
        found = pb.attribution.get("integrated_gradients(steps=64)").estimate(evaluator)
        x, base = evaluator.signal, evaluator.base
        difference = network()(x)[:, 0] - network()(base)[:, 0]
        return pb.attribution.Estimate(found.values, score_difference=difference.detach() * (1 + self.off))


@pytest.mark.parametrize(("off", "kept"), [(0.0, True), (1e-13, True), (1e-9, False), (1e-4, False)])
def test_the_difference_of_scores_that_a_method_states_is_that_of_f(off: float, kept: bool) -> None:
    finding = pb.axioms.check(network(), normal(2, *SHAPE), 0, method=Mistaken(off=off), axioms="completeness")["completeness"]
    assert finding.holds is kept, finding
    assert ("another function" in finding.reason) is not kept


# Examples that see each other -------------------------------------------------------------------------------------------------


def mixing(mix: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """Gradient × input, mixed among examples."""

    def method(f: nn.Module, z: Tensor, target: Tensor, z0: Tensor) -> Tensor:
        z = z.detach().requires_grad_()
        return mix(z.detach() * torch.autograd.grad(f(z).gather(1, target[:, None]).sum(), z)[0])

    return method


def only_before(values: Tensor) -> Tensor:
    return values + 0.01 * torch.cat([torch.zeros_like(values[:1]), values[:-1]])


def only_after(values: Tensor) -> Tensor:
    return values + 0.01 * torch.cat([values[1:], torch.zeros_like(values[:1])])


MIXERS: dict[str, Callable[[Tensor], Tensor]] = {
    "before": only_before,
    "after": only_after,
    "the mean": lambda values: values + 1e-3 * values.mean(0),
    "the largest": lambda values: values / values.abs().max(),
    "one coefficient": lambda values: torch.cat([values[..., :1] + 0.01 * values[..., :1].sum(0), values[..., 1:]], -1),
    "the number of examples": lambda values: values * (1 + 1e-3 * len(values)),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("name", MIXERS)
def test_a_hundredth_of_another_example_is_caught_on_either_side(name: str, count: int, dtype: torch.dtype) -> None:
    model, x = network(dtype), normal(count, *SHAPE, dtype=dtype)
    report = pb.axioms.check(model, x, 0, method=mixing(MIXERS[name]), axioms="batch_independence")
    assert report.holds("batch_independence") is False
    assert pb.axioms.check(model, x, 0, method=mixing(lambda v: v), axioms="batch_independence").holds("batch_independence")


def test_the_leak_of_the_known_verdicts_breaks_nothing_else_of_a_gradient() -> None:
    report, plain = (
        pb.axioms.check(network(), normal(2, *SHAPE), 0, method=method) for method in (leaks, mixing(lambda values: values))
    )
    assert {f.axiom for f in report if not f.holds} - {f.axiom for f in plain if not f.holds} == {"batch_independence"}


# Models that are hard to copy -------------------------------------------------------------------------------------------------

LAWS = ["completeness", "dummy", "linearity", "determinism", "batch_independence"]


def taylor(f: nn.Module, z: Tensor, target: Tensor, z0: Tensor) -> Tensor:
    for parameter in f.parameters():
        parameter.data.mul_(1)  # a method may write into its copy
    return mixing(lambda values: values)(f, z, target, z0)


@pytest.mark.parametrize("name", MODELS)
def test_models_that_are_hard_to_copy_are_judged_and_stay_as_they_were(name: str) -> None:
    model = MODELS[name]()
    before, weights = held(model), [p.detach().clone() for p in model.parameters()]
    ours = pb.axioms.check(model, X, 1, method="integrated_gradients(steps=64)", axioms=LAWS)
    assert all(f.holds for f in ours if f.axiom != "completeness"), str(ours)
    theirs = pb.axioms.check(model, X, 1, method=taylor, axioms=LAWS)
    assert [f.holds for f in theirs] == [False, True, True, True, True], str(theirs)
    assert held(model) == before
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), weights, strict=True))


def test_functions_that_use_a_model_with_a_lock_are_judged_too() -> None:
    import threading

    model = Holder(threading.Lock())
    for function in (model.forward, lambda x: model(x)):
        assert pb.axioms.check(function, X, 1, method="gradient", axioms="dummy").holds("dummy")


def test_torchscript_is_judged_by_all_laws_that_need_no_layers() -> None:
    with warnings.catch_warnings(action="ignore"):
        models: list[Any] = [torch.jit.script(net()), torch.jit.trace(net(), X), torch.jit.freeze(torch.jit.script(net()))]
    for model in models:
        for method in ("gradient", taylor):
            report = pb.axioms.check(model, X, 1, method=method)
            assert [f.axiom for f in report if f.holds is None] == ["implementation_invariance"], str(report)
