"""Counts what passes a model: ours, the peers and the bare loop all run through `Counted`."""

import functools
import itertools
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.fx
from torch import Tensor, nn

from ..subjects.models import Subject, signals
from .calls import Evaluations
from .timing import Step

Result = TypeVar("Result")


class MeasuresNothing(AssertionError):
    """The benchmark does not time what its name says."""


@dataclass(eq=False)
class Tally:
    """How many rows went forward through a model, how many of them went back, and the most at once."""

    forward: int = 0
    backward: int = 0
    most: int = 0

    def __deepcopy__(self, memo: object) -> "Tally":
        return self  # methods that work on a copy of the model are counted too

    @property
    def rows(self) -> Evaluations:
        """(forward, backward) so far."""
        return self.forward, self.backward

    def during(self, job: Callable[[], Result]) -> tuple[Result, Evaluations]:
        """What a call returns, and the (forward, backward) rows that it brought through."""
        before = self.rows
        result = job()
        return result, (self.forward - before[0], self.backward - before[1])

    def back(self, rows: int, _: Tensor) -> None:
        """A hook for the gradient of an output."""
        self.backward += rows


class Counted(nn.Module):
    """A model whose tally counts what passes it, also through an equal network that torch.fx made of it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.tally, self.is_hidden, self.number = model, Tally(), False, next(_NUMBERS)
        _TALLIES[self.number] = self.tally

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.model(x)
        return noted_apart(output, x, self.number) if self.is_hidden else noted(output, x, self.number)

    def hidden(self) -> "Counted":
        """Hides the counting from torch's compiler, which would trace it, and compile anew whenever a number changes."""
        self.is_hidden = True
        return self


# A graph of torch.fx holds calls of functions, with tensors and numbers: so a model is known by its number.
_NUMBERS = itertools.count()
_TALLIES: weakref.WeakValueDictionary[int, Tally] = weakref.WeakValueDictionary()


def noted(output: Tensor, x: Tensor, number: int) -> Tensor:
    """`output`, after its rows were counted."""
    tally = _TALLIES[number]
    tally.forward += len(x)
    tally.most = max(tally.most, len(x))
    if output.requires_grad:
        output.register_hook(functools.partial(tally.back, len(x)))
    return output


noted_apart = torch.compiler.disable(noted)
torch.fx.wrap("noted")
torch.fx.wrap("noted_apart")


def counted(job: Callable[[], Result], tally: Tally, expected: Evaluations) -> Callable[[], Result]:
    """`job`, which must bring exactly these rows through the model at each call.

    A result from a cache, an estimator that stops early and work done before the clock starts do not.
    """

    def run() -> Result:
        result, rows = tally.during(job)
        if rows != expected:
            raise MeasuresNothing(
                f"inside the timer {rows} rows went forward and back through the model; expected were {expected}."
            )
        return result

    return run


def bare_steps(model: nn.Module, case: Subject, chunk: int, rows: Evaluations, memory_format: str = "contiguous") -> list[Step]:
    """The bare loop, pass by pass: the model forward and back on as many rows, forward on the others, and nothing else.

    One chunk of rows, no two equal, is fed again and again, in the memory format in which ours ran.
    """
    inputs = signals((chunk, *case.x.shape[1:]), seed=1).to(case.x)
    if memory_format == "channels_last":
        inputs = inputs.contiguous(memory_format=torch.channels_last)

    def back(count: int) -> None:
        with torch.enable_grad():  # it may be called between passes of ours that run without
            points = inputs[:count].detach().requires_grad_()
            torch.autograd.grad(model(points)[:, case.target].sum(), points)

    def there(count: int) -> None:
        with torch.no_grad():
            model(inputs[:count])

    # Forward first, as ours reads f(x) and f(x₀) first.
    return [
        (min(chunk, total - start), functools.partial(run, min(chunk, total - start)))
        for total, run in ((rows[0] - rows[1], there), (rows[1], back))
        for start in range(0, total, chunk)
    ]
