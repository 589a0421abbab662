"""Two checks before a run: the model repeats itself row by row, and the memory format does not change what it computes.

`points` are the rows at which f is known, x and then each x₀, (ends × batch, *shape); `known` is f there, (ends, batch).
"""

import torch
from torch import Tensor

from ...core.precision import wide
from .engine import Engine

_REORDERED = 1e-4  # relative difference that kernels may show which add in any order
_ROUNDING = 64  # rounding errors of f between batch sizes, in units of the last bit
_NARROW = 4  # the same, in units of the last bit of half precision
_MIXES = 0.05  # relative difference of f that neither rounding nor a shared quantisation scale makes
_GRADIENTS_ALIKE = 1e-3  # relative difference of gradients; a ReLU at its kink may exceed it, which costs time
_WORTH_IT = 40  # evaluations of a run in which the check is cheap beside a faster memory format
_READINGS = 4  # how often f is read where it seems to move: two random numbers may be near each other by chance


def check_repeats(engine: Engine, points: Tensor, known: Tensor, number: int | None = None) -> None:
    """Reads f of one example by itself and compares it with `known`, which was read among other rows, last row first.

    number: of the example; None takes the one with the largest range of values, if it was not alone in its forward.
    Raises: ValueError where the model is not deterministic, or where f of one row depends on the other rows.
    """
    known, points, batch = known.detach(), points.detach(), known.shape[1]
    number = _telling_example(engine, points, batch) if number is None else number
    before, size = float(known[0, number]), float(known.abs().amax())
    narrow = 0.0 if wide(engine.feed) == engine.feed else _NARROW * torch.finfo(engine.feed).eps
    alone = _read_one(engine, number, points[number : number + 1])
    if abs(alone - before) <= max(_ROUNDING * torch.finfo(wide(engine.feed)).eps, narrow) * size:
        return
    again = [alone, *(_read_one(engine, number, points[number : number + 1]) for _ in range(_READINGS - 1))]
    if max(again) - min(again) > max(_REORDERED, narrow) * size:
        what = f"two runs on the same input differ, {max(again):.6g} and {min(again):.6g} for example {number}"
        advice = "The model is not deterministic: disable dropout and noise, or reseed the generator inside forward()."
        raise ValueError(f"model: {what}. {advice}")
    if abs(alone - before) > _MIXES * size and _depends_on_others(engine, points[:batch], number, size):
        what = f"f of example {number} is {alone:.6g} alone and {before:.6g} among other rows"
        advice = "Use layers that treat every row by itself (call model.eval()), or pass batch_size=1."
        raise ValueError(f"model: {what}, so its map would depend on the batch. {advice}")


def _telling_example(engine: Engine, points: Tensor, batch: int) -> int:
    low, high = points[:batch].flatten(1).aminmax(dim=1)
    span = high - low
    if batch > 1 and len(points) % engine.limit == 1:  # the last row that was read, example 0, was alone
        span[0] = -1
    return int(span.argmax())


def _read_one(engine: Engine, number: int, rows: Tensor, place: int = 0) -> float:
    """f of rows[place], as one forward of all rows, with the model arguments of example `number`."""
    return float(engine.once(rows, torch.full((len(rows),), number, device=rows.device))[place])


def _depends_on_others(engine: Engine, x: Tensor, number: int, size: float) -> bool:
    """Whether f of a row depends on what the other rows hold, and not only on how many there are, as rounding does."""
    rows = min(4, engine.limit)
    if rows == 1:
        return False
    row, neighbour = x[number : number + 1], x[(number + 1) % len(x)][None]
    beside = (row, neighbour, row.flatten().flip(0).reshape(row.shape), row / 2)  # the examples may be alike
    # Not in the middle: neither place is its own where the model runs along the batch backwards.
    mixed = [torch.cat([other, row, other, other])[:rows] for other in beside]
    try:
        found = [_read_one(engine, number, each, 1) for each in mixed]
    except ValueError:  # the model may refuse half an example
        return True
    return max(found) - min(found) > _MIXES * size


def choose_memory_format(engine: Engine, points: Tensor, known: Tensor, evaluations: int, gradients: bool) -> None:
    """Takes channels_last for a run of many `evaluations` if f at all ends, and the gradient at two rows, stay the same.

    The rows are the example in which the order of the entries shows most, and another one half way to its baseline.
    Raises: ValueError where the model turns out not to repeat itself.
    """
    prepared = engine.prepared
    if not prepared.tries_channels_last or evaluations < _WORTH_IT:
        return
    points, batch = points.detach(), known.shape[1]
    order = (points.flatten(1) - points.permute(0, 2, 3, 1).flatten(1)).abs().amax(1)
    if points.shape[1] > 1 and not bool(order.any()):
        prepared.fallback = "the images look the same in both memory formats, so that they do not show what moves"
        return
    first = int(order[:batch].argmax())
    rows = torch.tensor([first, (first + 1) % batch], device=points.device)
    middle = torch.cat([points[rows[:1]], (points[rows[1:]] + points[-batch:][rows[1:]]) / 2])
    engine.count.planned += len(points) + 4 * gradients
    try:
        with prepared.plainly():
            plain = _gradients(engine, rows, middle) if gradients else middle
        with prepared.plainly(channels_last=True):
            example = torch.arange(batch, device=points.device).repeat(len(known))
            found = engine.scores(example, points.__getitem__).detach().reshape(known.shape)
            other = _gradients(engine, rows, middle) if gradients else middle
        number, trouble = _moved(known.detach(), found)
        prepared.fallback = trouble or _turned(plain, other)
    except Exception as error:
        if error is engine.stopped:
            raise
        number, prepared.fallback = None, f"channels_last raised {type(error).__name__}: {error}"
    if prepared.fallback:
        check_repeats(engine, points, known, number)
    prepared.channels_last = not prepared.fallback


def _gradients(engine: Engine, example: Tensor, points: Tensor) -> Tensor:
    return torch.cat([gradient for *_, gradient in engine.gradient_chunks(example, points.__getitem__)]).detach()


def _moved(known: Tensor, found: Tensor) -> tuple[int | None, str]:
    """The example whose f differs most in channels_last, and by how much; (None, "") where that is rounding."""
    moved, size = (found - known).abs().amax(0), known.abs().amax(0)
    # What is explained is a difference of f: beside a large constant in f it may be little.
    rounding = _ROUNDING * torch.finfo(known.dtype).eps * size
    most = torch.maximum(_REORDERED * (known.amax(0) - known.amin(0)), rounding)
    excess = torch.where(moved <= most, 0, moved.nan_to_num(torch.inf))  # NaN exceeds everything
    number = int(excess.argmax())
    return (number, f"f moves by {float(moved[number]):.3g} in channels_last") if bool(excess.any()) else (None, "")


def _turned(plain: Tensor, other: Tensor) -> str:
    """How much the gradient differs in channels_last; empty where that is rounding."""
    moved, size = float((plain - other).norm()), float(plain.norm())
    alike = moved <= _GRADIENTS_ALIKE * size  # False for NaN
    return "" if alike else f"the gradient moves by {moved:.3g} of {size:.3g} in channels_last"
