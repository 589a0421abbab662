"""Rule 6 of numerics: model, input and torch's state are as before, after success and after an exception."""

import gc
import weakref

import pytest
import torch
from support.every_method import SHAPE, least, methods, run
from support.subjects import AsModule, normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.attribution import Estimator


class Explodes(nn.Module):
    """A model that raises at its n-th call."""

    def __init__(self, inner: nn.Module, at: int) -> None:
        super().__init__()
        self.inner, self.at, self.calls = inner, at, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.at:
            raise RuntimeError("boom")
        return self.inner(x)


def state(model: nn.Module, x: Tensor) -> tuple[object, ...]:
    hooks = [len(m._forward_hooks) + len(m._backward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    values = [p.detach().clone() for p in model.parameters()] + [x.detach().clone()]
    flags = [p.requires_grad for p in model.parameters()] + [x.requires_grad, torch.is_grad_enabled()]
    return [m.training for m in model.modules()], hooks, gradients, values, flags, torch.get_rng_state()


def same(a: object, b: object) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(same, a, b))
    return a == b


@methods
@pytest.mark.parametrize("explode", [False, True])
def test_6_everything_is_as_before_also_after_an_exception(method: Estimator, explode: bool) -> None:
    model = Explodes(smooth_net(SHAPE), 2 if explode else -1)
    next(model.parameters()).requires_grad_(False)
    list(model.parameters())[1].grad = torch.ones_like(list(model.parameters())[1])
    x = normal(2, *SHAPE).requires_grad_()
    before = state(model, x)
    if explode:
        with pytest.raises(RuntimeError, match="boom"):
            run(model, x, method, batch_size=least(method))  # so that each method has a second call
    else:
        for att in run(model, x, method, batch_size=7):
            assert not att.values.requires_grad
            assert att.values.grad_fn is None
            assert att.covector is None or att.covector.grad_fn is None
    assert same(state(model, x), before)


def test_6_the_check_of_state_catches_a_leak() -> None:
    model, x = smooth_net(SHAPE), normal(2, *SHAPE)
    before = state(model, x)
    model(x).sum().backward()
    assert not same(state(model, x), before)
    before = state(model, x)
    torch.rand(1)
    assert not same(state(model, x), before)


@methods
def test_6_works_under_no_grad_and_inference_mode(method: Estimator) -> None:
    model, x = smooth_net(SHAPE), normal(2, *SHAPE)
    reference = run(model, x, method)
    with torch.no_grad():
        quiet = run(model, x, method)
    with torch.inference_mode():
        inference = run(model, x.clone(), method)
    for a, b, c in zip(reference, quiet, inference):
        torch.testing.assert_close(a.values, b.values, rtol=0, atol=0)
        torch.testing.assert_close(a.values, c.values, rtol=0, atol=0)


def test_6_models_are_freed() -> None:
    model = smooth_net(SHAPE)
    att = pb.attribute(model, normal(1, *SHAPE), 0, transform=["dct", "dft"])
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert len(att) == 2


class WritesIntoInput(nn.Module):
    """f(x) = Σ (2x)², computed in place."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(2).flatten(1).square().sum(1)


@methods
def test_6_a_model_that_works_in_place_does_not_reach_the_users_tensors(method: Estimator) -> None:
    x = normal(2, *SHAPE)
    kept = x.clone()
    quiet = AsModule(lambda x: (2 * x).flatten(1).square().sum(1))
    for a, b in zip(run(WritesIntoInput(), x, method, target=None), run(quiet, kept.clone(), method, target=None)):
        torch.testing.assert_close(a.values, b.values, rtol=1e-9, atol=1e-11)
    assert torch.equal(x, kept)


def test_6_results_do_not_change_when_x_does() -> None:
    x = normal(2, *SHAPE)
    att = pb.attribute(smooth_net(SHAPE), x, 0)
    before = att.coefficients.clone(), att.displacement.clone()
    x.zero_()
    assert torch.equal(att.coefficients, before[0])
    assert torch.equal(att.displacement, before[1])


def test_compiled_models_give_the_same_map() -> None:
    model, x = smooth_net(SHAPE), normal(2, *SHAPE)
    compiled = torch.compile(model, backend="eager")
    for method in ("gradient", "integrated_gradients(steps=3)", "gradient"):
        torch.testing.assert_close(
            pb.attribute(compiled, x, 0, method=method).values,
            pb.attribute(model, x, 0, method=method).values,
            rtol=0,
            atol=1e-12,
        )
