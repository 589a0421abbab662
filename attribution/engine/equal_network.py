"""A network that computes the same function with fewer and cheaper operations, for methods that see the function alone."""

import contextlib
import inspect
from typing import Any

import torch
from torch import fx, nn

from ...core.network_fusion import fuse_activations
from ...core.network_graph import NORMS, dilate_pointwise, drop_idle, fold, frozen, has_hooks, trace
from ...core.network_padding import fold_padding


def has_norms(model: Any) -> bool:
    """Whether the model holds a BatchNorm: without one, an equal network is not faster."""
    return isinstance(model, nn.Module) and any(isinstance(layer, NORMS) for layer in model.modules())


def equal_network(model: Any, folded: bool = False, fused: bool = False) -> tuple[nn.Module | None, str]:
    """(the network, "") or (None, why there is none).

    BatchNorm is folded into the convolution or linear layer before it, zeros into the convolution after them, dropout and
    identities are removed, and parameters need no gradient, so that autograd keeps less. On one thread of a CPU, 1 × 1
    convolutions run by oneDNN. Only folded layers take memory, for a copy of their weights. Where torch.fx cannot trace the
    model, as its forward branches, parts that take one signal are rewritten one by one.

    folded: whether to build it only where a BatchNorm can be folded, which makes it faster.
    fused: whether convolutions apply the activation after them, which has no gradient.

    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.1)).eval()
    >>> equal, _ = equal_network(net)
    >>> [type(layer).__name__ for layer in equal.children()]
    ['Conv2d', 'ReLU']
    """
    if not isinstance(model, nn.Module):
        return None, f"{type(model).__name__} is no module"
    if has_hooks(model):
        return None, "the model has hooks"
    try:
        with torch.enable_grad():  # as gradients see it
            network, norms = _rewritten(frozen(model).eval(), fused)
        if folded and not norms:
            return None, "no BatchNorm follows a convolution or linear layer directly"
    except Exception as error:  # tracing runs the user's forward on proxies, and copying their code: both may raise anything
        reason = next(iter(str(error).strip().splitlines()), "")
        return None, f"torch.fx cannot trace {type(model).__name__} ({type(error).__name__}: {reason[:120]})"
    return network, ""


def _rewritten(network: nn.Module, fused: bool, part: bool = False) -> tuple[nn.Module, int]:
    """The network with fewer operations, or with such parts, and the number of norms that are folded.

    part: of a network; tracing takes arguments that may be missing as given.  Raises: what tracing raises.
    """
    try:
        if part and len(inspect.signature(network.forward).parameters) != 1:
            raise TypeError("it takes several arguments")
        graph = trace(network)
    except Exception:
        if norms := _rewrite_parts(network, fused):
            return network, norms
        raise
    return graph, _shorten(graph, fused)


def _rewrite_parts(network: nn.Module, fused: bool) -> int:
    """Puts rewritten parts in the place of those that torch.fx can trace. Returns the number of norms that are folded."""
    found = 0
    for name, child in network.named_children():
        if type(child) is nn.Sequential and any(any(each.children()) for each in child):
            found += _rewrite_parts(child, fused)  # it stays one, through which a forward may loop
            continue
        with contextlib.suppress(Exception):  # a part that cannot be traced stays
            part, norms = _rewritten(child, fused, part=True) if any(child.children()) else (child, 0)
            setattr(network, name, part)
            found += norms
    return found


def _shorten(graph: fx.GraphModule, fused: bool) -> int:
    """Leaves out operations. Returns the number of norms that are folded."""
    norms = fold(graph)
    fold_padding(graph)
    drop_idle(graph)
    if fused:
        fuse_activations(graph)
    if torch.get_num_threads() == 1:
        dilate_pointwise(graph)
    graph.delete_all_unused_submodules()
    return norms


def own_bytes(network: nn.Module, model: Any) -> int:
    """The memory of the parameters of `network` that it does not share with `model`."""
    shared = {parameter.data_ptr() for parameter in model.parameters()}
    return sum(each.nbytes for each in network.parameters() if each.data_ptr() not in shared)
