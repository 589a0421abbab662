"""`Registry`: named classes of one kind, which other people may add to."""

import difflib
import functools
import importlib.metadata
import inspect
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from .checks import quoted, shortened
from .spec import WORD, Spec

Item = TypeVar("Item")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


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
        if not WORD.fullmatch(name):
            raise ValueError(f"register: expected a name of letters, digits and underscores, got {quoted(name)}.")

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

    def __contains__(self, name: str) -> bool:
        """Whether the name is taken. Only a name that is not registered here makes Python read what is installed."""
        return name in self._makers or any(entry.name == name for entry in self._entries())

    def maker(self, name: str) -> Callable[..., Item]:
        """The class registered as `name`, in capitals or not.  Raises: ValueError that lists the choices."""
        for own in dict.fromkeys((name, name.lower())):
            if own not in self._makers:
                for entry in self._entries():
                    if entry.name == own:
                        self._makers[own] = self._load(entry)
            if own in self._makers:
                return self._makers[own]
        raise ValueError(
            f"Unknown {self.kind} {shortened(quoted(name), 50)}.{self._hint(name[:100])} Choices: {listed(self.names())}."
        )

    def _hint(self, name: str) -> str:
        first, _, rest = name.partition(".")  # "dwt.db4", as Python would write it
        called = [f"{first}({rest})"] if rest and first.lower() in self.names() else []
        close = called or difflib.get_close_matches(name, self.names(), 1)
        return f" Did you mean {close[0]!r}?" if close else ""

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
        signature = _signature(maker)
        try:
            signature.bind(*leading, *call.args, **call.kwargs)
        except TypeError as error:
            choices = ", ".join(str(p) for p in list(signature.parameters.values())[len(leading) :]) or "none"
            raise ValueError(f"{self.kind} {call.name!r}: {str(error)[:100]}. Its arguments: {choices}.") from None
        return maker(*leading, *call.args, **call.kwargs)

    def _entries(self) -> Iterator[importlib.metadata.EntryPoint]:
        yield from importlib.metadata.entry_points(group=self.group)


_signature = functools.lru_cache(maxsize=256)(inspect.signature)


def listed(names: list[str], most: int = 190) -> str:
    """The names, or of very many the first ones and how many there are.

    >>> listed(["one", "two", "three"], 8)
    'one, … (3 in all)'
    """
    text = ", ".join(names)
    if len(text) <= most:
        return text
    return f"{text[:most].rpartition(', ')[0]}, … ({len(names)} in all)"
