"""MNIST in space: digits with a thickness, turned at random."""

import functools
from collections.abc import Iterator

import torch
from torch import Tensor

from ..kinds import Signal
from ..training.volumes import extruded
from .card import DataSet, Item
from .digits import CLASSES, DIGITS, digits_of

TRAINING, NEW = range(400), range(400, 500)  # digits of each class that the packaged network was and was not trained on


def _digits3d() -> Iterator[Item]:
    """The 1,000 digits that the packaged network was not trained on; the turn of each depends on its number only."""
    values, labels = digits_of(NEW)
    for number, (value, label) in enumerate(zip(values, labels.tolist())):
        yield Item(f"{number:04}", functools.partial(_turned, value, number), label, CLASSES[label])


def _turned(digit: Tensor, number: int) -> Signal:
    volume = extruded(digit[None], torch.Generator().manual_seed(number))[0]
    return Signal(volume, (1.0, 1.0, 1.0), "voxel", f"{number:04}")


DIGITS3D = DataSet("digits3d", "volume", _digits3d, DIGITS.licence, DIGITS.install)
