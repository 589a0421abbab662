"""Odd models and odd arguments: right numbers, or one clear error."""

from collections import namedtuple
from typing import Any

import numpy as np
import pytest
import torch
from support.subjects import normal, smooth_net
from torch import Tensor, nn

import pullback as pb

SHAPE = (2, 7, 6)
METHODS = ["gradient", "integrated_gradients", "smoothgrad(samples=3)", "rise(masks=9)", "mask(steps=4)"]
Pair = namedtuple("Pair", "left right")


# Arguments -------------------------------------------------------------------------------------------------------------


def scaled(x: Tensor, own: Tensor) -> Tensor:
    """One number per example, or one row of numbers per example."""
    return (x.flatten(1).sin() * own.reshape(len(own), -1)).sum(1)


PACKED: list[tuple[Any, Any]] = [  # how tensors are packed, and how the model finds them
    (lambda own: [own], lambda held: held[0]),
    (lambda own: (1, "text", [None, own]), lambda held: held[2][1]),
    (lambda own: {"deep": {"er": (own,)}}, lambda held: held["deep"]["er"][0]),
    (lambda own: Pair(own, 3), lambda held: held.left),
]


@pytest.mark.parametrize(("pack", "find"), PACKED)
@pytest.mark.parametrize("method", METHODS)
def test_tensors_follow_their_examples_inside_containers(pack: Any, find: Any, method: str) -> None:
    x, own = normal(3, *SHAPE), normal(3, 1, seed=5)
    plain = pb.attribute(scaled, x, method=method, model_args=(own,), batch_size=4)
    model = lambda x, held: scaled(x, find(held))
    for given in ({"model_args": (pack(own),)}, {"model_kwargs": {"held": pack(own)}}):
        found = pb.attribute(model, x, method=method, batch_size=4, **given)
        torch.testing.assert_close(found.values, plain.values, rtol=0, atol=0)


@pytest.mark.parametrize(("pack", "find"), PACKED)
def test_what_is_shared_is_shared_inside_containers_too(pack: Any, find: Any) -> None:
    x, weight = normal(2, 1, 2), torch.tensor([[0.0, 1.0], [2.0, 0.0]]).double()
    model = lambda x, held: (x[:, 0] @ find(held)).sum(1) if find(held).ndim == 2 and len(find(held)) == 2 else x.sum((1, 2))
    for held in (pack(pb.Broadcast(weight)), pb.Broadcast(pack(weight))):
        found = pb.attribute(model, x, method="gradient", model_args=(held,), batch_size=1)
        torch.testing.assert_close(found.values[:, 0], weight.sum(1).expand(2, 2))
    own = pb.attribute(model, x, method="gradient", model_args=(pack(weight),), batch_size=1)  # as in model(x, weight)
    torch.testing.assert_close(own.values[:, 0], weight.sum(1).expand(2, 2))
    split = pb.attribute(model, x, method="gradient", model_args=(pack(pb.PerExample(weight)),), batch_size=1)  # the control
    assert not torch.allclose(split.values[:, 0], weight.sum(1).expand(2, 2))


def test_containers_of_the_caller_are_as_they_were() -> None:
    held = {"own": [normal(3, 1)]}
    kept = held["own"][0]

    def model(x: Tensor, held: dict[str, list[Tensor]]) -> Tensor:
        return scaled(x, held["own"].pop())

    pb.attribute(model, normal(3, *SHAPE), method="integrated_gradients(steps=3)", model_args=(held,))
    assert held == {"own": [kept]}


# Which arguments follow the examples -----------------------------------------------------------------------------------


def attention(x: Tensor, mask: Tensor) -> Tensor:
    """Self-attention with an additive mask (length, length); f is a number for each of three classes."""
    weights = (x @ x.transpose(1, 2) / x.shape[-1] ** 0.5 + mask).softmax(-1)
    return (weights @ x).sin().mean(1)[:, :3]


def recurrent(x: Tensor, hidden: Tensor) -> Tensor:
    """A sum over time from a state (layers, batch, features)."""
    return (x.cumsum(1) + hidden.sum(0)[:, None]).sin().mean(1)


def over_graphs(x: Tensor, graphs: list[Tensor]) -> Tensor:
    """Messages along the edges (2, edges) of each example's own graph."""
    sums = [torch.zeros_like(v).index_add(0, edges[1], v[edges[0]]) for v, edges in zip(x, graphs)]
    return torch.stack([each.sin().sum(0) for each in sums])


def by_text(x: Tensor, texts: list[str]) -> Tensor:
    return x.sum(1).sin() * torch.tensor([[float(len(text))] for text in texts])


GRAPHS = [torch.tensor([[0, 1], [1, 2]]), torch.tensor([[0], [1]]), torch.tensor([[2, 1, 0], [1, 0, 2]])]
PER_CHANNEL = torch.tensor([0.5, 0.4, 0.3]).double().view(3, 1)
OWN_CALL: dict[str, tuple[Any, Any]] = {  # for three examples of (3, 3)
    "a mean per channel": (lambda x, mean: ((x - mean).exp()).sum(2), PER_CHANNEL),
    "weights of classes": (lambda x, weights: x.sum(2).sin() * weights, torch.tensor([1.0, 2, 3]).double()),
    "weights of examples": (lambda x, weights: x.sum(2).sin() * weights[:, None], torch.tensor([1.0, 2, 3]).double()),
    "a mask of time by time": (attention, torch.triu(torch.full((3, 3), -1e9).double(), 1)),
    "edges of one graph": (lambda x, edges: over_graphs(x, [edges] * len(x)), torch.tensor([[0, 1, 2], [1, 2, 0]])),
    "edges of each graph": (over_graphs, GRAPHS),
    "edges of each graph, alike": (over_graphs, [GRAPHS[2]] * 3),
    "a state of each example": (recurrent, normal(2, 3, 3, seed=7)),
    "a state of each example, as many layers": (recurrent, normal(3, 3, 3, seed=7)),
    "texts": (by_text, ["a", "bbb", "cc"]),
    "lengths as an array": (lambda x, own: x.sum(2) * torch.as_tensor(own)[:, None], np.array([3.0, 2.0, 1.0])),
    "lengths as a tuple": (lambda x, own: x.sum(2) * torch.tensor(own)[:, None], (3.0, 2.0, 1.0)),
    "one kernel as an array": (lambda x, kernel: (x @ torch.as_tensor(kernel)).sum(2), np.arange(9.0).reshape(3, 3)),
}


@pytest.mark.parametrize("examples", [1, 2, 3])
@pytest.mark.parametrize("kind", OWN_CALL)
@pytest.mark.parametrize("method", ["gradient", "integrated_gradients(steps=9)", "rise(masks=9)"])
def test_arguments_are_read_as_in_the_callers_own_call(kind: str, examples: int, method: str) -> None:
    model, held = OWN_CALL[kind]
    x = normal(3, 3, 3)[:examples]
    if examples < 3 and ("each" in kind or kind in ("texts", "weights of examples") or "lengths" in kind):
        held = held[:, :examples] if "state" in kind else held[:examples]
    probe = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(probe, held)[:, 1].sum(), probe)
    true = (model(x, held) - model(0 * x, held))[:, 1]
    for size in ("auto", 1, 2, 7):
        found = pb.attribute(model, x, 1, method=method, model_args=(held,), batch_size=size)
        torch.testing.assert_close(found.score_difference, true, rtol=1e-9, atol=1e-12)
        if method == "gradient":
            torch.testing.assert_close(found.values, gradient, rtol=1e-9, atol=1e-12)


def test_marks_say_what_the_callers_call_does_not() -> None:
    x, own = normal(3, 3, 3), normal(2, 3, 3, seed=7)
    plain = pb.attribute(recurrent, x, 1, model_args=(own,))
    marked = pb.attribute(recurrent, x, 1, model_args=(pb.PerExample(own, axis=1),))
    torch.testing.assert_close(marked.values, plain.values, rtol=0, atol=0)
    assert plain.settings["evaluations"]["forward"] > marked.settings["evaluations"]["forward"]  # nothing to find out


def test_what_no_reading_reproduces_is_refused() -> None:
    model = lambda x, own: x.sum((1, 2)).sin() * own * own.sum()
    with pytest.raises(ValueError, match=r"model_args: .* pb\.PerExample\(value, axis=0\).* pb\.Broadcast\(value\)"):
        pb.attribute(model, normal(3, 3, 3), model_args=(torch.tensor([1.0, 2, 3]).double(),))
    for held, message in ((torch.ones(2), "got 2 entries"), (torch.tensor(1.0), "no such axis"), ([1, 2], "got 2 entries")):
        with pytest.raises(ValueError, match=f"PerExample: expected one entry for each of 3 examples.*{message}"):
            pb.attribute(model, normal(3, 3, 3), model_args=(pb.PerExample(held),))


# Inference mode --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_models_and_arguments_made_under_inference_mode(method: str) -> None:
    x = normal(2, *SHAPE)
    plain = pb.attribute(smooth_net(SHAPE), x, 1, method=method)
    with torch.inference_mode():
        model, there = smooth_net(SHAPE), x.clone()
        target = torch.tensor([1, 1])
    for run in (
        lambda: pb.attribute(model, there, target, method=method, baseline=torch.zeros_like(there)),
        lambda: torch.inference_mode()(pb.attribute)(model, there, target, method=method),
    ):
        assert torch.equal(run().values, plain.values)
    assert all(p.is_inference() for p in model.parameters())
    with torch.inference_mode():
        own = normal(2, 1, seed=5)
    pick = lambda held: held[0] if isinstance(held, list) else held
    takes = lambda x, held: (x.flatten(1) * pick(held)[:1]).sin().sum(1)
    for args in ((own,), ([own],), (pb.Broadcast([own]),)):
        pb.attribute(takes, x, method=method, model_args=args)


def test_what_autograd_cannot_take_is_named() -> None:
    with torch.inference_mode():
        weight = normal(84, 1)
    with pytest.raises(ValueError, match=r"model: it holds tensors made under torch\.inference_mode"):
        pb.attribute(lambda x: (x.flatten(1) @ weight)[:, 0], normal(2, *SHAPE), method="gradient")


# Models ----------------------------------------------------------------------------------------------------------------


class Detached(nn.Module):
    """Its layers have gradients of their own, its input has none."""

    def __init__(self) -> None:
        super().__init__()
        self.net = smooth_net(SHAPE)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x.detach())
        return out


def test_an_input_that_autograd_does_not_see_is_named_also_where_weights_have_gradients() -> None:
    x = normal(2, *SHAPE)
    for method in ("gradient", "integrated_gradients", "smoothgrad(samples=3)"):
        with pytest.raises(ValueError, match="does not depend on its input through autograd"):
            pb.attribute(Detached(), x, 0, method=method)
    constant = nn.Sequential(nn.Flatten(), nn.Linear(84, 2)).double()
    constant[1].weight.data.zero_()
    assert not bool(pb.attribute(constant, x, 0).values.any())  # the control: what does not depend on x at all


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "how",
    [
        torch.jit.script,
        lambda net: torch.jit.freeze(torch.jit.script(net)),
        nn.DataParallel,
        torch.fx.symbolic_trace,
        lambda net: torch.jit.trace(net, normal(2, *SHAPE)),
    ],
    ids=["script", "frozen", "parallel", "fx", "trace"],
)
@pytest.mark.parametrize("method", METHODS)
def test_models_in_other_dress_have_the_same_maps(how: Any, method: str) -> None:
    net, x = smooth_net(SHAPE), normal(2, *SHAPE)
    found = pb.attribute(how(net), x, 1, method=method)
    torch.testing.assert_close(found.values, pb.attribute(net, x, 1, method=method).values, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("batch_size", ["auto", 1, 2, 3])
@pytest.mark.parametrize("examples", [2, 3])
def test_an_argument_that_does_not_matter_at_x_is_read_where_it_does(examples, batch_size):
    # Slopes of a leaky ReLU, one per column, where all of x is positive: any reading is right there.
    slopes = torch.arange(1.0, examples + 1, dtype=torch.float64)
    leaky = lambda x, slopes: torch.where(x > 0, x, x * slopes).sum(1)
    x = torch.ones(examples, examples, dtype=torch.float64)
    found = pb.attribute(
        leaky, x, baseline=-1.0, model_args=(slopes,), batch_size=batch_size, method="integrated_gradients(steps=64)"
    )
    torch.testing.assert_close(found.values, (1 + slopes).expand_as(x), rtol=1e-10, atol=1e-10)


def test_an_argument_is_read_at_x_alone_where_the_model_refuses_other_points():
    def root(x, scale):
        if bool((x < 0).any()):
            raise RuntimeError("size: only positive numbers")
        return (x * scale).sum(1)

    x, scale = torch.ones(2, 2), torch.tensor([[1.0], [2.0]])
    found = pb.attribute(root, x, model_args=(scale,), method="gradient")
    assert found.values.tolist() == [[1.0, 1.0], [2.0, 2.0]]
