"""Code of other packages by name; a missing package is named together with the command that installs it."""

import contextlib
import hashlib
import importlib
import importlib.util
import operator
import os
import re
import sys
import types
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


def import_matplotlib() -> None:
    """Imports matplotlib, also where MPLBACKEND names a backend that is not installed, as for a command of a notebook.

    Figures are written to files, for which no backend is needed. MPLBACKEND, and the backend where it exists, stay the user's.
    """
    if "matplotlib" in sys.modules:
        return
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        matplotlib = importlib.import_module("matplotlib")
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = backend


def package_folder(name: str, install: str) -> Path:
    """The folder of an installed package, found without importing it.  Raises: ImportError that says what to install."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise ImportError(f"{name} is missing: pip install {install}.")
    return Path(next(iter(found.submodule_search_locations)))


def import_callable(spec: str, what: str, expected: str) -> Callable[..., Any]:
    """The callable that "package.module:callable" or "path/to/file.py:callable" names.

    Modules of the working folder are found too, and by a file those of its folder.
    what: the first word of an error.  expected: the kind of callable.  Raises: ValueError.

    >>> import_callable("json:dumps", "Model", "a function that makes a model")([1])
    '[1]'
    """
    place, _, name = spec.rpartition(":")
    if not re.fullmatch(r"(.*\.py|\w+(\.\w+)*):\w+(\.\w+)*", spec, re.DOTALL):
        raise ValueError(f"{what} {spec[:100]!r}: expected package.module:callable or FILE.py:callable.")
    with importable(folder_of(spec)):
        try:
            module = _import_file(place) if place.endswith(".py") else importlib.import_module(place)
        except ImportError as error:
            where = f"expected package.module:callable or FILE.py:callable, importable from here: {error}"
            raise ValueError(f"{what} {spec!r}: {where}.") from None
    try:
        found = operator.attrgetter(name)(module)
    except AttributeError:
        own = [each for each, value in vars(module).items() if _is_own(each, value, module)]
        held = f"it defines {', '.join(own)[:100]}" if own else "it defines nothing that can be called"
        raise ValueError(f"{what} {spec!r}: {place} has no {name!r}; {held}.") from None
    if not callable(found):
        raise ValueError(f"{what} {spec!r}: expected {expected}; got {type(found).__name__}. Wrap it in a function.")
    return found


def _is_own(name: str, value: object, module: types.ModuleType) -> bool:
    """Whether a name of a module is a public callable that it defines itself."""
    return not name.startswith("_") and callable(value) and getattr(value, "__module__", None) == module.__name__


def _import_file(place: str) -> types.ModuleType:
    """The module of a file, read anew; its name is its own, so that it hides no other module.  Raises: ImportError."""
    path = Path(place).expanduser().resolve()
    if not path.is_file():
        raise ImportError(f"there is no file {str(path)!r}")
    name = f"{path.stem}_{hashlib.blake2b(os.fsencode(path), digest_size=4).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{str(path)!r} is no Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def folder_of(spec: str) -> str:
    """The folder whose modules a callable may import: that of its file, or "", the working folder."""
    place = spec.rpartition(":")[0]
    return str(Path(place).expanduser().resolve().parent) if place.endswith(".py") else ""


@contextlib.contextmanager
def importable(folder: str) -> Iterator[None]:
    """Inside, modules of the folder can be imported, as with `python -m` for the working folder ""."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the code that ran may have changed the path
            sys.path.remove(folder)
