"""Memory of one call: the bytes of live tensors, counted as operations run; and what the process or device holds."""

import contextlib
import ctypes
import gc
import resource
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pullback.transforms import get

from ..subjects.cases import grown
from ..subjects.models import signals, tiny
from . import calls
from .checks import check_evaluations, check_input, check_result
from .counting import Counted, counted

TIMES = (1, 4, 16)
DOMAIN = "dwt(haar, level=2)"


class Peak(TorchDispatchMode):
    """Inside it, `bytes` is the largest total size of storages made since, by any operation and alive at once."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes, self._now = 0, 0
        self._alive: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return
        self._alive.add(key)
        self._now += size
        self.bytes = max(self.bytes, self._now)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self._now -= size


def peak(job: Callable[[], object]) -> int:
    """The most bytes of tensors that `job` holds at once, its result included."""
    with Peak() as seen:
        job()
    return seen.bytes


def held(method: str, images: int, side: int, rows: int, times: Sequence[int] = TIMES) -> list[int]:
    """The peak bytes of a registered method in DOMAIN, with 1, 4 and 16 times as many samples.

    rows: the batch size.  Raises: MeasuresNothing where a call does not run the planned evaluations, or finds nothing.
    """
    x = signals((images, 3, side, side), seed=1)
    check_input(x)
    return [_held(Counted(tiny()), x, grown(method, n), rows) for n in times]


def _held(model: Counted, x: Tensor, method: calls.Method, rows: int) -> int:
    domain = get(DOMAIN, tuple(x.shape[1:]))
    one_format = {"memory_format": "contiguous", "optimize": False}  # which a longer run might change
    call = lambda: calls.attribute(model, x, 0, method, domain, batch_size=rows, execution=one_format)
    att, spent = model.tally.during(call)  # a first call, so that what is built once and kept does not count
    check_evaluations(spent, [att], calls.planned(method, [domain], len(x)))
    check_result(att.values)
    return peak(counted(call, model.tally, spent))


def numbers(method: str, images: int, side: int, n: int) -> int:
    """How many numbers a method may hold by its definition: for each model row a few, such as its score and which groups
    were present. HSIC compares all scores of an example with each other. Nothing of the signal's size may be held."""
    rows = calls.planned(grown(method, n), [get(DOMAIN, (3, side, side))], images)
    return 16 * rows + (4 * (16 * n) ** 2 if method == "hsic" else 0)


def peak_megabytes(job: Callable[[], object], device: str) -> float:
    """How far memory rises above what is held already while `job` runs: of the accelerator, or resident in the process."""
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        job()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with contextlib.suppress(AttributeError, OSError, TypeError):  # systems that have no glibc
        ctypes.CDLL(None).malloc_trim(0)  # gives freed memory back, so that using it again shows
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # sets the peak to what is held now, where the system allows it
    resident = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    before = resident()
    job()
    return float(resident() - before)
