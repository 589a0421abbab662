"""create_graph=True: values can be differentiated; without it they have no graph."""

import pytest
import torch
from support.nonlinear import Sinh
from support.subjects import linear_net, normal, smooth_net
from torch import Tensor, nn

import pullback as pb

SHAPE = (1, 4, 3)
X = normal(2, *SHAPE, seed=1)
METHODS = ["gradient", "input_x_gradient", "smoothgrad(samples=3)", "integrated_gradients(steps=3, rule=midpoint)"]
DOMAINS = ["pixel", "dct", "dft", "dwt(db2, level=1)", "dwt(db2, level=1, mode=symmetric)", Sinh(SHAPE)]


def values(model: nn.Module, x: Tensor, method: str, domain: object, **options: object) -> Tensor:
    return pb.attribute(model, x, 1, method=method, transform=domain, **options).values  # type: ignore[arg-type, call-overload]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("domain", DOMAINS, ids=str)
def test_the_graph_changes_no_number_and_is_there_only_when_asked_for(method: str, domain: object) -> None:
    net = smooth_net(SHAPE)
    plain, graph = (values(net, X, method, domain, create_graph=flag) for flag in (False, True))
    assert not plain.requires_grad
    assert graph.requires_grad
    torch.testing.assert_close(graph.detach(), plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
@pytest.mark.parametrize("method", [m for m in METHODS if "smooth" not in m])
def test_derivative_with_respect_to_x_is_the_numerical_one(method: str, domain: object) -> None:
    net = smooth_net(SHAPE)
    x = X[:1].clone().requires_grad_()
    probe = normal(*values(net, X[:1], method, domain).shape, seed=7)
    read = lambda x: (probe * values(net, x, method, domain, create_graph=True)).sum()
    (found,) = torch.autograd.grad(read(x), x)
    step = 1e-5 * normal(*x.shape, seed=8)
    numerical = (read(x.detach() + step) - read(x.detach() - step)) / 2
    torch.testing.assert_close((found * step).sum(), numerical.detach(), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 3, "auto"])
@pytest.mark.parametrize("method", METHODS)
def test_derivative_with_respect_to_the_parameters_is_the_numerical_one(method: str, rows: object) -> None:
    net = smooth_net(SHAPE)
    weight = net[1].weight  # type: ignore[index]
    probe = normal(*X.shape, seed=7)
    read = lambda: (probe * values(net, X, method, "dct", create_graph=True, batch_size=rows)).sum()
    (found,) = torch.autograd.grad(read(), weight)
    step = 1e-5 * normal(*weight.shape, seed=8)
    ends = []
    for sign in (1, -2):
        weight.data += sign * step
        ends.append(read().detach())
    torch.testing.assert_close((found * step).sum(), (ends[0] - ends[1]) / 2, rtol=1e-7, atol=1e-12)


def test_linear_model_in_closed_form() -> None:
    """a = z ⊙ T w, so ∂⟨c, a⟩/∂w = T⁻¹(c ⊙ z)."""
    net = linear_net(SHAPE)
    c = normal(*X.shape, seed=9)
    found = pb.attribute(net, X, method="input_x_gradient", transform="dct", create_graph=True)
    (slope,) = torch.autograd.grad((c * found.values).sum(), net[1].weight)  # type: ignore[index]
    expected = found.transform.inverse(c * found.transform(X)).flatten(1).sum(0, keepdim=True)
    torch.testing.assert_close(slope, expected)


def test_several_domains_share_one_differentiable_stream() -> None:
    net = smooth_net(SHAPE)
    x = X.clone().requires_grad_()
    many = pb.attribute(net, x, 0, method=METHODS[3], transform=["pixel", "dct"], create_graph=True)
    totals = [att.values.flatten(1).sum() for att in many]
    slopes = [torch.autograd.grad(total, x, retain_graph=True)[0] for total in totals]
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-10, atol=1e-12)
    assert slopes[0].abs().sum() > 0


def test_delta_and_baseline_are_differentiable_too() -> None:
    net = smooth_net(SHAPE)
    base = normal(*SHAPE, seed=3).requires_grad_()
    found = pb.attribute(net, X, 0, method="input_x_gradient", baseline=base, create_graph=True)
    (slope,) = torch.autograd.grad(found.score_difference.sum(), base, retain_graph=True)
    point = base.detach().clone().requires_grad_()
    (expected,) = torch.autograd.grad(-2 * net(point[None])[:, 0].sum(), point)
    torch.testing.assert_close(slope, expected)
    assert torch.autograd.grad(found.values.sum(), base)[0].abs().sum() > 0


@pytest.mark.parametrize("flag", [False, True])
def test_nothing_of_the_callers_is_changed(flag: bool) -> None:
    net = smooth_net(SHAPE)
    x = X.clone().requires_grad_()
    pb.attribute(net, x, 0, method="gradient", transform="dct", create_graph=flag)
    assert x.grad is None
    assert x.requires_grad
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()


def test_a_result_with_a_graph_can_still_be_tabulated() -> None:
    found = pb.attribute(smooth_net(SHAPE), X, 0, method="gradient", transform="dct", create_graph=True)
    assert found.importance().shape[0] == 2


@pytest.mark.parametrize("method", ["mask(steps=2)", "captum(Saliency)"])
def test_methods_without_a_graph_say_so(method: str) -> None:
    with pytest.raises(ValueError, match="without create_graph"):
        values(smooth_net(SHAPE), X, method, "dct", create_graph=True)
