"""Methods that use the gradient at x itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ...transforms import Layout
from ..estimator import Cost, Estimate, Estimator, Evaluator, MethodClaim, register


class GradientAtInput(Estimator):
    """A method that evaluates one gradient for each example, ∇f at x."""

    claims = MethodClaim.LINEAR | MethodClaim.DUMMY | MethodClaim.SYMMETRIC | MethodClaim.IMPLEMENTATION_INVARIANT
    linear_in_gradients = True

    def cost(self, layouts: Sequence[Layout]) -> Cost:
        return Cost(gradients=1)

    def _gradient(self, evaluator: Evaluator) -> Tensor:
        """∇f at x. Shape: (batch, *u)."""
        return evaluator.mean_gradient(evaluator.point.new_ones(1), lambda rows: evaluator.point[rows.example])


@register("gradient")
@dataclass(frozen=True)
class Gradient(GradientAtInput):
    """a = ∇_z f(T⁻¹ z), signed.

    Source: Simonyan, Vedaldi & Zisserman 2014, §3 (there in absolute value).

    >>> import torch, pullback as pb
    >>> pb.attribute(lambda x: x.square().flatten(1).sum(1), torch.full((1, 1, 2), 3.0), method="gradient").values
    tensor([[[6., 6.]]])
    """

    kind = "sensitivity"

    def estimate(self, evaluator: Evaluator) -> Estimate:
        return evaluator.sensitivities(self._gradient(evaluator))


@register("input_x_gradient")
@dataclass(frozen=True)
class InputXGradient(GradientAtInput):
    """a = (z - z₀) ⊙ ∇_z f(T⁻¹ z), the first-order Taylor term; with the zero baseline, input times gradient.

    Sources: Shrikumar et al. 2016; Ancona et al. 2018, table 1.

    >>> import torch, pullback as pb
    >>> pb.attribute(lambda x: x.square().flatten(1).sum(1), torch.full((1, 1, 2), 3.0), method="input_x_gradient").values
    tensor([[[18., 18.]]])
    """

    kind = "share"

    def estimate(self, evaluator: Evaluator) -> Estimate:
        return evaluator.shares(self._gradient(evaluator))
