"""`Score`: which number of the model's output is explained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..targets import Choice, class_per_example

Target = int | Sequence[int] | Tensor | Choice | Callable[[Any], Tensor] | None
_FORMS = "a class index, one index per example, one of pullback.attribution.targets, a callable output -> (rows,), or None"


@dataclass(frozen=True, eq=False)
class Score:
    """f(x), one real number per example, computed from the model's output.

    `choose` is a class per example (examples,), a `Choice` of classes, a callable that takes the output and returns one
    scalar per row, or None for a model that has a single output.

    >>> logits = torch.tensor([[0.5, 2.0], [3.0, 1.0]])
    >>> Score.of([1, 0], examples=2, device=logits.device)(logits, example=torch.tensor([0, 1]))
    tensor([2., 3.])
    """

    choose: Tensor | Choice | Callable[[Any], Tensor] | None
    span: tuple[int, int] = (0, 0)  # smallest and largest class, read once so that checks do not wait for the device
    classes: Tensor | None = None  # (examples, k): the classes of a `Choice`, once they are fixed

    @classmethod
    def of(cls, target: Target, examples: int, device: torch.device) -> "Score":
        """The score that `target` means for a batch of `examples`.

        target: a class index for all, one index per example, one of `targets`, a callable output -> (rows,), or None.
        Raises: TypeError or ValueError that says which forms are accepted.
        """
        if target is None or isinstance(target, Choice) or (callable(target) and not isinstance(target, Tensor)):
            return cls(target)
        index = class_per_example("target", target, examples, device, _FORMS)
        if examples == 0:
            raise ValueError("target: the batch is empty.")
        return cls(index, (int(index.min()), int(index.max())))

    @property
    def pending(self) -> bool:
        """Whether the classes still depend on the output at x, see `settled`."""
        return isinstance(self.choose, Choice) and self.classes is None

    def settled(self, output: Tensor) -> "Score":
        """This score, its classes fixed by the output at x.  Raises: ValueError that names an example without its class."""
        if not isinstance(self.choose, Choice):
            return self
        classes = self.choose.classes(output)
        outside = (classes < 0) | (classes >= output.shape[1])
        if bool(outside.any()):
            _refuse(classes[outside][0], outside.any(1).nonzero()[0, 0], output.shape[1])
        return replace(self, classes=classes)

    def probability(self, output: Any, example: Tensor) -> Tensor | None:
        """softmax(output) at the target's classes, summed; None where the target is not a class. Shape: (rows,).

        Raises: ValueError where the output is not (rows, classes), or has no such class.
        """
        if isinstance(self.choose, Choice) and self.classes is not None:
            return output.softmax(1).gather(1, self.classes[example][:, : self.choose.wanted]).sum(1)
        if isinstance(self.choose, Tensor):
            return self._picked(output, example, self.choose).sub(output.logsumexp(1)).exp()
        return None

    def __call__(self, output: Any, example: Tensor) -> Tensor:
        """The score of each row.  output: the model's, for rows that belong to `example` (rows,). Shape: (rows,).

        Raises: ValueError where the output does not suit the target; RuntimeError for a Choice whose classes are not fixed.
        """
        if self.choose is None:
            return _single(output, len(example))
        if isinstance(self.choose, Tensor):
            return self._picked(output, example, self.choose)
        if not isinstance(self.choose, Choice):
            return _scalars(self.choose(output), len(example))
        if self.classes is None:
            raise RuntimeError(f"{self.choose.label}: fix its classes by the output at x first, see Score.settled.")
        return self.choose.score(table(output, example), self.classes[example])

    def _picked(self, output: Any, example: Tensor, choose: Tensor) -> Tensor:
        classes = table(output, example).shape[1]
        if self.span[0] < 0 or self.span[1] >= classes:
            wrong = self.span[0] if self.span[0] < 0 else self.span[1]
            _refuse(wrong, (choose == wrong).nonzero()[0, 0], classes)
        return output.gather(1, choose[example][:, None])[:, 0]


def _single(output: Any, rows: int) -> Tensor:
    """The output of a model with one output."""
    if isinstance(output, Tensor) and tuple(output.shape) in ((rows,), (rows, 1)):
        return output.reshape(rows)
    expected = f"one output per example, shape ({rows},) or ({rows}, 1)"
    got = f"this one returned {_describe(output)}. Pass target= a class index or a callable."
    raise ValueError(f"target: None is for models with {expected}; {got}")


def _scalars(score: Any, rows: int) -> Tensor:
    """The result of a callable target."""
    if not isinstance(score, Tensor) or tuple(score.shape) != (rows,):
        wanted = f"one scalar per example, a tensor of shape ({rows},)"
        raise ValueError(f"target: the callable must return {wanted}; it returned {_describe(score)}.")
    if not score.is_floating_point():
        raise ValueError(f"target: the callable must return a real floating-point tensor; got {score.dtype}.")
    return score


def table(output: Any, example: Tensor) -> Tensor:
    """`output`, if it is (rows, classes) for rows that belong to `example` (rows,).  Raises: ValueError otherwise."""
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(example):
        got = f"this one returned {_describe(output)}. Pass a callable, as in target=lambda out: out.logits[:, 3]."
        raise ValueError(f"target: a class index needs a model that returns (rows, classes) = ({len(example)}, …); {got}")
    return output


def _refuse(wrong: Tensor | int, example: Tensor, classes: int) -> None:
    raise ValueError(f"target: expected a class in 0…{classes - 1}, got {int(wrong)} for example {int(example)}.")


def _describe(value: object) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
