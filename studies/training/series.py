"""A small network for time series."""

from torch import Tensor, nn

from .fit import fitted, shuffled


def network() -> nn.Module:
    """Three convolutions, the mean over time, and a linear layer: (batch, 1, samples) to (batch, 2)."""
    first = (nn.Conv1d(1, 16, 9, padding=4), nn.ReLU())
    second = (nn.Conv1d(16, 32, 7, stride=2, padding=3), nn.ReLU())
    third = (nn.Conv1d(32, 32, 5, stride=2, padding=2), nn.ReLU())
    return nn.Sequential(*first, *second, *third, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 2))


def trained(x: Tensor, label: Tensor, seed: int = 0, epochs: int = 100) -> nn.Module:
    """The network after `epochs` rounds through the series x (count, 1, samples) with the classes `label` (count,)."""
    return fitted(network, shuffled(x, label, 10, epochs, seed), seed)
