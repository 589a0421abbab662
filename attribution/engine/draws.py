"""Random numbers that a model draws from torch's global generators, seen in this thread alone."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map


def random_states(device: torch.device) -> list[Tensor]:
    """The states of torch's global generators, of the processor and of `device`, uint8."""
    return [module.get_rng_state(*where) for module, where in _generators(device)]


def set_random_states(device: torch.device, states: Sequence[Tensor]) -> None:
    """Puts the generators back to `states`, which `random_states` gave."""
    for (module, where), state in zip(_generators(device), states):
        module.set_rng_state(state, *where)


def same_states(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    """Whether no generator has moved.

    >>> cpu = torch.device("cpu")
    >>> before = random_states(cpu)
    >>> torch.rand(1).shape, same_states(before, random_states(cpu))
    (torch.Size([1]), False)
    >>> set_random_states(cpu, before)
    >>> same_states(before, random_states(cpu))
    True
    """
    return all(torch.equal(a, b) for a, b in zip(one, other))


def _generators(device: torch.device) -> list[tuple[Any, tuple[torch.device, ...]]]:
    own = [] if device.type in ("cpu", "meta") else [(torch.get_device_module(device.type), (device,))]
    return [(torch, ()), *own]


class _TurnedOver(TorchDispatchMode):
    """Context: gives other numbers in place of random ones: 1 - r for r, and the contrary of what is true or false."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        options = {each.name: value for each, value in zip(func._schema.arguments, args)} | kwargs
        random = torch.Tag.nondeterministic_seeded in func.tags and options.get("generator") is None
        if not random or options.get("dropout_p", 1) == 0:
            return out
        self.names.append(str(func))
        return tree_map(_turned, out)


def drawn_numbers(read: Callable[[], float]) -> tuple[list[str], float]:
    """(the operations that draw from a global generator inside read(), what read() returns when they draw other numbers).

    Operations with a generator of their own are not among them.

    >>> drawn_numbers(lambda: float(torch.rand(2).sum() * 0 + 3))
    (['aten.rand.default'], 3.0)
    >>> drawn_numbers(lambda: float(torch.dropout(torch.ones(2), 0.0, False).sum()))
    ([], 2.0)
    """
    with _TurnedOver() as mode:
        value = read()
    return mode.names, value


def _turned(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    if value.dtype == torch.bool:
        return value.logical_not_()
    return value.neg_().add_(1) if value.is_floating_point() or value.is_complex() else value
