"""Models of a user, one of each kind, which were never written for this library."""

import torch
from torch import Tensor, nn

from pullback.studies import LoadedModel, Preparation


class Scales(nn.Module):
    """Scores of how much neighbours differ, which `fine` weighs, and of a slow wave."""

    def __init__(self, fine: float) -> None:
        super().__init__()
        self.fine = fine

    def forward(self, x: Tensor) -> Tensor:
        even, odd = x[..., ::2], x[..., 1::2]
        slow = torch.linspace(0, 3, even.shape[-1], dtype=x.dtype).sin()
        fine, coarse = self.fine * (even - odd).square().flatten(1).mean(1), ((even + odd) * slow).flatten(1).mean(1)
        return torch.stack([fine + coarse, coarse - fine, 0.5 - 0.1 * coarse], 1)


def image() -> tuple[nn.Module, Preparation]:
    return Scales(8.0).eval(), Preparation(16, (0.5,), (0.25,))


def other() -> tuple[nn.Module, Preparation]:
    return Scales(2.0).eval(), Preparation(16, (0.5,), (0.25,))


def series() -> LoadedModel:
    return LoadedModel("series", Scales(1.0).eval(), kind="series")


def volume() -> LoadedModel:
    return LoadedModel("volume", Scales(1.0).eval(), kind="volume")


def audio() -> LoadedModel:
    return LoadedModel("audio", Scales(1.0).eval(), kind="audio", rate=8_000.0)


def single() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 1))


def broken() -> tuple[nn.Module, Preparation]:
    return Scales(float("nan")).eval(), Preparation(16, (0.5,), (0.25,))
