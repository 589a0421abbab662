"""Models that `copy.deepcopy` refuses, or whose copies run layers of the original; signals: (6,), in double precision."""

import functools
import sys
import threading
import types
import warnings
import weakref
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

X = torch.linspace(-1, 1, 18, dtype=torch.double).reshape(3, 6)
Make = Callable[[], nn.Module]


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).double().eval()


def old_norm(norm: Callable[[nn.Module], nn.Module]) -> nn.Module:
    model = net()
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        norm(model[0])
    model(X)  # now the weight belongs to a graph
    return model


class Holder(nn.Module):
    """A network that holds something more."""

    def __init__(self, held: Any = None) -> None:
        super().__init__()
        self.net, self.held = net(), held

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class KeepsOutputs(Holder):
    def forward(self, x: Tensor) -> Tensor:
        self.last = self.net(x)
        self.seen = {"outputs": [*getattr(self, "seen", {}).get("outputs", []), self.last]}
        return self.last


class RefusesToBeStored(Holder):
    def __getstate__(self) -> Any:
        raise TypeError("no state")


class CompilesItsForward(Holder):
    @torch.compile(backend="eager")
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def called_before(model: nn.Module) -> nn.Module:
    model(X)
    return model


def with_forward(forward: Callable[[Any], Callable[[Tensor], Tensor]]) -> nn.Module:
    model = Holder()
    model.forward = forward(model)  # type: ignore[method-assign]
    return model


def with_second_order_gradients() -> nn.Module:
    model = net()
    parameters = list(model.parameters())
    for p, g in zip(parameters, torch.autograd.grad(model(X).square().sum(), parameters, create_graph=True), strict=True):
        p.grad = g
    return model


def under_inference() -> nn.Module:
    with torch.inference_mode():
        return net()


def with_hook() -> nn.Module:
    model = Holder()
    model.gate = nn.Linear(3, 3).double()
    model.net.register_forward_hook(lambda module, args, output: model.gate(output))
    return model


def with_method_as_hook() -> nn.Module:
    model = Holder()
    model.gate = nn.Linear(3, 3).double()
    model.again = types.MethodType(lambda self, module, args, output: self.gate(output), model)
    model.net.register_forward_hook(model.again)
    return model


def with_weak_reference() -> nn.Module:
    model = Holder()
    model.held = weakref.ref(model.net)
    model.forward = types.MethodType(lambda self, x: self.held()(x), model)  # type: ignore[method-assign]
    return model


def in_a_list() -> nn.Module:
    model = Holder()
    model.held = [model.net]
    model.held.append(model.held)
    model.forward = types.MethodType(lambda self, x: self.held[0](x), model)  # type: ignore[method-assign]
    return model


class Runner:
    """An object that is no module, and runs a layer under a lock."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer, self.lock = layer, threading.Lock()

    def __call__(self, x: Tensor) -> Tensor:
        with self.lock:
            return self.layer(x)


class Held(NamedTuple):
    layer: nn.Module


def by_what_it_holds(hold: Callable[[nn.Module], Any], run: Callable[[Any], Callable[[Tensor], Tensor]]) -> nn.Module:
    model = Holder()
    model.held = hold(model.net)
    model.forward = types.MethodType(lambda self, x: run(self.held)(x), model)  # type: ignore[method-assign]
    return model


def compiled_by_method() -> nn.Module:
    model = net()
    model.compile(backend="eager")
    return model


def parametrised() -> nn.Module:
    model = Holder(threading.Lock())
    nn.utils.parametrizations.spectral_norm(model.net[0])
    return model.eval()


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.held = nn.LSTM(6, 3, batch_first=True).double(), threading.Lock()

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x[:, None])[0][:, 0]


def as_script(make: Callable[[nn.Module], Any]) -> nn.Module:
    with warnings.catch_warnings(action="ignore"):
        return make(net())  # type: ignore[no-any-return]


MODELS: dict[str, Make] = {
    "weight_norm": lambda: old_norm(nn.utils.weight_norm),  # type: ignore[arg-type]
    "spectral_norm": lambda: old_norm(nn.utils.spectral_norm),
    "parametrisation beside a lock": parametrised,
    "outputs that are kept": lambda: called_before(KeepsOutputs()),
    "gradients with a graph": with_second_order_gradients,
    "lock": lambda: Holder(threading.Lock()),
    "random generator": lambda: Holder(torch.Generator()),
    "iterator": lambda: Holder(iter(range(3))),
    "open file": lambda: Holder(sys.__stderr__),
    "module of Python": lambda: Holder({"torch": torch}),
    "object with a lock and a layer": lambda: Holder(types.SimpleNamespace(lock=threading.Lock(), layer=nn.ReLU())),
    "class that refuses to be stored": lambda: RefusesToBeStored(threading.Lock()),
    "recurrent": Recurrent,
    "tensors of inference mode": under_inference,
    "forward in a closure": lambda: with_forward(lambda model: lambda x: model.net(x)),
    "forward in a default": lambda: with_forward(lambda model: lambda x, net=model.net: net(x)),
    "forward as a partial": lambda: with_forward(lambda model: functools.partial(lambda net, x: net(x), model.net)),
    "forward as a bound method": lambda: with_forward(lambda model: model.net.forward),
    "hook on another layer": with_hook,
    "method as hook": with_method_as_hook,
    "weak reference": with_weak_reference,
    "list that holds itself": in_a_list,
    "object with a lock that runs a layer": lambda: by_what_it_holds(Runner, lambda held: held),
    "named tuple": lambda: by_what_it_holds(Held, lambda held: held.layer),
    "dictionary with defaults": lambda: by_what_it_holds(lambda net: defaultdict(list, {"a": net}), lambda held: held["a"]),
    "torch.compile": lambda: torch.compile(net(), backend="eager"),  # type: ignore[return-value]
    "Module.compile": compiled_by_method,
    "forward that was compiled": lambda: with_forward(lambda model: torch.compile(model.net.forward, backend="eager")),
    "class with a compiled forward": CompilesItsForward,
    "compiled layer": lambda: nn.Sequential(torch.compile(net(), backend="eager"), nn.Linear(3, 3).double()),  # type: ignore[arg-type]
    "script": lambda: as_script(torch.jit.script),
    "trace": lambda: as_script(lambda model: torch.jit.trace(model, X)),
    "graph": lambda: torch.fx.symbolic_trace(net()),
    "graph in a graph": lambda: nn.Sequential(
        torch.fx.symbolic_trace(net()), torch.fx.symbolic_trace(nn.Sequential(nn.Linear(3, 3)).double())
    ),
}


def held(model: nn.Module) -> list[Any]:
    """What the attributes of all layers are, by identity."""
    return [(id(layer), sorted((name, id(value)) for name, value in vars(layer).items())) for layer in model.modules()]
