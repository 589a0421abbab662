"""Convolutions that add the zeros themselves which a layer, or their own forward, would copy them into."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from .network_graph import AFFINE, calls, put, used_once

_CONVOLUTIONS = AFFINE[1:]
_ZEROS = (nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d)
_CONVOLVE = {F.conv1d, F.conv2d, F.conv3d}


def fold_padding(graph: fx.GraphModule) -> int:
    """Convolutions after a layer of zeros pad themselves, and those of a class that only pads and convolves are torch's own.

    Returns their number.

    >>> from .network_graph import trace
    >>> graph = trace(nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 4, 3, stride=2)))
    >>> fold_padding(graph), graph.get_submodule("1")
    (1, Conv2d(3, 4, kernel_size=(4, 4), stride=(2, 2), padding=(1, 1)))
    """
    once, found = used_once(graph), 0
    for node, layer in calls(graph, _CONVOLUTIONS):
        if str(node.target) not in once or len(node.all_input_nodes) != 1:
            continue
        source, zeros = node.all_input_nodes[0], _own_zeros(layer)
        if type(layer) in _CONVOLUTIONS and len(source.users) == 1:
            zeros = next((pad.padding for one, pad in calls(graph, _ZEROS) if one is source), None)
        folded = None if zeros is None else _padding(layer, zeros)
        if folded is None:
            continue
        put(graph, str(node.target), folded)
        found += 1
        if type(layer) in _CONVOLUTIONS:
            node.replace_input_with(source, source.all_input_nodes[0])
            graph.graph.erase_node(source)
    graph.recompile()
    return found


def _own_zeros(layer: Any) -> Sequence[int] | None:
    """The zeros that a layer of a derived class adds to its input before it convolves, if it does nothing else; maybe none."""
    pads: list[Sequence[int]] = [child.padding for child in layer.children() if isinstance(child, _ZEROS)]
    if type(layer) in _CONVOLUTIONS or len(pads) > 1:
        return None
    try:
        nodes = list(fx.Tracer(autowrap_modules=()).trace(layer).nodes)  # type: ignore[arg-type]  # to wrap math takes long
    except Exception:  # its forward runs on proxies, and may raise anything: then the layer stays whole
        return None
    steps = [node for node in nodes if node.op.startswith("call")]
    if [node.op for node in steps] != ["call_module"] * len(pads) + ["call_function"] or steps[-1].target not in _CONVOLVE:
        return None
    read = [each.target if isinstance(each, fx.Node) else each for each in steps[-1].args[1:]]
    bias = None if layer.bias is None else "bias"
    known = read == ["weight", bias, layer.stride, layer.padding, layer.dilation, layer.groups] and not steps[-1].kwargs
    return next(iter(pads), (0, 0) * len(layer.kernel_size)) if known else None


def _padding(layer: Any, zeros: Sequence[int]) -> nn.Module | None:
    """The convolution of a signal with these zeros around it, as one layer; None where it would be much larger.

    A convolution pads both sides alike. Where one more zero is asked for at the end, both sides get it, and the kernel begins
    with a zero, so that it still meets the same numbers.
    zeros: before and after the last axis, the one before it, ...
    """
    before, after = list(zeros[::2]), list(zeros[1::2])
    more = [last - first for first, last in zip(before, after)]
    dilated = any(grown and step > 1 for grown, step in zip(more, reversed(layer.dilation)))
    known = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    if not known or dilated or min(*before, *after) < 0 or max(map(abs, more)) > 1:
        return None
    padding = tuple(own + max(pair) for own, *pair in zip(layer.padding, before[::-1], after[::-1]))
    weight = layer.weight.detach()
    if any(more):
        weight = F.pad(weight, [side for grown in more for side in (max(grown, 0), max(-grown, 0))])
    sizes = layer.in_channels, layer.out_channels, tuple(weight.shape[2:]), tuple(layer.stride), padding, tuple(layer.dilation)
    kind = next(each for each in type(layer).__mro__ if each in _CONVOLUTIONS)
    result: Any = torch.nn.utils.skip_init(kind, *sizes, layer.groups, layer.bias is not None)  # draws no numbers
    result.weight, result.bias = nn.Parameter(weight, layer.weight.requires_grad), layer.bias
    return result
