"""A copy of the model as a module whose layers other libraries may hook and change."""

from collections.abc import Callable

import torch
from torch import Tensor, fx, nn

from ...core.copies import copied
from .engine import Engine


class Hooked(nn.Module):
    """(points, example) -> f: a copy of the engine's model behind `lift`, such as T⁻¹.

    `lift` is a layer of its own without children, so that a search through the layers does not look inside T.
    Raises: TypeError where the model is no nn.Module, cannot be copied, or holds layers that take no hooks.
    """

    def __init__(self, engine: Engine, lift: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        _check_layers(engine.plain)
        self.lift, self.model, self._engine = _Lift(lift), copied(engine.plain), engine
        for layer in self.model.modules():  # a hook on an in-place layer sees its output where it expects its input
            if getattr(layer, "inplace", False) is True:
                layer.inplace = False  # type: ignore[assignment]

    def forward(self, points: Tensor, example: Tensor) -> Tensor:
        return self._engine.scored(self.model, self.lift(points), example)


class _Lift(nn.Module):
    def __init__(self, lift: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._lift = lift

    def forward(self, points: Tensor) -> Tensor:
        return self._lift(points)


def _check_layers(model: nn.Module) -> None:
    """Refuses programs, whose steps are no layers: hooks would silently not run, and every rule count as a gradient."""
    for name, layer in model.named_modules():
        script = isinstance(layer, torch.jit.ScriptModule)
        program = isinstance(layer, fx.GraphModule) and not any(map(_is_layer, layer.modules()))
        if script or program:
            what = f"layer {name!r}" if name else "it"
            kind = "a TorchScript module" if script else "an exported program"
            advice = "pass the nn.Module that it was made from, or take a method that only calls the model"
            raise TypeError(f"model: {what} is {kind}, and this method hooks layers, which it has not; {advice}.")


def _is_layer(module: nn.Module) -> bool:
    """Whether it is one of torch's layers, and not a plain module that holds the parameters of a program."""
    return type(module) is not nn.Module and type(module).__module__.startswith(nn.modules.__name__)
