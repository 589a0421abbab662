"""Counts what passes a model: ours, the peers and the bare loop all run through `Counted`."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from unittest import mock

import torch
from torch import Tensor, nn

from .calls import Evaluations
from .timing import Step

Result = TypeVar("Result")


class MeasuresNothing(AssertionError):
    """The benchmark does not time what its name says."""


@dataclass
class Tally:
    """How many rows went forward through a model, how many of them went back, and the most at once."""

    forward: int = 0
    backward: int = 0
    most: int = 0

    def __deepcopy__(self, memo: object) -> "Tally":
        return self  # methods that work on a copy of the model are counted too

    def now(self) -> Evaluations:
        """The rows so far."""
        return self.forward, self.backward

    def since(self, before: Evaluations) -> Evaluations:
        """The rows since `now` returned `before`."""
        return self.forward - before[0], self.backward - before[1]

    def back(self, rows: int, _: Tensor) -> None:
        """A hook for the gradient of an output."""
        self.backward += rows


class Counted(nn.Module):
    """A model whose tally counts what passes it."""

    def __init__(self, model: nn.Module, tally: Tally | None = None) -> None:
        super().__init__()
        self.model, self.tally = model, tally or Tally()

    def forward(self, x: Tensor) -> Tensor:
        output = self.model(x)
        self.tally.forward += len(x)
        self.tally.most = max(self.tally.most, len(x))
        if output.requires_grad:
            output.register_hook(functools.partial(self.tally.back, len(x)))
        return output


def counted(job: Callable[[], Result], tally: Tally, expected: Evaluations) -> Callable[[], Result]:
    """`job`, which must bring exactly these rows through the model at each call.

    A result from a cache, an estimator that stops early and work done before the clock starts do not.
    """

    def run() -> Result:
        before = tally.now()
        result = job()
        if tally.since(before) != expected:
            raise MeasuresNothing(
                f"inside the timer {tally.since(before)} rows went forward and back through the model; "
                f"expected were {expected}."
            )
        return result

    return run


@contextlib.contextmanager
def outside_compilers() -> Iterator[None]:
    """Inside, `torch.compile` of a `Counted` compiles the model in it, and rows are counted around the compiled model.

    A compiler that saw the counting would trace it, guard the numbers, and compile the model anew at every call.
    """

    def compiled(model: Any, **options: Any) -> Any:
        counts = isinstance(model, Counted)
        return Counted(compiler(model.model, **options), model.tally) if counts else compiler(model, **options)

    compiler = torch.compile
    with mock.patch.object(torch, "compile", compiled):
        yield


def bare_steps(model: nn.Module, inputs: Tensor, rows: Evaluations, target: int) -> list[Step]:
    """The bare loop, pass by pass: the model forward and back on as many rows, forward on the others, and nothing else.

    inputs: one chunk of rows, (chunk, *shape), which is fed again and again.
    """
    chunk = len(inputs)

    def back(count: int) -> Tensor:
        with torch.enable_grad():
            points = inputs[:count].detach().requires_grad_()
            (last,) = torch.autograd.grad(model(points)[:, target].sum(), points)
        return last

    def there(count: int) -> Tensor:
        with torch.no_grad():
            last: Tensor = model(inputs[:count])
        return last

    # Forward first, as ours reads f(x) and f(x₀) first.
    return [
        (min(chunk, total - start), functools.partial(run, min(chunk, total - start)))
        for total, run in ((rows[0] - rows[1], there), (rows[1], back))
        for start in range(0, total, chunk)
    ]
