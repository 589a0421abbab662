"""The calls into the library that benchmarks share: a change of its signatures is followed here, and nowhere else."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

import pullback as pb
from pullback.attribution import Attribution, Estimator
from pullback.attribution.engine.chunks import budget
from pullback.attribution.engine.dry_run import FEW
from pullback.transforms import Transform

Method = str | Estimator
Evaluations = tuple[int, int]  # forward passes of a row, and how many of these also went backward


def attribute(
    model: Callable[..., Any], x: Tensor, target: Any, method: Method, transform: Any = "pixel", **options: Any
) -> Any:
    """`pullback.attribute`.  execution: precision, compile and memory_format, by name."""
    execution: Mapping[str, Any] = options.pop("execution", {})
    return pb.attribute(model, x, target, method=method, transform=transform, **options, **execution)


def check_axioms(method: Any, model: Callable[..., Any], x: Tensor, target: Any, **options: Any) -> Any:
    """`pullback.axioms.check`."""
    return pb.axioms.check(model, x, target, method=method, **options)


def cost_of(found: Any) -> int:
    """The evaluations of an axiom report, or of one of its findings."""
    return int(found.evaluations)


def rows_per_forward(x: Tensor) -> int:
    """How many signals like those of x the library puts into one forward pass unless it is told otherwise."""
    return budget("auto", tuple(x.shape[1:]), x.device)


def evaluations(found: Sequence[Attribution]) -> Evaluations:
    """What the results of one run say that it cost. All of them hold the same totals."""
    (counts,) = {tuple(sorted(att.settings["evaluations"].items())) for att in found}
    forward, gradient = (dict(counts)[name] for name in ("forward", "gradient"))
    return forward + gradient, gradient


def planned(method: Method, transforms: Sequence[Transform], images: int) -> int:
    """How many rows a run brings forward through the model by the contract of its estimator, from the zero baseline.

    Beside what the method asks for, x and x₀ are read once, and one row shows whether the model repeats itself. A short
    run takes the f(x) that its method reads for that row.
    """
    estimator = pb.attribution.get(method)
    rows = images * (estimator.total_rows([transform.layout for transform in transforms]) - estimator.repeats())
    return 2 * images + rows + (not (rows < FEW and estimator.revisits))


def runs_each_domain(method: Method) -> bool:
    """Whether the model runs anew in every domain."""
    estimator = pb.attribution.get(method)
    return estimator.each_domain or estimator.cost() == 0


def memory_format(att: Attribution) -> str:
    """The memory format in which the model got its input."""
    return str(att.settings["execution"]["memory_format"])
