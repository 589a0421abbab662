"""Torch's global modes: the caller's modes do not reach the library's computations, and are the same after every call.

Modes that belong to a thread (autocast, inference, gradients, the default device) are set aside. What all threads share is
left alone: dtypes are explicit, and random numbers come from own generators. Only code that is not ours may draw from the
global generators, one call at a time.
"""

import contextlib
import functools
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

_HOST = torch.device("cpu")
foreign_code = threading.RLock()  # held while code runs that is not ours and uses what all threads share


def _on_host() -> AbstractContextManager[object]:
    """Inside, new tensors are made on the processor."""
    return _HOST if torch.get_default_device() != _HOST else contextlib.nullcontext()


@contextlib.contextmanager
def lasting_tensors() -> Iterator[None]:
    """Inside, new tensors can be used later in any mode, unlike those of inference mode (no autograd) and of torch.func."""
    with torch.inference_mode(False), torch._C._DisableFuncTorch(), _on_host():
        yield


@contextlib.contextmanager
def isolated(device: torch.device | None, create_graph: bool) -> Iterator[Callable[[], AbstractContextManager[object]]]:
    """Inside: no inference mode, no autocast, new tensors on the processor, gradients only where `create_graph` asks for them.

    Autocast would narrow f(x) - f(x₀), gradients and transforms alike. Yields a context manager that restores the caller's
    default device while code of the caller, which may rely on it, is called. Its default dtype is never touched, and
    neither is the random state: what a model draws, it draws as in any other call.
    """
    theirs, full = torch.get_default_device(), _without_autocast(device)
    with torch.inference_mode(False), torch.set_grad_enabled(create_graph), full, _on_host():
        yield contextlib.nullcontext if theirs == _HOST else lambda: theirs


def with_defaults(around: Callable[[], AbstractContextManager[object]], call: Any) -> Any:
    """`call`, with the caller's default device restored around it if it is callable."""
    if around is contextlib.nullcontext or isinstance(call, torch.Tensor) or not callable(call):
        return call

    @functools.wraps(call)
    def called(*args: Any, **kwargs: Any) -> Any:
        with around():
            return call(*args, **kwargs)

    return called


def _without_autocast(device: torch.device | None) -> AbstractContextManager[object]:
    if device is None or not torch.amp.is_autocast_available(device.type):
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


@contextlib.contextmanager
def random_state(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, the global generators of torch, numpy and Python start from `seed`; afterwards they are as before.

    For code that draws from them: Captum's, and any method that is not ours. All threads share these generators, so that
    only one thread is inside at a time.

    >>> with random_state(3, torch.device("cpu")):
    ...     first = torch.rand(2), random.random()
    >>> with random_state(3, torch.device("cpu")):
    ...     torch.equal(torch.rand(2), first[0]), random.random() == first[1]
    (True, True)
    """
    elsewhere = device.type not in ("cpu", "meta")
    with foreign_code:
        python, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
        try:
            with torch.random.fork_rng([device] if elsewhere else [], device_type=device.type if elsewhere else "cuda"):
                torch.manual_seed(seed)
                random.seed(seed)
                np.random.seed(seed % 2**32)  # noqa: NPY002
                yield
        finally:
            random.setstate(python)
            np.random.set_state(numbers)  # noqa: NPY002
