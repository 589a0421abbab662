"""The grammar of specs such as `"dwt(db4, level=3)"`."""

import ast
import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .checks import quoted

WORD = re.compile(r"[A-Za-z_][\w.+-]*")
_KEYWORD = re.compile(r"([A-Za-z_]\w*)\s*=(?!=)(.*)", re.DOTALL)
_CALL = re.compile(r"([A-Za-z_][\w.-]*)\s*(?:\((.*)\))?", re.DOTALL)
_MARK = re.compile(r"""["'()\[\]{},\\]|>>""")
_NUMBER = re.compile(r"[+-]?(?:\d+|(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][+-]?\d+)?)")
_CONSTANTS = {"true": True, "false": False, "none": None}
_CLOSED_BY = {"[": "]", "(": ")", "{": "}"}

DEEPEST = 32  # brackets inside brackets
LONGEST = 100  # calls, one after another
LARGEST = 100_000  # characters


@dataclass(frozen=True)
class Spec:
    """One `name(positional, key=value)` of a spec."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


def parse(spec: str) -> tuple[Spec, ...]:
    """The calls of a spec, in order.

    spec: call [">>" call]…;  call: name ["(" argument {"," argument} ")"];  argument: [key "="] value, where a value is
    a Python literal, a bare word (db4, bior4.4, reflect), true, false, none, a list of values, or again a spec, as in
    "along(dwt(db4) >> dct, axes=1)". Brackets are nested at most 32 deep, and a spec holds
    at most 100 calls in a row and 100,000 characters.
    Raises: ValueError that quotes the part which cannot be read; TypeError where `spec` is not a string.

    >>> parse("dwt(bior4.4, level=3) >> pixel")
    (Spec(name='dwt', args=('bior4.4',), kwargs={'level': 3}), Spec(name='pixel', args=(), kwargs={}))
    """
    if not isinstance(spec, str):
        raise TypeError(f"A spec is a string such as 'dwt(db4, level=3)', got {type(spec).__name__}.")
    if len(spec) > LARGEST:
        raise _fault(spec, f"expected at most {LARGEST:,} characters, got {len(spec):,}")
    parts = _split(spec, ">>", spec)
    if len(parts) > LONGEST:
        raise _fault(spec, f"expected at most {LONGEST} calls in a row, got {len(parts):,}")
    return tuple(_call(part.strip(), spec) for part in parts)


def _fault(spec: str, what: str) -> ValueError:
    return ValueError(f"Spec {quoted(spec)}: {what}.")


def _call(text: str, spec: str) -> Spec:
    match = _CALL.fullmatch(text)
    if match is None:
        raise _fault(spec, f"expected name or name(arguments), got {quoted(text)}")
    name, inside = match.groups()
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for part in map(str.strip, _split(inside, ",", spec) if inside and inside.strip() else ()):
        keyword = _KEYWORD.fullmatch(part)
        if keyword is None and kwargs:
            raise _fault(spec, f"the positional argument {quoted(part)} follows a keyword argument")
        if keyword is None:
            args.append(_value(part, spec))
        elif keyword[1] in kwargs:
            raise _fault(spec, f"argument {quoted(keyword[1])} is given twice")
        else:
            kwargs[keyword[1]] = _value(keyword[2].strip(), spec)
    return Spec(name, tuple(args), kwargs)


def _value(text: str, spec: str) -> Any:
    if text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    if text[:1] in ("[", "(") and text[-1] == _CLOSED_BY[text[0]]:
        return _sequence(text, spec)
    with contextlib.suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        if _NUMBER.fullmatch(text):
            return int(text) if text.lstrip("+-").isdecimal() else float(text)
        return ast.literal_eval(text)
    if WORD.fullmatch(text) or all(_CALL.fullmatch(part.strip()) for part in _split(text, ">>", spec)):
        return text
    raise _fault(spec, f"expected a number, a word, a list or a quoted string, got {quoted(text)}")


def _sequence(text: str, spec: str) -> Any:
    """The list, the tuple, or the one value in round brackets, as Python would read it, but with bare words and specs."""
    *parts, last = map(str.strip, _split(text[1:-1], ",", spec))
    values = [_value(part, spec) for part in (parts if not last else [*parts, last])]
    if text[0] == "[":
        return values
    return tuple(values) if parts or not values else values[0]


def _split(text: str, separator: str, spec: str) -> list[str]:
    """The parts of `text` between separators that are outside brackets and quotes."""
    parts, open_brackets, start = [], list[str](), 0
    for mark, place in _marks(text, spec):
        if mark in _CLOSED_BY:
            open_brackets.append(_CLOSED_BY[mark])
            if len(open_brackets) > DEEPEST:
                raise _fault(spec, f"brackets are nested more than {DEEPEST} deep")
        elif mark in (")", "]", "}"):
            if not open_brackets or open_brackets.pop() != mark:
                raise _fault(spec, f"a bracket {mark!r} closes nothing")
        elif mark == separator and not open_brackets:
            parts.append(text[start:place])
            start = place + len(separator)
    if open_brackets:
        raise _fault(spec, "a bracket or quote is not closed")
    return [*parts, text[start:]]


def _marks(text: str, spec: str) -> Iterator[tuple[str, int]]:
    """(mark, place) of brackets and separators outside quotes."""
    quote, after = "", 0
    for match in _MARK.finditer(text):
        mark, place = match[0], match.start()
        if place < after:  # the character behind a backslash
            continue
        if quote:
            after = place + 2 if mark == "\\" else 0
            quote = "" if mark == quote else quote
        elif mark in ("'", '"'):
            quote = mark
        elif mark != "\\":
            yield mark, place
    if quote:
        raise _fault(spec, "a bracket or quote is not closed")
