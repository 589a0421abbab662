"""A copy of the model as a module whose layers other libraries may hook and change."""

import copy
from collections.abc import Callable

from torch import Tensor, nn

from .engine import Engine


class Hooked(nn.Module):
    """(points, example) -> f: a copy of the engine's model behind `lift`, such as T⁻¹.

    `lift` is a layer of its own without children, so that a search through the layers does not look inside T.
    Raises: TypeError where the model is no nn.Module.
    """

    def __init__(self, engine: Engine, lift: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.lift, self.model, self._engine = _Lift(lift), copy.deepcopy(engine.plain), engine
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
