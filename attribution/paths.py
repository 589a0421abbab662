"""Estimators that integrate gradients along a path from the baseline to x."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from .estimator import Estimate, Estimator, Promise, Walk, register
from .gradients import check_count

Nodes = tuple[np.ndarray, np.ndarray]


def gauss_legendre(steps: int) -> Nodes:
    """Nodes and weights on [0, 1], exact for polynomials of degree 2 steps - 1."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return (nodes + 1) / 2, weights / 2


def trapezoid(steps: int) -> Nodes:
    """`steps` nodes on [0, 1], both ends included; weights sum to 1."""
    weights = np.full(steps, 1 / (steps - 1))
    weights[[0, -1]] /= 2
    return np.linspace(0, 1, steps), weights


def midpoint(steps: int) -> Nodes:
    """The middles of `steps` equal cells."""
    return (np.arange(steps) + 0.5) / steps, np.full(steps, 1 / steps)


RULES: dict[str, Callable[[int], Nodes]] = {
    "gauss_legendre": gauss_legendre,
    "trapezoid": trapezoid,
    "midpoint": midpoint,
}


@register("integrated_gradients")
@dataclass(frozen=True)
class IntegratedGradients(Estimator):
    """a = (z - z₀) ⊙ ∫₀¹ ∇_z f(T⁻¹(z₀ + α (z - z₀))) dα, by `rule` with `steps` gradients.

    For linear T the path is the same straight line in every domain, and so is its quadrature error.

    Source: Sundararajan, Taly & Yan 2017, eq. (1).
    """

    steps: int = 64
    rule: str = "gauss_legendre"
    claims = (
        Promise.COMPLETE | Promise.LINEAR | Promise.DUMMY | Promise.SENSITIVE | Promise.SYMMETRIC
        | Promise.IMPLEMENTATION_INVARIANT
    )  # fmt: skip
    shares = True

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"integrated_gradients: expected rule in {', '.join(RULES)}; got {self.rule!r}.")
        check_count("integrated_gradients", "steps", self.steps, 2 if self.rule == "trapezoid" else 1)

    def estimate(self, walk: Walk) -> Estimate:
        nodes, weights = (walk.point.new_tensor(part) for part in RULES[self.rule](self.steps))
        alpha = nodes.reshape(-1, *[1] * (walk.point.ndim - 1))
        step = walk.point - walk.base
        mean = walk.mean_gradient(weights, lambda example, node: walk.base[example] + alpha[node] * step[example])
        return walk.shares(mean)

    def cost(self) -> int:
        return self.steps

    @classmethod
    def examples(cls) -> Iterable[Estimator]:
        return [cls(steps=32), cls(steps=201, rule="trapezoid")]
