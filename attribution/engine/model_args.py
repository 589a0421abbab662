"""Further arguments of the model, beside the signal, and the ways in which they may belong to the examples."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_map, tree_unflatten

from ...core.tensors import without_subclass

Way = Callable[[Any, Tensor], Any]  # (an argument, the example of each row) -> the argument of these rows
_MOST = 64  # readings that are tried


@dataclass(frozen=True, eq=False)
class Broadcast:
    """Marks an entry of `model_args` or `model_kwargs` that belongs to all examples. The opposite is `PerExample`.

    >>> import torch, pullback as pb
    >>> model = lambda x, kernel: (x @ kernel).sum(1)  # kernel: (2, 2), and two examples
    >>> kernel = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    >>> pb.attribute(model, torch.ones(2, 2), model_args=(pb.Broadcast(kernel),), method="gradient").values.tolist()
    [[1.0, 2.0], [1.0, 2.0]]
    """

    value: Any


@dataclass(frozen=True, eq=False)
class PerExample:
    """Marks an entry of `model_args` or `model_kwargs` that holds one entry for each example, along `axis`.

    value: a tensor, a NumPy array, a list or a tuple; the last two have no other axis than 0.

    >>> import torch, pullback as pb
    >>> model = lambda x, gain: (x * gain[:, None]).sum(1)
    >>> pb.attribute(model, torch.ones(2, 2), model_args=(pb.PerExample(torch.tensor([1.0, 3.0])),), method="gradient").values
    tensor([[1., 1.],
            [3., 3.]])
    """

    value: Any
    axis: int = 0


@dataclass(frozen=True, eq=False)
class ModelArgs:
    """model(x, *args, **kwargs): the arguments of the rows that belong to given examples.

    leaves, form: (args, kwargs) taken apart.  ways: how each leaf follows the examples, the likeliest way first.
    A tensor or an array may follow along any axis with one entry per example, a list of that length by its entries.
    What is marked, or has no such axis, has one way. `choose_reading` chooses among several.
    """

    leaves: Sequence[Any] = ()
    form: TreeSpec | None = None
    ways: Sequence[Sequence[Way]] = ()

    @classmethod
    def of(cls, args: Sequence[Any], kwargs: Mapping[str, Any], examples: int) -> "ModelArgs":
        """Raises: ValueError where a `PerExample` does not have one entry per example."""
        # Dictionaries: the tuple of arguments is no list with one entry per example.
        return cls._of({"args": {str(i): each for i, each in enumerate(args)}, "kwargs": dict(kwargs)}, examples)

    @classmethod
    def _of(cls, held: Any, examples: int) -> "ModelArgs":
        whole = lambda value: isinstance(value, (Broadcast, PerExample)) or _has_entries(value, examples)
        parts, form = tree_flatten(held, is_leaf=whole)
        return cls(parts, form, [_ways(leaf, examples) for leaf in parts])

    @property
    def ambiguous(self) -> bool:
        """Whether an argument can be read in more than one way."""
        return any(len(ways) > 1 for ways in self.ways)

    @property
    def as_given(self) -> "ModelArgs":
        """All arguments unchanged, as in the caller's own call on all examples."""
        return replace(self, ways=[[ways[-1] if len(ways) > 1 else _whole] for ways in self.ways])

    def readings(self) -> Iterator["ModelArgs"]:
        """Each way to read the arguments: the likeliest, then all unchanged, then at most 62 others."""
        first, last = tuple(ways[0] for ways in self.ways), tuple(ways[-1] for ways in self.ways)
        others = (each for each in itertools.product(*self.ways) if each not in (first, last))
        for chosen in itertools.islice(itertools.chain(dict.fromkeys([first, last]), others), _MOST):
            yield replace(self, ways=[[way] for way in chosen])

    def at(self, example: Tensor) -> tuple[list[Any], dict[str, Any]]:
        """(args, kwargs) of rows that belong to `example` (rows,)."""
        if not self.leaves:
            return [], {}
        held = self.picked(example)
        return list(held["args"].values()), held["kwargs"]

    def picked(self, example: Tensor) -> Any:
        """What was taken apart, put together for these rows."""
        assert self.form is not None
        return tree_unflatten([ways[0](leaf, example) for leaf, ways in zip(self.leaves, self.ways)], self.form)


def _ways(leaf: Any, examples: int) -> list[Way]:
    if isinstance(leaf, Broadcast):
        return [_whole]
    if isinstance(leaf, PerExample):
        return [_marked(leaf, examples)]
    if isinstance(leaf, (Tensor, np.ndarray)):
        along = [_along(axis) for axis, size in enumerate(_shape(leaf)) if size == examples]
        return [*along, _whole_plain] if along else [_whole]
    if not _has_entries(leaf, examples):
        return [_whole]
    inside = ModelArgs._of(dict(enumerate(leaf)), examples)
    marked = any(isinstance(each, (Broadcast, PerExample)) for each in inside.leaves)
    within = [_within(reading) for reading in inside.readings()] if marked or inside.ambiguous else []
    return within if marked else [*within[:1], _entries, *within[1:], _whole]


def _has_entries(value: Any, examples: int) -> bool:
    """Whether `value` is a list or a tuple with one entry per example."""
    return type(value) in (list, tuple) and len(value) == examples


def _shape(value: Any) -> tuple[int, ...]:
    value = without_subclass(value) if isinstance(value, Tensor) else value
    return tuple(value.shape) if isinstance(value, (Tensor, np.ndarray)) else ()


def _whole(value: Any, example: Tensor) -> Any:
    value = value.value if isinstance(value, (Broadcast, PerExample)) else value
    return tree_map(_ordinary, value)


def _whole_plain(value: Any, example: Tensor) -> Any:
    """The same for what could also follow the examples: without a subclass of tensors, as then."""
    return _ordinary(without_subclass(value) if isinstance(value, Tensor) else value)


def _entries(value: Any, example: Tensor) -> Any:
    return type(value)(_ordinary(value[i]) for i in example.tolist())


def _within(reading: ModelArgs) -> Way:
    """The entries of a list, each as `reading` says."""
    return lambda value, example: type(value)(reading.picked(example).values())


def _along(axis: int) -> Way:
    def pick(value: Any, example: Tensor) -> Any:
        if isinstance(value, Tensor):
            plain = without_subclass(value)
            return plain.index_select(axis, example.to(plain.device))
        return np.take(value, example.cpu().numpy(), axis)

    return pick


def _marked(mark: PerExample, examples: int) -> Way:
    value, axis = mark.value, mark.axis
    in_list = isinstance(value, (list, tuple))
    shape, way = ((len(value),), _entries) if in_list else (_shape(value), _along(axis))
    found = shape[axis] if -len(shape) <= axis < len(shape) else None
    if found != examples:
        got = "no such axis" if found is None else f"{found} entries"
        raise ValueError(f"PerExample: expected one entry for each of {examples} examples along axis {axis}, got {got}.")
    return lambda leaf, example: way(leaf.value, example)


def _ordinary(value: Any) -> Any:
    """`value`; a tensor made under `torch.inference_mode` becomes one that autograd takes."""
    return value.clone() if isinstance(value, Tensor) and without_subclass(value).is_inference() else value
