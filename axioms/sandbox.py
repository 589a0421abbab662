"""`sandbox`: runs code that is not ours, puts torch's global state back, and names what the code left changed."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as torch_modules

from ..core.isolation import random_state

_SWITCHES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's default device": (torch.get_default_device, torch.set_default_device),
    "the number of threads": (torch.get_num_threads, torch.set_num_threads),
    "anomaly detection": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "deterministic algorithms": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "autograd's grad mode": (torch.is_grad_enabled, torch.set_grad_enabled),
}
_HOOKS = [f"_{kind}_hooks" for kind in ("forward", "forward_pre", "backward", "backward_pre")]
State = dict[str, dict[str, Any]]


@contextlib.contextmanager
def sandbox(network: nn.Module, seed: int, device: torch.device, side_effects: dict[str, None]) -> Iterator[None]:
    """Inside, generators are seeded and gradients are on; afterwards torch's global state is as before.

    network: a copy that the code may change; its changes are only named.
    side_effects: gets the names of everything that was left changed.
    """
    with random_state(seed, device), warnings.catch_warnings(), torch.enable_grad():  # first, so that one thread is inside
        switches = {name: read() for name, (read, _) in _SWITCHES.items()}
        hooks = {name: dict(getattr(torch_modules, f"_global{name}")) for name in _HOOKS}
        state = _state(network)
        try:
            yield
        finally:
            side_effects.update(dict.fromkeys(_restored(switches, hooks)))
            side_effects.update(dict.fromkeys(_differences(state, _state(network))))


def _restored(switches: dict[str, Any], hooks: dict[str, dict[int, Any]]) -> Iterator[str]:
    """Puts torch's global state back, and yields the names of what was changed."""
    for name, (read, write) in _SWITCHES.items():
        if read() != switches[name]:
            yield f"{name} ({read()})"
            write(switches[name])
    for name, before in hooks.items():
        registry = getattr(torch_modules, f"_global{name}")
        if dict(registry) != before:
            yield "hooks on all modules"
            registry.clear()
            registry.update(before)


def _state(network: nn.Module) -> State:
    """What a method could change on a network: {kind of state: {name of the module or tensor: its state}}."""
    tensors = dict([*network.named_parameters(), *network.named_buffers()])
    modules = dict(network.named_modules())
    return {
        "the training mode of": {name: getattr(module, "training", None) for name, module in modules.items()},
        "hooks on": {name: sum(len(getattr(module, kind, ())) for kind in _HOOKS) for name, module in modules.items()},
        "the numbers of": {name: (t.data_ptr(), 0 if t.is_inference() else t._version) for name, t in tensors.items()},
        "requires_grad of": {name: tensor.requires_grad for name, tensor in tensors.items()},
        "gradients in": {name: not tensor.is_leaf or tensor.grad is None for name, tensor in tensors.items()},
    }


def _differences(before: State, after: State) -> Iterator[str]:
    for kind, was in before.items():
        now = after[kind]
        changed = [name or "the model" for name in (was | now) if was.get(name) != now.get(name)]
        if changed:
            more = f" and {len(changed) - 2} more" if len(changed) > 2 else ""
            yield f"{kind} {', '.join(changed[:2])}{more}"
