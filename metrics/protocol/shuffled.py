"""A model without what it has learned, as a control."""

from typing import Any

import torch
from torch import Tensor, nn

from ...attribution.call import Method
from ...attribution.engine.equal_network import equal_network
from ...attribution.engine.execution import gains_by_channels_last
from ...attribution.estimator import MethodClaim
from ...attribution.estimator import get as get_estimator
from ...core.copies import copied


def shuffled(model: nn.Module, seed: int) -> nn.Module:
    """A copy of a model whose parameters are permuted, each within its own tensor.

    Sizes, the distribution of the weights and the architecture stay, and what was learned is gone. What a map of this model
    selects shows the signal and the architecture.  Source of the control: Adebayo et al. 2018 (there drawn anew).

    >>> line = nn.Linear(50, 1)
    >>> other = shuffled(line, 0)
    >>> bool((other.weight.sort().values == line.weight.sort().values).all()), torch.equal(other.weight, line.weight)
    (True, False)
    """
    twin, generator = copied(model), torch.Generator().manual_seed(seed)
    for parameter in twin.parameters():
        order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
        parameter.data = parameter.data.flatten()[order].reshape(parameter.shape)
    return twin


def shuffled_for(method: Method, model: nn.Module, x: Tensor, seed: int) -> nn.Module:
    """A shuffled model for maps of x, in a faster form where the method sees the function alone.

    Rounding can move f of a shuffled network, and even the ranking of its map, by so much that a comparison would refuse every
    faster form of it. Each of them has learned as little, so that it is the control, and not a form of one.
    """
    twin = shuffled(model, seed)
    if MethodClaim.IMPLEMENTATION_INVARIANT not in get_estimator(method).claims:
        return twin
    network: Any = equal_network(twin, folded=True)[0] or twin
    return network.to(memory_format=torch.channels_last) if gains_by_channels_last(network, x) else network
