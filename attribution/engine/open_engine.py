"""`open_engine`: the one doorway to the model, for estimators, metrics, axioms and studies."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...core.isolation import isolated, with_defaults
from ...core.precision import wide
from ...core.progress import Progress, reporter
from .argument_reading import choose_reading
from .check_model import check_model, feed_dtype
from .chunks import more_without_gradients, rows_per_forward
from .draws import random_states, set_random_states
from .dry_run import DryRun, dry_run
from .engine import Engine
from .execution import Execution
from .model_args import ModelArgs
from .model_state import ModelState
from .score import Score, Target, table
from .signal import check_signal, shapes_noted, signal


@contextlib.contextmanager
def open_engine(
    model: Callable[..., Any],
    x: Tensor,
    target: Target = None,
    *,
    batch_size: int | str = "auto",
    model_args: Sequence[Any] = (),
    model_kwargs: Mapping[str, Any] | None = None,
    execution: Execution | None = None,
    progress: Progress | bool | None = None,
    create_graph: bool = False,
    check: bool = True,
) -> Iterator[Engine]:
    """Context: an `Engine` that evaluates f, its gradient or the model's output at any rows that belong to examples of x.

    Inside, the modes of this thread are ours (no autocast, no inference mode); afterwards they are the
    caller's again, and the model is as it was. Arguments are as in `attribute`. A target that depends on f(x) is fixed.
    check: whether to refuse a model in training mode, or one that mixes examples by its layers.

    Raises: TypeError or ValueError where the model, x, the target or an option is not what was expected.

    >>> import torch
    >>> x = torch.arange(3.0)[:, None]
    >>> with open_engine(torch.square, x) as engine:
    ...     engine.scores(torch.tensor([0, 1, 2, 2]), lambda rows: x[[0, 1, 2, 2]][rows]), engine.count.forward
    (tensor([0., 1., 4., 4.]), 4)
    """
    if check:
        check_model(model)
    x = signal(x)
    with isolated(x.device, create_graph) as callers, reporter(progress) as report:
        feed = feed_dtype(model, check_signal(x).dtype)
        if not isinstance(execution, Execution | None):
            raise TypeError(f"execution: expected pb.Execution(precision=…, …) or None, got {type(execution).__name__}.")
        if isinstance(model_args, Tensor) or not isinstance(model_args, Sequence):
            raise TypeError(f"model_args: expected a tuple, such as (mask,), got {type(model_args).__name__}.")
        prepared = (execution or Execution()).prepare(model, x, create_graph, callers)
        score = Score.of(target, len(x), x.device)
        limit = rows_per_forward(batch_size, tuple(x.shape[1:]), x.device)
        prepared.sizes = [len(x), 1] if batch_size == "auto" else [limit]
        extra = ModelArgs.of(model_args, model_kwargs or {}, len(x))
        engine = Engine(prepared, score, limit, feed, extra, with_defaults(callers, report))
        engine.more = more_without_gradients(batch_size, tuple(x.shape[1:]), x.device)
        with _as_before(engine, model):
            with shapes_noted(x), prepared.plainly():
                point = x.detach().to(wide(x.dtype))
                choose_reading(engine, point)
                _resolve_target(engine, point)
            yield engine


def read_checked(engine: Engine, points: Tensor, measure: bool = False, evaluations: int = 0) -> DryRun:
    """f at the ends of all paths, points (batch, ends, *shape), in the model's own formats; see `dry_run`."""
    with shapes_noted(points[:, 0]):
        return dry_run(engine, points, measure, evaluations)


def _resolve_target(engine: Engine, point: Tensor) -> None:
    """Fixes a target that depends on the output at x, (examples, *shape)."""
    if engine.score.pending:
        example = torch.arange(len(point), device=point.device)
        engine.score = engine.score.settled(engine.as_recorded(lambda: engine.outputs(example, point.__getitem__, table)))


@contextlib.contextmanager
def _as_before(engine: Engine, model: Any) -> Iterator[None]:
    """Context: puts back the buffers of the model, and the random state if the model draws from it."""
    engine.state, before = ModelState(model), random_states(engine.prepared.device)
    try:
        yield
    finally:
        engine.state.restore()
        if engine.prepared.draws:
            set_random_states(engine.prepared.device, before)
