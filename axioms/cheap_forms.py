"""Cheaper forms of an estimator, for laws that hold at any number of nodes, samples or steps."""

import dataclasses
from typing import Any

from ..attribution import Estimator
from ..transforms import Pixel

_GRADIENTS = {"steps": 16, "max_evaluations": 24, "samples": 16}
_FORWARDS = {"samples": 64, "masks": 64, "pairs": 8}
_ONE_DOMAIN = [Pixel((1, 2)).layout]


def cheap_form(estimator: Estimator) -> Estimator:
    """The same method with few nodes, samples or steps; the estimator itself where it has none or refuses so few.

    A method keeps dummy, symmetry, the invariances and batch independence with any nodes and any samples. Only completeness
    depends on accuracy, and so does linearity where nodes depend on f.

    >>> from pullback.attribution.estimator import get
    >>> cheap_form(get("smoothgrad(samples=50)"))
    SmoothGrad(samples=16, spread=0.15)
    """
    few = dict(_GRADIENTS if estimator.cost(_ONE_DOMAIN).gradients else _FORWARDS)
    if not estimator.linear_in_gradients:
        few.pop("steps", None)  # the steps of an optimisation, which claims nothing before it has converged
    counts = _counts(estimator)
    return _replaced(estimator, {name: min(counts[name], few[name]) for name in counts.keys() & few.keys()})


def fixed_form(estimator: Estimator) -> Estimator:
    """The cheap form, with nodes that do not depend on f, so that two functions get the same nodes.

    >>> from pullback.attribution.estimator import get
    >>> fixed_form(get("integrated_gradients")).steps, cheap_form(get("integrated_gradients")).max_evaluations
    (16, 24)
    """
    adaptive = "max_evaluations" in _counts(estimator) and getattr(estimator, "steps", 0) is None
    return _replaced(estimator, {"steps": _GRADIENTS["steps"]}) if adaptive else cheap_form(estimator)


def _counts(estimator: Estimator) -> dict[str, int]:
    fields: Any = dataclasses.fields(estimator) if dataclasses.is_dataclass(estimator) else ()
    return {field.name: value for field in fields if isinstance(value := getattr(estimator, field.name), int)}


def _replaced(estimator: Estimator, changes: dict[str, Any]) -> Estimator:
    try:
        return dataclasses.replace(estimator, **changes) if changes else estimator  # type: ignore[type-var]
    except (ValueError, TypeError):
        return estimator
