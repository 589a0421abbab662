"""Which of the model's further arguments follow the examples: decided by the caller's own call, never by a guess."""

import torch
from torch import Tensor

from ...core.precision import wide
from .engine import Engine
from .model_args import ModelArgs
from .score import table

_ROUNDING = 64  # rounding errors of f between batch sizes, in units of the last bit
_NARROW = 4  # the same, in units of the last bit of half precision
_CLOSE = 1e-3  # largest relative difference of f that kernels of other batch sizes may show
_CLEARER = 10  # how many times closer than any other reading such a one must be


def choose_reading(engine: Engine, x: Tensor) -> None:
    """Fixes how the arguments follow the examples: so that f of some examples is what model(x, *args, **kwargs) gives for them.

    Readings are tried on a batch in which every example stands twice, in the caller's order, and on the last one alone.
    Raises: ValueError where no reading reproduces the caller's own output.
    """
    given = engine.args
    if not given.ambiguous:
        return
    engine.args = given.as_given
    own = _own_output(engine, x)
    size = float(own.abs().amax()) * rounding(engine.feed)
    found: list[tuple[float, int, ModelArgs]] = []
    for reading in given.readings():
        engine.args = reading
        moved = _difference(engine, x, own)
        if moved <= size:
            return
        found.append((moved, len(found), reading))
    closest, *others = sorted(found, key=lambda each: each[:2])
    clear = closest[0] <= _CLOSE * float(own.abs().amax()) and all(_CLEARER * closest[0] < other for other, *_ in others)
    if not clear:
        raise ValueError(
            _unreadable("f of other batches of the same examples is not what model(x, *model_args, **model_kwargs) gives")
        )
    engine.args = closest[2]


def rounding(feed: torch.dtype) -> float:
    """The relative difference of f between batch sizes that rounding explains, for an input of dtype `feed`."""
    narrow = 0.0 if wide(feed) == feed else _NARROW * torch.finfo(feed).eps
    return max(_ROUNDING * torch.finfo(wide(feed)).eps, narrow)


def _own_output(engine: Engine, x: Tensor) -> Tensor:
    """What the target reads from the caller's own call, all examples in one forward."""
    limit, engine.limit = engine.limit, len(x)
    try:
        every = torch.arange(len(x), device=x.device)
        own = engine.outputs(every, x.__getitem__, table if engine.score.pending else engine.checked)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        raise ValueError(_unreadable(f"model(x, *model_args, **model_kwargs) raised {type(error).__name__}")) from error
    if engine.limit < len(x):
        raise ValueError(_unreadable("the batch does not fit into memory at once, which would show it"))
    engine.limit = limit
    return own


def _difference(engine: Engine, x: Tensor, own: Tensor) -> float:
    """How far f is from `own` where every example stands twice, and at the last one alone; infinite where the model fails."""
    every, most = torch.arange(len(x), device=x.device), 0.0
    for example in (every.repeat_interleave(2), every[-1:]):
        try:
            found = engine.outputs(example, x[example].__getitem__, table if engine.score.pending else engine.checked)
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
            if error is engine.stopped:
                raise
            return torch.inf
        if found.shape[1:] != own.shape[1:]:
            return torch.inf
        most = max(most, float((found - own[example]).abs().amax()))
    return most


def _unreadable(reason: str) -> str:
    advice = (
        "Mark what has one entry per example as pb.PerExample(value, axis=0), and what belongs to all as pb.Broadcast(value)"
    )
    return (
        f"model_args: which arguments follow the examples is not clear: {reason}. {advice}; rows must not depend on each other."
    )
