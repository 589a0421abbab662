"""Torch's global modes: those of the caller stay outside, and are as they were after every call."""

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
    """Inside, torch's default dtype and device are these; without arguments, what they are where nobody has changed them."""
    before = torch.get_default_dtype()
    with device if torch.get_default_device() != device else contextlib.nullcontext():
        # The dtype is one for all threads: where nobody has changed it, neither does this.
        if before == dtype:
            yield
            return
        torch.set_default_dtype(dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


@contextlib.contextmanager
def isolated(device: torch.device | None, create_graph: bool) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Inside: no inference mode, no autocast, torch's own default dtype and device, gradients only as asked, and random
    states that nobody outside sees.

    Autocast would narrow f(x) - f(x₀), gradients and transforms alike. Yields what brings the caller's defaults back for as
    long as code of theirs is called, which may count on them.
    """
    theirs = torch.get_default_dtype(), torch.get_default_device()
    with (
        torch.inference_mode(False),
        torch.set_grad_enabled(create_graph),
        _random_states(device),
        _uncast(device),
        defaults(),
    ):
        plain = theirs == (torch.get_default_dtype(), torch.get_default_device())
        yield contextlib.nullcontext if plain else functools.partial(defaults, *theirs)


def with_defaults(around: Callable[[], AbstractContextManager[None]], call: Any) -> Any:
    """`call`, if it can be called, with the caller's defaults around it."""
    if around is contextlib.nullcontext or isinstance(call, torch.Tensor) or not callable(call):
        return call

    @functools.wraps(call)
    def called(*args: Any, **kwargs: Any) -> Any:
        with around():
            return call(*args, **kwargs)

    return called


def _uncast(device: torch.device | None) -> AbstractContextManager[object]:
    if device is None or not torch.amp.is_autocast_available(device.type):
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


@contextlib.contextmanager
def _random_states(device: torch.device | None) -> Iterator[None]:
    """Puts back torch's global random states, of the processor and of `device`, whatever happens inside."""
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
