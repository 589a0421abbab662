"""A model together with the preparation that turns a picture or another signal into its input."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ...attribution.engine.check_model import feed_dtype
from ...core.precision import wide
from ..kinds import Kind, Signal, Wants, get_kind
from ..kinds.signal import sizes
from .adapted import Adapted, Probabilities, about_inputs, bare, check_names, described_inputs
from .advice import advice, fitting_batch, other_batch
from .class_names import class_index
from .outputs import MissingOutput, Output, as_table, describe, tables, true_cause
from .preparation import Preparation

Prepare = Callable[[Any], Any]
AXES = {1: "channels, samples", 2: "channels, height, width", 3: "channels, i, j, k"}


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
    output: where the module returns a dictionary, a tuple or an object: the scores in it, as "logits", 1 or "heads.0"; or a
    callable that takes what it returns.
    model_args, model_kwargs: what the module takes besides one signal; see `Adapted`, which `module` becomes.
    source, licence: of the weights of a packaged model; "" where they are not known.
    filled: whether a signal shorter than the window is filled with zeros; else the module takes it as it is.

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
    output: Output | None = None
    model_args: Sequence[Any] = ()
    model_kwargs: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    licence: str = ""
    filled: bool = True

    def __post_init__(self) -> None:
        adapted = self.output is not None or self.model_args or self.model_kwargs
        if adapted and isinstance(self.module, nn.Module) and not any(isinstance(m, Adapted) for m in self.module.modules()):
            check_names(self.name, self.module, list(self.model_kwargs))
            made = Adapted(self.module, self.output, self.model_args, self.model_kwargs)
            object.__setattr__(self, "module", made)

    @property
    def signals(self) -> Kind:
        """The kind of its signals."""
        return get_kind(self.kind)

    @property
    def wants(self) -> Wants:
        """What a signal has to fit before `prepare`."""
        return Wants(self.rate, self.window if self.filled else None)

    def input(self, signal: Any) -> Tensor:
        """`prepare` of a picture or a signal, in the precision of the model if that is single or double.

        Shape: (channels, *spatial).  Raises: ValueError where `prepare` returns anything else.
        """
        return self.fitted(signal).values

    def fitted(self, signal: Any) -> Signal:
        """The model's input as a signal, with the distance of its samples, and notes on what was changed."""
        kind = self.signals
        signal = kind.fit(signal, self.wants)
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

    def described(
        self,
        kind: str | None = None,
        rate: float | None = None,
        window: int | None = None,
        output: Output | None = None,
        inputs: Mapping[str, Any] | None = None,
    ) -> "LoadedModel":
        """The model with another kind, rate, window or output; None keeps a part.  inputs: more of `model_kwargs`.

        >>> LoadedModel("toy", nn.Flatten()).described(kind="audio", rate=16_000.0).rate
        16000.0
        """
        changed = self if kind is None else replace(self, kind=get_kind(kind).name)
        if not changed.signals.resized and isinstance(self.prepare, Preparation):
            changed = replace(changed, prepare=values_of)
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise ValueError(f"rate: expected a positive number of Hz, got {rate}.")
        if output is not None or inputs:
            more = {**self.model_kwargs, **(inputs or {})}
            own = self.output if output is None else output
            changed = replace(changed, module=bare(self.module), output=own, model_kwargs=more)
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
        reads: dict[str, Any] = {}
        if self.output is not None:
            reads["output"] = getattr(self.output, "__qualname__", self.output)
        if self.model_args or self.model_kwargs:
            reads["inputs"] = described_inputs(self.model_args, self.model_kwargs)
        if isinstance(self.prepare, Preparation):
            return asdict(self.prepare) | {"channels": len(self.prepare.mean)} | reads
        found, named = self._normalisation(), getattr(self.prepare, "__qualname__", None)
        numbers = {} if found is None else {name: _numbers(getattr(found, name)) for name in ("mean", "std")}
        wants = {name: value for name, value in (("rate", self.rate), ("window", self.window)) if value is not None}
        return (
            {"prepare": named or " ".join(re.sub(r" at 0x[0-9a-f]+", "", repr(self.prepare)).split())} | numbers | wants | reads
        )

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
        compiled = isinstance(bare(self.module), (torch.fx.GraphModule, torch.jit.ScriptModule))
        if not compiled or batch_size != "auto" or self._accepts(torch.cat([x[:1], x[:1]])):
            return batch_size
        return fitting_batch(self._accepts, x) or batch_size

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
        """As `class_names.class_index`: the number of a class that is given by its number or its name."""
        return class_index(target, self.classes, self.name)

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
        except (torch.OutOfMemoryError, MissingOutput):
            raise
        except Exception as error:  # modules raise many kinds of errors for images of a wrong size
            raise ValueError(f"{self.name}: {self._refused(x, error)}.") from error
        logits = as_table(found, len(x))
        if logits is None:
            raise ValueError(f"{self.name}: {self._not_a_table(found, x)}.")
        return logits

    def _not_a_table(self, found: Any, x: Tensor) -> str:
        own = "" if self.output is None else f" as {getattr(self.output, '__qualname__', self.output)}"
        what = f"expected a classifier that returns (batch, classes){own}"
        if isinstance(found, Tensor) and len(x) > 1 and as_table(self._run(x[:1]), 1) is not None:
            return f"{what}, got {tuple(found.shape)} for {len(x)} {self.signals.plural}; {other_batch(self._accepts, x)}"
        named = list(tables(found, len(x))) or list(tables(found, None))
        helps = f"Pass --output {' or '.join(named[:4])}" if named else "Wrap it in a module that returns the logits"
        return f"{what}, got {describe(found)[:150]}. {helps}"

    def _run(self, x: Tensor) -> Any:
        with torch.no_grad():
            return self.module(x.to(feed_dtype(self.module, x.dtype)))

    def _accepts(self, x: Tensor) -> bool:
        try:
            return as_table(self._run(x), len(x)) is not None
        except Exception:
            return False

    def _refused(self, x: Tensor, error: Exception) -> str:
        """Why the model did not accept x, and what helps."""
        plural = self.signals.plural
        many = "" if len(x) == 1 else " at once"
        count = plural if len(x) == 1 else f"{len(x)} {plural}"
        helps = about_inputs(self.module) or advice(self._accepts, x, self.signals)
        return f"the model does not accept {count} of {sizes(x.shape[1:])}{many}: {true_cause(error)}. {helps}"


def stacked(inputs: Mapping[str, Tensor]) -> Tensor:
    """Inputs by the name of their photo as one batch.  Raises: ValueError where their shapes differ."""
    shapes = {tuple(x.shape): f"{name[:60]!r} {' × '.join(map(str, x.shape))}" for name, x in inputs.items()}
    if len(shapes) > 1:
        raise ValueError(
            f"prepare returns inputs of several shapes, as {' and '.join([*shapes.values()][:2])}; resize them to one."
        )
    return torch.stack(list(inputs.values()))


def _parameters(module: Any) -> Iterator[Tensor]:
    return iter(module.parameters()) if isinstance(module, nn.Module) else iter(())


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(torch.as_tensor(values).flatten().tolist())


def _channels(values: Any, x: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=x.dtype, device=x.device).reshape(-1, 1, 1)
