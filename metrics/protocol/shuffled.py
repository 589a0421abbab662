"""A model without what it has learned, as a control."""

import torch
from torch import Tensor, nn

from ...attribution.call import Method
from ...attribution.engine.equal_network import equal_network
from ...attribution.engine.execution import gains_by_channels_last
from ...attribution.estimator import MethodClaim, get
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

    Rounding may move f of a shuffled network so far that `attribute` would refuse its faster form. As a control, each form
    serves: none has learned anything.
    """
    twin = shuffled(model, seed)
    if MethodClaim.IMPLEMENTATION_INVARIANT not in get(method).claims:
        return twin
    folded, _ = equal_network(twin, folded=True)
    network = twin if folded is None else folded
    return network.to(memory_format=torch.channels_last) if gains_by_channels_last(network, x) else network  # type: ignore[call-overload]
