"""What keeps a benchmark honest: inputs that say something, and results that equal those computed outside of the clock."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from pullback.attribution import Attribution
from pullback.transforms import Transform, TransformClaim

from ..subjects.models import Subject
from . import calls
from .counting import MeasuresNothing


def check_input(x: Tensor) -> None:
    """Raises: MeasuresNothing where a signal is not finite, zero or constant, or equals another."""
    flat = x.detach().flatten(1)
    if not bool(flat.isfinite().all()):
        raise MeasuresNothing("the input is not finite.")
    if bool((flat.std(1) < 1e-6).any()) or bool(((flat == 0).double().mean(1) > 0.5).any()):
        raise MeasuresNothing("the input is constant, or mostly zero: such signals take short cuts that others do not.")
    if len(flat.unique(dim=0)) < len(flat):
        raise MeasuresNothing("the input holds the same signal twice.")


def check_result(found: Tensor, expected: Tensor | None = None, tolerance: float = 0.03) -> None:
    """Compares with a reference, (examples, …), by the relative L2 error of each example. Both may hold fewer examples.

    Raises: MeasuresNothing where values are not finite, all zero for an example, of another shape, or further off than
    `tolerance`.
    """
    if not bool(found.isfinite().all()):
        raise MeasuresNothing("the result is not finite.")
    if bool((found.flatten(1).abs().amax(1) == 0).any()):
        raise MeasuresNothing("the result is zero throughout.")
    if expected is None:
        return
    if found.shape[1:] != expected.shape[1:]:
        raise MeasuresNothing(f"the result has shape {tuple(found.shape)}, its reference {tuple(expected.shape)}.")
    wide = expected.flatten(1).double()
    error = (found[: len(wide)].flatten(1).double() - wide).norm(dim=1) / wide.norm(dim=1)
    if not bool((error <= tolerance).all()):
        raise MeasuresNothing(f"the result is {float(error.max()):.2g} from its reference; allowed is {tolerance}.")


def untimed(case: Subject, method: calls.Method, transform: Transform, **options: Any) -> Tensor:
    """The map of the first signal, outside of the clock: alone, in one domain, on the model that nobody counts.

    Shape: (1, *coeff). That such maps are right is what tests/ check.
    """
    return calls.attribute(case.module, case.x[:1], case.target, method, transform, batch_size=5, **options).values


def check_map(att: Attribution, case: Subject, method: calls.Method, **options: Any) -> None:
    """Raises: MeasuresNothing where a map is not finite, is zero, or differs from the untimed one of its first signal."""
    check_result(att.values, untimed(case, method, att.transform, **options))


def check_evaluations(spent: calls.Evaluations, found: Sequence[Attribution], plan: int, asked_format: bool = False) -> None:
    """Compares the rows that the model counted with what the results of the run say, and with the plan.

    asked_format: whether the caller named the memory format; otherwise two formats may have been compared, and some of their
    rows again.
    The certified rule stops where the next grid would take more than it may: between nine tenths and all of them.
    Raises: MeasuresNothing where they differ otherwise.
    """
    tried = calls.rows_for_the_format(found[0], asked_format)
    plan, again = plan + tried[0], range(0, calls.COMPARED_AGAIN + 1 if tried[1] else 1, 2)
    spared = "map_error" in found[0].details and plan - spent[1] / 9 <= spent[0] <= plan + again[-1]
    if spent != calls.evaluations(found) or not (spared or spent[0] - plan in again):
        raise MeasuresNothing(
            f"{spent} rows went forward and back through the model; the results say {calls.evaluations(found)}, and "
            f"{plan} were planned."
        )


def check_transform(
    transform: Transform, x: Tensor, z: Tensor, back: Tensor | None = None, adjoint: Tensor | None = None
) -> None:
    """Compares T x, T⁻¹ z and the adjoint of x, for signals x (batch, *shape), with double precision on the CPU.

    The first and the last signal are compared. That T is what it is called is what tests/ check.
    Raises: MeasuresNothing where one differs by more than a thousandth, or T⁻¹ z is not x.
    """
    check_input(x)
    check_result(transform.inverse(z) if back is None else back, x, 1e-3)
    slow = copy.deepcopy(transform).cpu()
    ends = x[[0, -1]].cpu().double()
    check_result(z[[0, -1]].cpu(), slow(ends), 1e-3)
    if adjoint is not None:
        check_result(adjoint[[0, -1]].cpu(), slow.adjoint(ends), 1e-3)


def checked_jobs(transform: Transform, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    """T x, T⁻¹ T x and the adjoint of x, where there is one, by the name of the job, after a check of their results."""
    z = transform(x)
    jobs = {"analysis": lambda: transform(x), "synthesis": lambda: transform.inverse(z)}
    if TransformClaim.LINEAR in transform.claims:
        jobs["adjoint"] = lambda: transform.adjoint(x)
    check_transform(transform, x, *(run() for run in jobs.values()))
    return jobs
