"""A class by its number or its name."""

import difflib
import re
from collections.abc import Sequence

_SHOWN = 5  # names in a message


def class_index(target: int | str, classes: Sequence[str], who: str) -> int:
    """The number of a class that is given by its number or its name, in capitals or not, or by a part of one name only.

    classes: the name of each output.  who: the model, for a message.  Raises: ValueError that lists the classes that are close.

    >>> class_index("House", ("cat", "house cat", "dog"), "toy"), class_index("-1", (), "toy")
    (1, -1)
    """
    if isinstance(target, int) or re.fullmatch(r"-?[0-9]{1,9}", target):
        return int(target)
    names = [name.casefold() for name in classes]
    wanted = target.strip().casefold()
    same = [index for index, name in enumerate(names) if name == wanted]
    found = same or [index for index, name in enumerate(names) if wanted and wanted in name]
    if len(found) == 1:
        return found[0]
    close = found or [names.index(name) for name in difflib.get_close_matches(wanted, names, _SHOWN)]
    listed = ", ".join(f"{classes[index]} ({index})" for index in close[:_SHOWN])
    known = f"close ones: {listed}" if close else _known(classes, who)
    what = "several classes have this name" if found else "no class has this name"
    raise ValueError(f"target: {what}: {target[:60]!r}; {known}.")


def _known(classes: Sequence[str], who: str) -> str:
    if not any(classes):
        return f"{who} names no classes: pass its number"
    more = ", …" if len(classes) > _SHOWN else ""
    return f"{who} has {len(classes)} classes: {', '.join(classes[:_SHOWN])}{more}"[:200]
