"""A network that computes the same function with fewer and cheaper operations, for methods that see the function alone."""

from typing import Any

import torch
from torch import nn

from ...core.network_graph import drop_idle, fold, frozen, has_hooks, trace


def equal_network(model: Any) -> tuple[nn.Module | None, str]:
    """(the network, "") or (None, why there is none).

    BatchNorm is folded into the convolution or linear layer before it, dropout and identities are removed, and parameters need
    no gradient, so that autograd keeps less. Only folded layers take memory, for a copy of their weights.

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
            graph = trace(frozen(model).eval())
        fold(graph)
        drop_idle(graph)
        graph.delete_all_unused_submodules()
    except Exception as error:  # tracing runs the user's forward on proxies, and copying their code: both may raise anything
        reason = next(iter(str(error).strip().splitlines()), "")
        return None, f"torch.fx cannot trace {type(model).__name__} ({type(error).__name__}: {reason[:120]})"
    return graph, ""
