"""Sounds as tensors, and one answer for all pieces of a sound."""

from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor

from ..kinds import Signal, audio


def read_sound(file: Path | bytes, name: str) -> Signal:
    """The sound of an ogg, mp3, wav or flac file, or of its bytes, with all its channels."""
    samples, rate, note = audio.read_sound(BytesIO(file) if isinstance(file, bytes) else file, name)
    return Signal(torch.from_numpy(samples.T.copy()), (1 / rate,), "s", name).but(note)


def mean_odds(logits: Tensor) -> Tensor:
    """The logits of the mean probabilities: log(p / (1 - p)) with p the mean of sigmoid(logits) over dimension 1.

    A mean of logits would let one silent piece, with logits far below zero, decide about the whole sound.
    Shapes: (batch, pieces, classes) to (batch, classes).

    >>> mean_odds(torch.tensor([[[0.0], [-200.0]]])).sigmoid().round(decimals=4)
    tensor([[0.2500]])
    """
    one, other = torch.nn.functional.logsigmoid(logits), torch.nn.functional.logsigmoid(-logits)
    return one.logsumexp(1) - other.logsumexp(1)
