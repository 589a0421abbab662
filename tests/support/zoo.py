"""Packaged models and data sets for tests, which are skipped with the command to install what is missing."""

from collections.abc import Callable
from typing import TypeVar

import pytest

Found = TypeVar("Found")


def installed(make: Callable[[], Found]) -> Found:
    """What `make` returns, or a skipped test where a package is missing."""
    try:
        return make()
    except ImportError as error:
        pytest.skip(str(error))
