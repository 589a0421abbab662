"""An image classifier together with the preparation that turns a photo into its input."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ...attribution.engine.check_model import feed_dtype
from ...core.checks import check_count
from ...core.precision import wide
from .pictures import MOST_PIXELS

Prepare = Callable[[Image.Image], Tensor]
SIDES, BATCHES = (
    (28, 32, 64, 96, 128, 224, 256, 299, 384),
    (1, 2, 4, 8, 16, 32),
)  # tried after a failure, to name one that works


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


@dataclass(frozen=True)
class LoadedModel:
    """A module in eval mode and `prepare`, which turns a PIL image into its input (channels, height, width).

    classes: the name of each output; empty if the names are unknown.

    >>> toy = LoadedModel("toy", nn.Flatten(), Preparation(2))
    >>> toy.classify(toy.input(Image.new("RGB", (6, 4)))[None]).shape
    torch.Size([1, 12])
    """

    name: str
    module: nn.Module
    prepare: Prepare
    classes: tuple[str, ...] = ()

    def input(self, image: Image.Image) -> Tensor:
        """`prepare` of a picture, in the precision of the model if that is single or double. Shape: (channels, height, width).

        Raises: ValueError where `prepare` returns anything else.
        """
        x = self.prepare(image)
        if not isinstance(x, Tensor) or x.ndim != 3 or not x.is_floating_point():
            got = f"shape {tuple(x.shape)}, {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"{self.name}: expected prepare to return floats (channels, height, width), got {got}.")
        own = {each.dtype for each in _parameters(self.module) if each.is_floating_point()}
        return x.to(own.pop()) if len(own) == 1 and own == set(map(wide, own)) else x

    def prepared(self, **parts: Any) -> "LoadedModel":
        """The model with parts of its preparation changed, see `Preparation.changed`; without parts, the model as it is.

        A `prepare` of another kind is replaced by a `Preparation` with its mean and std, where it has them.

        >>> LoadedModel("toy", nn.Flatten(), Preparation(8)).prepared(crop=False).prepare
        Preparation(size=8, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), crop=False)
        """
        if all(part is None for part in parts.values()):
            return self
        own, found = self.prepare, self._normalisation()
        if not isinstance(own, Preparation):
            own = Preparation() if found is None else Preparation(mean=_numbers(found.mean), std=_numbers(found.std))
        return replace(self, prepare=own.changed(**parts))

    def preparation(self) -> dict[str, Any]:
        """How photos are prepared, as plain data: size, mean, std and crop, or the name and the text of another `prepare`.

        >>> LoadedModel("toy", nn.Flatten(), Preparation(8, (0.5,), (0.25,))).preparation()
        {'size': 8, 'mean': (0.5,), 'std': (0.25,), 'crop': True, 'channels': 1}
        """
        if isinstance(self.prepare, Preparation):
            return asdict(self.prepare) | {"channels": len(self.prepare.mean)}
        found, named = self._normalisation(), getattr(self.prepare, "__qualname__", None)
        numbers = {} if found is None else {name: _numbers(getattr(found, name)) for name in ("mean", "std")}
        return {"prepare": named or " ".join(re.sub(r" at 0x[0-9a-f]+", "", repr(self.prepare)).split())} | numbers

    def classify(self, x: Tensor, batch_size: int | str = "auto") -> Tensor:
        """The logits (batch, classes) of x (batch, channels, height, width), without a graph; (batch, 1) for one output.

        batch_size: as in `attribute`. A model that accepts only this number of rows gets the last ones repeatedly.

        Raises: ValueError where the module does not accept x, or returns anything else.
        """
        if isinstance(batch_size, str):
            return self._logits(x)
        return torch.cat([self._filled(rows, batch_size) for rows in x.split(batch_size)])

    def check(self, x: Tensor, batch_size: int | str) -> Tensor:
        """The logits of x[:1].  batch_size: as in `classify`.  Raises: ValueError that says what to pass instead."""
        return self.classify(x[:1], batch_size)

    def fitting(self, x: Tensor, batch_size: int | str) -> int | str:
        """`batch_size`, or for "auto" the number of images that a compiled program accepts, if it is made for one number only.

        >>> LoadedModel("toy", nn.Flatten(), Preparation(2)).fitting(torch.zeros(1, 3, 2, 2), "auto")
        'auto'
        """
        compiled = isinstance(self.module, (torch.fx.GraphModule, torch.jit.ScriptModule))
        if not compiled or batch_size != "auto" or self._accepts(torch.cat([x[:1], x[:1]])):
            return batch_size
        return next((n for n in BATCHES if self._accepts(x[:1].expand(n, -1, -1, -1))), batch_size)

    def picture(self) -> Callable[[Tensor], Tensor] | None:
        """A function from inputs (…, channels, height, width) back to the photo's brightness in [0, 1]: std · x + mean.

        None where `prepare` has no mean and std. `Preparation` and the transforms of torchvision and timm have them.

        >>> red = Image.new("RGB", (6, 4), "red")
        >>> toy = LoadedModel("toy", nn.Flatten(), Preparation(1))
        >>> toy.picture()(toy.prepare(red)).flatten().round(decimals=4).abs()
        tensor([1., 0., 0.])
        """
        found = self._normalisation()
        return None if found is None else lambda x: x * _channels(found.std, x) + _channels(found.mean, x)

    def class_name(self, index: int) -> str:
        """The name of class `index`, or "" if it is unknown.

        >>> LoadedModel("toy", nn.Identity(), Preparation(), ("cat", "dog")).class_name(1)
        'dog'
        """
        return self.classes[index] if 0 <= index < len(self.classes) else ""

    def _normalisation(self) -> Any:
        """The step of `prepare` that has mean and std, or None."""
        steps = [self.prepare, *reversed(getattr(self.prepare, "transforms", ()))]
        return next((step for step in steps if not any(callable(getattr(step, name, len)) for name in ("mean", "std"))), None)

    def _filled(self, x: Tensor, rows: int) -> Tensor:
        if len(x) < rows and not self._accepts(x):
            return self._logits(torch.cat([x, *[x[-1:]] * (rows - len(x))]))[: len(x)]
        return self._logits(x)

    def _logits(self, x: Tensor) -> Tensor:
        try:
            found = self._run(x)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # modules raise many kinds of errors for images of a wrong size
            raise ValueError(f"{self.name}: {self._refused(x, error)}") from error
        logits = as_table(found, len(x))
        if logits is None:
            what = f"{self.name}: expected a classifier that returns (batch, classes)"
            if isinstance(found, Tensor) and len(x) > 1 and as_table(self._run(x[:1]), 1) is not None:
                raise ValueError(f"{what}, got {tuple(found.shape)} for {len(x)} images; {self._batches(x)}.")
            raise ValueError(f"{what}, got {_describe(found)}. Wrap it in a module that returns the logits.")
        return logits

    def _run(self, x: Tensor) -> Any:
        with torch.no_grad():
            return self.module(x.to(feed_dtype(self.module, x.dtype)))

    def _accepts(self, x: Tensor) -> bool:
        try:
            return as_table(self._run(x), len(x)) is not None
        except Exception:
            return False

    def _refused(self, x: Tensor, error: Exception) -> str:
        """Why the model did not accept x, and what helps, which is tried."""
        shape = " × ".join(str(size) for size in x.shape[1:])
        why = f"the model does not accept {'images' if len(x) == 1 else f'{len(x)} images'} of {shape}"
        return f"{why}{'' if len(x) == 1 else ' at once'}: {true_cause(error)}. {self._advice(x)}"

    def _advice(self, x: Tensor) -> str:
        batch = self._batches(x)
        if batch:
            return f"{batch}, or export it for batches of any size (torch.export: dynamic_shapes)"
        for channels, size in [(4 - x.shape[1], x.shape[2]), *((count, side) for count in (3, 1) for side in SIDES)]:
            if self._accepts(x.new_zeros(1, channels, size, size)):
                grey = f" --channels {channels}" if channels != x.shape[1] else ""
                side = f" --size {size}" if size != x.shape[2] else ""
                return f"It accepts {channels} × {size} × {size}: pass{grey}{side}"
        return "If its images have another size, pass --size N; a callable may also return (module, prepare)"

    def _batches(self, x: Tensor) -> str:
        """What to pass if the model accepts such images only in another number; "" if in none that is tried."""
        works = next((n for n in BATCHES if n != len(x) and self._accepts(x[:1].expand(n, -1, -1, -1))), None)
        return "" if works is None else f"Pass --batch-size {works}"


def stacked(inputs: Mapping[str, Tensor]) -> Tensor:
    """Inputs by the name of their photo as one batch.  Raises: ValueError where their shapes differ."""
    shapes = {tuple(x.shape): f"{name[:60]!r} {' × '.join(map(str, x.shape))}" for name, x in inputs.items()}
    if len(shapes) > 1:
        raise ValueError(
            f"prepare returns inputs of several shapes, as {' and '.join([*shapes.values()][:2])}; resize them to one."
        )
    return torch.stack(list(inputs.values()))


def as_table(output: Any, rows: int) -> Tensor | None:
    """`output` as (rows, classes), in single precision or wider; None where it is no number or row of numbers for each row.

    >>> as_table(torch.zeros(2), 2).shape, as_table(torch.zeros(5), 1).shape, as_table(torch.zeros(5), 2)
    (torch.Size([2, 1]), torch.Size([1, 5]), None)
    """
    if not isinstance(output, Tensor) or not output.is_floating_point():
        return None
    if output.ndim < 2 and rows == 1:
        output = output.reshape(1, -1)
    elif tuple(output.shape) == (rows,):
        output = output[:, None]
    fits = output.ndim == 2 and len(output) == rows and output.shape[1] > 0
    return output.to(wide(output.dtype)) if fits else None


def true_cause(error: BaseException) -> str:
    """The first line of an error; for TorchScript, which begins with its own traceback, the line of the error inside it."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    inner = [line for line in lines if re.match(r"(\w+\.)*\w*(Error|Exception): ", line)]
    found = inner[-1] if inner and "TorchScript" in lines[0] else next(iter(lines), "")
    return (re.sub(r"^RuntimeError: ", "", found) or type(error).__name__).rstrip(".")[:160]


def _describe(found: Any) -> str:
    if isinstance(found, Tensor):
        return f"{tuple(found.shape)}" if found.is_floating_point() else f"{tuple(found.shape)} of {found.dtype}"
    keys = f" with {', '.join(map(repr, list(found)[:3]))}" if isinstance(found, dict) else ""
    return type(found).__name__ + keys


def _parameters(module: Any) -> Iterator[Tensor]:
    return iter(module.parameters()) if isinstance(module, nn.Module) else iter(())


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(torch.as_tensor(values).flatten().tolist())


def _channels(values: Any, x: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=x.dtype, device=x.device).reshape(-1, 1, 1)
