"""Which of the model's further arguments follow the examples: decided by the caller's own call, never by a guess."""

from collections.abc import Sequence

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

    Readings are tried on a batch in which every example stands twice, in the caller's order, and on the last one alone. Of
    several that are right there, the first that is right at -x too is taken: at x alone, as where x passes a leaky ReLU
    with its slopes as the argument, the argument may not matter. One batch size for all is tried where no other is taken.
    Raises: ValueError where no reading reproduces the caller's own output.
    """
    given = engine.args
    if not given.ambiguous:
        return
    engine.args, limit, sizes = given.as_given, engine.limit, [*engine.prepared.sizes]
    own, turned = _own_output(engine, x), _output_elsewhere(engine, -x)
    found: list[tuple[float, int, ModelArgs]] = []
    for trial in ([], sizes):
        right: list[ModelArgs] = []
        for engine.args in given.readings():
            engine.limit, engine.prepared.size, engine.prepared.sizes = limit, None, [*trial]
            moved = _difference(engine, x, own)
            found.append((moved, len(found), engine.args))
            if moved > _rounded(engine, own):
                continue
            right.append(engine.args)
            if turned is None or _difference(engine, -x, turned) <= _rounded(engine, turned):
                right = right[-1:]
                break
        engine.limit, engine.prepared.size, engine.prepared.sizes = limit, None, [*sizes]
        if right:
            engine.args = right[0]
            return
    engine.args = _closest(found, own)


def _closest(found: Sequence[tuple[float, int, ModelArgs]], own: Tensor) -> ModelArgs:
    """The reading that is nearly right and clearly better than any other.  Raises: ValueError where there is none."""
    best = min(found, key=lambda each: each[:2])
    others = (moved for moved, _, reading in found if reading.ways != best[2].ways)
    if best[0] <= _CLOSE * float(own.abs().amax()) and all(_CLEARER * best[0] < other for other in others):
        return best[2]
    raise ValueError(
        _unreadable("f of other batches of these examples is not what model(x, *model_args, **model_kwargs) gives")
    )


def _rounded(engine: Engine, own: Tensor) -> float:
    return float(own.abs().amax()) * rounding(engine.feed)


def _output_elsewhere(engine: Engine, points: Tensor) -> Tensor | None:
    """As `_own_output`, at points that the model may refuse: None."""
    try:
        return _own_output(engine, points)
    except ValueError as error:
        if error is engine.stopped:
            raise
        return None


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
        if error is engine.stopped:
            raise
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
    advice = "Mark what has one entry per example as pb.PerExample(value, axis=0), what belongs to all as pb.Broadcast(value)"
    return f"model_args: which ones follow the examples is not clear: {reason}. {advice}; rows must not depend on each other."
