"""A small model, the pictures' preparation, and a comparison of three domains."""

import dataclasses
from pathlib import Path

import torch
from torch import Tensor, nn

from pullback import studies
from pullback.studies.loaders.models import LoadedModel
from pullback.studies.loaders.preparation import Preparation

PREPARE = Preparation(16, (0.5,) * 3, (0.5,) * 3)


class Tiny(nn.Module):
    """A smooth classifier of 16 × 16 pictures that counts its rows, and may stop in the middle."""

    def __init__(self, stop_after: int = 10**9) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(5, 3 * 256, generator=generator) / 16)
        self.rows, self.stop_after = 0, stop_after

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        if self.rows > self.stop_after:
            raise KeyboardInterrupt
        return torch.tanh(x.flatten(1) @ self.weight.T) * 3


def settings(folder: Path, **changes: object) -> studies.Settings:
    base = studies.Settings(
        model="tiny",
        data=str(folder),
        method="integrated_gradients(steps=3, rule=gauss_legendre)",
        transforms=("pixel", "dwt(haar, level=2)", "dft"),
        pictures=1,
        effort="quick",
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def tiny(stop_after: int = 10**9) -> LoadedModel:
    return LoadedModel("tiny", Tiny(stop_after).eval(), PREPARE)
