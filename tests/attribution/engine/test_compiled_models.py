"""Models that the caller compiled, in whatever way: the same map, one shape of input, and nothing on standard error."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.uncopyable import X, net
from torch import Tensor, nn

import pullback as pb


class Watched(nn.Module):
    """A network that notes the batch sizes that it is given; the note is no part of the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.sizes = net(), set[int]()

    def forward(self, x: Tensor) -> Tensor:
        self.note(len(x))
        return self.net(x)

    @torch._disable_dynamo
    def note(self, size: int) -> None:
        self.sizes.add(size)


def by_wrapper(model: nn.Module) -> Any:
    return torch.compile(model, backend="aot_eager")


def by_method(model: nn.Module) -> Any:
    model.compile(backend="aot_eager")
    return model


def by_forward(model: nn.Module) -> Any:
    model.forward = torch.compile(model.forward, backend="aot_eager")  # type: ignore[method-assign]
    return model


def as_function(model: nn.Module) -> Any:
    return torch.compile(lambda x: model(x), backend="aot_eager")


WAYS = [by_wrapper, by_method, by_forward, as_function]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_compiled_model_gives_the_same_map_from_one_shape(way: Callable[[nn.Module], Any]) -> None:
    torch._dynamo.reset()
    model = Watched()
    expected = pb.attribute(net(), X, 1, method="integrated_gradients(steps=4)").values
    compiled = way(model)
    for _ in range(2):  # exceptions that Python ignores, as when an object is destroyed half made, fail a test
        att = pb.attribute(compiled, X, 1, method="integrated_gradients(steps=4)", batch_size=5)
        torch.testing.assert_close(att.values, expected, rtol=0, atol=1e-12)
    assert att.settings["execution"]["compiled"]
    assert model.sizes == {4}  # 12 rows in chunks of at most 5
    pb.attribute(compiled, X, 1)  # measures memory, as "auto" does


@pytest.mark.parametrize("way", [by_wrapper, by_method, by_forward], ids=lambda way: way.__name__)
@pytest.mark.parametrize("where", ["whole", "one layer"])
def test_layers_are_hooked_where_nothing_is_compiled(way: Callable[[nn.Module], Any], where: str) -> None:
    torch._dynamo.reset()
    expected = pb.attribute(net(), X, 1, method="captum(DeepLift)").values
    model = net()
    compiled = way(model) if where == "whole" else nn.Sequential(way(model[:2]), model[2])
    compiled(X)  # compiled code is kept, and would be found again
    att = pb.attribute(compiled, X, 1, method="captum(DeepLift)")
    torch.testing.assert_close(att.values, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_axioms_of_a_compiled_model(way: Callable[[nn.Module], Any]) -> None:
    torch._dynamo.reset()
    report = pb.axioms.check(way(net()), X, 1, method="gradient", axioms="claimed")
    assert not report.faults, str(report)
    if way is not as_function:
        assert report.holds("implementation_invariance")  # torch.fx reads the copy, which is not compiled
