"""The grammar of specs such as `"dwt(db4, level=3)"`."""

import ast
import contextlib
import re
from dataclasses import dataclass, field
from typing import Any

WORD = re.compile(r"[A-Za-z_][\w.+-]*")
_KEYWORD = re.compile(r"\s*([A-Za-z_]\w*)\s*=(?!=)(.*)", re.DOTALL)
_CALL = re.compile(r"\s*([A-Za-z_][\w.-]*)\s*(?:\((.*)\))?\s*", re.DOTALL)
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
    if WORD.fullmatch(text) or all(_CALL.fullmatch(part) for part in _split(text, ">>", spec)):
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
