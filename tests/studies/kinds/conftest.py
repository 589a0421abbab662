"""Small files of every kind, and models that take them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile
from torch import Tensor, nn

from pullback.studies import LoadedModel


class Tanh(nn.Module):
    """A smooth model of two classes for signals of any shape: the means of tanh x and of x²."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return flat.tanh().mean(1, keepdim=True) * flat.new_tensor([[1, 0]]) + flat.square().mean(1, keepdim=True)


@pytest.fixture
def toy() -> Callable[..., LoadedModel]:
    return lambda kind, **more: LoadedModel(f"toy-{kind}", Tanh().eval(), classes=("Crow", "Caw"), kind=kind, **more)


@pytest.fixture
def tone(tmp_path: Path) -> Callable[..., Path]:
    """Writes a tone of some Hz as WAV."""

    def write(
        name: str = "tone.wav", hertz: float = 1000, rate: int = 16_000, seconds: float = 0.25, channels: int = 1
    ) -> Path:
        times = np.arange(round(rate * seconds)) / rate
        line = np.round(16_000 * np.sin(2 * np.pi * hertz * times)).astype(np.int16)
        wavfile.write(tmp_path / name, rate, np.stack([line] * channels, 1))
        return tmp_path / name

    return write
