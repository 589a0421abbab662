"""Convolutions that apply the activation after them, as one operation of oneDNN: for networks that give no gradient."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from .network_graph import calls, put, used_once

_RELU, _SIX = ("relu", ()), ("hardtanh", (0.0, 6.0))
_NAMES: dict[Any, Any] = {nn.ReLU: _RELU, F.relu: _RELU, torch.relu: _RELU, F.relu6: _SIX, nn.SiLU: ("swish", ())}


class ActivatedConvolution(nn.Module):
    """A 2-D convolution and its activation, without a derivative.

    name, numbers: of the activation, as oneDNN calls it, and its parameters.
    """

    def __init__(self, layer: nn.Conv2d, name: str, numbers: tuple[float, ...]) -> None:
        super().__init__()
        self.weight, self.bias, self.name, self.numbers = layer.weight, layer.bias, name, numbers
        self.sizes: Any = list(layer.padding), list(layer.stride), list(layer.dilation), layer.groups

    def forward(self, x: Tensor) -> Tensor:
        fused: Any = torch.ops.mkldnn._convolution_pointwise
        out: Tensor = fused(x, self.weight, self.bias, *self.sizes, self.name, list(self.numbers), "")
        return out


def fuse_activations(graph: fx.GraphModule) -> int:
    """Joins each 2-D convolution with the ReLU, ReLU6, hard tanh or SiLU that alone reads it. Returns their number.

    Only in single precision on a CPU, for which oneDNN has the operation; a gradient through it raises an error.

    >>> from .network_graph import frozen, trace
    >>> graph = trace(frozen(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())))
    >>> fuse_activations(graph) == torch.backends.mkldnn.is_available()
    True
    """
    if not torch.backends.mkldnn.is_available():
        return 0
    once, found = used_once(graph), 0
    for node, layer in calls(graph, (nn.Conv2d,)):
        known = type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        single = layer.weight.is_cpu and torch.finfo(layer.weight.dtype).bits == 32
        if not (known and single and str(node.target) in once and len(node.users) == 1):
            continue
        after = next(iter(node.users))
        if (activation := _activation(graph, after)) is not None:
            put(graph, str(node.target), ActivatedConvolution(layer, *activation))
            after.replace_all_uses_with(node)
            graph.graph.erase_node(after)
            found += 1
    graph.recompile()
    return found


def _activation(graph: fx.GraphModule, node: fx.Node) -> tuple[str, tuple[float, ...]] | None:
    """The name and the numbers of an activation that reads one signal; None for another step."""
    layer: Any = graph.get_submodule(str(node.target)) if node.op == "call_module" else None
    if type(layer) in (nn.Hardtanh, nn.ReLU6):
        return "hardtanh", (float(layer.min_val), float(layer.max_val))
    return _NAMES.get(node.target if layer is None else type(layer)) if len(node.all_input_nodes) == 1 else None
