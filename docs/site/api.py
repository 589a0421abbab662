"""The API pages: every public name of every room, from its docstring.

Our docstrings are plain text with doctests, and the repository's root is the package. Both are foreign to mkdocstrings, which
reads files without importing them; a page from the imported objects is shorter, and shows what users get.
"""

import functools
import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import formulas

ROOMS = tuple(f"pullback{room}" for room in ("", ".transforms", ".attribution", ".axioms", ".metrics", ".domains", ".studies"))


def pages() -> dict[str, str]:
    """{path: text} of a page for each room."""
    return {f"api/{room}.md": _room(room) for room in ROOMS}


def _room(name: str) -> str:
    module = importlib.import_module(name)
    parts = [f"# {name}", prose(module.__doc__)]
    for public in sorted(module.__all__, key=str.lower):
        parts.append(entry(public, getattr(module, public), 2))
    return "\n\n".join(parts) + "\n"


def entry(name: str, found: Any, depth: int, text: str | None = None) -> str:
    """The section of one name.  text: its docstring, if it is not its own."""
    head = f"{'#' * depth} {name} {{: #{name} }}"
    if inspect.ismodule(found):
        return f"{head}\n\n{prose(found.__doc__)}"
    parts = [head]
    if callable(found):
        parts.append(f"```python\n{signature(name, found)}\n```")
    parts.append(prose(inspect.getdoc(found) if text is None else text))
    if inspect.isclass(found):
        parts += [entry(f"{name}.{own}", member, depth + 1, documented(found, own)) for own, member in members(found)]
    return "\n\n".join(parts)


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that a class itself defines."""
    for name, member in vars(kind).items():
        own = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if not name.startswith("_") and (inspect.isfunction(own) or isinstance(own, property | functools.cached_property)):
            yield name, own


def documented(kind: type, name: str) -> str:
    """The docstring of a member: its own, or else that of the nearest base that has one.

    >>> class Base:
    ...     def f(self):
    ...         "What f does."
    >>> class Own(Base):
    ...     f = lambda self: 1
    >>> documented(Own, "f")
    'What f does.'
    """
    ours = (base for base in kind.__mro__ if base.__module__.partition(".")[0] not in ("torch", "builtins", "typing"))
    return next(filter(None, (getattr(vars(base).get(name), "__doc__", None) for base in ours)), "")


def signature(name: str, found: Any) -> str:
    """`name(arguments) -> result`, an argument on each line where it is long."""
    try:
        own = inspect.signature(found)
    except (TypeError, ValueError):
        return name
    if inspect.isclass(found):
        own = own.replace(return_annotation=inspect.Signature.empty)
    short = f"{name}{_brief(own)}"
    return short if len(short) <= 76 else f"{name}(\n    " + ",\n    ".join(map(_brief, own.parameters.values())) + ",\n)"


def _brief(text: object) -> str:
    """Types without the modules that hold them, and objects without their addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Z])", "", str(text)))


def prose(text: str | None) -> str:
    """A docstring as Markdown: doctests are code, indented formulas are typeset, and marks in sentences are escaped."""
    out: list[str] = []
    code = False
    for line in inspect.cleandoc(text or "").splitlines():
        if line.lstrip().startswith(">>>") and not code:
            out += ["", "```python"]
            code = True
        if code and not line.strip():
            out.append("```")
            code = False
        out.append(line if code or line.startswith("    ") else _escaped(line))
    return formulas.typeset("\n".join([*out, *(["```"] if code else [])]))


def _escaped(line: str) -> str:
    parts = re.split(r"(`[^`]*`)", line)
    return "".join(part if part.startswith("`") else escaped(part) for part in parts)


def escaped(text: str) -> str:
    """A sentence with its indices as HTML, and other marks of Markdown and HTML as they are written."""
    return re.sub(r"([*_\[|]|<(?!/?su[bp]>))", r"\\\1", formulas.lowered(text))
