"""Reads a network through torch.fx: which layers follow each other, so that both can be changed together."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from ...core.network_graph import AFFINE, NORMS, calls, used_once

RELUS = (nn.ReLU, nn.ReLU6)
_AVERAGES = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
_MAXIMA = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AdaptiveMaxPool2d)
_PASSES = (nn.ReLU, nn.LeakyReLU, nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout2d, nn.ZeroPad2d)
_HOMOGENEOUS = (*_PASSES, *_AVERAGES, *_MAXIMA)
_BOUNDED = (nn.ReLU6, nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid)
_ELEMENTWISE = (*_BOUNDED, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus)
_POOL_CALLS = {F.avg_pool2d, F.max_pool2d, F.adaptive_avg_pool2d}
_HOMOGENEOUS_CALLS = {
    F.relu,
    torch.relu,
    torch.flatten,
    F.dropout,
    F.leaky_relu,
    *_POOL_CALLS,
    "relu",
    "relu_",
    "flatten",
    "contiguous",
}
_ELEMENTWISE_CALLS = {F.relu6, F.gelu, F.silu, F.softplus, F.elu, torch.tanh, torch.sigmoid, "tanh", "sigmoid"}
_RELU_CALLS: dict[Any, float | None] = {F.relu6: 6.0} | dict.fromkeys((F.relu, torch.relu, torch.relu_, "relu", "relu_"))


@dataclass(frozen=True, eq=False)
class Chain:
    """Two affine layers, with only operations between them that act on each channel alone."""

    name: str
    first: Any
    between: tuple[Any, ...]  # the normalisations and depthwise convolutions between them
    homogeneous_tail: bool  # whether the operations after the last of these are positively homogeneous
    last: Any

    @property
    def channels(self) -> int:
        """The number of channels of the first layer."""
        return len(self.first.weight)

    def homogeneous_after(self) -> Any | None:
        """The affine layer after which everything up to the last layer is positively homogeneous; None without one."""
        place = self.between[-1] if self.between else self.first
        return place if self.homogeneous_tail and place.weight is not None else None


def chains(graph: fx.GraphModule) -> tuple[list[Chain], list[str]]:
    """All chains, and for each other affine layer the reason why no chain starts at it."""
    once, found, broken = used_once(graph), [], []
    for node, layer in calls(graph, AFFINE):
        chain = _chain(graph, node, layer, once) if getattr(layer, "groups", 1) == 1 else "grouped convolution"
        if isinstance(chain, Chain):
            found.append(chain)
        else:
            broken.append(f"{node.target}: {chain}")
    return found, broken


def _chain(graph: fx.GraphModule, node: fx.Node, first: Any, once: set[str]) -> Chain | str:
    """The chain that starts at `node`, or why there is none."""
    name, tail = str(node.target), True
    between: tuple[Any, ...] = ()
    if name not in once:
        return "used more than once"
    while True:
        if len(node.users) != 1:
            return f"the output of {node.name} is used {len(node.users)} times"
        node = next(iter(node.users))
        if node.op == "output":
            return "an output layer"
        module = graph.get_submodule(str(node.target)) if node.op == "call_module" else None
        kind = _call_kind(node) if module is None else _module_kind(module, len(first.weight))
        if kind in ("affine", "channelwise") and str(node.target) not in once:
            return f"{node.target} is used more than once"
        if kind == "affine":
            return Chain(name, first, between, tail, module)
        if kind == "other":
            return f"followed by {node.target if module is None else type(module).__name__} ({node.name})"
        if kind == "channelwise":
            between = (*between, module)
        tail = kind == "channelwise" or (tail and kind == "homogeneous")


def _module_kind(module: nn.Module, channels: int) -> str:
    """What a module does to `channels` channels: affine, channelwise, homogeneous, elementwise or other."""
    if isinstance(module, nn.Linear):
        return "affine" if module.in_features % channels == 0 else "other"
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        depthwise = module.groups == module.in_channels == module.out_channels == channels and channels > 1
        return "channelwise" if depthwise else "affine" if module.groups == 1 else "other"
    if isinstance(module, NORMS):
        return "channelwise" if module.running_mean is not None and module.num_features == channels else "other"
    if isinstance(module, _HOMOGENEOUS):
        return "homogeneous"
    return "elementwise" if isinstance(module, _ELEMENTWISE) else "other"


def _call_kind(node: fx.Node) -> str:
    """What a function or a method of a tensor does: homogeneous, elementwise or other."""
    flattens = node.target in ("view", "reshape") and len(node.args) == 3 and bool(node.args[2] == -1)  # (batch, -1)
    if flattens or node.target in _HOMOGENEOUS_CALLS:
        return "homogeneous"
    return "elementwise" if node.target in _ELEMENTWISE_CALLS else "other"


def rectifiers(graph: fx.GraphModule) -> Iterator[tuple[fx.Node, float | None]]:
    """Every ReLU of the graph, as a module, function or method, and its cap (6 for ReLU6)."""
    for node in graph.graph.nodes:
        if node.op in ("call_function", "call_method") and node.target in _RELU_CALLS:
            yield node, _RELU_CALLS[node.target]
        elif node.op == "call_module" and isinstance(module := graph.get_submodule(str(node.target)), RELUS):
            yield node, getattr(module, "max_val", None)
