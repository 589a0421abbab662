"""`Signal`: the values of a file, and the distances that give them a unit."""

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Signal:
    """One signal as it was read.

    values: (channels, *spatial), single precision; of a picture its 8-bit integers.
    step: the distance of neighbouring samples along each spatial axis, in `unit`: s, mm, pixel or sample.
    name: the file's name.  notes: sentences about what was read otherwise than it is stored.
    origin: what the kind needs to draw and to write it again, as an affine matrix or the names of channels.

    >>> import torch
    >>> Signal(torch.zeros(1, 8000), (1 / 16000,), "s", "crow.wav").values.shape
    torch.Size([1, 8000])
    """

    values: Tensor
    step: tuple[float, ...]
    unit: str
    name: str
    notes: tuple[str, ...] = ()
    origin: Any = None

    def but(self, *notes: str, **changes: Any) -> "Signal":
        """The signal with other fields, and with more notes; empty notes are left out."""
        return replace(self, **changes, notes=(*self.notes, *filter(None, notes)))


def sizes(shape: Any) -> str:
    """The numbers of a shape, as 3 × 224 × 224."""
    return " × ".join(map(str, shape)) or "one number"
