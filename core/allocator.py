"""The allocator of a process that is the library's own: the command line, or a worker."""

import contextlib
import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def keep_freed_memory() -> None:
    """Tells glibc to keep freed memory for the next batch; a user's own settings of glibc's allocator stand.

    By default glibc returns large blocks to the system, and each pass of a network waits for new pages. Nothing happens where
    there is no glibc. A library must not decide this for the process of others: `import pullback` does not.
    """
    if "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ):
        return
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 2**30)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
