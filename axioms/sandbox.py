"""Other people's code, called so that nothing it changes stays changed; what it would have left behind is named."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_modules

from ..core.isolation import random_state

_AMBIENT: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's default device": (torch.get_default_device, torch.set_default_device),
    "the number of threads": (torch.get_num_threads, torch.set_num_threads),
    "anomaly detection": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "deterministic algorithms": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "autograd's grad mode": (torch.is_grad_enabled, torch.set_grad_enabled),
}
_GLOBAL_HOOKS = (
    "_global_forward_hooks",
    "_global_forward_pre_hooks",
    "_global_backward_hooks",
    "_global_backward_pre_hooks",
)


@contextlib.contextmanager
def guarded(network: nn.Module, seed: int, device: torch.device, leaks: dict[str, None]) -> Iterator[None]:
    """Runs its body with seeded generators and gradients on, and puts torch's global switches back.

    network: the copy that the body may change; what it does to it is only named.
    leaks: takes up the names of all that was not left as it was found.
    """
    with warnings.catch_warnings(), random_state(seed, device), torch.enable_grad():
        switches = {name: read() for name, (read, _) in _AMBIENT.items()}
        hooks = {name: dict(getattr(torch_modules, name)) for name in _GLOBAL_HOOKS}
        state = _state(network)
        try:
            yield
        finally:
            leaks.update(dict.fromkeys(_put_back(switches, hooks)))
            leaks.update(dict.fromkeys(_differences(state, _state(network))))


def _put_back(switches: dict[str, Any], hooks: dict[str, dict[int, Any]]) -> Iterator[str]:
    for name, (read, write) in _AMBIENT.items():
        if read() != switches[name]:
            yield f"{name} ({read()})"
            write(switches[name])
    for name, before in hooks.items():
        registry = getattr(torch_modules, name)
        if dict(registry) != before:
            yield "hooks on all modules"
            registry.clear()
            registry.update(before)


State = dict[str, dict[str, Any]]


def _state(network: nn.Module) -> State:
    """What a method could leave behind on a network: {what it is: {whose: its state}}."""
    tensors = dict([*network.named_parameters(), *network.named_buffers()])
    modules = dict(network.named_modules())
    return {
        "the training mode of": {name: module.training for name, module in modules.items()},
        "hooks on": {name: _hooks(module) for name, module in modules.items()},
        "the numbers of": {name: _version(tensor) for name, tensor in tensors.items()},
        "requires_grad of": {name: tensor.requires_grad for name, tensor in tensors.items()},
        "gradients in": {name: tensor.grad is None for name, tensor in tensors.items()},
    }


def _hooks(module: nn.Module) -> int:
    return sum(
        len(part)
        for part in (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._backward_hooks,
            module._backward_pre_hooks,
        )
    )


def _version(tensor: Tensor) -> tuple[int, int]:
    return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version


def _differences(before: State, after: State) -> Iterator[str]:
    for kind, was in before.items():
        now = after[kind]
        changed = [name or "the model" for name in (was | now) if was.get(name) != now.get(name)]
        if changed:
            more = f" and {len(changed) - 2} more" if len(changed) > 2 else ""
            yield f"{kind} {', '.join(changed[:2])}{more}"
