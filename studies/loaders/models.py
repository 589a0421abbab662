"""A model together with the preparation that turns a picture or another signal into its input."""

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ...attribution.engine.check_model import feed_dtype
from ...core.precision import wide
from ..kinds import Kind, Signal, Wants, get_kind
from .outputs import as_table, describe, true_cause
from .preparation import Preparation

Prepare = Callable[[Any], Any]
AXES = {1: "channels, samples", 2: "channels, height, width", 3: "channels, i, j, k"}
SIDES, BATCHES = (
    (28, 32, 64, 96, 128, 224, 256, 299, 384),
    (1, 2, 4, 8, 16, 32),
)  # tried after a failure, to name one that works


class Probabilities(nn.Module):
    """The sigmoids of a model's outputs.

    >>> Probabilities(nn.Identity())(torch.zeros(1, 2))
    tensor([[0.5000, 0.5000]])
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.inner = module
        self.training = getattr(module, "training", False)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.inner(x).sigmoid()
        return found


def values_of(signal: Signal) -> Tensor:
    """The values of a signal: the `prepare` of models that take them as they are."""
    return signal.values


@dataclass(frozen=True)
class LoadedModel:
    """A module in eval mode and `prepare`, which turns a signal into its input (channels, *spatial).

    prepare: called with a PIL image, or for another kind with a `Signal` at the model's `rate`, a recording with one channel.
    It returns a tensor, or a `Signal` where it changes the distance of samples.
    classes: the name of each output; empty if the names are unknown.
    kind: of the signals: image, audio, volume or series.  rate: samples per second in Hz, None for any.
    window: samples of one input of audio or series, None for any; of a longer signal the mean score of its windows counts.
    independent: whether each output answers its own question, so that the probabilities, which are explained, are sigmoids.

    >>> from PIL import Image
    >>> toy = LoadedModel("toy", nn.Flatten(), Preparation(2))
    >>> toy.classify(toy.input(Image.new("RGB", (6, 4)))[None]).shape
    torch.Size([1, 12])
    """

    name: str
    module: nn.Module
    prepare: Prepare = values_of
    classes: tuple[str, ...] = ()
    kind: str = "image"
    rate: float | None = None
    window: int | None = None
    independent: bool = False

    @property
    def signals(self) -> Kind:
        """The kind of its signals."""
        return get_kind(self.kind)

    def input(self, signal: Any) -> Tensor:
        """`prepare` of a picture or a signal, in the precision of the model if that is single or double.

        Shape: (channels, *spatial).  Raises: ValueError where `prepare` returns anything else.
        """
        return self.fitted(signal).values

    def fitted(self, signal: Any) -> Signal:
        """The model's input as a signal, with the distance of its samples, and notes on what was changed."""
        kind = self.signals
        signal = kind.fit(signal, Wants(self.rate, self.window))
        made = self.prepare(kind.content(signal))
        x = made.values if isinstance(made, Signal) else made
        if not isinstance(x, Tensor) or x.ndim != kind.axes + 1 or not x.is_floating_point():
            got = f"shape {tuple(x.shape)}, {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
            axes = AXES[kind.axes]
            raise ValueError(f"{self.name}: expected prepare to return floats ({axes}), got {got}.")
        own = {each.dtype for each in _parameters(self.module) if each.is_floating_point()}
        x = x.to(own.pop()) if len(own) == 1 and own == set(map(wide, own)) else x
        return made.but(values=x) if isinstance(made, Signal) else kind.regrid(signal, x)

    def whole(self, x: Tensor) -> "LoadedModel":
        """The model for inputs x (batch, channels, *spatial), which may be longer than its window.

        The scores of a model with independent outputs are then its probabilities: its logits say how loud a sound is, rather
        than which one, as in silence they are very negative for every class.
        """
        inner = Probabilities(self.module) if self.independent and not isinstance(self.module, Probabilities) else self.module
        module = self.signals.module(inner, Wants(self.rate, self.window), tuple(x.shape[1:]))
        return self if module is self.module else replace(self, module=module)

    def described(self, kind: str | None = None, rate: float | None = None, window: int | None = None) -> "LoadedModel":
        """The model with another kind, rate or window; None keeps a part.

        >>> LoadedModel("toy", nn.Flatten()).described(kind="audio", rate=16_000.0).rate
        16000.0
        """
        changed = self if kind is None else replace(self, kind=get_kind(kind).name)
        if changed.kind != "image" and isinstance(self.prepare, Preparation):
            changed = replace(changed, prepare=values_of)
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise ValueError(f"rate: expected a positive number of Hz, got {rate}.")
        return replace(changed, rate=self.rate if rate is None else rate, window=self.window if window is None else window)

    def prepared(self, **parts: Any) -> "LoadedModel":
        """The model with parts of its preparation changed, see `Preparation.changed`; without parts, the model as it is.

        A `prepare` of another kind is replaced by a `Preparation` with its mean and std, where it has them.

        >>> LoadedModel("toy", nn.Flatten(), Preparation(8)).prepared(crop=False).prepare
        Preparation(size=8, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), crop=False)
        """
        if all(part is None for part in parts.values()):
            return self
        if not self.signals.resized:
            given = ", ".join(name for name, part in parts.items() if part is not None)
            raise ValueError(f"{self.name} takes {self.signals.what}: {given} change how pictures are prepared.")
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
        wants = {name: value for name, value in (("rate", self.rate), ("window", self.window)) if value is not None}
        return {"prepare": named or " ".join(re.sub(r" at 0x[0-9a-f]+", "", repr(self.prepare)).split())} | numbers | wants

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
        """`batch_size`, or for "auto" the number of inputs that a compiled program accepts, if it is made for one number only.

        >>> LoadedModel("toy", nn.Flatten(), Preparation(2)).fitting(torch.zeros(1, 3, 2, 2), "auto")
        'auto'
        """
        compiled = isinstance(self.module, (torch.fx.GraphModule, torch.jit.ScriptModule))
        if not compiled or batch_size != "auto" or self._accepts(torch.cat([x[:1], x[:1]])):
            return batch_size
        return next((n for n in BATCHES if self._accepts(_repeat(x, n))), batch_size)

    def picture(self) -> Callable[[Tensor], Tensor] | None:
        """A function from inputs (…, channels, height, width) back to the photo's brightness in [0, 1]: std · x + mean.

        None where `prepare` has no mean and std. `Preparation` and the transforms of torchvision and timm have them.

        >>> from PIL import Image
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

    def class_index(self, target: int | str) -> int:
        """The number of a class that is given by its number or its name, in capitals or not, or by a part of one name only.

        Raises: ValueError that lists the classes that are close.

        >>> LoadedModel("toy", nn.Identity(), classes=("cat", "house cat", "dog")).class_index("House")
        1
        """
        if isinstance(target, int) or re.fullmatch(r"-?[0-9]{1,9}", target):
            return int(target)
        names = [name.casefold() for name in self.classes]
        wanted = target.strip().casefold()
        same = [index for index, name in enumerate(names) if name == wanted]
        found = same or [index for index, name in enumerate(names) if wanted and wanted in name]
        if len(found) == 1:
            return found[0]
        close = found or [names.index(name) for name in difflib.get_close_matches(wanted, names, 5)]
        listed = ", ".join(f"{self.classes[index]} ({index})" for index in close[:5])
        known = f"close ones: {listed}" if close else f"{self.name} names {len(names)} classes" if names else "pass its number"
        what = "several classes have this name" if found else "no class has this name"
        raise ValueError(f"target: {what}: {target[:60]!r}; {known}.")

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax of the scores of `whole`; where outputs are independent, those scores. Shape: (batch, classes), as logits."""
        return logits.double() if self.independent else logits.double().softmax(1)

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
                raise ValueError(f"{what}, got {tuple(found.shape)} for {len(x)} {self.signals.plural}; {self._batches(x)}.")
            raise ValueError(f"{what}, got {describe(found)}. Wrap it in a module that returns the logits.")
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
        plural = self.signals.plural
        why = f"the model does not accept {plural if len(x) == 1 else f'{len(x)} {plural}'} of {shape}"
        return f"{why}{'' if len(x) == 1 else ' at once'}: {true_cause(error)}. {self._advice(x)}"

    def _advice(self, x: Tensor) -> str:
        batch = self._batches(x)
        if batch:
            return f"{batch}, or export it for batches of any size (torch.export: dynamic_shapes)"
        if not self.signals.resized:
            return "If its inputs have another shape, let its callable return a LoadedModel with a prepare that makes it"
        for channels, size in [(4 - x.shape[1], x.shape[2]), *((count, side) for count in (3, 1) for side in SIDES)]:
            if self._accepts(x.new_zeros(1, channels, size, size)):
                grey = f" --channels {channels}" if channels != x.shape[1] else ""
                side = f" --size {size}" if size != x.shape[2] else ""
                return f"It accepts {channels} × {size} × {size}: pass{grey}{side}"
        return "If its images have another size, pass --size N; a callable may also return (module, prepare)"

    def _batches(self, x: Tensor) -> str:
        """What to pass if the model accepts such images only in another number; "" if in none that is tried."""
        works = next((n for n in BATCHES if n != len(x) and self._accepts(_repeat(x, n))), None)
        return "" if works is None else f"Pass --batch-size {works}"


def stacked(inputs: Mapping[str, Tensor]) -> Tensor:
    """Inputs by the name of their photo as one batch.  Raises: ValueError where their shapes differ."""
    shapes = {tuple(x.shape): f"{name[:60]!r} {' × '.join(map(str, x.shape))}" for name, x in inputs.items()}
    if len(shapes) > 1:
        raise ValueError(
            f"prepare returns inputs of several shapes, as {' and '.join([*shapes.values()][:2])}; resize them to one."
        )
    return torch.stack(list(inputs.values()))


def _repeat(x: Tensor, count: int) -> Tensor:
    return x[:1].expand(count, *x.shape[1:])


def _parameters(module: Any) -> Iterator[Tensor]:
    return iter(module.parameters()) if isinstance(module, nn.Module) else iter(())


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(torch.as_tensor(values).flatten().tolist())


def _channels(values: Any, x: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=x.dtype, device=x.device).reshape(-1, 1, 1)
