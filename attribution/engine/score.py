"""`Score`: which number of the model's output is explained."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...core.plain_data import plain
from ...core.tensors import without_subclass
from ..targets import Choice
from .entries import Entries, refuse_class

Index = int | tuple[int, ...] | Sequence[int] | Sequence[tuple[int, ...]] | Tensor
Target = Index | Choice | Callable[..., Tensor] | None
_BY_EXAMPLE = "lambda out, example: (out * mask[example]).sum(1)"


@dataclass(frozen=True, eq=False)
class Score:
    """f(x), one real number per example, computed from the model's output.

    `choose` is an entry of the output for each example, a `Choice` of classes, a callable that takes the output, or the
    output and the example of each row, and returns one scalar per row, or None for a model that has a single output.

    >>> logits = torch.tensor([[0.5, 2.0], [3.0, 1.0]])
    >>> Score.of([1, 0], examples=2, device=logits.device)(logits, example=torch.tensor([0, 1]))
    tensor([2., 3.])
    """

    choose: Entries | Choice | Callable[..., Tensor] | None
    examples: int = 0
    takes_example: bool = False  # whether a callable takes (output, example)
    classes: Tensor | None = None  # (examples, k): the classes of a `Choice`, once they are fixed

    @classmethod
    def of(cls, target: Target, examples: int, device: torch.device) -> "Score":
        """The score that `target` means for a batch of `examples`, on `device`.

        target: see `attribute`.  Raises: TypeError or ValueError that says which forms are accepted.
        """
        if target is None or isinstance(target, Choice):
            return cls(target, examples)
        if callable(target) and not isinstance(target, (Tensor, type)):
            return cls(target, examples, takes_example(target))
        return cls(Entries.of(target, examples, device), examples)

    @property
    def pending(self) -> bool:
        """Whether the classes still depend on the output at x, see `settled`."""
        return isinstance(self.choose, Choice) and self.classes is None

    def settled(self, output: Tensor) -> "Score":
        """This score, its classes fixed by the output at x.  Raises: ValueError that names an example without its class."""
        if not isinstance(self.choose, Choice):
            return self
        classes = self.choose.classes(output)
        most = self.choose.among or output.shape[1]
        outside = (classes < 0) | (classes >= most)
        if bool(outside.any()):
            refuse_class(int(classes[outside][0]), int(outside.any(1).nonzero()[0, 0]), most)
        return replace(self, classes=classes)

    def probability(self, output: Any, example: Tensor) -> Tensor | None:
        """softmax(output) at the target's classes, summed; None where the target is not a class. Shape: (rows,).

        Raises: ValueError where the output does not suit the target.
        """
        if isinstance(self.choose, Choice) and self.classes is not None and self.choose.wanted:
            return table(output, example).softmax(1).gather(1, self.classes[example][:, : self.choose.wanted]).sum(1)
        if isinstance(self.choose, Entries):
            output = real_output(output, example)
            if output.ndim == 2 and output.shape[1] > 1:
                return self._picked(output, example, self.choose).sub(output.logsumexp(1)).exp()
        return None

    def __call__(self, output: Any, example: Tensor) -> Tensor:
        """The score of each row.  output: the model's, for rows that belong to `example` (rows,). Shape: (rows,).

        An output without axes of size 1, given for one row, has lost its axis of rows, as by squeeze(); it gets it back.
        Raises: ValueError where the output does not suit the target; RuntimeError for a Choice whose classes are not fixed.
        """
        if self.choose is None:
            return _single(output, example)
        if isinstance(self.choose, Entries):
            return self._picked(real_output(output, example), example, self.choose)
        if not isinstance(self.choose, Choice):
            return self._scalars(self._called(with_rows(output, len(example)), example), len(example))
        if self.classes is None:
            raise RuntimeError(f"{self.choose.label}: fix its classes by the output at x first, see Score.settled.")
        return self.choose.score(table(output, example), self.classes[example])

    def described(self) -> Any:
        """The target as JSON can hold it: numbers, lists of numbers, or the name and the place of a callable."""
        if isinstance(self.choose, Entries):
            return self.choose.described()
        return self.choose.label if isinstance(self.choose, Choice) else _named(self.choose)

    def _picked(self, output: Tensor, example: Tensor, choose: Entries) -> Tensor:
        flat = choose.flat(tuple(output.shape[1:]))
        return output.reshape(len(output), -1).gather(1, flat[example][:, None])[:, 0]

    def _called(self, output: Any, example: Tensor) -> Any:
        """What a callable target returns.  Raises: ValueError where it takes the whole batch for granted."""
        try:
            return self.choose(output, example=example) if self.takes_example else self.choose(output)  # type: ignore
        except (RuntimeError, ValueError, IndexError) as error:
            whole = re.search(rf"\b{self.examples}\b|dimension 0\b", str(error)) and "alloc" not in str(error)
            if self.takes_example or len(example) == self.examples or not whole:
                raise
            raise ValueError(self._by_example(f"It raised: {str(error).splitlines()[0][:90]}", len(example))) from error

    def _scalars(self, score: Any, rows: int) -> Tensor:
        """The result of a callable target, (rows,)."""
        if isinstance(score, Tensor):
            score = without_subclass(score)
            if score.is_complex():
                raise ValueError(
                    "target: the callable returned a complex tensor; take a real number of it, as .abs() or .real."
                )
            if not score.is_floating_point():
                raise ValueError(f"target: the callable must return a real floating-point tensor; got {score.dtype}.")
            if score.numel() == rows and score.shape[:1] in ((rows,), ()):
                return score.reshape(rows)
            if tuple(score.shape) == (self.examples,):
                raise ValueError(self._by_example(f"It returned {_describe(score)}.", rows))
        wanted = f"one scalar per example, a tensor of shape ({rows},)"
        raise ValueError(f"target: the callable must return {wanted}; it returned {_describe(score)}.")

    def _by_example(self, what: str, rows: int) -> str:
        advice = f"Index what it holds of each example, {_BY_EXAMPLE}, or pass that in model_args"
        return f"target: the callable fails on {rows} rows of {self.examples} examples. {advice}. {what}"


def takes_example(target: Callable[..., Any]) -> bool:
    """Whether a callable target takes (output, example): its parameter after the first is named `example`.

    Only the name tells it: a loss takes (input, target), and an index in place of its target would be a wrong number.
    Raises: TypeError where it takes neither (output) nor (output, example).

    >>> takes_example(lambda out, example: out[:, 0] * example), takes_example(lambda out, c=1: out[:, c])
    (True, False)
    """
    try:
        signature = inspect.signature(target.forward if isinstance(target, nn.Module) else target)
    except (TypeError, ValueError):  # code that is not Python, such as torch.sum
        return False
    own = list(signature.parameters.values())[1:]
    if any(each.name == "example" and each.default in (each.empty, None) and each.kind != each.POSITIONAL_ONLY for each in own):
        return True
    try:
        signature.bind(None)
    except TypeError:
        name, taken = getattr(target, "__name__", type(target).__name__), ", ".join(signature.parameters)
        advice = "as in lambda out, example: loss(out, y[example])"
        what = f"target: a callable takes (output), or (output, example) with this name, {advice}"
        raise TypeError(f"{what}; {name} takes ({taken:.80}).") from None
    return False


def for_examples(target: Target, index: Tensor) -> Target:
    """`target` of a batch, for the examples `index` (examples,) of it."""
    if isinstance(target, Tensor) and target.ndim > 0:
        return target[index.to(target.device)]
    if isinstance(target, list):
        return [target[i] for i in index.tolist()]
    if callable(target) and not isinstance(target, (Tensor, Choice)) and takes_example(target):
        return lambda output, example: target(output, example=index.to(example.device)[example])
    return target


def with_rows(output: Any, rows: int) -> Any:
    """A model's output with an axis of rows again, where squeeze() has removed it from the output of one row."""
    if not isinstance(output, Tensor):
        return output
    output = without_subclass(output)
    return output[None] if rows == 1 and 1 not in output.shape else output


def table(output: Any, example: Tensor) -> Tensor:
    """`output` as (rows, classes), if it is that for rows that belong to `example` (rows,).  Raises: ValueError otherwise."""
    output = real_output(output, example)
    if output.ndim == 1 or (output.ndim > 2 and output[0].numel() == output.shape[1]):
        return output.reshape(len(output), -1)
    if output.ndim != 2:
        wanted = f"a model that returns (rows, classes) = ({len(example)}, …)"
        raise ValueError(
            f"target: it needs {wanted}; this one returned {_describe(output)}. Pass an entry such as (2, 1), or a callable."
        )
    return output


def real_output(output: Any, example: Tensor) -> Tensor:
    """`output` as a tensor of real numbers (rows, …).  Raises: ValueError that says what to do with anything else."""
    output, rows = with_rows(output, len(example)), len(example)
    if not isinstance(output, Tensor):
        raise ValueError(f"target: this model returned {_describe(output)}. {_advice(output)}.")
    if output.is_complex():
        raise ValueError(
            "target: the output is complex; explain a real number of it, as in target=lambda out: out.abs()[:, 3]."
        )
    if output.layout != torch.strided or output.is_nested:
        raise ValueError(f"target: the output is a tensor in {output.layout}; pass a callable that returns a dense one.")
    if output.shape[:1] != (rows,):
        what = f"this one returned {_describe(output)} for {rows} rows"
        raise ValueError(f"target: expected a model that returns one output for each row, ({rows}, …); {what}.")
    return output


def _single(output: Any, example: Tensor) -> Tensor:
    """The output of a model with one output."""
    rows, advice = len(example), "Pass target= a class index, an entry or a callable"
    if isinstance(output, Tensor):
        real = real_output(output, example)
        if real.numel() == rows:
            return real.reshape(rows)
    else:
        advice = _advice(output)
    expected = f"one output per example, shape ({rows},) or ({rows}, 1)"
    raise ValueError(f"target: None is for models with {expected}; this one returned {_describe(output)}. {advice}.")


def _describe(value: object) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _advice(output: Any) -> str:
    """How to explain one number per row of an output that is no tensor."""
    if isinstance(output, Mapping):
        parts = {f"out[{key!r:.40}]": value for key, value in output.items()}
    elif isinstance(output, (tuple, list)):
        parts = {f"out[{place}]": value for place, value in enumerate(output)}
    else:
        parts = {f"out.{name}": value for name, value in getattr(output, "__dict__", {}).items()}
    for name, value in parts.items():
        if isinstance(value, Tensor) and value.ndim:
            return f"Pass a callable, as in target=lambda out: {name}[:{', 0' * (value.ndim - 1)}]"
    return "A model must return a tensor, or an object of tensors, of which a callable target takes one number per row"


def _named(target: Any) -> Any:
    """A callable by its name and the place where it is written; other values as they are."""
    if not callable(target):
        return target
    inner = inspect.unwrap(getattr(target, "func", target))
    code = getattr(getattr(inner, "__func__", inner), "__code__", None)
    place = f" at {Path(code.co_filename).name}:{code.co_firstlineno}" if code else ""
    return plain(inner) + place
