"""A class by its number or its name."""

import difflib
import re
from collections.abc import Sequence

from ...core.checks import shortened

_SHOWN, _LONG = 5, 32  # names in a message, and characters of each


def class_index(target: int | str, classes: Sequence[str], who: str) -> int:
    """The number of a class that is given by its number or its name, in capitals or not, or by a part of one name only.

    classes: the name of each output.  who: the model, for a message.  Raises: ValueError that lists the classes that are close.

    >>> class_index("House", ("cat", "house cat", "dog"), "toy"), class_index("-1", (), "toy")
    (1, -1)
    """
    if isinstance(target, int) or re.fullmatch(r"-?[0-9]{1,9}", target):
        return int(target)
    names, wanted = [name.casefold() for name in classes], target.strip().casefold()
    found: list[int] = []
    for same in (
        str.__eq__,
        lambda name, asked: plain_name(name) == plain_name(asked) != "",
        lambda name, asked: asked in name,
    ):
        found = found or [index for index, name in enumerate(names) if wanted and same(name, wanted)]
    if len(found) == 1:
        return found[0]
    close = found or _close(wanted, names)
    listed = ", ".join(f"{shortened(classes[index], _LONG)} ({index})" for index in close[:_SHOWN])
    known = f"close ones: {listed}" if close else _known(classes, who)
    what = "several classes have this name" if found else "no class has this name"
    raise ValueError(f"target: {what}: {target[:60]!r}; {known}.")


def plain_name(name: str) -> str:
    """A name in small letters, with its words and numbers only.

    >>> plain_name("🐦 Crow_family")
    'crow family'
    """
    return re.sub(r"[\W_]+", " ", name).strip().casefold()


def _close(wanted: str, names: Sequence[str]) -> list[int]:
    """The classes whose names, or words of whose names, resemble what was asked for."""
    texts: dict[str, int] = {}
    for index, name in enumerate(names):
        for text in (name, *re.findall(r"\w{3,}", name)):
            texts.setdefault(text, index)
    return list(dict.fromkeys(texts[text] for text in difflib.get_close_matches(wanted, texts, _SHOWN)))


def _known(classes: Sequence[str], who: str) -> str:
    if not any(classes):
        return f"{who} names no classes: pass its number"
    more = ", …" if len(classes) > _SHOWN else ""
    return f"{who} has {len(classes)} classes: {', '.join(shortened(name, _LONG) for name in classes[:_SHOWN])}{more}"
