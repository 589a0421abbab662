"""Pictures: a photograph or a drawing of three channels."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor

from ...attribution import Attribution
from ...attribution.plot import Show, plot
from .base import Kind, Part, Wants
from .pictures import as_seen, decoded_picture, from_array, open_picture, picture_suffixes
from .signal import Signal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOMAINS = (
    "pixel",
    "dwt(haar, level=3)",
    "dwt(haar, level=5)",
    "dwt(db4, level=3)",
    "dwt(sym8, level=3)",
    "dwt(bior4.4, level=3)",
    "dwt(coif3, level=3)",
    "dwt(db4, level=3, mode=reflect)",
    "dct",
    "dft",
)
EXPLAINED = ("dwt(db4, level=4)", "dct")


class Image(Kind):
    """A picture in a file. The step is a pixel of the model's input, to which `prepare` resizes the picture."""

    name, what, plural, axes = "image", "an image", "images", 2
    resized = True
    suffixes = tuple(sorted(picture_suffixes()))

    def read(self, path: Path, part: Part | None = None) -> Signal:
        with open_picture(path) as stored:
            picture, notes = as_seen(stored)
        return as_signal(picture, path.name, tuple(notes))

    def open(self, path: Path) -> Pillow.Image:
        return open_picture(path)

    def decode(self, data: bytes, file: str, name: str) -> Pillow.Image:
        return from_array(data) if file.lower().endswith(".npy") else decoded_picture(io.BytesIO(data))

    def made(self, signal: Signal) -> Pillow.Image:
        levels = (signal.values * 255).round().to(torch.uint8)  # values are in [0, 1]
        return Pillow.fromarray(levels.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy())

    def fit(self, signal: Any, wants: Wants) -> Signal:
        return as_signal(signal) if isinstance(signal, Pillow.Image) else signal

    def content(self, signal: Signal) -> Pillow.Image:
        found: Pillow.Image = signal.origin
        return found

    def regrid(self, signal: Signal, values: Tensor) -> Signal:
        return signal.but(values=values, step=(1.0, 1.0))

    def domains(self, shape: Sequence[int]) -> tuple[str, ...]:
        return DOMAINS

    def explained(self, shape: Sequence[int]) -> tuple[str, ...]:
        return EXPLAINED

    def compared(self, att: Attribution, signal: Signal, title: str) -> dict[str, "Figure"]:
        return {}

    def figures(self, att: Attribution, signal: Signal, title: str, show: Show | None = None) -> dict[str, "Figure"]:
        figure = plot(att, show=show)
        figure.suptitle(title, fontsize=10)
        return {"": figure}


def as_signal(picture: Pillow.Image, name: str = "", notes: tuple[str, ...] = ()) -> Signal:
    """A picture as a signal, which shares its memory.

    >>> as_signal(Pillow.new("RGB", (4, 2), "red")).values[:, 0, 0].tolist()
    [255, 0, 0]
    """
    values = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)
    return Signal(values, (1.0, 1.0), "pixel", name, notes, picture)
