"""The usual preparation of a picture: resized, scaled and normalised."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...core.checks import check_count
from ..kinds.pictures import MOST_PIXELS


@dataclass(frozen=True)
class Preparation:
    """Resizes a photo to size × size, scales it to [0, 1], and returns (x - mean) / std, shape (channels, size, size).

    crop: cut out the central square first; otherwise the photo is squeezed.  Three means: colour; one: grey.
    The default mean and std are those of ImageNet.

    Raises: ValueError for a size below 1 or above 8,192, numbers of means and stds that differ, or a std that is not positive.

    >>> Preparation(32)(Image.new("RGB", (60, 40))).shape
    torch.Size([3, 32, 32])
    """

    size: int = 224
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    crop: bool = True

    def __post_init__(self) -> None:
        check_count("Preparation", "size", self.size)
        if self.size**2 > MOST_PIXELS:
            raise ValueError(f"Preparation: expected a size of at most {math.isqrt(MOST_PIXELS):,}, got {self.size:,}.")
        if len(self.mean) not in (1, 3) or len(self.mean) != len(self.std):
            raise ValueError(f"Preparation: expected one or three means and as many stds, got {self.mean} and {self.std}.")
        if not all(map(math.isfinite, (*self.mean, *self.std))) or min(self.std) <= 0:
            raise ValueError(f"Preparation: expected finite means and positive stds, got {self.mean} and {self.std}.")

    def __call__(self, image: Image.Image) -> Tensor:
        if self.crop:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side))
        image = image.convert("RGB" if len(self.mean) == 3 else "L")
        array = np.asarray(image.resize((self.size, self.size), Image.Resampling.BICUBIC), dtype=np.float32) / 255
        array = (np.atleast_3d(array) - np.asarray(self.mean, array.dtype)) / np.asarray(self.std, array.dtype)
        return torch.from_numpy(array.transpose(2, 0, 1).copy())

    def changed(
        self,
        size: int | None = None,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
        channels: int | None = None,
        crop: bool | None = None,
    ) -> "Preparation":
        """This preparation with other parts; None keeps a part.

        channels: 3 or 1; where they become fewer, mean and std are averaged. One mean or std counts for all channels.

        >>> Preparation().changed(size=28, channels=1, mean=(0.13,))
        Preparation(size=28, mean=(0.13,), std=(0.226,), crop=True)
        """
        count = channels or max(len(self.mean), len(mean or ()), len(std or ()))
        if count not in (1, 3):
            raise ValueError(f"channels: a photo has 3 (colour) or 1 (grey), got {count}.")
        means, stds = _per_channel("mean", mean, self.mean, count), _per_channel("std", std, self.std, count)
        kept = self.crop if crop is None else crop
        return Preparation(self.size if size is None else size, means, stds, kept)


def _per_channel(what: str, asked: tuple[float, ...] | None, own: tuple[float, ...], count: int) -> tuple[float, ...]:
    if asked is not None and len(asked) not in (1, count):
        raise ValueError(f"{what}: expected 1 number or {count}, one for each channel, got {len(asked)}.")
    found = own if asked is None else asked
    return found if len(found) == count else (round(sum(found) / len(found), 9),) * count
