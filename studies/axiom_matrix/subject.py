"""`Subject`: a model and the signals on which methods are checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ...attribution.engine.score import Target
from ..loaders.data import load_photos
from ..loaders.model_formats import load_model
from ..loaders.models import LoadedModel, stacked
from ..loaders.preparation import Preparation
from ..training.gratings import trained_on_gratings

SMALL = "small"


@dataclass(frozen=True, eq=False)
class Subject:
    """A model, signals (batch, *shape), and the target: a number of the model's output for each signal."""

    model: Callable[..., Any]
    x: Tensor
    target: Target = None


def load_subject(
    model: str | Path | LoadedModel = SMALL,
    *,
    data: str | Path = "imagenet-sample",
    photos: int = 1,
    target: int | str | None = None,
    device: str = "cpu",
    seed: int = 0,
    double: bool = False,
    preparation: Mapping[str, Any] | None = None,
) -> Subject:
    """A model by name and signals that it is made for; the target is the predicted class of each signal.

    model: `small`, a convolutional network that is trained in seconds to name the direction of a grating, in double
    precision; or a spec as in `load_model`, or a LoadedModel, whose signals are `photos` pictures or other signals of `data`.
    target: a class by number or name; None for the predicted class of each signal.
    double: convert the model and its input to double precision, in which verdicts are sharper.
    preparation: parts of the model's preparation to change, as arguments of `Preparation.changed`.

    Raises: ValueError or ImportError, as `load_model` and `load_photos` do; ValueError where no photo can be read, and for a
    preparation of `small`.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (8, 8), "red").save(f"{folder}/red.png")
    ...     subject = load_subject("torch.nn:Flatten", data=folder, double=True)
    >>> subject.x.dtype, int(subject.target) < 224 * 224  # the largest of the outputs is a red one
    (torch.float64, True)
    """
    parts = {name: part for name, part in (preparation or {}).items() if part is not None}
    if model == SMALL and parts:
        raise ValueError(f"{', '.join(parts)}: the model {SMALL!r} brings its own signals; name another model with --model.")
    loaded, x = _small(seed) if isinstance(model, str) and model == SMALL else _with_signals(model, data, photos, parts)
    loaded.module.to(device)
    x = x.to(device)
    if double:
        loaded.module.double()
        x = x.double()
    logits = loaded.classify(x)
    if logits.shape[1] == 1:
        return Subject(loaded.module, x)
    return Subject(loaded.module, x, logits.argmax(1) if target is None else loaded.class_index(target))


def _small(seed: int) -> tuple[LoadedModel, Tensor]:
    network, x = trained_on_gratings(seed)
    return LoadedModel(SMALL, network, Preparation(16, (0.0,), (1.0,))), x


def _with_signals(
    model: str | Path | LoadedModel, data: str | Path, photos: int, preparation: Mapping[str, Any]
) -> tuple[LoadedModel, Tensor]:
    loaded = (model if isinstance(model, LoadedModel) else load_model(model)).prepared(**preparation)
    found = load_photos(data, photos, loaded.signals)
    inputs = {photo.name: signal for photo, signal in found.inputs(loaded.input)}
    if not inputs:
        first = ": ".join(found.skipped[0])
        raise ValueError(f"data: nothing in {str(data)!r} could be read as {loaded.signals.what}; the first, {first}.")
    x = stacked(inputs)
    return loaded.whole(x), x
