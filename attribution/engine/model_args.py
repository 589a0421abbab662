"""Further arguments of the model, beside the signal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_map

from ...core.tensors import without_subclass


@dataclass(frozen=True, eq=False)
class Broadcast:
    """Marks an entry of `model_args` or `model_kwargs` that belongs to all examples, even if it has as many entries as x.

    >>> import torch, pullback as pb
    >>> model = lambda x, kernel: (x @ kernel).sum(1)  # kernel: (2, 2), and two examples
    >>> kernel = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    >>> pb.attribute(model, torch.ones(2, 2), model_args=(pb.Broadcast(kernel),), method="gradient").values.tolist()
    [[1.0, 2.0], [1.0, 2.0]]
    """

    value: Any


@dataclass(frozen=True, eq=False)
class ModelArgs:
    """model(x, *args, **kwargs): the arguments of the rows that belong to given examples.

    A tensor whose first axis has one entry for each of the `examples` follows its example from row to row, also inside
    lists, tuples and dictionaries. Everything else, and the content of a `Broadcast`, is passed unchanged.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    examples: int = 0

    def at(self, example: Tensor) -> tuple[list[Any], dict[str, Any]]:
        """(args, kwargs) of rows that belong to `example` (rows,)."""
        if not self.args and not self.kwargs:
            return [], {}
        pick, whole = lambda value: self._pick(value, example), lambda value: isinstance(value, Broadcast)
        return tree_map(pick, (list(self.args), dict(self.kwargs)), is_leaf=whole)

    def _pick(self, value: Any, example: Tensor) -> Any:
        if isinstance(value, Broadcast):
            return tree_map(_ordinary, value.value)
        plain = without_subclass(value) if isinstance(value, Tensor) else None
        follows = plain is not None and plain.ndim > 0 and len(plain) == self.examples
        return plain[example.to(plain.device)] if plain is not None and follows else _ordinary(value)


def _ordinary(value: Any) -> Any:
    """`value`; a tensor made under `torch.inference_mode` becomes one that autograd takes."""
    return value.clone() if isinstance(value, Tensor) and value.is_inference() else value
