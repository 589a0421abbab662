"""Registries of named classes, and the grammar of specs such as `"dwt(db4, level=3)"`."""

import ast
import contextlib
import difflib
import importlib.metadata
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_CALL = re.compile(r"\s*([A-Za-z_][\w.-]*)\s*(?:\((.*)\))?\s*", re.DOTALL)
_KEYWORD = re.compile(r"\s*([A-Za-z_]\w*)\s*=(?!=)(.*)", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_][\w.+-]*")
_CONSTANTS = {"true": True, "false": False, "none": None}


@dataclass(frozen=True)
class Spec:
    """One `name(positional, key=value)` of a spec."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


def parse(spec: str) -> tuple[Spec, ...]:
    """The calls of a spec, in order.

    spec: call [">>" call]…;  call: name ["(" argument {"," argument} ")"];  argument: [key "="] value, where a value is
    a Python literal, a bare word (db4, bior4.4, reflect), true, false, none, or again a spec, as in
    "along(dwt(db4) >> dct, axes=1)".
    Raises: ValueError that quotes the part which cannot be read; TypeError where `spec` is not a string.

    >>> parse("dwt(bior4.4, level=3) >> pixel")
    (Spec(name='dwt', args=('bior4.4',), kwargs={'level': 3}), Spec(name='pixel', args=(), kwargs={}))
    """
    if not isinstance(spec, str):
        raise TypeError(f"A spec is a string such as 'dwt(db4, level=3)', got {type(spec).__name__}.")
    return tuple(_call(part, spec) for part in _split(spec, ">>", spec))


def _call(text: str, spec: str) -> Spec:
    match = _CALL.fullmatch(text)
    if match is None:
        raise ValueError(f"Spec {spec!r}: expected name or name(arguments), got {text.strip()!r}.")
    name, inside = match.groups()
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for part in _split(inside, ",", spec) if inside and inside.strip() else ():
        keyword = _KEYWORD.fullmatch(part)
        if keyword is None and kwargs:
            raise ValueError(f"Spec {spec!r}: the positional argument {part.strip()!r} follows a keyword argument.")
        if keyword is None:
            args.append(_value(part, spec))
        elif keyword[1] in kwargs:
            raise ValueError(f"Spec {spec!r}: argument {keyword[1]!r} is given twice.")
        else:
            kwargs[keyword[1]] = _value(keyword[2], spec)
    return Spec(name, tuple(args), kwargs)


def _value(text: str, spec: str) -> Any:
    text = text.strip()
    if text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    with contextlib.suppress(ValueError, SyntaxError):
        return ast.literal_eval(text)
    if _WORD.fullmatch(text) or all(_CALL.fullmatch(part) for part in _split(text, ">>", spec)):
        return text
    raise ValueError(f"Spec {spec!r}: expected a number, a word, a list or a quoted string, got {text!r}.")


def _split(text: str, separator: str, spec: str) -> list[str]:
    """The parts of `text` between separators that are outside brackets and quotes."""
    parts, depth, quote, start, i = [], 0, "", 0, 0
    while i < len(text):
        c = text[i]
        if quote:
            i += c == "\\"  # the next character is escaped
            quote = "" if c == quote else quote
        elif c in "'\"":
            quote = c
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
        elif depth == 0 and text.startswith(separator, i):
            parts.append(text[start:i])
            start = i = i + len(separator)
            continue
        i += 1
    if depth or quote:
        raise ValueError(f"Spec {spec!r}: a bracket or quote is not closed.")
    return [*parts, text[start:]]


class Registry(Generic[Item]):
    """The named classes of one kind; third parties add theirs with a decorator or an entry point.

    kind: the word for one of them in messages.  group: the entry-point group of plug-ins.
    vet: called with the class of a plug-in before it is accepted; raises where it must not be.
    """

    def __init__(self, kind: str, group: str, vet: Callable[[Any], object] | None = None) -> None:
        self.kind, self.group, self._vet = kind, group, vet
        self._makers: dict[str, Callable[..., Item]] = {}

    def register(self, name: str) -> Callable[[Decorated], Decorated]:
        """A class decorator that makes the class known as `name`.

        Raises: ValueError where the name is not a word or already belongs to another class.

        >>> shapes: Registry[Any] = Registry("shape", "example.shapes")
        >>> @shapes.register("square")
        ... class Square: ...
        >>> shapes.maker("square") is Square, Square.name
        (True, 'square')
        """
        if not _WORD.fullmatch(name):
            raise ValueError(f"register: expected a name of letters, digits and underscores, got {name!r}.")

        def add(maker: Decorated) -> Decorated:
            known = self._makers.get(name)
            if known is not None and known.__qualname__ != maker.__qualname__:
                raise ValueError(f"register: the {self.kind} {name!r} belongs to {known.__qualname__}; choose another name.")
            self._makers[name] = maker
            setattr(maker, "name", name)  # noqa: B010  (the type checker does not accept a plain assignment)
            return maker

        return add

    def names(self) -> list[str]:
        """Every registered name, sorted, including those of installed plug-ins."""
        return sorted({*self._makers, *(entry.name for entry in self._entries())})

    def maker(self, name: str) -> Callable[..., Item]:
        """The class registered as `name`.  Raises: ValueError that lists the choices."""
        if name not in self._makers:
            for entry in self._entries():
                if entry.name == name:
                    self._makers[name] = self._load(entry)
        if name not in self._makers:
            first, _, rest = name.partition(".")  # "dwt.db4", as Python would write it
            called = [f"{first}({rest})"] if rest and first in self.names() else []
            close = called or difflib.get_close_matches(name, self.names(), 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"Unknown {self.kind} {name!r}.{hint} Choices: {', '.join(self.names())}.")
        return self._makers[name]

    def _load(self, entry: importlib.metadata.EntryPoint) -> Callable[..., Item]:
        """The class of a plug-in, if it passes `vet`; a failure also undoes what loading it has registered."""
        known = dict(self._makers)
        try:
            maker: Callable[..., Item] = entry.load()
            if self._vet is not None:
                self._vet(maker)
        except BaseException:
            self._makers = known
            raise
        return maker

    def build(self, call: Spec, *leading: Any) -> Item:
        """The object that `call` describes; `leading` arguments come before those of the spec.

        Raises: ValueError that lists the names, or the arguments that the class takes.
        """
        maker = self.maker(call.name)
        signature = inspect.signature(maker)
        try:
            signature.bind(*leading, *call.args, **call.kwargs)
        except TypeError as error:
            choices = ", ".join(str(p) for p in list(signature.parameters.values())[len(leading) :]) or "none"
            raise ValueError(f"{self.kind} {call.name!r}: {error}. Its arguments: {choices}.") from None
        return maker(*leading, *call.args, **call.kwargs)

    def _entries(self) -> Iterator[importlib.metadata.EntryPoint]:
        yield from importlib.metadata.entry_points(group=self.group)
