"""The calls into the library that benchmarks share: a change of its signatures is followed here, and nowhere else."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

import pullback as pb
from pullback.attribution import Attribution, Estimator, ExpectedGradients, GradientSHAP
from pullback.attribution.engine.chunks import rows_per_forward as library_rows
from pullback.attribution.engine.dry_run import LONG
from pullback.transforms import Pixel, Transform

Method = str | Estimator
COMPARED_AGAIN = 12  # rows, an even number of them: two at three points in two forms
Evaluations = tuple[int, int]  # forward passes of a row, and how many of these also went backward


def attribute(
    model: Callable[..., Any], x: Tensor, target: Any, method: Method, transform: Any = "pixel", **options: Any
) -> Any:
    """`pullback.attribute`.  execution: precision, compile, memory_format and optimize, by name."""
    execution: Mapping[str, Any] = options.pop("execution", {})
    return pb.attribute(model, x, target, method=method, transform=transform, execution=pb.Execution(**execution), **options)


def check_axioms(method: Any, model: Callable[..., Any], x: Tensor, target: Any, **options: Any) -> Any:
    """`pullback.axioms.check`."""
    return pb.axioms.check(model, x, target, method=method, **options)


def cost_of(found: Any) -> int:
    """The evaluations of an axiom report, or of one of its findings."""
    return int(found.evaluations)


def rows_per_forward(x: Tensor) -> int:
    """How many signals like those of x the library puts into one forward pass unless it is told otherwise."""
    return library_rows("auto", tuple(x.shape[1:]), x.device)


def evaluations(found: Sequence[Attribution]) -> Evaluations:
    """What the results of one run say that it cost. All of them hold the same totals."""
    (counts,) = {tuple(sorted(att.settings["evaluations"].items())) for att in found}
    forward, gradient = (dict(counts)[name] for name in ("forward", "gradient"))
    return forward + gradient, gradient


def planned(method: Method, transforms: Sequence[Transform], images: int) -> int:
    """How many rows a run brings forward through the model by the contract of its estimator, from the zero baseline.

    Beside what the method asks for, x is read twice and x₀ once, and a point half way in the first reading, after the run,
    and before long runs: all this shows whether the model is one function.
    Averages over baselines read f of a fixed one once, and not for every draw.
    """
    estimator = pb.attribution.get(method)
    once = estimator.samples - 1 if isinstance(estimator, (ExpectedGradients, GradientSHAP)) else 0
    total = images * estimator.cost([transform.layout for transform in transforms]).total
    return images * (3 - once) + total + 2 + (total >= LONG)


def rows_for_the_format(att: Attribution, asked: bool = False) -> Evaluations:
    """What the comparison of two forms cost, where it succeeded: f at every x, and gradients of two rows in each.

    Rows whose gradients differ are compared again, at up to three points more: `COMPARED_AGAIN` rows at most.
    asked: whether the caller named the memory format.
    """
    execution = att.settings["execution"]
    gradients = 4 if att.settings["evaluations"]["gradient"] else 0
    tried = not asked and (execution["memory_format"] == "channels_last" or "fallback" in execution)
    return (len(att) + gradients, gradients) if tried or "optimized" in execution else (0, 0)


def runs_each_domain(method: Method) -> bool:
    """Whether the model runs anew in every domain."""
    estimator = pb.attribution.get(method)
    one, two = (estimator.cost([Pixel((1, 2)).layout] * domains).total for domains in (1, 2))
    return two > one


def memory_format(att: Attribution) -> str:
    """The memory format in which the model got its input."""
    return str(att.settings["execution"]["memory_format"])
