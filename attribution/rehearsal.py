"""One row before the run: whether the model repeats itself, and whether the memory format leaves what it computes alone."""

import torch
from torch import Tensor

from ..transforms.base import wide
from .execution import Prepared
from .rows import Rows

_ALIKE = 1e-4  # relative difference that kernels which add in any order may show
_ROUNDING = 64  # the same of one that adds more or fewer rows, in units of the last bit of what it adds in
_NARROW = 4  # both in units of the last bit of half precision
_MIXES = 0.05  # relative difference that rounding does not make, nor a scale of quantisation common to all rows
_GRADIENTS_ALIKE = 1e-3  # relative difference of gradients in two memory formats
_TIMES = 4  # how often f is asked for where it seems to move: two draws may be near each other by chance


class Rehearsal:
    """Reads f once more, and compares it with what is known.

    x: (batch, *shape).  known: f(x), f(x₀), … of the model as it is, (ends, batch).  gradients: whether the run asks for any.
    """

    def __init__(self, prepared: Prepared, runner: Rows, x: Tensor, known: Tensor, gradients: bool) -> None:
        self._prepared, self._runner, self._x, self._gradients = prepared, runner, x, gradients
        self._known = known[0].detach()
        eps, own = torch.finfo(wide(runner.feed)).eps, torch.finfo(runner.feed).eps
        narrow = 0 if own == eps else _NARROW * own
        self._size = float(known.detach().abs().amax())
        self._alike, self._most = max(_ROUNDING * eps, narrow) * self._size, max(_ALIKE, narrow) * self._size

    def run(self) -> None:
        """Before the run: falls back to contiguous where channels_last moves f or ∇f, or where only that fails.

        Raises: ValueError where the model does not repeat itself.
        """
        if not self._prepared.may_fall_back:
            self.compare(None)
            return
        # In a constant image the order of the entries does not show.
        number = int(self._x.flatten(1).var(1, correction=0).argmax())
        trouble = self._trouble(number)
        if trouble:
            self._prepared.fall_back(trouble)

    def compare(self, again: Tensor | None) -> None:
        """Raises: ValueError where f(x), read again as `again` (batch,), is not what it was; None reads one example's."""
        if again is None:
            again = torch.cat([self._value(0)[None], self._known[1:]])
        moved = (again.detach() - self._known).abs()
        if float(moved.amax()) > self._alike:
            self._repeat(int(moved.argmax()))

    def _repeat(self, number: int) -> float:
        """f of one example alone. Rounding errors differ with the number of rows, but are the same for the same number.

        Raises: ValueError where f is not, or is another function among other rows.
        """
        found = [float(self._value(number)) for _ in range(_TIMES)]
        if max(found) - min(found) > self._most:
            raise ValueError(f"model: two runs on the same input differ, {max(found):.6g} and {min(found):.6g} for example "
                             f"{number}: it draws random numbers, or keeps a state that moves; switch that off, or fix it with "
                             "a generator that the model seeds anew in each call.")  # fmt: skip
        moved = abs(found[0] - float(self._known[number]))
        if moved > _MIXES * self._size and self._minds(number):
            raise ValueError(f"model: f of example {number} is {found[0]:.6g} alone and {float(self._known[number]):.6g} among "
                             "others, so that its map would depend on them; give the model layers that treat every row by "
                             "itself, or pass rows=1.")  # fmt: skip
        return found[0]

    def _minds(self, number: int) -> bool:
        """Whether f of one example depends on what another row holds, and not only on how many there are, as rounding does."""
        (point, example), beside = self._rows(number), self._x[(number + 1) % len(self._x)][None].detach()
        others = (point, beside if len(self._x) > 1 and not torch.equal(beside, point) else point / 2)
        try:
            with self._prepared.exactly(), torch.no_grad():
                found = [float(self._runner.once(torch.cat([point, other]), example.repeat(2))[0]) for other in others]
        except ValueError:  # half an example may be none
            return True
        return abs(found[1] - found[0]) > _MIXES * self._size

    def _rows(self, number: int) -> tuple[Tensor, Tensor]:
        """(point, example) of one row."""
        return self._x[number : number + 1].detach(), torch.full_like(self._x[:1, 0].flatten()[:1], number).long()

    def _value(self, number: int) -> Tensor:
        with self._prepared.exactly(), torch.no_grad():
            return self._runner.once(*self._rows(number))[0]

    def _trouble(self, number: int) -> str:
        """What is wrong with channels_last; empty if nothing is."""
        point, example = self._rows(number)
        try:
            with self._prepared.exactly(channels_last=True), torch.set_grad_enabled(self._gradients):
                traced = self._runner.once(point.requires_grad_(self._gradients).clone(), example)[0]
        except Exception as error:
            return self._raised(error, number)
        value = float(traced.detach())
        if abs(value - float(self._known[number])) > self._alike:
            moved = value - self._repeat(number)
            if abs(moved) > self._most:
                return f"f moves by {moved:.3g} in channels_last"
        return self._gradient_trouble(number) if self._gradients and _is_foreign(traced) else ""

    def _gradient_trouble(self, number: int) -> str:
        try:
            with self._prepared.exactly(channels_last=True):
                _, gradient = self._runner.gradient(*self._rows(number))
        except Exception as error:
            return self._raised(error, number)
        with self._prepared.exactly():
            _, plain = self._runner.gradient(*self._rows(number))
        moved, size = float((gradient - plain).norm()), float(plain.norm())
        if moved <= _GRADIENTS_ALIKE * size:
            return ""
        return f"the gradient moves by {moved:.3g} of {size:.3g} in channels_last"

    def _raised(self, error: Exception, number: int) -> str:
        self._repeat(number)
        return f"channels_last raised {type(error).__name__}: {error}"


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
