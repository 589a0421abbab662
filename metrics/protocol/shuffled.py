"""A model without what it has learned, as a control."""

import torch
from torch import nn

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
