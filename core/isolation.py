"""Torch's global modes: the caller's modes do not reach the library's computations, and are the same after every call."""

import contextlib
import functools
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

_HOST = torch.device("cpu")


@contextlib.contextmanager
def defaults(dtype: torch.dtype = torch.float32, device: torch.device = _HOST) -> Iterator[None]:
    """Inside, torch's default dtype and device are these; without arguments they are those that torch starts with."""
    before = torch.get_default_dtype()
    with device if torch.get_default_device() != device else contextlib.nullcontext(), contextlib.ExitStack() as after:
        if before != dtype:  # all threads share the default dtype, so it is only set where it differs
            after.callback(torch.set_default_dtype, before)
            torch.set_default_dtype(dtype)
        yield


@contextlib.contextmanager
def lasting_tensors() -> Iterator[None]:
    """Inside, new tensors can be used later in any mode, unlike those of inference mode (no autograd) and of torch.func."""
    with torch.inference_mode(False), torch._C._DisableFuncTorch(), defaults():
        yield


@contextlib.contextmanager
def isolated(device: torch.device | None, create_graph: bool) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Inside: no inference mode, no autocast, torch's own default dtype and device, gradients only where `create_graph`
    asks for them, and random states that do not change those of the caller.

    Autocast would narrow f(x) - f(x₀), gradients and transforms alike. Yields a context manager that restores the caller's
    defaults while code of the caller, which may rely on them, is called.
    """
    theirs = torch.get_default_dtype(), torch.get_default_device()
    restored, full = _random_states(device), _without_autocast(device)
    with torch.inference_mode(False), torch.set_grad_enabled(create_graph), restored, full, defaults():
        same = theirs == (torch.get_default_dtype(), torch.get_default_device())
        yield contextlib.nullcontext if same else functools.partial(defaults, *theirs)


def with_defaults(around: Callable[[], AbstractContextManager[None]], call: Any) -> Any:
    """`call`, with the caller's defaults restored around it if it is callable."""
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
def _random_states(device: torch.device | None) -> Iterator[None]:
    """Restores torch's global random states, of the processor and of `device`, whatever happens inside."""
    elsewhere = device is not None and device.type not in ("cpu", "meta")
    kind = device.type if device is not None and elsewhere else "cuda"
    with torch.random.fork_rng([device] if elsewhere else [], device_type=kind):
        yield


@contextlib.contextmanager
def random_state(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, the global generators of torch, numpy and Python start from `seed`; afterwards they are as before.

    For code that draws from them: Captum's, and any method that is not ours.

    >>> with random_state(3, torch.device("cpu")):
    ...     first = torch.rand(2), random.random()
    >>> with random_state(3, torch.device("cpu")):
    ...     torch.equal(torch.rand(2), first[0]), random.random() == first[1]
    (True, True)
    """
    python, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with _random_states(device):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)  # noqa: NPY002
