"""What holds for all tests."""

import gc
from collections.abc import Iterator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Modules and tests live to the end, so the garbage collector need not look at them again and again."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()
