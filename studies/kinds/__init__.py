"""The kinds of signals: how each is read, fitted to a model, compared, drawn and written."""

from pathlib import Path

from ...core.checks import choose
from .audio import Audio
from .base import Kind, Part, Wants, check_bytes, check_memory
from .image import Image
from .series import Series
from .signal import Signal
from .volume import Volume

KINDS: dict[str, Kind] = {kind.name: kind for kind in (Image(), Audio(), Volume(), Series())}

__all__ = ["KINDS", "Kind", "Part", "Signal", "Wants", "check_bytes", "check_memory", "get_kind", "kind_advice", "wrong_kind"]


def get_kind(name: str) -> Kind:
    """The kind of that name.  Raises: ValueError that lists the choices."""
    return KINDS[choose("kind", "kind", name, tuple(KINDS))]


def kind_advice(path: Path) -> str:
    """How to say that a model takes files of this kind, to follow an error of `wrong_kind`.

    >>> kind_advice(Path("crow.wav"))
    '; if the model takes recordings, say so with --kind audio (in Python kind="audio")'
    """
    fits = [kind for kind in KINDS.values() if kind.owns(path)]
    if not fits:
        return ""
    first = fits[0]
    others = "".join(f" or {kind.name}" for kind in fits[1:])
    return f'; if the model takes {first.plural}, say so with --kind {first.name}{others} (in Python kind="{first.name}")'


def wrong_kind(path: Path, kind: Kind) -> str:
    """What the file is if its name says that it is of another kind; "" if it may be of this one.

    >>> wrong_kind(Path("crow.wav"), KINDS["image"]), wrong_kind(Path("crow.png"), KINDS["image"])
    ('a recording', '')
    """
    others = [other.what for other in KINDS.values() if other is not kind and other.owns(path)]
    return "" if kind.owns(path) or not others else others[0]
