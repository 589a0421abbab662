"""An image classifier together with the preparation that turns a photo into its input."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

Prepare = Callable[[Image.Image], Tensor]


@dataclass(frozen=True)
class Preparation:
    """Resizes a photo to size × size, scales it to [0, 1], and returns (x - mean) / std, shape (channels, size, size).

    crop: cut out the central square first; otherwise the photo is squeezed.  Three means: colour; one: grey.
    The default mean and std are those of ImageNet.

    >>> Preparation(32)(Image.new("RGB", (60, 40))).shape
    torch.Size([3, 32, 32])
    """

    size: int = 224
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    crop: bool = True

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size: expected the side of the model's input in pixels, at least 1, got {self.size}.")

    def __call__(self, image: Image.Image) -> Tensor:
        image = image.convert("RGB" if len(self.mean) == 3 else "L")
        if self.crop:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side))
        array = np.asarray(image.resize((self.size, self.size), Image.Resampling.BICUBIC), dtype=np.float32) / 255
        array = (np.atleast_3d(array) - np.asarray(self.mean, array.dtype)) / np.asarray(self.std, array.dtype)
        return torch.from_numpy(array.transpose(2, 0, 1).copy())


@dataclass(frozen=True)
class LoadedModel:
    """A module in eval mode and `prepare`, which turns a PIL image into its input (channels, height, width).

    classes: the name of each output; empty if the names are unknown.

    >>> toy = LoadedModel("toy", nn.Flatten(), Preparation(2))
    >>> toy.classify(toy.prepare(Image.new("RGB", (6, 4)))[None]).shape
    torch.Size([1, 12])
    """

    name: str
    module: nn.Module
    prepare: Prepare
    classes: tuple[str, ...] = ()

    def classify(self, x: Tensor) -> Tensor:
        """The logits (batch, classes) of x (batch, channels, height, width), without a graph.

        Raises: ValueError where the module does not accept x, or returns anything else.
        """
        try:
            with torch.no_grad():
                logits = self.module(x)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # modules raise many kinds of errors for images of a wrong size
            raise ValueError(f"{self.name}: {_refused(x, error)}") from error
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"{self.name}: expected a classifier that returns (batch, classes), got {found}.")
        return logits

    def check(self, x: Tensor, batch_size: int | str) -> Tensor:
        """The logits of x[:1]; an exported program is also run on two images, because it may accept only one.

        batch_size: as in `attribute`; with 1, two images are not tried.  Raises: ValueError that says what to pass instead.
        """
        logits = self.classify(x[:1])
        if batch_size != 1 and isinstance(self.module, torch.fx.GraphModule):
            self.classify(torch.cat([x[:1], x[:1]]))
        return logits

    def picture(self) -> Callable[[Tensor], Tensor] | None:
        """A function from inputs (…, channels, height, width) back to the photo's brightness in [0, 1]: std · x + mean.

        None where `prepare` has no mean and std. `Preparation` and the transforms of torchvision and timm have them.

        >>> red = Image.new("RGB", (6, 4), "red")
        >>> toy = LoadedModel("toy", nn.Flatten(), Preparation(1))
        >>> toy.picture()(toy.prepare(red)).flatten().round(decimals=4).abs()
        tensor([1., 0., 0.])
        """
        steps = [self.prepare, *reversed(getattr(self.prepare, "transforms", ()))]
        found = next((step for step in steps if hasattr(step, "mean") and hasattr(step, "std")), None)
        return None if found is None else lambda x: x * _channels(found.std, x) + _channels(found.mean, x)

    def class_name(self, index: int) -> str:
        """The name of class `index`, or "" if it is unknown.

        >>> LoadedModel("toy", nn.Identity(), Preparation(), ("cat", "dog")).class_name(1)
        'dog'
        """
        return self.classes[index] if 0 <= index < len(self.classes) else ""


def _channels(values: Any, x: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=x.dtype, device=x.device).reshape(-1, 1, 1)


def _refused(x: Tensor, error: Exception) -> str:
    """Why the model did not accept x, and what may help."""
    shape = " × ".join(str(size) for size in x.shape[1:])
    why = (next(iter(str(error).strip().splitlines()), "") or type(error).__name__).rstrip(".")
    if len(x) > 1:  # it accepted one image before
        advice = "Pass --batch-size 1 to explain, or export it for batches of any size (torch.export: dynamic_shapes)"
        return f"the model does not accept {len(x)} images of {shape} at once: {why}. {advice}"
    return (
        f"the model does not accept images of {shape}: {why}. If its images have another size, pass --size N (in Python, "
        "preparation=Preparation(size=N)); a callable may also return (module, prepare)"
    )
