"""`Score`: which number of the model's output is explained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Target = int | Sequence[int] | Tensor | Callable[[Any], Tensor] | None


@dataclass(frozen=True, eq=False)
class Score:
    """One real number per example, f(x), out of whatever the model returns.

    `choose` is a class per example (examples,), a callable that takes the output and returns one scalar per row, or
    None for a model that has a single output.
    """

    choose: Tensor | Callable[[Any], Tensor] | None
    span: tuple[int, int] = (0, 0)  # smallest and largest class, known here so that no device is waited for later

    @classmethod
    def of(cls, target: Target, examples: int, device: torch.device) -> "Score":
        """The score that `target` means for a batch of `examples`.

        target: a class index for all, one index per example, a callable output -> (rows,), or None.
        Raises: TypeError or ValueError that says which forms are accepted.
        """
        if target is None or (callable(target) and not isinstance(target, Tensor)):
            return cls(target)
        try:
            index = torch.as_tensor(target, device=device)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"target: expected {_FORMS}; got {target!r}.") from None
        if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool or index.ndim > 1:
            raise TypeError(f"target: expected {_FORMS}; got {index.dtype} of shape {tuple(index.shape)}.")
        if index.ndim == 1 and len(index) != examples:
            raise ValueError(f"target: expected one class per example, {examples}, got {len(index)}.")
        if examples == 0:
            raise ValueError("target: the batch is empty.")
        return cls(index.long().expand(examples), (int(index.min()), int(index.max())))

    def __call__(self, output: Any, example: Tensor) -> Tensor:
        """The score of each row.  output: the model's, for rows that belong to `example` (rows,). Shape: (rows,)."""
        rows = len(example)
        if self.choose is None:
            return self._single(output, rows)
        if isinstance(self.choose, Tensor):
            return self._picked(output, self.choose[example], self.span)
        score = self.choose(output)
        if not isinstance(score, Tensor) or tuple(score.shape) != (rows,):
            raise ValueError(f"target: the callable must return one scalar per example, a tensor of shape ({rows},); "
                             f"it returned {_describe(score)}.")  # fmt: skip
        if not score.is_floating_point():
            raise ValueError(f"target: the callable must return a real floating-point tensor; got {score.dtype}.")
        return score

    @staticmethod
    def _single(output: Any, rows: int) -> Tensor:
        if isinstance(output, Tensor) and tuple(output.shape) in ((rows,), (rows, 1)):
            return output.reshape(rows)
        raise ValueError(f"target: None is for models with one output per example, shape ({rows},) or ({rows}, 1); this "
                         f"one returned {_describe(output)}. Pass target= a class index or a callable.")  # fmt: skip

    @staticmethod
    def _picked(output: Any, index: Tensor, span: tuple[int, int]) -> Tensor:
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(index):
            raise ValueError(f"target: a class index needs a model that returns (rows, classes) = ({len(index)}, …); "
                             f"this one returned {_describe(output)}. Pass a callable, as in "
                             "target=lambda out: out.logits[:, 3].")  # fmt: skip
        classes = output.shape[1]
        if span[0] < 0 or span[1] >= classes:
            wrong = span[0] if span[0] < 0 else span[1]
            raise ValueError(f"target: expected a class in 0…{classes - 1}, got {wrong}.")
        return output.gather(1, index[:, None])[:, 0]


_FORMS = "a class index, one index per example, a callable (output -> one scalar per example), or None"


def _describe(value: object) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
