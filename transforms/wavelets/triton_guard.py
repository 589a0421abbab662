"""The conditions under which one GPU kernel may replace many small operations."""

import functools
import importlib.util
from types import ModuleType

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ...core.precision import SINGLE

TAPS = 16  # kernels of longer filters take over five seconds to compile


def kernels(x: Tensor, taps: int) -> ModuleType | None:
    """The module `triton_kernels` if it takes images like x (batch, channels, height, width), else None.

    Kernels see only memory: derivatives, torch.func, torch.compile and tensors that differ from what they store use
    torch's own operations, which give the same numbers.
    """
    if not x.is_cuda or not x.is_floating_point() or x.element_size() < 4 or taps > TAPS:
        return None
    if x.numel() == 0 or x.shape[2:].numel() >= 2**31 or type(x) is not Tensor or x.is_neg():
        return None
    differentiated = (torch.is_grad_enabled() and x.requires_grad) or forward_ad._current_level >= 0
    return None if differentiated or _observed() else _load(x.device)


def _observed() -> bool:
    """Whether torch.func, a compiler, a tracer or a dispatch mode is active, which would not see a kernel."""
    compiled = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
    return compiled or torch._C._len_torch_dispatch_stack() > 0 or torch._C._functorch.peek_interpreter_stack() is not None


@functools.lru_cache
def _load(device: torch.device) -> ModuleType | None:
    """The kernels, if they can be built on this machine and split four samples correctly."""
    if importlib.util.find_spec("triton") is None:
        return None
    try:
        from . import triton_kernels as module

        x = torch.arange(4, dtype=SINGLE, device=device).reshape(1, 1, 2, 2)
        z = torch.full((1, 1, 4), torch.nan, dtype=SINGLE, device=device)
        module.split(x, z, z, 1, x.new_tensor([[1, 1], [1, -1]]), 0, "periodic", [1, 1])
        return module if z.flatten().tolist() == [6, -2, -4, 0] else None
    except torch.OutOfMemoryError:
        raise
    except Exception:  # no compiler, an old driver, …: torch's own operations give the same numbers
        return None
