"""Two checks before a run: the model repeats itself row by row, and the memory format does not change what it computes."""

import torch
from torch import Tensor

from ...core.precision import wide
from .engine import Engine

_REORDERED = 1e-4  # relative difference that kernels may show which add in any order
_ROUNDING = 64  # rounding errors of f between batch sizes, in units of the last bit
_NARROW = 4  # the same, in units of the last bit of half precision
_MIXES = 0.05  # relative difference of f that neither rounding nor a shared quantisation scale makes
_GRADIENTS_ALIKE = 1e-3  # relative difference of gradients in two memory formats
_WORTH_IT = 40  # evaluations of a run in which four more are little beside a faster memory format
_READINGS = 4  # how often f is read where it seems to move: two random numbers may be near each other by chance


def check_repeats(engine: Engine, x: Tensor, known: Tensor) -> None:
    """Reads f of example 0 by itself and compares it with `known`: f(x), f(x₀), … as read among other rows, (ends, batch).

    Raises: ValueError where the model is not deterministic, or where f of one row depends on the other rows.
    """
    known, size = known[0].detach(), float(known.detach().abs().amax())
    narrow = 0.0 if wide(engine.feed) == engine.feed else _NARROW * torch.finfo(engine.feed).eps
    alike = max(_ROUNDING * torch.finfo(wide(engine.feed)).eps, narrow) * size
    row = x[:1].detach()
    alone = _last(engine, row)
    if abs(alone - float(known[0])) <= alike:
        return
    again = [alone, *(_last(engine, row) for _ in range(_READINGS - 1))]
    if max(again) - min(again) > max(_REORDERED, narrow) * size:
        what = f"two runs on the same input differ, {max(again):.6g} and {min(again):.6g} for example 0"
        advice = "The model is not deterministic: disable dropout and noise, or reseed the generator inside forward()."
        raise ValueError(f"model: {what}. {advice}")
    if abs(alone - float(known[0])) > _MIXES * size and _depends_on_others(engine, x, size):
        what = f"f of example 0 is {alone:.6g} alone and {float(known[0]):.6g} among other rows"
        advice = "Use layers that treat every row by itself (call model.eval()), or pass batch_size=1."
        raise ValueError(f"model: {what}, so its map would depend on the batch. {advice}")


def _last(engine: Engine, *rows: Tensor) -> float:
    """f of the last of these rows (1, *shape), as one forward of all of them."""
    points = torch.cat(rows)
    return float(engine.once(points, points.new_zeros(len(points)).long())[-1])


def _depends_on_others(engine: Engine, x: Tensor, size: float) -> bool:
    """Whether f of a row depends on what the other rows hold, and not only on how many there are, as rounding does."""
    rows = min(4, engine.limit)
    if rows == 1:
        return False
    row, neighbour = x[:1].detach(), x[-1:].detach()
    beside = (row, neighbour, row.flatten().flip(0).reshape(row.shape), row / 2)  # the examples may be alike
    points = [torch.cat([other, row, other, other])[:rows] for other in beside]
    try:  # not in the middle: neither place is its own where the model runs along the batch backwards
        found = [float(engine.once(p, p.new_zeros(rows).long())[1]) for p in points]
    except ValueError:  # the model may refuse half an example
        return True
    return max(found) - min(found) > _MIXES * size


def choose_memory_format(engine: Engine, x: Tensor, evaluations: int, gradients: bool) -> None:
    """Takes channels_last for a run of many `evaluations` if two rows have the same f (and gradient) in both formats.

    The rows are an example and the same with noise: an image of one colour looks the same in both formats.
    """
    prepared = engine.prepared
    if not prepared.tries_channels_last or evaluations < _WORTH_IT:
        return
    noise = torch.randn(x[:1].shape, generator=torch.Generator().manual_seed(0)).to(x)
    spread = float(x[0].amax() - x[0].amin()) or 1.0
    points = torch.cat([x[:1], x[:1] + 0.1 * spread * noise]).detach()
    found = []
    try:
        for channels_last in (False, True):
            with prepared.plainly(channels_last):
                found.append(_read(engine, points, gradients))
    except Exception as error:
        if error is engine.stopped or not found:  # the caller stops, or the model fails in the contiguous format too
            raise
        prepared.fallback = f"channels_last raised {type(error).__name__}: {error}"
        return
    prepared.fallback = _difference(*found)
    prepared.channels_last = not prepared.fallback


def _read(engine: Engine, points: Tensor, gradients: bool) -> tuple[Tensor, Tensor]:
    """(f, ∇f) of these rows, or (f, f)."""
    example = torch.zeros(len(points), dtype=torch.long, device=points.device)
    if not gradients:
        value = engine.scores(example, points.__getitem__)
        return value, value
    parts = [pair for _, *pair in engine.gradient_chunks(example, points.__getitem__)]
    value, gradient = (torch.cat(part).detach() for part in zip(*parts))
    return value, gradient


def _difference(plain: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> str:
    """What differs between (f, ∇f) in two memory formats; empty if nothing does beyond rounding."""
    moved = float((plain[0] - other[0]).abs().amax())
    # What is explained is a difference of f: beside a large constant in f it may be little.
    rounding = _ROUNDING * torch.finfo(plain[0].dtype).eps * float(plain[0].abs().amax())
    if moved > max(_REORDERED * float(plain[0].amax() - plain[0].amin()), rounding):
        return f"f moves by {moved:.3g} in channels_last"
    moved, size = float((plain[1] - other[1]).norm()), float(plain[1].norm())
    return f"the gradient moves by {moved:.3g} of {size:.3g} in channels_last" if moved > _GRADIENTS_ALIKE * size else ""
