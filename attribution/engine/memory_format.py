"""Whether channels_last, the faster memory format of convolutions, leaves the function of a model as it is."""

import torch
from torch import Tensor

from .dry_run import DryRun
from .engine import Engine

_REORDERED = 1e-4  # relative difference that kernels may show which add in any order
_ROUNDING = 64  # rounding errors of f between batch sizes, in units of the last bit
_GRADIENTS_ALIKE = 1e-3  # relative difference of gradients
_ATTEMPTS = 4  # points at which gradients are compared, if they differ at those before
_WORTH_IT = 40  # evaluations of a run in which the check is cheap beside a faster memory format


def choose_memory_format(run: DryRun, evaluations: int, gradients: bool) -> None:
    """Takes channels_last for a run of many `evaluations` if f at all ends, and the gradient at two rows, stay the same.

    The rows are the example in which the order of the entries shows most, and another one half way to its baseline.
    """
    engine, known = run.engine, run.known.detach()
    prepared, batch = engine.prepared, known.shape[1]
    if not prepared.tries_channels_last or evaluations < _WORTH_IT:
        return
    points = run.points.detach().transpose(0, 1).flatten(0, 1)
    order = (points.flatten(1) - points.permute(0, 2, 3, 1).flatten(1)).abs().amax(1)
    if points.shape[1] > 1 and not bool(order.any()):
        prepared.fallback = "the images look the same in both memory formats, so that they do not show what moves"
        return
    first = int(order[:batch].argmax())
    second = (first + 1) % batch
    half = (points[second] + points[-batch:][second]) / 2
    pairs = sorted([(first, 0, points[first]), (second, 1, half)], key=lambda pair: pair[:2])  # in the caller's order
    rows = torch.tensor([number for number, *_ in pairs], device=points.device)
    middle = torch.stack([point for *_, point in pairs])
    try:
        prepared.fallback = _turned(engine, rows, middle) if gradients else ""
        if not prepared.fallback:
            engine.count.planned += len(points)
            with prepared.plainly(channels_last=True):
                example = torch.arange(batch, device=points.device).repeat_interleave(len(known))
                found = engine.scores(example, run.points.detach().flatten(0, 1).__getitem__).detach()
            prepared.fallback = _moved(known, found.reshape(batch, -1).T)
    except Exception as error:
        if error is engine.stopped:
            raise
        prepared.fallback = f"channels_last raised {type(error).__name__}: {error}"
    prepared.channels_last = not prepared.fallback


def _moved(known: Tensor, found: Tensor) -> str:
    """How much f differs in channels_last; empty where that is rounding."""
    moved, size = (found - known).abs().amax(0), known.abs().amax(0)
    # What is explained is a difference of f: beside a large constant in f it may be little.
    rounding = _ROUNDING * torch.finfo(known.dtype).eps * size
    most = torch.maximum(_REORDERED * (known.amax(0) - known.amin(0)), rounding)
    excess = torch.where(moved <= most, 0, moved.nan_to_num(torch.inf))  # NaN exceeds everything
    return f"f moves by {float(moved[excess.argmax()]):.3g} in channels_last" if bool(excess.any()) else ""


def _turned(engine: Engine, example: Tensor, points: Tensor) -> str:
    """How much the gradient differs in channels_last; empty where that is rounding.

    Rounding may carry units of a network over the kink of a ReLU, which moves a gradient by up to some percent. So the gradient
    is compared at up to four points near each other: what is a matter of the memory format differs at all of them.
    """
    for attempt in range(_ATTEMPTS):
        engine.count.planned += 2 * len(points)
        both = []
        for channels_last in (False, True):
            with engine.prepared.plainly(channels_last=channels_last):
                at = points * (1 - attempt / 64)
                both.append(torch.cat([gradient for *_, gradient in engine.gradient_chunks(example, at.__getitem__)]).detach())
        moved, size = float((both[0] - both[1]).norm()), float(both[0].norm())
        if moved <= _GRADIENTS_ALIKE * size:  # False for NaN
            return ""
    return f"the gradient moves by {moved:.3g} of {size:.3g} in channels_last"
