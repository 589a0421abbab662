"""How much memory a job takes at its highest, beyond what the process held before."""

import contextlib
import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

import torch

STATUS, REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_megabytes(job: Callable[[], object]) -> float | None:
    """MB: of the accelerator where there is one, else of the process, freed heap given back first. None off Linux."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        job()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    try:
        with contextlib.suppress(OSError, AttributeError):  # another C library keeps its heap
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        REFS.write_text("5")  # the high-water mark begins anew
        before = _kilobytes("VmRSS")
        job()
        return (_kilobytes("VmHWM") - before) / 1024
    except OSError:
        return None


def _kilobytes(field: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1])
