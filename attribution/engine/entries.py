"""`Entries`: the entry of the model's output that a target names for each example, in Captum's and NumPy's forms."""

import contextlib
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..targets import LISTED, whole_numbers

Shape = tuple[int, ...]
_FORMS = "a class index, one per example, an entry such as (2, 1), a one-hot tensor, pullback.attribution.targets, a callable"


@dataclass(frozen=True, eq=False)
class Entries:
    """Which entry of the output (rows, *shape) each example's score is.

    given: the numbers of the target, int64 on the CPU: (), (axes,), (examples,), (examples, axes), or one-hot.
    same: whether `given` is one class or one entry, of all examples.
    hot: whether `given` holds one 1 for each example, and else zeros; it is an index where it cannot be one-hot.
    index: whether the numbers may be an index: whole numbers, and not truth values.

    >>> Entries.of([(0, 1), (2, 0)], 2, torch.device("cpu")).flat((3, 2))
    tensor([1, 4])
    """

    given: Tensor
    examples: int
    device: torch.device
    same: bool
    hot: bool
    index: bool
    _known: dict[Shape, tuple[Tensor, Tensor]] = field(default_factory=dict)  # for each shape: table and flat index

    @classmethod
    def of(cls, target: Any, examples: int, device: torch.device) -> "Entries":
        """What `target` means for a batch of `examples`.  Raises: TypeError or ValueError that says which forms there are."""
        held = whole_numbers("target", target, _FORMS, hot=True)
        given, index = held.long(), not (held.is_floating_point() or held.dtype == torch.bool)
        hot = held.ndim > 1 and held.numel() > len(held) and _is_one_hot(held.reshape(len(held), -1))
        if not index and not hot:
            what = "not one-hot" if held.ndim > 1 else "class indices are whole numbers: target.long()"
            raise TypeError(f"target: expected {_FORMS}; got {held.dtype} of shape {tuple(held.shape)}, {what}.")
        one = given.ndim == 1 and (isinstance(target, tuple) or (len(given) == 1 and not isinstance(target, list)))
        if given.ndim > 0 and not one and len(given) != examples:
            raise ValueError(f"target: expected one class per example, {examples}, got {len(given)}.")
        return cls(given, examples, device, given.ndim == 0 or one, hot, index)

    def table(self, shape: Shape) -> Tensor:
        """The entry of each example, one number per axis of `shape` up to trailing axes of size 1. Shape: (examples, axes).

        Raises: ValueError where the target does not fit the output; it names the example whose entry does not exist.
        """
        return self._at(shape)[0]

    def flat(self, shape: Shape) -> Tensor:
        """The number of each example's entry in the output, counted over all axes after the first. Shape: (examples,)."""
        return self._at(shape)[1]

    def described(self) -> Any:
        """The target as JSON can hold it: a number, an entry as a list, or a list for each example."""
        if self.same:
            return self.given.tolist()
        table = next(iter(self._known.values()), (self.given,))[0]
        table = table[:, 0] if table.ndim == 2 and table.shape[1] == 1 else table
        return table.tolist() if table.numel() <= LISTED else f"entries of {self.examples} examples"

    def first_other(self, known: Any) -> tuple[int, Shape, Shape] | None:
        """The first example whose entry in the output is another one by `known`, as `described` gave it, and both entries.

        None where there is no such example, or where `known` does not fit the batch or the output.
        """
        shape = next(iter(self._known), (1,))
        own, tables = self.table(shape), []
        for form in (known, tuple(known) if isinstance(known, list) else known):  # a list may be an entry of all examples
            with contextlib.suppress(ValueError, TypeError):
                tables.append(Entries.of(form, self.examples, self.device)._filled(shape))
        found = self._filled(shape)
        if not tables or any(bool((table == found).all()) for table in tables):
            return None
        example = int((tables[0] != found).any(1).nonzero()[0, 0])
        axes = own.shape[1]
        return example, tuple(tables[0][example, :axes].tolist()), tuple(own[example].tolist())

    def _filled(self, shape: Shape) -> Tensor:
        """`table`, with a 0 for each axis of size 1 that it leaves out. Shape: (examples, len(shape))."""
        table = self.table(shape)
        return torch.nn.functional.pad(table, (0, max(len(shape), 1) - table.shape[1]))

    def _at(self, shape: Shape) -> tuple[Tensor, Tensor]:
        shape = shape or (1,)  # one output per row
        if shape not in self._known:
            table = self._table(shape)
            own = shape[: table.shape[1]]
            _check(table, own)
            strides = table.new_tensor([math.prod(own[axis + 1 :]) for axis in range(len(own))])
            self._known[shape] = table, (table * strides).sum(1).to(self.device)
        return self._known[shape]

    def _table(self, shape: Shape) -> Tensor:
        given, axes = self.given, len(shape)
        if self.same:
            # Of an output (rows, classes), as many numbers as examples are one class per example.
            each = axes == 1 and given.ndim == 1 and 1 < len(given) == self.examples
            table = given[:, None] if each else given.reshape(1, -1).expand(self.examples, -1)
        elif self.hot and tuple(given.shape[1:]) == shape[: given.ndim - 1] and math.prod(shape[given.ndim - 1 :]) == 1:
            return given.nonzero()[:, 1:]
        else:
            table = given.reshape(len(given), -1)
        used = table.shape[1]
        if not self.index or given.ndim > 2 or used > axes or math.prod(shape[used:]) != 1:
            raise ValueError(_misfit(given, shape, self.same, self.index))
        return table


def _is_one_hot(rows: Tensor) -> bool:
    return bool(((rows == 0) | (rows == 1)).all()) and bool((rows.sum(1) == 1).all())


def _misfit(given: Tensor, shape: Shape, same: bool, index: bool) -> str:
    output = f"this one returned (rows, {', '.join(map(str, shape))})"
    if not index or given.ndim > 2:
        return f"target: a one-hot tensor has the shape of the output; {output}, the target {tuple(given.shape)}."
    got = str(given.tolist()) if same and given.numel() <= 8 else f"{given[0].numel()} index per example"
    wanted = f"one index for each axis of the output after the first, such as {(0,) * len(shape)}"
    return f"target: expected {wanted}; {output}, the target is {got}. Or pass a callable, output -> one number per row."


def _check(table: Tensor, shape: Shape) -> None:
    """Raises: ValueError that names an example whose entry does not exist."""
    outside = ((table < 0) | (table >= table.new_tensor(shape))).any(1)
    if not bool(outside.any()):
        return
    example = int(outside.nonzero()[0, 0])
    entry = table[example].tolist()
    if len(shape) > 1:
        raise ValueError(
            f"target: the output of an example has shape {shape}; there is no entry {tuple(entry)} for example {example}."
        )
    refuse_class(entry[0], example, shape[0])


def refuse_class(wrong: int, example: int, classes: int) -> None:
    """Raises: ValueError for a class that the model does not have."""
    single = " The model has one output: target=None explains it, targets.binary(labels) a binary model by its labels."
    what = f"target: expected a class in 0…{classes - 1}, got {wrong} for example {example}."
    raise ValueError(what + single * (classes == 1))
