"""One transform after another: `a >> b`."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from .base import Transform
from .layout import Band, Layout


class Compose(Transform):
    """z = T_n … T_2 T_1 x. It claims what all its parts claim, and has the bands of the last part.

    Frequencies, positions and scales are those of the last part where all before it act on each sample by itself, as
    `color` does. After a part that mixes samples they would describe its coefficients and not the signal, so that
    frequencies and positions are NaN there and every band spans all scales.

    Raises: ValueError where the coefficients of one part do not have the shape that the next one takes.

    >>> from pullback.transforms import get
    >>> get("pixel >> dct", shape=(1, 8)).spec
    'pixel >> dct'
    """

    def __init__(self, *parts: Transform) -> None:
        super().__init__()
        if not parts:
            raise ValueError("Compose: expected at least one transform, got none.")
        for first, second in zip(parts, parts[1:]):
            if first.layout.shape != second.shape:
                raise ValueError(
                    f"Compose: {first.spec} gives coefficients of shape {first.layout.shape}, but "
                    f"{second.spec} takes signals of shape {second.shape}."
                )
        self.parts = nn.ModuleList(parts)
        self.shape = parts[0].shape
        self.claims = parts[0].claims
        for part in parts[1:]:
            self.claims &= part.claims
        self.spec = " >> ".join(part.spec for part in parts)
        self.layout = _layout(parts)

    def _sequence(self) -> list[Transform]:
        return [part for part in self.parts if isinstance(part, Transform)]

    def analysis(self, x: Tensor) -> Tensor:
        for part in self._sequence():
            x = part.analysis(x)
        return x

    def synthesis(self, z: Tensor) -> Tensor:
        for part in reversed(self._sequence()):
            z = part.synthesis(z)
        return z

    def transpose(self, g: Tensor) -> Tensor:
        for part in self._sequence():
            g = part.transpose(g)
        return g

    def ends(self, x: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
        for part in self._sequence():
            x, base = part.ends(x, base)
        return x, base

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        from .harmonic.cosine import DCT
        from .wavelets.dwt import DWT

        first = DWT((2, 7, 6), "db2", level=1)
        yield cls(first, DCT(first.layout.shape))
        yield cls(DCT((1, 9)), DWT((1, 9), "bior2.2", level=1))


def _layout(parts: Sequence[Transform]) -> Layout:
    """The layout of the last part, as far as it says something about the signal."""
    last = parts[-1].layout
    if all(_samplewise(part) for part in parts[:-1]):
        return last
    bands = tuple(Band(band.name) for band in last.bands)
    nowhere = torch.full((len(parts[0].shape) - 1, *last.shape), math.nan)
    return Layout(bands, last.index, nowhere, nowhere)


def _samplewise(part: Transform) -> bool:
    """Whether coefficients sit where the samples do: positions known, no frequency, nothing moved."""
    layout = part.layout
    return (
        layout.shape == part.shape and bool(layout.frequency.isnan().all()) and bool(layout.position.isfinite().all())
    )
