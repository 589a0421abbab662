"""Cheaper forms of our own estimators, for laws that hold at any number of nodes, samples or steps."""

import dataclasses
from typing import Any

from ..attribution import Estimator
from ..transforms import Pixel

_GRADIENTS = {"steps": 16, "max_evaluations": 24, "samples": 16}
_FORWARDS = {"samples": 64, "masks": 64, "pairs": 8}
_ONE_DOMAIN = [Pixel((1, 2)).layout]


def brief(estimator: Estimator) -> Estimator:
    """The same method with few nodes, samples or steps; itself where it has none of these or refuses so few.

    A quadrature obeys dummy, symmetry, invariances and independence of the batch whatever its nodes are, and a sampled
    method whatever it draws. Only completeness asks for accuracy, and linearity of nodes that each function chooses.

    >>> from pullback.attribution.estimator import get
    >>> brief(get("smoothgrad(samples=50)"))
    SmoothGrad(samples=16, spread=0.15)
    """
    few = dict(_GRADIENTS if estimator.cost(_ONE_DOMAIN).gradients else _FORWARDS)
    if not estimator.linear_in_gradients:
        few.pop("steps", None)  # of an optimisation: no nodes, and it promises nothing before it has settled
    return _replaced(
        estimator, {name: min(value, few[name]) for name, value in _counts(estimator).items() if name in few}
    )


def fixed(estimator: Estimator) -> Estimator:
    """`brief`, with nodes that do not depend on the function, so that two questions share them.

    >>> from pullback.attribution.estimator import get
    >>> fixed(get("integrated_gradients")).steps, brief(get("integrated_gradients")).max_evaluations
    (16, 24)
    """
    chooses = "max_evaluations" in _counts(estimator) and getattr(estimator, "steps", 0) is None
    return _replaced(estimator, {"steps": _GRADIENTS["steps"]}) if chooses else brief(estimator)


def _counts(estimator: Estimator) -> dict[str, int]:
    names: list[str] = (
        [field.name for field in dataclasses.fields(estimator)] if dataclasses.is_dataclass(estimator) else []
    )
    return {name: getattr(estimator, name) for name in names if isinstance(getattr(estimator, name), int)}


def _replaced(estimator: Estimator, changes: dict[str, Any]) -> Estimator:
    try:
        return dataclasses.replace(estimator, **changes) if changes else estimator  # type: ignore[type-var]
    except (ValueError, TypeError):
        return estimator
