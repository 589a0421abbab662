"""Zeros before a convolution become its own padding: the same function by fewer layers, or the layers as they were."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from support.subjects import normal
from torch import Tensor, nn

from pullback.core.network_graph import trace
from pullback.core.network_padding import fold_padding

KINDS = {1: (nn.ZeroPad1d, nn.Conv1d), 2: (nn.ZeroPad2d, nn.Conv2d), 3: (nn.ZeroPad3d, nn.Conv3d)}


class Same(nn.Conv2d):
    """Pads before it convolves, as ports of TensorFlow's networks do."""

    def __init__(self, zeros: tuple[int, int, int, int], scaled: bool = False) -> None:
        super().__init__(3, 6, 3, stride=2, groups=3)
        self.zeros, self.scaled = nn.ZeroPad2d(zeros), scaled

    def forward(self, x: Tensor) -> Tensor:
        x = self.zeros(x)
        out = F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        return out * 2 if self.scaled else out


def folded(net: nn.Module, x: Tensor) -> int:
    """The number of convolutions that pad themselves now; what the network computes has to stay."""
    graph, before = trace(net), net(x)
    found = fold_padding(graph)
    torch.testing.assert_close(graph(x), before, rtol=1e-12, atol=1e-12)
    return found


@settings(deadline=None)
@given(
    axes=st.integers(1, 3),
    first=st.integers(0, 2),
    more=st.integers(-1, 1),
    stride=st.integers(1, 3),
    own=st.integers(0, 2),
    side=st.integers(5, 8),
)
def test_a_layer_of_zeros_becomes_padding(axes: int, first: int, more: int, stride: int, own: int, side: int) -> None:
    zeros = (first, max(first + more, 0), *(first, first) * (axes - 1))
    pad, conv = KINDS[axes]
    net = nn.Sequential(pad(zeros), conv(3, 4, 3, stride, own)).double()
    assert folded(net, normal(2, 3, *[side] * axes)) == 1


@pytest.mark.parametrize("zeros", [(0, 1, 0, 1), (1, 1, 1, 1), (1, 0, 0, 1)])
def test_a_class_that_pads_before_it_convolves(zeros: tuple[int, int, int, int]) -> None:
    assert folded(nn.Sequential(Same(zeros)).double(), normal(2, 3, 8, 9)) == 1


class Plain(nn.Conv2d):
    """Convolves by its own forward, or returns its input."""

    def __init__(self, idle: bool = False) -> None:
        super().__init__(3, 3, 3, padding=1)
        self.idle = idle

    def forward(self, x: Tensor) -> Tensor:
        return x if self.idle else F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


def test_a_class_that_only_convolves_becomes_torchs_own_with_the_same_weights() -> None:
    net = nn.Sequential(Plain()).double()
    graph = trace(net)
    assert fold_padding(graph) == folded(net, normal(2, 3, 8, 9)) == 1
    assert type(graph.get_submodule("0")) is nn.Conv2d
    assert graph.get_submodule("0").weight.data_ptr() == net[0].weight.data_ptr()
    assert folded(nn.Sequential(Plain(idle=True)).double(), normal(2, 3, 8, 9)) == 0


def test_no_numbers_are_drawn_and_the_weights_stay() -> None:
    layer = Same((1, 1, 1, 1))
    state, weight = torch.get_rng_state(), layer.weight.clone()
    graph = trace(nn.Sequential(layer))
    assert fold_padding(graph) == 1
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(layer.weight, weight)
    assert graph.get_submodule("0").weight.requires_grad


class Own(Same):
    """Convolves with another stride than it says, other weights, or zeros that depend on the input, which cannot be traced."""

    def __init__(self, how: str) -> None:
        super().__init__((1, 1, 1, 1))
        self.how, self.other = how, nn.Parameter(-self.weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "zeros":
            x = F.pad(x, (0, 1)) if x.shape[-1] % 2 else x
        weight = self.other if self.how == "weight" else self.weight
        return F.conv2d(self.zeros(x), weight, self.bias, 1 if self.how == "stride" else self.stride, groups=3)


class ByName(nn.Module):
    """Gives the padded signal to the convolution by name."""

    def __init__(self) -> None:
        super().__init__()
        self.pad, self.conv = nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(input=self.pad(input=x))
        return out


def test_a_signal_that_is_given_by_name() -> None:
    assert folded(ByName().double(), normal(2, 3, 8, 9)) == 1


class Twice(nn.Module):
    """The padded signal is read twice, or the convolution is used twice."""

    def __init__(self, padded: bool) -> None:
        super().__init__()
        self.padded, self.pad, self.conv = padded, nn.ZeroPad2d(1), nn.Conv2d(3, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pad(x)
        out: Tensor = self.conv(x) + x[..., 1:-1, 1:-1] if self.padded else self.conv(self.conv(x))
        return out


@pytest.mark.parametrize(
    "net",
    [
        Twice(True),
        Twice(False),
        nn.Sequential(Same((1, 1, 1, 1), scaled=True)),  # it does more than pad and convolve
        *(nn.Sequential(Own(how)) for how in ("stride", "weight", "zeros")),
        nn.Sequential(nn.ConstantPad2d(1, 0.5), nn.Conv2d(3, 4, 3)),
        nn.Sequential(nn.ZeroPad2d((0, 2, 0, 2)), nn.Conv2d(3, 4, 3)),  # a kernel of 5 × 5 instead
        nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 4, 3, dilation=2)),
        nn.Sequential(nn.ZeroPad2d(-1), nn.Conv2d(3, 4, 3)),
        nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3, padding="same")),
        nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")),
    ],
)
def test_other_layers_stay(net: nn.Module) -> None:
    assert folded(net.double(), normal(2, 3, 8, 9)) == 0
