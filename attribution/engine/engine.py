"""`Engine`: the only place that calls the model. A row is one input of one forward pass."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...core.precision import wide
from ...core.progress import Progress
from .chunks import Result
from .execution import Prepared, uncompiled
from .fitted_chunks import FittedChunks
from .memory import Saved, free_bytes, nothing_kept
from .model_args import ModelArgs
from .model_state import ModelState
from .score import Score

Points = Callable[[slice], Tensor]  # a slice of rows -> these rows, (rows, *shape)
Reader = Callable[[Any, Tensor], Tensor]  # (output, example of each row) -> what is read from it, (rows, …)
_PROBE = 16  # rows whose memory is measured
_PATIENCE = 64  # chunks after which their scores are checked, on devices where checking means waiting


@dataclass
class Count:
    """Evaluations so far, without and with a gradient, and how many are planned."""

    forward: int = 0
    gradient: int = 0
    planned: int = 0


class Engine(FittedChunks):
    """Evaluates a score and its gradient at any number of rows, at most `limit` in one forward, and counts them.

    `open_engine` builds it. It leaves the model as it was, after an exception too: no hook, no `.grad`, no mode is changed.
    When memory runs out, it halves the limit and continues.

    prepared: the model.  score: which number of its output is f.  feed: the dtype of its input.
    args: its further arguments.  progress: called with (evaluations so far, evaluations planned) after each forward.
    varies: whether f is known to differ between x and x₀.
    """

    def __init__(
        self, prepared: Prepared, score: Score, limit: int, feed: torch.dtype, args: ModelArgs, progress: Progress | None
    ) -> None:
        super().__init__(limit, prepared)
        self.score, self.feed, self.create_graph = score, feed, prepared.create_graph
        self.count, self.varies = Count(), False
        self._model: Callable[..., Any] = prepared
        self._plain = uncompiled(prepared.plain)  # for methods that hook its layers
        self.args, self._progress = args, progress
        self._in_place = False  # whether the model has been seen to write into its input
        self.state: ModelState | None = None  # of the caller's model, before the run
        self._unchecked: list[tuple[Tensor, Tensor]] = []  # scores, and their examples, not yet known to be finite

    # Copies ------------------------------------------------------------------------------------------------------------

    def uncounted(self) -> "Engine":
        """A copy that does not update the evaluation counter or the progress."""
        return Engine(self.prepared, self.score, self.limit, self.feed, self.args, None)

    def through(self, lift: Callable[[Callable[..., Any]], nn.Module], feed: torch.dtype) -> "Engine":
        """The engine of lift(model), such as f∘T⁻¹, with the same score, limit and evaluation counter."""
        other = Engine(self.prepared, self.score, self.limit, feed, self.args, self._progress)
        other._model, other._plain = lift(self._model), lift(self._plain)
        other.count, other.varies, other.more = self.count, self.varies, self.more
        return other

    # Scores ------------------------------------------------------------------------------------------------------------

    def scores(self, example: Tensor, points: Points) -> Tensor:
        """f at every row. Shape: (rows,), in single precision or wider.  example: (rows,), the example of each row."""
        return self.outputs(example, points, self.checked)

    def score_chunks(self, example: Tensor, points: Points) -> Iterator[tuple[slice, Tensor]]:
        """(slice, f) for one chunk of rows after another, so that nothing of the size of all rows is held."""
        return self.output_chunks(example, points, self.checked)

    def probabilities(self, example: Tensor, points: Points) -> tuple[Tensor, Tensor]:
        """(f, probability of the target's class) at every row; the latter is NaN where the target is no class."""

        def both(output: Any, rows: Tensor) -> Tensor:
            value = self.checked(output, rows)
            probability = self.score.probability(output, rows)
            return torch.stack([value, torch.full_like(value, torch.nan) if probability is None else probability], 1)

        value, probability = self.outputs(example, points, both).unbind(1)
        return value, probability

    def outputs(self, example: Tensor, points: Points, reader: Reader) -> Tensor:
        """reader(output, example) at every row, without gradients. Shape: (rows, …)."""
        return torch.cat([value for _, value in self.output_chunks(example, points, reader)])

    def output_chunks(self, example: Tensor, points: Points, reader: Reader) -> Iterator[tuple[slice, Tensor]]:
        """(slice, reader(output, example)) for one chunk of rows after another."""

        def one(part: slice) -> Tensor:
            rows = part.stop - part.start
            shown, of = self.filled(points(part), example[part])
            value = self._read(shown, of, reader, self.prepared.records)[:rows]
            self.counted(forward=rows)
            return value.to(wide(value.dtype))

        light = not (self.fixed or self.create_graph or self.prepared.records)
        return self.chunks(example, one, light=light)

    def once(self, points: Tensor, example: Tensor, recorded: bool = False, adapt: bool = False) -> Tensor:
        """f of a few rows in one forward, in the model's own formats and without a graph; not finite where f is not. (rows,).

        recorded: whether autograd records the forward, as for a gradient; some models are another function then.
        adapt: whether to try the model's own batch size where the forward fails.
        """
        reader = lambda output, of: self._around_score(output, of)
        with self.prepared.plainly():
            while True:
                shown, of = self.filled(points, example)
                try:
                    value = self._read(shown, of, reader, recorded or self.prepared.records)[: len(points)]
                    break
                except Exception as error:
                    remedy = self.remedy(error, len(points), 1) if adapt and error is not self.stopped else None
                    if remedy is None:
                        raise
                remedy()
        self.counted(forward=len(points))
        return value.detach().to(wide(value.dtype))

    def _read(self, points: Tensor, example: Tensor, reader: Reader, recorded: bool) -> Tensor:
        """reader(output, example) in one forward, without a graph unless `create_graph` asks for one."""
        if self.create_graph or not recorded:
            with torch.set_grad_enabled(self.create_graph):
                return reader(self._run(points, example), example)
        try:
            with torch.enable_grad(), nullcontext() if self.prepared.differentiates else nothing_kept():
                return reader(self._traced(_leaf(points), example), example).detach()
        except RuntimeError as error:  # the model takes gradients inside, or transforms of torch.func
            if "nothing was kept" not in str(error) and "saved tensor" not in str(error):
                raise
        self.prepared.differentiates = True
        with torch.enable_grad():
            return reader(self._traced(_leaf(points), example), example).detach()

    # Gradients ---------------------------------------------------------------------------------------------------------

    def gradient_chunks(self, example: Tensor, points: Points) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """(slice, f, ∇f) for one chunk of rows after another. Shapes: (rows,) and (rows, *shape)."""
        for part, pair in self.chunks(example, lambda part: self.gradient(points(part), example[part])):
            yield part, *pair

    def gradient(self, points: Tensor, example: Tensor) -> tuple[Tensor, Tensor]:
        """(f, ∇f) of all these rows in one forward: only inside `chunks`, which keeps to the limit.

        Raises: ValueError where f does not depend on its input through autograd, or is not finite.
        """
        # Rows do not see each other, so the gradient of the sum holds each row's own.
        rows, create = len(points), self.create_graph
        points, example = self.filled(points, example)
        with torch.enable_grad():
            if not (create and points.requires_grad):
                # Arranged here already, since compiled models want leaves of autograd.
                points = self.arranged(points.detach()).requires_grad_()
            value = self.checked(self._traced(points, example), example)
            gradient = None
            if value.requires_grad:
                (gradient,) = torch.autograd.grad(value.sum(), points, allow_unused=True, create_graph=create)
        if gradient is None:
            gradient = self._no_gradient(points, value)
        self.counted(gradient=rows)
        if self.fixed:  # what a compiled model returns may be overwritten by its next call
            value, gradient = value[:rows].clone(), gradient[:rows].clone()
        return (value if create else value.detach()), gradient

    def _no_gradient(self, points: Tensor, value: Tensor) -> Tensor:
        """Zeros, where f is constant.  Raises: ValueError where it is not, and only autograd does not see it."""
        if self.varies or not value.requires_grad:
            why = "a detach, argmax or no_grad inside, quantised layers?"
            what = f"The model's output does not depend on its input through autograd ({why})"
            self.certain = ValueError(f"{what}; take a perturbation method, or a differentiable target.")
            raise self.certain
        return torch.zeros_like(points)

    def measured(self, example: Tensor, points: Points) -> Tensor:
        """`scores`; the first rows also measure memory and cut the limit to what half of the free memory holds."""
        first = slice(0, min(len(example), self.limit, _PROBE))
        value = self._probed(points(first), example[first])
        if first.stop == len(example):
            return value
        later = lambda part: points(slice(part.start + first.stop, part.stop + first.stop))
        return torch.cat([value, self.scores(example[first.stop :], later)])

    def _probed(self, points: Tensor, example: Tensor) -> Tensor:
        free = free_bytes(example.device)
        shown, of = self.filled(points, example)
        try:  # a copy: what the model writes into a leaf without autograd's knowledge must not reach x
            with torch.enable_grad(), Saved(self._plain) as saved:
                output = self._traced(shown.detach().clone().requires_grad_(), of)
            value = self.checked(output, of)[: len(points)]
        except (RuntimeError, MemoryError, ValueError, AssertionError) as error:  # no gradients, no memory, one batch size
            if error is self.certain:
                raise
            return self.scores(example, points.__getitem__)
        if free is not None and saved.bytes and self.prepared.size is None:
            self.fit(free, saved.bytes / len(shown))
        self.counted(forward=len(points))
        return value.detach()

    # The model ---------------------------------------------------------------------------------------------------------

    def chunks(
        self, example: Tensor, run: Callable[[slice], Result], width: int = 1, light: bool = False
    ) -> Iterator[tuple[slice, Result]]:
        """As in `Chunks`.  Raises: ValueError where a score was not finite, after the last chunk at the latest."""
        yield from super().chunks(example, run, width, light)
        self._check_finite()

    def arranged(self, points: Tensor) -> Tensor:
        """`points` in the memory format in which the model is fed; in z there is none."""
        return self.prepared.arranged(points) if self._model is self.prepared else points

    def _traced(self, points: Tensor, example: Tensor) -> Any:
        """The model's output at leaves of autograd, or at copies of them for a model that writes into its input."""
        try:
            return self._run(points, example)
        except RuntimeError as error:
            if self._in_place or "a leaf Variable that requires grad" not in str(error):
                raise
        self._in_place = True
        return self._run(points, example)

    def _run(self, points: Tensor, example: Tensor) -> Any:
        args, kwargs = self.args.at(example)
        fed = self.arranged(points.to(self.feed))
        # A copy, so that a model which works in place does not reach the caller's x. Leaves of autograd are safe.
        if fed is points and (self._in_place or not (points.is_leaf and points.requires_grad)):
            fed = fed.clone()
        try:
            return self._model(fed, *args, **kwargs)
        except RuntimeError as error:
            if "Inference tensors cannot be saved" not in str(error):
                raise
            advice = "make them outside of it, or clone them there. In an nn.Module this is done for you."
            what = "model: it holds tensors made under torch.inference_mode, which autograd does not take"
            raise ValueError(f"{what}; {advice}") from error

    def scored(self, model: nn.Module, points: Tensor, example: Tensor) -> Tensor:
        """f at every row through `model`, a copy of the plain one, with whatever graph autograd records."""
        args, kwargs = self.args.at(example)
        with self.prepared.around():
            output = model(points.to(self.feed, copy=True), *args, **kwargs)
        value = self.checked(output, example)
        self.counted(gradient=len(points))
        return value

    @property
    def plain(self) -> nn.Module:
        """The model as the user gave it.  Raises: TypeError where it is no nn.Module."""
        if not isinstance(self._plain, nn.Module):
            got = f"got {type(self._plain).__name__}; wrap it, or take a method that only calls it"
            raise TypeError(f"model: methods that hook layers need an nn.Module, {got}.")
        return self._plain

    def check_state(self) -> None:
        """Raises: ValueError where a forward changes buffers, as layers in training mode do."""
        if self.state is None or not (name := self.state.changed()):
            return
        if layer := self.state.training():
            what = f"{layer} is in training mode and every forward changes {name.rpartition(':')[2]!r}"
            raise ValueError(f"model: {what}; call model.eval() first, and before tracing.")

    # Counting and checking ---------------------------------------------------------------------------------------------

    def counted(self, forward: int = 0, gradient: int = 0) -> None:
        """Adds evaluations that were made, here or by an engine of its own, and reports the progress."""
        self.count.forward += forward
        self.count.gradient += gradient
        self.succeeded()
        if self._progress is not None:
            done = self.count.forward + self.count.gradient
            try:
                self._progress(done, max(done, self.count.planned))
            except BaseException as error:
                self.stopped = error
                raise

    def checked(self, output: Any, example: Tensor) -> Tensor:
        """The finite score of each row, in single precision or wider."""
        value = self._around_score(output, example)
        value = value.to(wide(value.dtype))
        self._unchecked.append((value.detach().clone() if self.fixed else value.detach(), example))
        # Asking a GPU would wait for it, and it for the next chunk: there the check comes late.
        if value.device.type == "cpu" or len(self._unchecked) >= _PATIENCE:
            self._check_finite()
        return value

    def _around_score(self, output: Any, example: Tensor) -> Tensor:
        with self.prepared.around():
            return self.score(output, example)

    def _check_finite(self) -> None:
        """Raises: ValueError where a score was not finite."""
        if not self._unchecked:
            return
        value, example = (torch.cat(parts) for parts in zip(*self._unchecked))
        self._unchecked.clear()
        wrong = ~value.isfinite()
        if bool(wrong.any()):
            what = f"The model returned {float(value[wrong][0])} for example {int(example[wrong][0])}"
            advice = "Check that example, or explain a logit instead of a log-probability."
            self.certain = ValueError(f"{what}; attribution needs finite scores. {advice}")
            raise self.certain


def _leaf(points: Tensor) -> Tensor:
    """A copy as a leaf of autograd: what a model writes into a leaf without autograd's knowledge must not reach x."""
    leaf: Tensor = points.detach().clone().requires_grad_()
    return leaf
