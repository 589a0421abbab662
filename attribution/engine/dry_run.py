"""One row before the run: whether the model repeats itself, and whether the memory format leaves what it computes alone."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...core.precision import wide
from .execution import Prepared
from .rows import Points, Rows

Read = Callable[[Callable[[Tensor, Points], Tensor]], Tensor]  # what reads f at rows -> f(x), f(x₀), …, (ends, batch)

FEW = 16  # rows of a run in which one row more would be felt
_ALIKE = 1e-4  # relative difference that kernels which add in any order may show
_ROUNDING = 64  # the same of one that adds more or fewer rows, in units of the last bit of what it adds in
_NARROW = 4  # both in units of the last bit of half precision
_MIXES = 0.05  # relative difference that rounding does not make, nor a scale of quantisation common to all rows
_GRADIENTS_ALIKE = 1e-3  # relative difference of gradients in two memory formats
_TIMES = 4  # how often f is asked for where it seems to move: two draws may be near each other by chance


class DryRun:
    """Reads f of one row by itself, as the model is, and holds against it what is read of f after that.

    x: (batch, *shape).  gradients: whether the run asks for any.
    """

    def __init__(self, prepared: Prepared, runner: Rows, x: Tensor, gradients: bool) -> None:
        self._prepared, self._runner, self._x, self._gradients = prepared, runner, x, gradients
        # The row in which the order of the entries shows most: in a constant image it does not show at all.
        orders = prepared.may_fall_back and x.shape[1] > 1
        rows = x.detach().flatten(1)
        low, high = (rows - x.detach().permute(0, 2, 3, 1).flatten(1) if orders else rows).aminmax(dim=1)
        self._number = int((high - low).argmax())
        self._hidden = orders and bool((high == low).all())
        self._ends, self._known, self._size = torch.empty(0), torch.empty(0), 0.0

    def ends(self, read: Read, probe: bool) -> Tensor:
        """f(x), f(x₀), … as `read` finds them, (ends, batch): in the memory format of the run, unless that moves f or ∇f, or
        only there something fails; then the run falls back to contiguous.

        probe: whether to measure how much memory a row takes.
        Raises: ValueError where the model does not repeat itself.
        """
        first = self._first(probe)
        alone = float(first.detach())
        self._size = abs(alone)
        known = self._faster(read, first, alone) if self._prepared.may_fall_back else None
        if known is None:
            known = self._learnt(read, self._runner.values)
        if abs(float(self._known[self._number]) - alone) > self._alike:
            self._repeat(self._number, alone)
        return known

    def _faster(self, read: Read, first: Tensor, alone: float) -> Tensor | None:
        """f(x), f(x₀), … in channels_last; None where the run falls back to contiguous."""
        traceable = first.requires_grad and not self._runner.create_graph
        values = self._runner.traced if traceable else self._runner.values
        trouble, known = "x is the same in both memory formats, so that it would not show what moves", None
        try:
            if not self._hidden:
                known = self._learnt(read, values, channels_last=True)
                trouble = self._trouble(read, values, alone)
                # What could not be traced may hold anything.
                if not trouble and self._gradients and (not first.requires_grad or _is_foreign(first)):
                    trouble = self._gradient_trouble()
        except _Unsteady:
            raise
        except Exception as error:
            if error is self._runner.stopped:
                raise
            trouble = self._raised(error)
        if not trouble:
            return known
        self._prepared.fall_back(trouble)
        return None

    def compare(self, known: Tensor, again: Tensor | None) -> None:
        """Holds f(x), read again as `again` (batch,), against `known` (ends, batch); None reads one example's.

        Raises: ValueError where the model does not repeat itself.
        """
        self._learn(known)
        if again is None:
            again = self._known.clone()
            again[self._number] = self._value(self._number)
        moved = (again.detach() - self._known).abs()
        if float(moved.amax()) > self._alike:
            number = int(moved.argmax())
            self._repeat(number, float(again[number]))

    def _learn(self, known: Tensor) -> None:
        self._ends = known.detach()
        self._known, self._size = self._ends[0], float(self._ends.abs().amax())

    def _learnt(self, read: Read, values: Callable[[Tensor, Points], Tensor], channels_last: bool = False) -> Tensor:
        with self._prepared.exactly(channels_last):
            known = read(values)
        self._learn(known)
        return known

    @property
    def _alike(self) -> float:
        """How far rounding may move f."""
        return max(_ROUNDING * torch.finfo(wide(self._runner.feed)).eps, self._narrow) * self._size

    @property
    def _most(self) -> float:
        """How far kernels that add in any order may move f."""
        return max(_ALIKE, self._narrow) * self._size

    @property
    def _narrow(self) -> float:
        own = torch.finfo(self._runner.feed).eps
        return 0.0 if own == torch.finfo(wide(self._runner.feed)).eps else _NARROW * own

    def _repeat(self, number: int, again: float) -> None:
        """Asks for f of one example alone. Rounding errors differ with the number of rows, but are the same for the same.

        again: another reading of it than the known one.

        Raises: ValueError where f is not, or is another function among other rows.
        """
        alone = self._steady(number)
        found = sorted((alone, float(self._known[number]), again))
        if found[-1] - found[0] > _MIXES * self._size and self._minds(number):
            among = max(found, key=lambda value: abs(value - alone))
            raise ValueError(
                f"model: f of example {number} is {alone:.6g} alone and {among:.6g} among others, so that its map "
                "would depend on them; give the model layers that treat every row by itself, or pass "
                "batch_size=1."
            )

    def _steady(self, number: int) -> float:
        """f of one example alone.  Raises: ValueError where that differs from call to call."""
        found = [float(self._value(number)) for _ in range(_TIMES)]
        if max(found) - min(found) > self._most:
            raise _Unsteady(
                f"model: two runs on the same input differ, {max(found):.6g} and {min(found):.6g} for example "
                f"{number}: it draws random numbers, or keeps a state that moves; switch that off, or fix it with "
                "a generator that the model seeds anew in each call."
            )
        return found[0]

    def _minds(self, number: int) -> bool:
        """Whether f of one example depends on what another row holds, and not only on how many there are, as rounding does."""
        (point, example), beside = self._rows(number), self._x[(number + 1) % len(self._x)][None].detach()
        others = (point, beside, point.flatten().flip(0).reshape(point.shape), point / 2)  # examples may be alike
        # More rows after it than before: neither place is its own where rows run backwards, say.
        rows = min(4, self._runner.budget)
        if rows == 1:
            return False
        try:
            with self._prepared.exactly(), torch.no_grad():
                found = [
                    float(self._runner.once(torch.cat([other, point, other, other])[:rows], example.repeat(rows))[1])
                    for other in others
                ]
        except ValueError:  # half an example may be none
            return True
        return max(found) - min(found) > _MIXES * self._size

    def _rows(self, number: int) -> tuple[Tensor, Tensor]:
        """(point, example) of one row; a copy, which the model may write into."""
        return self._x[number : number + 1].detach().clone(), torch.full_like(
            self._x[:1, 0].flatten()[:1], number
        ).long()

    def _first(self, probe: bool) -> Tensor:
        """f of the one row, with a graph where the run asks for gradients."""
        if not self._gradients:
            return self._value(self._number)
        with self._prepared.exactly():
            return self._runner.probed(*self._rows(self._number), probe)

    def _value(self, number: int, channels_last: bool = False) -> Tensor:
        with self._prepared.exactly(channels_last), torch.no_grad():
            return self._runner.once(*self._rows(number))[0]

    def _trouble(self, read: Read, values: Callable[[Tensor, Points], Tensor], alone: float) -> str:
        """What is wrong with f(x) and f(x₀) in channels_last, which are known; empty if nothing is."""
        if abs(float(self._known[self._number]) - alone) <= self._alike:
            return ""
        self._steady(self._number)
        with self._prepared.exactly():
            plain = read(values).detach()
        moved = float((self._ends - plain).abs().amax())
        # What counts is f(x) - f(x₀): beside a large constant in f that may be little.
        most = max(_ALIKE * float(plain.amax() - plain.amin()), self._alike)
        return f"f moves by {moved:.3g} in channels_last" if moved > most else ""

    def _gradient_trouble(self) -> str:
        """The same of the gradient, where a part of the backward pass may mind the memory format by itself."""
        # The row twice, if two may run at once: for one alone, convolutions give their gradient in the contiguous format.
        point, example = (part.repeat_interleave(min(2, self._runner.budget), 0) for part in self._rows(self._number))
        with self._prepared.exactly(channels_last=True):
            _, gradient = self._runner.gradient(point.clone(), example)
        with self._prepared.exactly():
            _, plain = self._runner.gradient(point, example)
        moved, size = float((gradient - plain).norm()), float(plain.norm())
        if moved <= _GRADIENTS_ALIKE * size:
            return ""
        return f"the gradient moves by {moved:.3g} of {size:.3g} in channels_last"

    def _raised(self, error: Exception) -> str:
        self._steady(self._number)
        return f"channels_last raised {type(error).__name__}: {error}"


class _Unsteady(ValueError):
    """The model does not repeat itself."""


def _is_foreign(value: Tensor) -> bool:
    """Whether a part of the backward pass is not torch's own: that may mind the memory format by itself."""
    seen, left = set(), [value.grad_fn]
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        if isinstance(node, torch.autograd.function.BackwardCFunction) or type(node).__name__ == "CppFunction":
            return True
        seen.add(node)
        left += [following for following, _ in node.next_functions]
    return False
