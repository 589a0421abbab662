"""Small changes of the signal that should not change what a map says: noise, a shift, JPEG."""

import abc
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..attribution.engine.random import fill
from ..core.checks import check_choice, check_count, check_number
from ..core.imports import needs
from ..core.precision import SINGLE

UNDER = ("noise", "shift", "jpeg")


class Perturbation(abc.ABC):
    """Changes signals (batch, *shape) in a number of ways, and moves results back to where they belong."""

    @abc.abstractmethod
    def count(self, shape: tuple[int, ...]) -> int:
        """How many ways there are for signals of that shape.  Raises: ValueError where there are none."""

    @abc.abstractmethod
    def __call__(self, x: Tensor, way: int, seed: int) -> Tensor:
        """x, changed, (batch, *shape)."""

    def back(self, signal: Tensor, way: int) -> Tensor:
        """A signal that was found in changed signals, where it lies in unchanged ones."""
        return signal


@dataclass(frozen=True)
class Noise(Perturbation):
    """x + δ, ‖δ‖ = radius ‖x‖ in ℓ2, in random directions that depend on the seed alone.

    All examples get the same directions: numbers keyed by the bits of T⁻¹ z would differ between domains.
    """

    radius: float
    samples: int

    def count(self, shape: tuple[int, ...]) -> int:
        return self.samples

    def __call__(self, x: Tensor, way: int, seed: int) -> Tensor:
        drawn = x.new_empty((1, *x.shape[1:]), dtype=SINGLE)
        noise = fill(drawn, Tensor.normal_, seed, [b"noise"], [way]).to(x)
        size = self.radius * x.flatten(1).norm(dim=1) / noise.norm()
        return x + noise * size.reshape(-1, *[1] * (x.ndim - 1))


@dataclass(frozen=True)
class Shift(Perturbation):
    """x, rolled by `samples` to either side along each signal axis in turn; what leaves at one end enters at the other."""

    samples: int

    def count(self, shape: tuple[int, ...]) -> int:
        axes = [size for size in shape[1:] if size > 1]
        if not axes or any(self.samples % size == 0 for size in axes):
            advice = "shift signals (batch, channels, *axes) by fewer samples than each axis has, or take under=noise"
            raise ValueError(f"shift: signals of shape {shape} have nowhere to go by {self.samples} samples; {advice}.")
        return 2 * len(axes)

    def __call__(self, x: Tensor, way: int, seed: int) -> Tensor:
        axes = [axis for axis in range(2, x.ndim) if x.shape[axis] > 1]
        return x.roll(self.samples if way % 2 else -self.samples, axes[way // 2])

    def back(self, signal: Tensor, way: int) -> Tensor:
        return self(signal, way + (1 if way % 2 == 0 else -1), 0)


@dataclass(frozen=True)
class Jpeg(Perturbation):
    """x after JPEG of a quality, by Pillow; the range of each example is scaled to 0…255 for it, and back."""

    quality: int

    def count(self, shape: tuple[int, ...]) -> int:
        if len(shape) != 3 or shape[0] not in (1, 3):
            advice = "take under=noise or under=shift"
            raise ValueError(f"jpeg: needs images (1 or 3, height, width), got signals of shape {shape}; {advice}.")
        return 1

    def __call__(self, x: Tensor, way: int, seed: int) -> Tensor:
        low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
        span = (high - low).where(high > low, 1)
        levels = ((x - low) / span * 255).round().byte().cpu().numpy()
        read = torch.from_numpy(np.stack([self._compressed(each) for each in levels])).to(x)
        return torch.where(high > low, read / 255 * span + low, x)

    def _compressed(self, levels: np.ndarray) -> np.ndarray:
        """levels: (channels, height, width), uint8."""
        with needs("JPEG", "'pullback[cli]'"):
            from PIL import Image
        file, plane = io.BytesIO(), levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0)
        Image.fromarray(plane).save(file, "JPEG", quality=self.quality)
        read = np.asarray(Image.open(file))
        return read[None] if read.ndim == 2 else read.transpose(2, 0, 1)


def perturbation(who: str, under: str, amount: float, samples: int) -> Perturbation:
    """The perturbation of that name.  amount: ‖δ‖ / ‖x‖ of noise, samples of a shift, quality of JPEG.

    Raises: ValueError that lists the names, or for an amount that makes no sense.
    """
    check_choice(who, "under", under, UNDER)
    if under == "noise":
        radius = check_number(who, "amount", amount, 0)
        if not radius:
            raise ValueError(f"{who}: amount, the size of the noise over that of x, must be above 0.")
        return Noise(radius, check_count(who, "samples", samples))
    whole = int(amount) if isinstance(amount, float) and amount == int(amount) else amount
    if under == "shift":
        return Shift(check_count(who, "amount", whole))
    quality = check_count(who, "amount", whole)
    if quality > 95:
        raise ValueError(f"{who}: amount, the quality of JPEG, must be a whole number from 1 to 95, got {quality}.")
    return Jpeg(quality)


def ways(change: Perturbation, shape: Sequence[int]) -> range:
    """The numbers of the ways to change signals of that shape."""
    return range(change.count(tuple(shape)))
