"""The allocator of a process that is the library's own: the command line, or a worker."""

import contextlib
import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_LARGE = 2**26  # bytes, beyond the largest block that glibc keeps by default


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


class _Blocks(ctypes.Structure):
    """What mallinfo2(3) returns, as far as the number of blocks that come from the system, each with pages of its own."""

    _fields_ = [(name, ctypes.c_size_t) for name in ("arena", "free", "small", "own", *(f"rest{n}" for n in range(6)))]


def keeps_freed_memory() -> bool:
    """Whether a large block comes from memory that the process keeps; False if it comes from the system, or nobody knows."""
    try:
        glibc = ctypes.CDLL(None)
        count, take, give = glibc.mallinfo2, glibc.malloc, glibc.free
    except (AttributeError, OSError, TypeError):
        return False
    count.restype, take.restype, take.argtypes, give.argtypes = _Blocks, ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
    before = count().own
    block = take(_LARGE)  # its pages are never touched
    kept = bool(block) and count().own == before
    give(block)
    return kept
