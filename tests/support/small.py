"""A network of colour pictures of 8 × 8 pixels, and their preparation."""

import torch
from torch import nn

from pullback import studies

SIZE = studies.Preparation(8)


def small() -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 6 * 6, 4))
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 4
    return net.eval()
