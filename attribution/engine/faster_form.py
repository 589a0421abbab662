"""Faster ways to run the same function: on an equal network, and in the memory format channels_last."""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from ...core.copies import copied
from .dry_run import DryRun
from .engine import Engine
from .equal_network import equal_network, has_norms, own_bytes

Form = Callable[[], AbstractContextManager[None]]
_REORDERED = 1e-4  # relative difference that kernels may show which add in any order
_ROUNDING = 64  # rounding errors of f between batch sizes, in units of the last bit
_GRADIENTS_ALIKE = 1e-3  # relative difference of gradients
_DOUBLE = 1e-9  # both of these for an equal network in double precision
_KINKS = 0.1  # relative difference of gradients in single precision beyond which it is no matter of single units
_ATTEMPTS = 8  # points at which gradients are compared before double precision, which takes ten times as long
_WORTH_IT = 40  # evaluations of a run in which the check is cheap beside what channels_last gains
_FOLDED = 24  # the same beside what an equal network without BatchNorm gains


def choose_form(run: DryRun, evaluations: int, gradients: bool, invariant: bool) -> None:
    """Takes an equal network, channels_last, or both, if f at every x, and the gradient at two rows, stay the same.

    The rows are the example in which the order of the entries shows most, and another one half way to its baseline.
    evaluations: of the run.  invariant: whether the method claims implementation invariance.
    """
    prepared = run.engine.prepared
    network = _equal(run, evaluations, gradients) if invariant else None
    worth = evaluations >= (_WORTH_IT if network is None else _FOLDED)
    tries = prepared.tries_channels_last and worth and _order_shows(run)
    for candidate, channels_last in _forms(network, prepared.channels_last, tries):
        trouble = _trouble(run, gradients, candidate, channels_last)
        if not trouble:
            prepared.channels_last = channels_last
            prepared.fallback = "" if channels_last else prepared.fallback
            return _take(run, candidate) if candidate is not None else None
        if candidate is None:
            prepared.fallback = trouble
        else:
            prepared.not_optimized = trouble


def _forms(network: nn.Module | None, channels_last: bool, tries: bool) -> list[tuple[nn.Module | None, bool]]:
    """The forms that are tried, the fastest first: for a convolutional network channels_last gains more than folding does.

    channels_last: what is run otherwise.  tries: whether channels_last may be taken.
    """
    equal = [] if network is None else [network]
    if not tries:
        return [(each, channels_last) for each in equal]
    return [*((each, True) for each in equal), (None, True), *((each, False) for each in equal)]


def _equal(run: DryRun, evaluations: int, gradients: bool) -> nn.Module | None:
    """The network to run in place of the model, if one is asked for."""
    prepared, auto = run.engine.prepared, run.engine.prepared.optimize == "auto"
    if prepared.optimize is False or (auto and (evaluations < _FOLDED or not has_norms(prepared.plain))):
        return None
    if prepared.create_graph:
        prepared.not_optimized = "with create_graph, the parameters may need a gradient"
        return None
    fused = not gradients and prepared.precision == "fp32"  # autocast does not know the joined operation
    network, prepared.not_optimized = equal_network(prepared.plain, folded=auto, fused=fused)
    return network


def _take(run: DryRun, network: nn.Module) -> None:
    """Runs on `network` from now on; its own weights take memory, so that fewer rows may fit into one forward."""
    run.engine.prepared.not_optimized = ""
    run.engine.prepared.run_on(network)
    run.engine.reserve(own_bytes(network, run.engine.prepared.plain))


def _order_shows(run: DryRun) -> bool:
    """Whether the order of the entries can be seen in an image; else channels_last could hide a fault."""
    if run.points.shape[2] > 1 and not bool(_order(run).any()):
        run.engine.prepared.fallback = "the images look the same in both memory formats, so that they do not show what moves"
        return False
    return True


def _order(run: DryRun) -> Tensor:
    """How much each image differs from itself in the other order of memory, (batch, ends)."""
    points = run.points.detach()
    return (points.flatten(2) - points.permute(0, 1, 3, 4, 2).flatten(2)).abs().amax(2)


def _telling_rows(run: DryRun) -> tuple[Tensor, Tensor]:
    """(example, points) of two rows at which gradients are compared, in the caller's order."""
    points = run.points.detach()
    first = int(_order(run)[:, 0].argmax()) if points.ndim == 5 else 0
    second = (first + 1) % len(points)
    half = (points[second, 0] + points[second, -1]) / 2
    pairs = sorted([(first, 0, points[first, 0]), (second, 1, half)], key=lambda pair: pair[:2])
    rows = torch.tensor([number for number, *_ in pairs], device=points.device)
    return rows, torch.stack([point for *_, point in pairs])


def _trouble(run: DryRun, gradients: bool, network: nn.Module | None, channels_last: bool) -> str:
    """What differs where `network` runs in place of the model, or in this memory format; empty where nothing does."""
    engine, x = run.engine, run.points[:, 0].detach()
    form = functools.partial(engine.prepared.plainly, channels_last, network)
    strict = network is not None and torch.finfo(run.known.dtype).bits > 32
    try:
        engine.count.planned += len(x)
        with form():
            found = engine.scores(torch.arange(len(x), device=x.device), x.__getitem__).detach()
        trouble = _moved(run, found, _DOUBLE if strict else _REORDERED)
        if trouble or not gradients:
            return trouble
        return _other_gradient(run, form, _DOUBLE if strict else _GRADIENTS_ALIKE, network, channels_last)
    except Exception as error:
        if error is engine.stopped:
            raise
        return f"it raised {type(error).__name__}: {error}"


def _moved(run: DryRun, found: Tensor, allowed: float) -> str:
    """How much f at x (batch,) differs from f of the model; empty where that is rounding, or little.

    allowed: the difference, as a share of what is explained; ten times as much where the last bits of x move f too: what is
    explained may be a small difference of large numbers inside the model, as for a class whose score is near that of x₀.
    """
    known = run.known.detach()
    moved, size, span = (found - known[0]).abs(), known.abs().amax(0), known.amax(0) - known.amin(0)
    # What is explained is a difference of f: beside a large constant in f it may be little.
    most = torch.maximum(allowed * span, _ROUNDING * torch.finfo(known.dtype).eps * size)
    for number in (~(moved <= most)).nonzero()[:, 0].tolist():  # NaN exceeds everything
        by = float(moved[number])
        if not (by <= 10 * allowed * float(span[number]) and run.is_rounding(run.points[number, :1].detach(), number, by)):
            return f"f moves by {by:.3g}"
    return ""


def _other_gradient(run: DryRun, form: Form, allowed: float, network: nn.Module | None, channels_last: bool) -> str:
    """How much the gradient differs in this form; empty where that is at most `allowed`, relatively, or rounding alone.

    Rounding may carry units of a network over the kink of a ReLU, which moves a gradient by up to some percent, at about
    every other point. So a row that moves is compared again at points near it: what is a matter of the form differs at
    all of them. Where a row moves at each, double precision tells rounding from another function, but not from a fault of
    single precision, which may be larger.
    """
    example, points = _telling_rows(run)
    for step in range(_ATTEMPTS):
        moved, size = _turned(run.engine, example, points * (1 - step / 64), form)
        left = ~(moved <= allowed * size)  # NaN moves
        if not bool(left.any()) or moved.norm() <= allowed * size.norm():
            return ""
        example, points = example[left], points[left]
    if moved.norm() <= _KINKS * size.norm() and _same_in_double(run, example, points, network, channels_last):
        return ""
    return f"the gradient moves by {float(moved.norm()):.3g} of {float(size.norm()):.3g}"


def _turned(engine: Engine, example: Tensor, points: Tensor, form: Form) -> tuple[Tensor, Tensor]:
    """(by how much each gradient at these points differs in this form, its size), (rows,)."""
    engine.count.planned += 2 * len(points)
    both = []
    for context in (engine.prepared.plainly, form):
        with context():
            both.append(torch.cat([gradient for *_, gradient in engine.gradient_chunks(example, points.__getitem__)]).detach())
    return (both[0] - both[1]).flatten(1).norm(dim=1), both[0].flatten(1).norm(dim=1)


def _same_in_double(run: DryRun, example: Tensor, points: Tensor, network: nn.Module | None, channels_last: bool) -> bool:
    """Whether the model and its form have the same gradients in double precision; False where they cannot run in it.

    Copies run, so that these few gradients are not among the evaluations of the model.
    """
    plain = run.engine.prepared.plain
    if not isinstance(plain, nn.Module) or torch.finfo(run.engine.feed).bits > 32:
        return False
    try:
        own = _in_double(run, example, points, copied(plain), torch.contiguous_format)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        other = _in_double(run, example, points, copied(plain), layout, network is not None)
    except Exception as error:  # the model may hold tensors of its own precision, or not fit twice
        if error is run.engine.stopped:
            raise
        return False
    return float((own - other).norm()) <= _DOUBLE * float(own.norm())


def _in_double(
    run: DryRun, example: Tensor, points: Tensor, twin: nn.Module, layout: torch.memory_format, equal: bool = False
) -> Tensor:
    """The gradient of `twin`, or of the network equal to it, at these rows in double precision."""
    engine = run.engine.uncounted()
    engine.feed = torch.promote_types(engine.feed, torch.double)
    twin = twin.to(engine.feed)
    network = equal_network(twin)[0] if equal else twin
    leaf = points.to(engine.feed).contiguous(memory_format=layout).requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(engine.scored(network or twin, leaf, example).sum(), leaf)[0]
