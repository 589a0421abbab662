"""`Rows`: the only place that calls the model. A row is one input of one forward pass."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..transforms.base import wide
from .progress import Progress
from .score import Score

Points = Callable[[slice], Tensor]

# Elements of one forward's input when rows="auto": about 14 rows of 3 × 224 × 224 on a CPU, whose caches are small.
_AUTO_ELEMENTS = {"cpu": 2**21}
_AUTO_ELEMENTS_ELSEWHERE = 2**24
_AUTO_MOST = 1_024


@dataclass
class Count:
    """Model rows run so far, without and with a gradient, and how many are planned."""

    forwards: int = 0
    gradients: int = 0
    planned: int = 0


class Rows:
    """Runs a score over any number of rows, at most `budget` at a time, and counts what it ran.

    It leaves the model as it was, after an exception too: no hook, no `.grad`, no mode is touched. Out of memory halves
    the budget and goes on.

    model: (rows, *shape) -> output.  feed: the dtype of the model's input.
    progress: called with (rows done, rows planned) after each forward; plan with `expect`.
    """

    def __init__(self, model: Callable[..., Any], score: Score, budget: int, feed: torch.dtype,
                 progress: Progress | None = None) -> None:  # fmt: skip
        self._model, self._score, self._feed, self._progress = model, score, feed, progress
        self.budget = budget
        self.count = Count()

    def expect(self, rows: int) -> None:
        """Adds to the number of rows that `progress` counts towards."""
        self.count.planned += rows

    def through(self, model: Callable[..., Any], feed: torch.dtype) -> "Rows":
        """The same score, budget and count for another model, such as f∘T⁻¹."""
        other = Rows(model, self._score, self.budget, feed, self._progress)
        other.count = self.count
        return other

    def values(self, example: Tensor, points: Points) -> Tensor:
        """f at every row.  example: (rows,), the example each row belongs to. Shape: (rows,), single precision or wider.

        points: slice -> (rows of the slice, *shape).
        """
        return torch.cat([value for _, value in self.value_chunks(example, points)])

    def value_chunks(self, example: Tensor, points: Points) -> Iterator[tuple[slice, Tensor]]:
        """(slice, f) for one chunk of rows after another, so that nothing of the size of all rows is held."""
        for part, value in self._chunks(example, lambda part: self._value(points(part), example[part])):
            self.count.forwards += len(value)
            self._check(value, example[part], "returned")
            yield part, value

    def gradient_chunks(self, example: Tensor, points: Points) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """(slice, f, ∇f) for one chunk of rows after another.  Shapes: (rows,) and (rows, *shape)."""
        for part, (value, gradient) in self._chunks(example, lambda part: self._gradient(points(part), example[part])):
            self.count.gradients += len(value)
            self._check(value, example[part], "returned")
            yield part, value, gradient

    @torch.no_grad()
    def _value(self, points: Tensor, example: Tensor) -> Tensor:
        value = self._score(self._model(points.to(self._feed)), example)
        return value.to(wide(value.dtype))

    def _gradient(self, points: Tensor, example: Tensor) -> tuple[Tensor, Tensor]:
        # Rows do not see each other, so the gradient of the sum holds each row's own.
        with torch.enable_grad():
            points = points.detach().requires_grad_()
            value = self._score(self._model(points.to(self._feed)), example)
            if not value.requires_grad:
                raise ValueError("The model's output does not depend on its input through autograd (a detach, argmax or "
                                 "no_grad inside?); take a perturbation method, or a differentiable target.")  # fmt: skip
            (gradient,) = torch.autograd.grad(value.sum(), points, allow_unused=True)
        if gradient is None:
            gradient = torch.zeros_like(points)
        return value.detach().to(wide(value.dtype)), gradient

    def _chunks(self, example: Tensor, run: Callable[[slice], Any]) -> Iterator[tuple[slice, Any]]:
        start, rows = 0, len(example)
        while start < rows:
            part = slice(start, min(start + self.budget, rows))
            try:
                result = run(part)
            except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                result = None
            if result is None:  # outside the handler, so that the failed pass is freed before the next one
                self._halve(part.stop - part.start)
                continue
            yield part, result
            start = part.stop
            if self._progress is not None:
                done = self.count.forwards + self.count.gradients
                self._progress(done, max(done, self.count.planned))

    def _halve(self, rows: int) -> None:
        if rows == 1:
            raise MemoryError("One row alone does not fit in memory; take a smaller model or input, or another device.")
        self.budget = max(1, rows // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    @staticmethod
    def _check(value: Tensor, example: Tensor, verb: str) -> None:
        finite = value.isfinite()
        if not bool(finite.all()):
            wrong = int(example[~finite][0])
            raise ValueError(f"The model {verb} {float(value[~finite][0])} for example {wrong}; attribution needs finite "
                             "scores. Check that example, or explain a logit instead of a log-probability.")  # fmt: skip


def _is_out_of_memory(error: BaseException) -> bool:
    """torch raises its own class on accelerators, but a RuntimeError from the CPU's allocator."""
    text = str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "allocate memory" in text


def budget(rows: int | str, shape: tuple[int, ...], device: torch.device) -> int:
    """How many rows one forward may hold.  Raises: ValueError unless rows is "auto" or a positive whole number."""
    if rows == "auto":
        elements = _AUTO_ELEMENTS.get(device.type, _AUTO_ELEMENTS_ELSEWHERE)
        return max(1, min(_AUTO_MOST, elements // max(1, torch.Size(shape).numel())))
    if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
        raise ValueError(f"rows: expected 'auto' or a whole number of at least 1, got {rows!r}.")
    return rows


def check_model(model: Any) -> None:
    """Refuses a model that mixes examples or draws random numbers.

    Raises: TypeError where it cannot be called; ValueError that names the layer and says what to do.
    """
    if not callable(model):
        raise TypeError(
            f"model: expected a module or another callable (rows, *shape) -> output, got {type(model).__name__}."
        )
    if not isinstance(model, nn.Module):
        return
    for name, module in model.named_modules():
        where = f"{type(module).__name__} {name!r}" if name else type(module).__name__
        if module.training and _is_random(module):
            raise ValueError(f"model: {where} is in training mode and draws random numbers; call model.eval() first.")
        if isinstance(module, nn.modules.batchnorm._NormBase):
            statistics = module.running_mean is not None
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and (module.training or not statistics):
                advice = "call model.eval() first" if statistics else "give it running statistics"
                raise ValueError(f"model: {where} averages over the batch, so one example's map would depend on the others; "
                                 f"{advice}.")  # fmt: skip
            if module.training and statistics:
                raise ValueError(
                    f"model: {where} is in training mode and would update its statistics; call model.eval()."
                )


def _is_random(module: nn.Module) -> bool:
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.p > 0
    if isinstance(module, (nn.MultiheadAttention, nn.RNNBase)):
        return module.dropout > 0
    return isinstance(module, nn.RReLU)


def feed_dtype(model: Any, dtype: torch.dtype) -> torch.dtype:
    """The dtype of the model's input for data of `dtype`: that of the data, or the model's where it is narrower.

    Raises: ValueError where the model's parameters are wider than half precision and differ from the data.
    """
    parameters = (
        {p.dtype for p in model.parameters() if p.is_floating_point()} if isinstance(model, nn.Module) else set()
    )
    if not parameters or dtype in parameters:
        return dtype
    own = max(parameters, key=lambda p: torch.finfo(p).bits)
    if wide(own) != own:
        return own
    raise ValueError(
        f"x is {dtype} but the model's parameters are {own}; convert one: x.to({own}) or model.to({dtype})."
    )
