"""A process of the library keeps freed memory; a user's own settings, and processes that only import the library, stay."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import pullback

PROGRAM = """
import resource, sys
import torch
import pullback
from pullback.core.allocator import keep_freed_memory, keeps_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
fill = lambda: torch.ones(2**24)  # 64 MB, 16,384 pages
for _ in range(20):  # the heap grows until a hole in it has room for the borders of an aligned block
    fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, int(keeps_freed_memory()))
"""


def new_pages(what: str, **settings: str) -> tuple[int, int]:
    """How many pages a process got from the system for memory that it had freed before; whether it says that it keeps it."""
    own = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES" and not name.startswith("MALLOC_")}
    own["PYTHONPATH"] = os.pathsep.join([str(Path(pullback.__file__).parent.parent), own.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", PROGRAM, what], env=own | settings, capture_output=True, text=True, check=True)
    pages, keeps = map(int, done.stdout.split())
    return pages, keeps


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_freed_memory_is_used_again() -> None:
    pages, keeps = new_pages("keep")
    assert pages < 2_000
    assert keeps
    for what, settings in (("import", {}), ("keep", {"MALLOC_MMAP_THRESHOLD_": "1048576"})):
        pages, keeps = new_pages(what, **settings)
        assert pages > 16_000
        assert not keeps
