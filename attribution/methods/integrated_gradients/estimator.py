"""Integrated gradients: the gradient integrated along the straight path from the baseline to x."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ....core.checks import check_choice, check_count, check_number
from ....transforms import Layout
from ...engine.row_sums import along
from ...estimator import Cost, Estimate, Estimator, Evaluator, MethodClaim, PointsOf, check_gradient, register
from .adaptive import certified
from .quadrature import RULES

_LEAST = 8  # with fewer evaluations, a rule cannot be compared with its half and its quarter


@register("integrated_gradients")
@dataclass(frozen=True)
class IntegratedGradients(Estimator):
    """a = (z - z₀) ⊙ ∫₀¹ ∇_z f(T⁻¹(z₀ + α (z - z₀))) dα, by default with an estimate of its error.

    For linear T the path is the same straight line in every domain, with the same nodes and the same completeness.

    Without `steps`, each example gets nested grids, refined where its own gradient changes most, until the estimated
    relative L2 error of the map and the relative residual of completeness before any correction are both at most `tol`,
    or `max_evaluations` gradients are used; tol=0 uses them all. `Attribution.details` holds, for each example:

    map_error            estimated relative L2 error of the map (in the signal for linear T, else in z); may exceed 1
    residual             Σ a - (f(x) - f(x₀)) of the uncorrected rule; residual_corrected, that of the returned map
    local_error          Σ over the gaps between nodes of |exact - trapezoidal increase of f|: no cancellation
    correction           relative L2 length of the correction; at most map_error
    nodes, weights       of the returned map, padded with zeros;  evaluations, their number, with those that chose the nodes
    smooth, converged    whether the gradient moves without jumps; whether tol was met, else there is a ConvergenceWarning

    Where the gradient is smooth along the path, the error falls geometrically, and up to 7 % of the budget stays unused. The
    map_error is then estimated from the scores, and is mostly within a factor of 2.

    Where the gradient grows without bound towards an end, or nearly so (√x, log, a norm, RMSNorm at zero), the nodes
    follow log α there, and ∇f at the end itself is not needed. A singularity between the ends is seen, not resolved.

    tol: relative.  max_evaluations: gradients per example, at least 8.
    keep: also keep in `details` what `Attribution.resume` needs to continue with a larger budget or a smaller tol without
    repeating an evaluation: about 20 times the size of x, and 8 kB for each gradient. The result equals one run with the
    larger budget, if that halves the gaps of the first (50, 100, 200, …), else with the largest budget that does.
    steps: use a fixed rule with this number of nodes.  rule: gauss_legendre (default), trapezoid, midpoint or graded; only
    trapezoid has nodes at the ends of the path.
    correct: change the weights a little so that the map is complete; by default only without `steps`. It is the smallest
    change of the map within four directions (one for fixed rules), and never larger than the map's estimated error (a
    tenth of the map for fixed rules); what it leaves is reported as residual_corrected. A map whose error may be a third
    of it is not corrected.
    Source: Sundararajan, Taly & Yan 2017, eq. (1).
    Raises: ValueError or TypeError for an unknown rule, one without steps, a tol outside [0, 1), counts that are too small,
    or keep with steps; when run, where the gradient inside a path is not finite, or create_graph=True comes without steps.

    >>> import torch, pullback as pb
    >>> att = pb.attribute(lambda x: x.exp().sum(1), torch.ones(1, 4), method="integrated_gradients(tol=1e-3)")
    >>> int(att.details["evaluations"][0]), bool(att.details["map_error"][0] < 1e-3)
    (17, True)
    """

    tol: float = 0.01
    max_evaluations: int = 200
    steps: int | None = None
    rule: str | None = None
    correct: bool | None = None
    keep: bool = False
    claims = ~MethodClaim.NONE
    kind = "share"
    linear_in_gradients = True
    examples = classmethod(lambda cls: [cls(tol=1e-6), cls(steps=96), cls(steps=201, rule="trapezoid")])

    def __post_init__(self) -> None:
        check_number(self.name, "tol", self.tol, 0)
        check_count(self.name, "max_evaluations", self.max_evaluations, _LEAST)
        if self.steps is not None:
            check_count(self.name, "steps", self.steps, 2 if self.rule == "trapezoid" else 1)
        if self.rule is not None:
            check_choice(self.name, "rule", self.rule, RULES)
        for wrong, message in (
            (self.tol >= 1, f"tol must be a relative error below 1, got {self.tol}."),
            (self.rule and self.steps is None, f"rule={self.rule!r} needs a number of nodes, as in steps=64."),
            (not isinstance(self.correct, bool | None), f"correct must be True, False or None, got {self.correct!r}."),
            (not isinstance(self.keep, bool), f"keep must be True or False, got {self.keep!r}."),
            (self.keep and self.steps is not None, "keep=True belongs to the method without steps."),
        ):
            if wrong:
                raise ValueError(f"{self.name}: {message}")

    @property
    def resumable(self) -> bool:  # type: ignore[override]
        return self.steps is None

    def estimate(self, evaluator: Evaluator) -> Estimate:
        if self.steps is None:
            return certified(evaluator, self.tol, self.max_evaluations, self.correct is not False, self.keep)
        nodes, weights = (evaluator.point.new_tensor(part) for part in RULES[self.rule or "gauss_legendre"](self.steps))
        if self.correct:
            found = _corrected(evaluator, nodes, weights)
        else:
            found = evaluator.shares(evaluator.mean_gradient(weights, _on_path(evaluator, nodes)))
        if found.covector is not None and nodes[0] == 0:
            check_gradient(found.covector, other="baseline, or a rule without nodes at the ends, such as gauss_legendre")
        return found

    def cost(self, layouts: Sequence[Layout]) -> Cost:
        return Cost(gradients=self.max_evaluations if self.steps is None else self.steps)


def _on_path(evaluator: Evaluator, nodes: Tensor) -> PointsOf:
    """rows -> u₀ + α (u - u₀), α the node of each row's sample."""
    shape = (-1, *[1] * (evaluator.point.ndim - 1))
    return lambda rows: along(*evaluator.line, rows, nodes[rows.sample].reshape(shape))


def _corrected(evaluator: Evaluator, nodes: Tensor, weights: Tensor) -> Estimate:
    """A fixed rule, its weights moved along F / ‖∇f ⊙ Δ‖² until the map is complete, at most by a tenth of the map."""
    step = (evaluator.point - evaluator.base).flatten(1)
    mean, pull = torch.zeros_like(step), torch.zeros_like(step)
    for rows, _, gradient in evaluator.gradient_chunks(len(weights), _on_path(evaluator, nodes)):
        gradient = gradient.flatten(1)
        moved = gradient * step[rows.example]
        direction = _ratio(moved.sum(1), moved.square().sum(1))
        for entry, first, last in rows.runs():
            mean[entry] += weights[rows.sample[first:last]] @ gradient[first:last]
            pull[entry] += direction[first:last] @ gradient[first:last]
    difference = evaluator.scores(1, lambda rows: evaluator.point[rows.example])[:, 0]
    difference = difference - evaluator.scores(1, lambda rows: evaluator.base[rows.example])[:, 0]
    residual, gain = (mean * step).sum(1) - difference, (pull * step).sum(1)
    most = _ratio(0.1 * (mean * step).norm(dim=1), (pull * step).norm(dim=1))
    share = torch.minimum(torch.maximum(_ratio(-residual, gain), -most), most)
    found = evaluator.shares((mean + share[:, None] * pull).reshape(evaluator.point.shape))
    return Estimate(found.values, found.covector, {"residual": residual, "residual_corrected": residual + share * gain})


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """above / below, 0 where `below` is not positive."""
    return torch.where(below > 0, above / below.where(below > 0, 1), 0)
