"""`Rows`: the only place that calls the model. A row is one input of one forward pass."""

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...core.precision import wide
from ...core.progress import Progress
from .chunks import Chunks, Result
from .chunks import budget as budget  # for the laws: stored verdicts hold a digest of their code, imports included
from .execution import Prepared, uncompiled
from .memory import Saved, free_bytes
from .model_args import Extras
from .score import Score, table

Points = Callable[[slice], Tensor]
_PROBE = 16  # rows whose graph is measured
_PATIENCE = 64  # chunks after which their scores are looked at, on devices where looking means waiting


@dataclass
class Count:
    """Model rows run so far, without and with a gradient, and how many are planned."""

    forwards: int = 0
    gradients: int = 0
    planned: int = 0
    varies: bool = False  # whether f(x) and f(x₀) are seen to differ


class Rows(Chunks):
    """Runs a score over any number of rows, at most `budget` at a time, and counts what it ran.

    It leaves the model as it was, after an exception too: no hook, no `.grad`, no mode is touched. Out of memory halves
    the budget and goes on.

    model: (rows, *shape) -> output.  feed: the dtype of the model's input.
    progress: called with (rows done, rows planned) after each forward; plan with `expect`.
    create_graph: whether values and gradients stay differentiable; else they have no graph.

    >>> x = torch.arange(3.0)[:, None]
    >>> rows = Rows(torch.square, Score(None), 2, x.dtype)
    >>> rows.values(torch.arange(3), lambda part: x[part]), rows.count.forwards
    (tensor([0., 1., 4.]), 3)
    """

    def __init__(
        self,
        model: Callable[..., Any],
        score: Score,
        budget: int,
        feed: torch.dtype,
        progress: Progress | None = None,
        extras: Extras | None = None,
        create_graph: bool = False,
    ) -> None:
        super().__init__(budget)
        self._model, self._score, self.feed, self._progress = model, score, feed, progress
        self._prepared = model if isinstance(model, Prepared) else None
        self._plain = uncompiled(self._prepared.plain if self._prepared else model)  # for those who hook its layers
        self._extras = extras or Extras()
        self.create_graph = create_graph
        self.count = Count()
        self._in_place = False  # whether the model has been seen to write into its input
        self._doubtful: list[tuple[Tensor, Tensor]] = []  # scores, and their examples, not yet seen to be finite

    @property
    def fixed(self) -> bool:
        """Whether chunks are filled up, so that a compiled model sees one shape."""
        return self._prepared is not None and self._prepared.fixed

    def chunks(self, example: Tensor, run: Callable[[slice], Result], width: int = 1) -> Iterator[tuple[slice, Result]]:
        """As in `Chunks`.  Raises: ValueError where a score was not finite, after the last chunk at the latest."""
        yield from super().chunks(example, run, width)
        self._confirm()

    def expect(self, rows: int) -> None:
        """Adds to the number of rows that `progress` counts towards."""
        self.count.planned += rows

    def uncounted(self) -> "Rows":
        """The same, with a count of its own that nobody is told."""
        return Rows(self._model, self._score, self.budget, self.feed, None, self._extras, self.create_graph)

    def through(self, lift: Callable[[Callable[..., Any]], nn.Module], feed: torch.dtype) -> "Rows":
        """The same score, budget and count for lift(model), such as f∘T⁻¹."""
        other = Rows(lift(self._model), self._score, self.budget, feed, self._progress, self._extras, self.create_graph)
        other.count, other._prepared = self.count, self._prepared
        other._plain = lift(self._plain)
        return other

    def settle(self, point: Tensor) -> None:
        """Lets a target that depends on the output at x, (examples, *shape), look at it."""
        if self._score.pending:
            example = torch.arange(len(point), device=point.device)
            self._score = self._score.settled(self.read(example, lambda part: point[part], table))

    def values(self, example: Tensor, points: Points) -> Tensor:
        """f at every row.  example: (rows,), the example each row belongs to. Shape: (rows,), single precision or wider.

        points: slice -> (rows of the slice, *shape).
        """
        return self.read(example, points, self._checked)

    def value_chunks(self, example: Tensor, points: Points) -> Iterator[tuple[slice, Tensor]]:
        """(slice, f) for one chunk of rows after another, so that nothing of the size of all rows is held."""
        return self.read_chunks(example, points, self._checked)

    def probabilities(self, example: Tensor, points: Points) -> tuple[Tensor, Tensor]:
        """(f, probability of the target's class) at every row; the latter NaN where the target is no class."""

        def both(output: Any, rows: Tensor) -> Tensor:
            value = self._checked(output, rows)
            probability = self._score.probability(output, rows)
            return torch.stack([value, torch.full_like(value, torch.nan) if probability is None else probability], 1)

        value, probability = self.read(example, points, both).unbind(1)
        return value, probability

    def read(self, example: Tensor, points: Points, reader: Callable[[Any, Tensor], Tensor]) -> Tensor:
        """reader(output, example) at every row, without gradients. Shape: (rows, …)."""
        return torch.cat([value for _, value in self.read_chunks(example, points, reader)])

    def read_chunks(
        self, example: Tensor, points: Points, reader: Callable[[Any, Tensor], Tensor]
    ) -> Iterator[tuple[slice, Tensor]]:
        """(slice, reader(output, example)) for one chunk of rows after another."""

        def one(part: slice) -> Tensor:
            rows = part.stop - part.start
            shown, of = self.filled(points(part), example[part])
            with torch.set_grad_enabled(self.create_graph):
                value = reader(self._run(shown, of), of)[:rows]
            self._ran(forwards=rows)
            return value.to(wide(value.dtype))

        return self.chunks(example, one)

    def gradient_chunks(self, example: Tensor, points: Points) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """(slice, f, ∇f) for one chunk of rows after another.  Shapes: (rows,) and (rows, *shape)."""
        for part, pair in self.chunks(example, lambda part: self.gradient(points(part), example[part])):
            yield part, *pair

    def gradient(self, points: Tensor, example: Tensor) -> tuple[Tensor, Tensor]:
        """(f, ∇f) of all these rows in one forward: inside a `chunks` only, which keeps to the budget.

        Raises: ValueError where f does not depend on its input through autograd, or is not finite.
        """
        # Rows do not see each other, so the gradient of the sum holds each row's own.
        rows = len(points)
        points, example = self.filled(points, example)
        with torch.enable_grad():
            if not (self.create_graph and points.requires_grad):
                # Arranged here already, since compiled models want to be fed leaves of autograd.
                points = self.arranged(points.detach()).requires_grad_()
            value = self._checked(self._traced(points, example), example)
            gradient = None
            if value.requires_grad:
                (gradient,) = torch.autograd.grad(
                    value.sum(), points, allow_unused=True, create_graph=self.create_graph
                )
        if gradient is None:
            if self.count.varies or not value.requires_grad:
                raise ValueError(
                    "The model's output does not depend on its input through autograd (a detach, argmax or "
                    "no_grad inside, quantised layers?); take a perturbation method, or a differentiable "
                    "target."
                )
            gradient = torch.zeros_like(points)
        self._ran(gradients=rows)
        if self.fixed:  # what a compiled model returns may be overwritten by its next call
            value, gradient = value[:rows].clone(), gradient[:rows].clone()
        return (value if self.create_graph else value.detach()), gradient

    def measured(self, example: Tensor, points: Points) -> Tensor:
        """`values`, of which the first rows are `probed`."""
        first = slice(0, min(len(example), self.budget, _PROBE))
        value = self.probed(points(first), example[first]).detach()
        if first.stop == len(example):
            return value
        later = self.values(
            example[first.stop :], lambda part: points(slice(part.start + first.stop, part.stop + first.stop))
        )
        return torch.cat([value, later])

    def probed(self, points: Tensor, example: Tensor, cut: bool = True) -> Tensor:
        """f of a few rows in one forward, (rows,), with a graph that keeps nothing.

        cut: whether to cut the budget to what half of the free memory holds, by what the graph would have kept.
        """
        free = free_bytes(example.device) if cut else None
        shown, of = self.filled(points, example)
        try:
            output, kept = self._weighed(shown, of)
        except (RuntimeError, MemoryError):  # a model without gradients, or no memory, say: not the time to ask
            return self.values(example, points.__getitem__)
        if free is not None and kept:
            self.budget = max(1, min(self.budget, free // 2 * len(shown) // kept))
        with torch.enable_grad():
            value = self._checked(output, of)[: len(points)]
        self._ran(forwards=len(points))
        return value

    def traced(self, example: Tensor, points: Points) -> Tensor:
        """`values`, but as the model runs where gradients are asked of it: it may take another way there."""

        def one(part: slice) -> Tensor:
            output, _ = self._weighed(points(part), example[part])
            value = self._checked(output, example[part]).detach()
            self._ran(forwards=len(value))
            return value

        return torch.cat([value for _, value in self.chunks(example, one)])

    def _weighed(self, points: Tensor, example: Tensor) -> tuple[Any, int]:
        """The model's output with a graph that keeps nothing, and the bytes that the graph would have kept."""
        # A copy: what is written into a leaf without autograd's knowledge must not reach x.
        with torch.enable_grad(), Saved(self._plain) as saved:
            return self._traced(points.detach().clone().requires_grad_(), example), saved.bytes

    def _traced(self, points: Tensor, example: Tensor) -> Any:
        """The model's output at leaves of autograd, or at copies of them for a model that writes into its input."""
        try:
            return self._run(points, example)
        except RuntimeError as error:
            if self._in_place or "a leaf Variable that requires grad" not in str(error):
                raise
        self._in_place = True
        return self._run(points, example)

    def module(self, lift: Callable[[Tensor], Tensor]) -> "Scored":
        """f∘lift as a module whose layers may be hooked and changed: it holds a copy of the model.

        lift: what is called with to the model's input, such as T⁻¹.  Raises: TypeError where the model is no nn.Module.
        """
        if not isinstance(self._plain, nn.Module):
            raise TypeError(
                f"model: methods that hook layers need an nn.Module, got {type(self._plain).__name__}; wrap it, "
                "or take a method that only calls it."
            )
        return Scored(self, copy.deepcopy(self._plain), lift)

    def once(self, points: Tensor, example: Tensor) -> Tensor:
        """f of a few rows in one forward, with whatever graph autograd records. Shape: (rows,)."""
        shown, of = self.filled(points, example)
        value = self._checked(self._run(shown, of), of)[: len(points)]
        self._ran(forwards=len(points))
        return value

    def scored(self, model: nn.Module, points: Tensor, example: Tensor) -> Tensor:
        """f at every row, through `model`, with whatever graph autograd records."""
        value = self._checked(self._run(points, example, model), example)
        self._ran(gradients=len(points))
        return value

    def _run(self, points: Tensor, example: Tensor, model: Callable[..., Any] | None = None) -> Any:
        args, kwargs = self._extras.at(example)
        # A copy, so that a model which works in place does not reach the caller's x. Leaves of autograd are safe from that
        # by themselves.
        copied = self._in_place or not (points.is_leaf and points.requires_grad)
        try:
            if model is not None:
                with self._around():
                    return model(points.to(self.feed, copy=True), *args, **kwargs)
            return self._model(self._fed(points, copied), *args, **kwargs)
        except RuntimeError as error:
            if "Inference tensors cannot be saved" not in str(error):
                raise
            raise ValueError(
                "model: it holds tensors made under torch.inference_mode, which autograd does not take; make them "
                "outside of it, or clone them there. In an nn.Module this is done for you."
            ) from error

    def _around(self) -> contextlib.AbstractContextManager[None]:
        """What code of the caller's is run in."""
        return contextlib.nullcontext() if self._prepared is None else self._prepared.around()

    def _fed(self, points: Tensor, copied: bool) -> Tensor:
        """`points` as the model gets them; with `copied`, in memory of their own."""
        fed = self.arranged(points.to(self.feed))
        return fed.clone() if copied and fed is points else fed

    def _ran(self, forwards: int = 0, gradients: int = 0) -> None:
        self.count.forwards += forwards
        self.count.gradients += gradients
        if self._progress is not None:
            done = self.count.forwards + self.count.gradients
            try:
                self._progress(done, max(done, self.count.planned))
            except BaseException as error:
                self.stopped = error
                raise

    def _checked(self, output: Any, example: Tensor) -> Tensor:
        """The finite score of each row, single precision or wider."""
        with self._around():
            value = self._score(output, example)
        value = value.to(wide(value.dtype))
        self._doubtful.append((value.detach().clone() if self.fixed else value.detach(), example))
        # Asking a GPU would wait for it, and it for the next chunk: there the answer may come late.
        if value.device.type == "cpu" or len(self._doubtful) >= _PATIENCE:
            self._confirm()
        return value

    def _confirm(self) -> None:
        """Raises: ValueError where a score was not finite."""
        if not self._doubtful:
            return
        value, example = (torch.cat(parts) for parts in zip(*self._doubtful))
        self._doubtful.clear()
        wrong = ~value.isfinite()
        if bool(wrong.any()):
            raise ValueError(
                f"The model returned {float(value[wrong][0])} for example {int(example[wrong][0])}; "
                "attribution needs finite scores. Check that example, or explain a logit instead of a "
                "log-probability."
            )

    def arranged(self, points: Tensor) -> Tensor:
        """`points` in the memory format in which the model is fed."""
        return self._model.arranged(points) if isinstance(self._model, Prepared) else points


class Scored(nn.Module):
    """(points, example) -> f: a copy of the model behind `lift`, for methods that hook layers.

    `lift` is a layer of its own without children, so that a search through the layers does not look inside T.
    """

    def __init__(self, rows: Rows, model: nn.Module, lift: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.lift, self.model, self._rows = _Lift(lift), model, rows
        for layer in model.modules():  # a hook on an in-place layer sees its output where it expects its input
            if getattr(layer, "inplace", False) is True:
                layer.inplace = False  # type: ignore[assignment]

    def forward(self, points: Tensor, example: Tensor) -> Tensor:
        return self._rows.scored(self.model, self.lift(points), example)


class _Lift(nn.Module):
    def __init__(self, lift: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._lift = lift

    def forward(self, points: Tensor) -> Tensor:
        return self._lift(points)
