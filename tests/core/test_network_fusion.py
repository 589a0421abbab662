"""A convolution and its activation as one operation: the same function where torch has it, or the layers as they were."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from support.subjects import normal
from torch import Tensor, nn

from pullback.core.network_fusion import ActivatedConvolution, fuse_activations
from pullback.core.network_graph import frozen, trace

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
ACTIVATIONS = [nn.ReLU(inplace=True), nn.ReLU6(), nn.Hardtanh(-0.5, 0.25), nn.SiLU()]


def joined(net: nn.Module, x: Tensor) -> int:
    """The number of joined convolutions; what the network computes has to stay, in both memory formats."""
    graph, before = trace(frozen(net)), net(x.clone()).detach()
    found = fuse_activations(graph)
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.testing.assert_close(graph(x.contiguous(memory_format=layout)).contiguous(), before, rtol=1e-5, atol=1e-5)
    return found


@settings(deadline=None)
@given(
    size=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2, 4]),
    bias=st.booleans(),
    after=st.sampled_from(ACTIVATIONS),
)
def test_a_convolution_with_its_activation(
    size: int, stride: int, padding: int, dilation: int, groups: int, bias: bool, after: nn.Module
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(4, 8, size, stride, padding, dilation, groups, bias), after)
    assert joined(net, normal(2, 4, 9, 8, dtype=torch.float32)) == 1


class Calls(nn.Module):
    """Calls an activation as a function; its convolution may be used twice, or read by two."""

    def __init__(self, how: Any, twice: str = "") -> None:
        super().__init__()
        self.conv, self.how, self.twice = nn.Conv2d(3, 3, 3, padding=1), how, twice

    def forward(self, x: Tensor) -> Tensor:
        before = self.conv(self.conv(x) if self.twice == "used" else x)
        out: Tensor = self.how(before)
        return out + before if self.twice == "read" else out


@pytest.mark.parametrize("how", [F.relu, torch.relu, F.relu6])
def test_an_activation_that_is_a_function(how: Any) -> None:
    assert joined(Calls(how), normal(2, 3, 8, 9, dtype=torch.float32)) == 1


@pytest.mark.parametrize(
    "net",
    [
        Calls(F.relu, "used"),
        Calls(F.relu, "read"),
        Calls(lambda x: torch.maximum(x, x * 0)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.LeakyReLU(-0.1)),
        nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"), nn.ReLU()),
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.ReLU()),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(2)),
    ],
)
def test_other_layers_stay(net: nn.Module) -> None:
    assert joined(net, normal(2, 3, 8, 9, dtype=torch.float32)) == 0


def test_double_precision_stays() -> None:
    assert joined(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).double(), normal(2, 3, 8, 9)) == 0


def test_a_gradient_through_it_is_an_error_and_not_a_number() -> None:
    graph = trace(frozen(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())))
    x = normal(1, 3, 8, 9, dtype=torch.float32).requires_grad_()
    assert graph(x).requires_grad  # the control
    assert fuse_activations(graph) == 1
    assert isinstance(graph.get_submodule("0"), ActivatedConvolution)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(graph(x).sum(), x)
