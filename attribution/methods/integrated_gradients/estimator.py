"""Estimators that integrate gradients along a path from the baseline to x."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ....core.checks import check_count
from ....transforms import Layout
from ...engine.row_index import RowIndex
from ...engine.row_sums import along
from ...estimator import Cost, Estimate, Estimator, Evaluator, MethodClaim, register
from .adaptive import certified
from .quadrature import RULES

PICTURE_METHOD = "integrated_gradients(tol=0.05, max_evaluations=100)"  # an error of 5 % of the map is not visible
_LEAST = 8  # evaluations below which a rule, its half and its quarter cannot be told apart


@register("integrated_gradients")
@dataclass(frozen=True)
class IntegratedGradients(Estimator):
    """a = (z - z₀) ⊙ ∫₀¹ ∇_z f(T⁻¹(z₀ + α (z - z₀))) dα: by default with a certificate of its error.

    For linear T the path is the same straight line in every domain, and so are its nodes and its completeness.

    Without `steps`, each example gets nested grids, refined where its own gradient changes most, until the estimated
    relative L2 error of the map and the relative residual of completeness before any correction are both at most `tol`,
    or `max_evaluations` gradients are spent; tol=0 spends them all. `Attribution.details` holds, for each example:

    map_error            estimated relative L2 error of the map (in the signal for linear T, else in z)
    residual             Σ a - (f(x) - f(x₀)) of the uncorrected rule; residual_corrected, that of the returned map
    local_error          Σ over the gaps between nodes of |exact - trapezoidal increase of f|: no cancellation
    correction           relative L2 length of what the correction added; at most map_error
    nodes, weights       of the returned map, filled up with zeros;  evaluations, how many there are
    smooth, converged    whether the gradient moves without jumps; whether tol was met

    A path on which the gradient is smooth gets grids whose error falls geometrically; they use up to 7 % less than the
    whole budget. Its map_error is estimated from the scores, and is mostly within a factor of 2.

    tol: relative.  max_evaluations: gradients per example, at least 8.
    keep: also keep in `details` what `attribute(…, resume=result)` needs to go on with a larger budget or a smaller tol
    without evaluating anything twice: about 20 times the size of x, and 8 kB for each gradient. The result is that of
    one run with the larger budget, if that halves the gaps of the first (50, 100, 200, …), else of the largest that does.
    steps: a fixed rule with so many nodes instead.  rule: gauss_legendre (default), trapezoid, midpoint or graded.
    correct: move the weights a little, so that the map is complete; by default only in the certified method. It is the
    smallest change of the map within four directions (within one for fixed rules), and never larger than the map's
    estimated error (a tenth of the map for fixed rules): a residual that is left is told, not hidden.

    Source: Sundararajan, Taly & Yan 2017, eq. (1).
    Raises: ValueError for an unknown rule, one without steps, a tol outside [0, 1), counts that are too small, or
    keep with steps; when run, where the gradient on a path is not finite, or create_graph=True comes without steps.

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
    claims = (
        MethodClaim.COMPLETE
        | MethodClaim.LINEAR
        | MethodClaim.DUMMY
        | MethodClaim.SENSITIVE
        | MethodClaim.SYMMETRIC
        | MethodClaim.IMPLEMENTATION_INVARIANT
    )
    kind = "share"
    linear_in_gradients = True

    def __post_init__(self) -> None:
        who = "integrated_gradients"
        if self.rule is not None and self.rule not in RULES:
            raise ValueError(f"{who}: expected rule in {', '.join(RULES)}; got {self.rule!r}.")
        if self.rule is not None and self.steps is None:
            raise ValueError(f"{who}: rule={self.rule!r} needs a number of nodes, as in steps=64.")
        if isinstance(self.tol, bool) or not isinstance(self.tol, (int, float)) or not 0 <= self.tol < 1:
            raise ValueError(f"{who}: tol must be a relative error in [0, 1), got {self.tol!r}.")
        if self.correct is not None and not isinstance(self.correct, bool):
            raise ValueError(f"{who}: correct must be True, False or None, got {self.correct!r}.")
        if not isinstance(self.keep, bool) or (self.keep and self.steps is not None):
            raise ValueError(
                f"{who}: keep must be True or False, and belongs to the certified method, without steps; got "
                f"{self.keep!r}."
            )
        check_count(who, "max_evaluations", self.max_evaluations, _LEAST)
        if self.steps is not None:
            check_count(who, "steps", self.steps, 2 if self.rule == "trapezoid" else 1)

    @property
    def resumable(self) -> bool:  # type: ignore[override]
        return self.steps is None

    def estimate(self, evaluator: Evaluator) -> Estimate:
        if self.steps is None:
            return certified(evaluator, self.tol, self.max_evaluations, self.correct is not False, self.keep)
        nodes, weights = (evaluator.point.new_tensor(part) for part in RULES[self.rule or "gauss_legendre"](self.steps))
        if self.correct:
            return _corrected(evaluator, nodes, weights)
        points = lambda rows: _on_path(evaluator, rows, nodes[rows.sample])
        return evaluator.shares(evaluator.mean_gradient(weights, points))

    def cost(self, layouts: Sequence[Layout]) -> Cost:
        return Cost(gradients=self.max_evaluations if self.steps is None else self.steps)

    @classmethod
    def examples(cls) -> Iterable[Estimator]:
        return [cls(tol=1e-6), cls(steps=96), cls(steps=201, rule="trapezoid")]


def _on_path(evaluator: Evaluator, rows: RowIndex, alpha: Tensor) -> Tensor:
    """u₀ + α (u - u₀).  alpha: (rows,). Shape: (rows, *u)."""
    return along(*evaluator.line, rows, alpha.reshape(-1, *[1] * (evaluator.point.ndim - 1)))


def _corrected(evaluator: Evaluator, nodes: Tensor, weights: Tensor) -> Estimate:
    """A fixed rule, its weights moved along F / ‖∇f ⊙ Δ‖² until the map is complete, at most by a tenth of the map."""
    step = (evaluator.point - evaluator.base).flatten(1)
    mean, pull = torch.zeros_like(step), torch.zeros_like(step)
    points = lambda rows: _on_path(evaluator, rows, nodes[rows.sample])
    for rows, _, gradient in evaluator.gradient_chunks(len(weights), points):
        gradient = gradient.flatten(1)
        moved = gradient * step[rows.example]
        slope, square = moved.sum(1), moved.square().sum(1)
        along = torch.where(square > 0, slope / square.where(square > 0, 1), 0)
        for entry, first, last in rows.runs():
            mean[entry] += weights[rows.sample[first:last]] @ gradient[first:last]
            pull[entry] += along[first:last] @ gradient[first:last]
    delta = evaluator.scores(1, lambda rows: evaluator.point[rows.example])[:, 0]
    delta = delta - evaluator.scores(1, lambda rows: evaluator.base[rows.example])[:, 0]
    residual = (mean * step).sum(1) - delta
    gain, size, length = (pull * step).sum(1), (mean * step).norm(dim=1), (pull * step).norm(dim=1)
    share = torch.where(gain > 0, -residual / gain.where(gain > 0, 1), 0)
    most = torch.where(length > 0, 0.1 * size / length.where(length > 0, 1), 0)
    share = torch.minimum(torch.maximum(share, -most), most)
    found = evaluator.shares((mean + share[:, None] * pull).reshape(evaluator.point.shape))
    details = {"residual": residual, "residual_corrected": residual + share * gain}
    return Estimate(found.values, found.covector, details)
