"""How many evaluations a run has made, and its largest forward."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Company:
    """One forward: points (rows, *shape) of the examples `example` (rows,), and f there, `value` (rows,).

    once: reads f of a few rows in one forward, see `Engine.once`.  recorded: whether autograd recorded the forward.
    """

    once: Callable[[Tensor, Tensor, bool], Tensor]
    points: Tensor
    example: Tensor
    value: Tensor
    recorded: bool

    def read(self, points: Tensor, example: Tensor, place: int = 0) -> float:
        """f of points[place], as one forward of all these points."""
        return float(self.once(points, example, self.recorded)[place])


@dataclass
class Count:
    """Evaluations so far, without and with a gradient, and how many are planned.

    most: rows of the largest forward so far.  largest: that forward.
    """

    forward: int = 0
    gradient: int = 0
    planned: int = 0
    most: int = 0
    largest: Company | None = None
