"""The global random state: as it was after every call, and models that draw from it are told from others."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

_ALIKE = 1e-4  # relative difference that kernels which add in any order may show


@contextlib.contextmanager
def restored(device: torch.device | None) -> Iterator[None]:
    """Puts back torch's global random states, of the processor and of `device`, whatever happens inside."""
    elsewhere = device is not None and device.type not in ("cpu", "meta")
    kind = device.type if device is not None and elsewhere else "cuda"
    with torch.random.fork_rng([device] if elsewhere else [], device_type=kind):
        yield


def deterministic(call: Callable[[], Any], device: torch.device) -> Any:
    """call(), which runs a model; where that moved the global random state, it is called again and has to agree.

    Raises: ValueError where it does not: the maps of such a model cannot be repeated.
    """
    before = _states(device)
    output = call()
    if all(torch.equal(a, b) for a, b in zip(before, _states(device))):
        return output
    for first, second in zip(_tensors(output), _tensors(call())):
        off = (second - first).abs() > _ALIKE * first.abs().max()
        if bool(off.any()):
            rows = off.flatten(1).any(1) if off.ndim > 1 else off
            raise ValueError(f"model: it draws random numbers: two runs on the same input differ, first in row "
                             f"{int(rows.nonzero()[0, 0]) if rows.ndim else 0}; switch the randomness off, or fix it with a "
                             "torch.Generator that the model seeds anew in each call.")  # fmt: skip
    return output


def _states(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    read = getattr(getattr(torch, device.type, None), "get_rng_state", None)
    if device.type != "cpu" and read is not None:
        states.append(read(device))
    return states


def _tensors(output: Any) -> list[Tensor]:
    leaves = tree_leaves(output)
    return [leaf.detach() for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.numel()]
