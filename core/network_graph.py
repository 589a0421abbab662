"""A network as a graph of its layers, through torch.fx, and an equal network with fewer layers."""

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

AFFINE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_IDLE = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_IDLE_CALLS = {F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout}


class Tracer(fx.Tracer):
    """torch.fx's tracer, which also keeps a layer whole if its class was derived outside torch."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (*AFFINE, *NORMS)) or super().is_leaf_module(m, module_qualified_name)


def trace(model: nn.Module) -> fx.GraphModule:
    """`model` as a graph that shares its layers.  Raises: whatever the model's forward raises on proxies."""
    return fx.GraphModule(model, Tracer().trace(model))


def used_once(graph: fx.GraphModule) -> set[str]:
    """Names of the modules that the graph calls exactly once."""
    counts = Counter(str(node.target) for node in graph.graph.nodes if node.op == "call_module")
    return {name for name, count in counts.items() if count == 1}


def calls(graph: fx.GraphModule, kinds: tuple[type[nn.Module], ...]) -> Iterator[tuple[fx.Node, Any]]:
    """(node, module) for each call of a module of these kinds."""
    for node in list(graph.graph.nodes):
        if node.op == "call_module" and isinstance(module := graph.get_submodule(str(node.target)), kinds):
            yield node, module


def folds(graph: fx.GraphModule) -> tuple[list[tuple[fx.Node, fx.Node, Any, Any]], list[str]]:
    """(node, node of the layer, layer, norm) for each normalisation right after an affine layer, and why others are not."""
    once, pairs, broken = used_once(graph), [], []
    for node, norm in calls(graph, NORMS):
        source: Any = node.args[0]
        called = isinstance(source, fx.Node) and source.op == "call_module"
        before = graph.get_submodule(str(source.target)) if called else None
        if not isinstance(before, AFFINE):
            broken.append(f"{node.target}: no affine layer right before it")
        elif len(source.users) > 1 or str(source.target) not in once or str(node.target) not in once:
            broken.append(f"{node.target}: it or the layer before it is used more than once")
        elif norm.running_mean is None:
            broken.append(f"{node.target}: no running statistics")
        else:
            pairs.append((node, source, before, norm))
    return pairs, broken


def fold(graph: fx.GraphModule) -> int:
    """Multiplies the running statistics of each normalisation into a copy of the layer before it. Returns their number."""
    pairs, _ = folds(graph)
    for node, source, layer, norm in pairs:
        put(graph, str(source.target), _folded(layer, norm))
        node.replace_all_uses_with(source)
        graph.graph.erase_node(node)
    graph.recompile()
    return len(pairs)


def put(graph: fx.GraphModule, name: str, module: nn.Module) -> None:
    """Gives the graph another module under this name."""
    parent, _, leaf = name.rpartition(".")
    setattr(graph.get_submodule(parent), leaf, module)


@torch.no_grad()
def _folded(layer: Any, norm: Any) -> nn.Module:
    """The layer followed by the normalisation, as one layer; computed in double precision."""
    result: Any = copy.deepcopy(layer)
    mean, deviation = norm.running_mean.double(), (norm.running_var.double() + norm.eps).sqrt()
    scale = (norm.weight.double() if norm.affine else 1) / deviation
    shift = norm.bias.double() if norm.affine else torch.zeros_like(mean)
    bias = layer.bias.double() if layer.bias is not None else torch.zeros_like(mean)
    weight = layer.weight.double() * scale.reshape(-1, *[1] * (layer.weight.ndim - 1))
    result.weight = nn.Parameter(weight.to(layer.weight), layer.weight.requires_grad)
    result.bias = nn.Parameter(((bias - mean) * scale + shift).to(layer.weight), layer.weight.requires_grad)
    return result


def drop_idle(graph: fx.GraphModule) -> int:
    """Removes what leaves its input as it is in eval mode: identities and dropout. Returns their number."""
    idle = [node for node, module in calls(graph, _IDLE) if not module.training]
    functions = [node for node in graph.graph.nodes if node.op == "call_function" and node.target in _IDLE_CALLS]
    idle += [node for node in functions if node.kwargs.get("training") is False]
    for node in idle:
        source: Any = node.args[0] if node.args else node.kwargs["input"]
        node.replace_all_uses_with(source)
        graph.graph.erase_node(node)
    graph.recompile()
    return len(idle)


def dilate_pointwise(graph: fx.GraphModule) -> int:
    """Gives 1 × 1 convolutions a dilation, which has no meaning there. Returns their number.

    On one thread of a CPU, torch computes dilated convolutions of few rows by oneDNN, others by a product of MKL, which takes
    up to twice as long. On several threads it takes oneDNN for both. oneDNN has no double precision.
    """
    chosen = [layer for layer in graph.modules() if isinstance(layer, nn.Conv2d) and layer.weight.is_cpu and _pointwise(layer)]
    chosen = [layer for layer in chosen if torch.finfo(layer.weight.dtype).bits <= 32]
    for layer in chosen:
        layer.dilation = (2, 2)
    return len(chosen)


def _pointwise(layer: nn.Conv2d) -> bool:
    once = (layer.kernel_size, layer.stride, layer.dilation)
    return all(tuple(each) == (1, 1) for each in once) and tuple(layer.padding) == (0, 0)


def frozen(model: nn.Module) -> nn.Module:
    """A copy whose parameters need no gradient; it shares the tensors of `model`.

    >>> layer = nn.Linear(2, 1)
    >>> copied = frozen(layer)
    >>> copied.weight.requires_grad, copied.weight.data_ptr() == layer.weight.data_ptr()
    (False, True)
    """
    shared: dict[int, Tensor] = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in model.parameters()}
    shared |= {id(buffer): buffer for buffer in model.buffers()}
    return copy.deepcopy(model, shared)


def has_hooks(model: nn.Module) -> bool:
    """Whether a module calls hooks, which would see other layers in a rewritten network."""
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, name, None) for module in model.modules() for name in names)
