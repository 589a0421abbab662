"""Odd models and odd arguments: right numbers, or one clear error."""

from collections import namedtuple
from typing import Any

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
