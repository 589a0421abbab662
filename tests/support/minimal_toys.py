"""Small classifiers, one of each kind of signal, named as package.module:callable, and signals for them."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.io import wavfile
from torch import Tensor, nn

from pullback.studies import LoadedModel, Preparation

CLASSES = 4


class Read(nn.Module):
    """Smooth scores of 4 classes of the values at fixed places, of any number of them; it may stop after some rows."""

    def __init__(self, samples: int, stop_after: int = 10**9) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(CLASSES, samples, generator=torch.Generator().manual_seed(1)) / samples**0.5)
        self.rows, self.stop_after = 0, stop_after

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        if self.rows > self.stop_after:
            raise KeyboardInterrupt
        return 3 * torch.tanh(x.flatten(1) @ self.weight.T) + torch.arange(CLASSES) / 100


def image(stop_after: int = 10**9) -> LoadedModel:
    return LoadedModel("toy", Read(3 * 16**2, stop_after).eval(), Preparation(16, (0.5,) * 3, (0.5,) * 3))


def series() -> LoadedModel:
    return LoadedModel("toy", Read(32).eval(), kind="series")


def audio() -> LoadedModel:
    return LoadedModel("toy", Read(800).eval(), kind="audio", rate=8000.0)


def volume() -> LoadedModel:
    return LoadedModel("toy", Read(8**3).eval(), kind="volume")


def one_output() -> LoadedModel:
    return LoadedModel("toy", nn.Sequential(nn.Flatten(), nn.Linear(32, 1)).eval(), kind="series")


def write(kind: str, folder: Path, count: int = 3) -> Path:
    """A folder with signals of this kind."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        if kind == "image":
            Image.fromarray(rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(folder / f"{number}.png")
        elif kind == "audio":
            wavfile.write(folder / f"{number}.wav", 8000, rng.normal(0, 0.2, 1600).astype(np.float32))
        elif kind == "volume":
            np.save(folder / f"{number}.npy", rng.normal(size=(8, 8, 8)).astype(np.float32))
        else:
            np.savetxt(folder / f"{number}.csv", rng.normal(size=32))
    return folder
