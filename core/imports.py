"""Code of other packages by name; a missing package is named together with the command that installs it."""

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def needs(who: str, install: str) -> Iterator[None]:
    """Turns a failed import inside the block into an error that says what to install.

    >>> with needs("Attribution.plot", "'pullback[cli]'"):
    ...     import no_such_package
    Traceback (most recent call last):
    ImportError: Attribution.plot needs no_such_package: pip install 'pullback[cli]'.
    """
    try:
        yield
    except ImportError as error:
        raise ImportError(f"{who} needs {error.name or error}: pip install {install}.") from error


def package_folder(name: str, install: str) -> Path:
    """The folder of an installed package, found without importing it.  Raises: ImportError that says what to install."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise ImportError(f"{name} is missing: pip install {install}.")
    return Path(next(iter(found.submodule_search_locations)))


def import_callable(spec: str, what: str, expected: str) -> Callable[..., Any]:
    """The callable that "package.module:callable" names; modules of the working folder are found too.

    what: the first word of an error.  expected: the kind of callable.  Raises: ValueError.

    >>> import_callable("json:dumps", "Model", "a function that makes a model")([1])
    '[1]'
    """
    module, _, name = spec.partition(":")
    with working_folder_importable():
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"{what} {spec!r}: expected package.module:callable, importable from here: {error}.") from None
    if not callable(found):
        raise ValueError(f"{what} {spec!r}: expected {expected}; got {type(found).__name__}. Wrap it in a function.")
    return found


@contextlib.contextmanager
def working_folder_importable() -> Iterator[None]:
    """Inside, modules of the working folder can be imported, as with `python -m`."""
    sys.path.insert(0, "")
    try:
        yield
    finally:
        sys.path.remove("")
