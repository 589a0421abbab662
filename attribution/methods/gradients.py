"""Estimators that read gradients at x or around it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from ...core.checks import check_count, is_number
from ...transforms import Layout
from ..engine.row_index import RowIndex
from ..engine.row_sums import along
from ..estimator import Cost, Estimate, Estimator, Evaluator, MethodClaim, PointsOf, register

_LOCAL = MethodClaim.LINEAR | MethodClaim.DUMMY | MethodClaim.IMPLEMENTATION_INVARIANT


@register("gradient")
@dataclass(frozen=True)
class Gradient(Estimator):
    """a = ∇_z f(T⁻¹ z), signed.

    Source: Simonyan, Vedaldi & Zisserman 2014, §3 (there in absolute value).

    >>> import torch, pullback as pb
    >>> pb.attribute(lambda x: x.square().flatten(1).sum(1), torch.full((1, 1, 2), 3.0), method="gradient").values
    tensor([[[6., 6.]]])
    """

    claims = _LOCAL | MethodClaim.SYMMETRIC
    kind = "sensitivity"
    linear_in_gradients = True

    def estimate(self, evaluator: Evaluator) -> Estimate:
        return evaluator.sensitivities(_at_point(evaluator))

    def cost(self, layouts: Sequence[Layout]) -> Cost:
        return Cost(gradients=1)

    @classmethod
    def examples(cls) -> Iterable[Estimator]:
        return [cls()]


@register("input_x_gradient")
@dataclass(frozen=True)
class InputXGradient(Estimator):
    """a = (z - z₀) ⊙ ∇_z f(T⁻¹ z): the first-order Taylor term; with the zero baseline, input times gradient.

    Source: Shrikumar et al. 2016; Ancona et al. 2018, table 1.

    >>> import torch, pullback as pb
    >>> pb.attribute(lambda x: x.square().flatten(1).sum(1), torch.full((1, 1, 2), 3.0), method="input_x_gradient").values
    tensor([[[18., 18.]]])
    """

    claims = _LOCAL | MethodClaim.SYMMETRIC
    kind = "share"
    linear_in_gradients = True

    def estimate(self, evaluator: Evaluator) -> Estimate:
        return evaluator.shares(_at_point(evaluator))

    def cost(self, layouts: Sequence[Layout]) -> Cost:
        return Cost(gradients=1)

    @classmethod
    def examples(cls) -> Iterable[Estimator]:
        return [cls()]


@register("smoothgrad")
@dataclass(frozen=True)
class SmoothGrad(Estimator):
    """a = 1/n Σ_i ∇_z f(T⁻¹ T(x + δ_i)), δ_i ~ N(0, σ² I) in the signal, σ = spread · (max x - min x) per example.

    Sources: Smilkov et al. 2017, eq. (1); for z, Kasmi et al. 2025 (WAM), where 25 samples are used.

    Raises: ValueError where spread is negative, or samples is no whole number of at least 1.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1) @ torch.tensor([2.0, -1.0, 0.0])
    >>> pb.attribute(f, torch.ones(1, 1, 3), method="smoothgrad(samples=4)").values
    tensor([[[ 2., -1.,  0.]]])
    """

    samples: int = 25
    spread: float = 0.15
    claims = _LOCAL
    kind = "sensitivity"
    linear_in_gradients = True

    def __post_init__(self) -> None:
        check_count("smoothgrad", "samples", self.samples)
        if not is_number(self.spread) or not self.spread >= 0:
            raise ValueError(f"smoothgrad: spread must be at least 0, got {self.spread!r}.")

    def estimate(self, evaluator: Evaluator) -> Estimate:
        weights = evaluator.signal.new_full((self.samples,), 1 / self.samples)
        return evaluator.sensitivities(evaluator.mean_gradient(weights, noisy(evaluator, self.spread)))

    def cost(self, layouts: Sequence[Layout]) -> Cost:
        return Cost(gradients=self.samples)

    @classmethod
    def examples(cls) -> Iterable[Estimator]:
        return [cls(samples=4)]


def _at_point(evaluator: Evaluator) -> Tensor:
    """∇f at the point itself. Shape: (batch, *u)."""
    return evaluator.mean_gradient(evaluator.point.new_ones(1), lambda rows: evaluator.point[rows.example])


def noisy(evaluator: Evaluator, spread: float) -> PointsOf:
    """rows -> u of x + δ, δ ~ N(0, σ² I) in the signal, σ = spread · (max x - min x) per example."""
    signal = evaluator.signal
    std = spread * (signal.flatten(1).amax(1) - signal.flatten(1).amin(1))
    std = std.reshape(-1, *[1] * (signal.ndim - 1))

    def points(rows: RowIndex) -> Tensor:
        return evaluator.lift(along(signal, std, rows, evaluator.noise(rows)))

    return points
