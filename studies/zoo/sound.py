"""Sounds as tensors, and one answer for all pieces of a sound."""

from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...core.imports import needs


def read_sound(file: Path | bytes) -> tuple[Tensor, int]:
    """The samples (channels, samples) in [-1, 1] and the rate in Hz of an ogg, mp3, wav or flac file, or of its bytes."""
    with needs("A recording", "soundfile"):
        import soundfile
    source = BytesIO(file) if isinstance(file, bytes) else str(file)
    samples, rate = soundfile.read(source, always_2d=True, dtype=np.dtype(np.float32).name)
    return torch.from_numpy(samples.T.copy()), rate


def mean_odds(logits: Tensor) -> Tensor:
    """The logits of the mean probabilities: log(p / (1 - p)) with p the mean of sigmoid(logits) over dimension 1.

    A mean of logits would let one silent piece, with logits far below zero, decide about the whole sound.
    Shapes: (batch, pieces, classes) to (batch, classes).

    >>> mean_odds(torch.tensor([[[0.0], [-200.0]]])).sigmoid().round(decimals=4)
    tensor([[0.2500]])
    """
    one, other = torch.nn.functional.logsigmoid(logits), torch.nn.functional.logsigmoid(-logits)
    return one.logsumexp(1) - other.logsumexp(1)
