"""Methods that use gradients at x with added noise: their mean, and statistics that are not linear in them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...core.checks import check_count, check_number
from ...transforms import Layout
from ..engine.row_index import RowIndex
from ..engine.row_sums import accumulate, along
from ..estimator import Cost, Estimate, Estimator, Evaluator, Kind, MethodClaim, PointsOf, register

_ROUNDING = 1e3  # in units of the last bit of a mean: smaller deviations from the mean may be rounding errors


@dataclass(frozen=True)
class NoisyGradients(Estimator):
    """A method that uses g_i = ∇_z f(T⁻¹ T(x + δ_i)), δ_i ~ N(0, σ² I) in the signal, σ = spread · (max x - min x).

    samples: the number of gradients per example.  spread: σ relative to the range of the example.
    """

    samples: int = 25
    spread: float = 0.15
    claims = MethodClaim.DUMMY | MethodClaim.IMPLEMENTATION_INVARIANT
    kind: ClassVar[Kind] = "sensitivity"
    examples = classmethod(lambda cls: [cls(samples=4)])

    def __post_init__(self) -> None:
        check_count(self.name, "samples", self.samples)
        check_number(self.name, "spread", self.spread, 0)

    def cost(self, layouts: Sequence[Layout]) -> Cost:
        return Cost(gradients=self.samples)

    def _points(self, evaluator: Evaluator) -> PointsOf:
        """rows -> u of x + δ."""
        signal = evaluator.signal
        deviation = self.spread * (signal.flatten(1).amax(1) - signal.flatten(1).amin(1))
        deviation = deviation.reshape(-1, *[1] * (signal.ndim - 1))
        return lambda rows: evaluator.lift(along(signal, deviation, rows, evaluator.noise(rows)))

    def _gradients(self, evaluator: Evaluator) -> Iterator[tuple[int, RowIndex, Tensor]]:
        """(chart, rows, gradients in that chart), a chunk of rows at a time; all charts share the model's gradients."""
        for rows, _, gradient in evaluator.gradient_chunks(self.samples, self._points(evaluator)):
            gradient = gradient.contiguous()  # once, and not in every chart
            for number, chart in enumerate(evaluator.charts):
                yield number, rows, chart.pull(gradient)

    def _check_squares(self, values: Tensor, largest: Tensor) -> None:
        """Raises: ValueError where squares of numbers up to `largest` (batch,) do not fit into the dtype of `values`."""
        found, limits = values.detach().flatten(1).amax(1), torch.finfo(values.dtype)
        lost = largest.isfinite() & (~found.isfinite() | (found < limits.tiny) & (largest > 0))
        if bool(lost.any()):
            wrong = int(lost.nonzero()[0, 0])
            advice = "scale the score, or run x and the model in torch.float64"
            what = f"squares of {float(largest[wrong]):.3g}, as for example {wrong}, are beyond the range of {values.dtype}"
            raise ValueError(f"{self.name}: {what}; {advice}.")


@register("smoothgrad")
@dataclass(frozen=True)
class SmoothGrad(NoisyGradients):
    """a = 1/n Σ_i g_i, the mean of noisy gradients g_i = ∇_z f(T⁻¹ T(x + δ_i)).

    δ_i ~ N(0, σ² I) is added to the signal, with σ = spread · (max x - min x) of the example.

    Sources: Smilkov et al. 2017, eq. (1); for z, Kasmi et al. 2025 (WAM), with 25 samples.
    Raises: ValueError or TypeError unless spread is at least 0 and samples is a whole number of at least 1.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1) @ torch.tensor([2.0, -1.0, 0.0])
    >>> pb.attribute(f, torch.ones(1, 1, 3), method="smoothgrad(samples=4)").values
    tensor([[[ 2., -1.,  0.]]])
    """

    claims = NoisyGradients.claims | MethodClaim.LINEAR
    linear_in_gradients = True

    def estimate(self, evaluator: Evaluator) -> Estimate:
        weights = evaluator.signal.new_full((self.samples,), 1 / self.samples)
        return evaluator.sensitivities(evaluator.mean_gradient(weights, self._points(evaluator)))


@register("squaregrad")
@dataclass(frozen=True)
class SquareGrad(NoisyGradients):
    """a = 1/n Σ_i g_i², the second moment of the noisy gradients g_i of `SmoothGrad`.

    Source: Hooker et al. 2019, §4 (SmoothGrad-Squared).
    Raises: as `SmoothGrad`; ValueError where a square is beyond the range of the dtype.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1) @ torch.tensor([2.0, -1.0, 0.0])
    >>> pb.attribute(f, torch.ones(1, 1, 3), method="squaregrad(samples=4)").values
    tensor([[[4., 1., 0.]]])
    """

    def estimate(self, evaluator: Evaluator) -> Estimate:
        totals = [torch.zeros_like(chart.displacement) for chart in evaluator.charts]
        largest = [total.new_zeros(len(total)) for total in totals]
        for number, rows, gradient in self._gradients(evaluator):
            accumulate(totals[number], rows, gradient.square() / self.samples)
            for entry, first, last in rows.runs():
                _keep_largest(largest[number], entry, gradient[first:last])
        for total, most in zip(totals, largest):
            self._check_squares(total, most)
        return Estimate(totals)


@register("absgrad")
@dataclass(frozen=True)
class AbsGrad(NoisyGradients):
    """a = 1/n Σ_i |g_i|, the mean magnitude of the noisy gradients g_i of `SmoothGrad`, for each example alone.

    Source: the code of Kasmi et al. 2025 (WAM), without its division by a maximum over the batch.
    Raises: as `SmoothGrad`.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1) @ torch.tensor([2.0, -1.0, 0.0])
    >>> pb.attribute(f, torch.ones(1, 1, 3), method="absgrad(samples=4)").values
    tensor([[[2., 1., 0.]]])
    """

    def estimate(self, evaluator: Evaluator) -> Estimate:
        totals = [torch.zeros_like(chart.displacement) for chart in evaluator.charts]
        for number, rows, gradient in self._gradients(evaluator):
            accumulate(totals[number], rows, gradient.abs())
        return Estimate([total.div_(self.samples) for total in totals])


@register("vargrad")
@dataclass(frozen=True)
class VarGrad(NoisyGradients):
    """a = 1/n Σ_i (g_i - ḡ)², the variance of the noisy gradients g_i of `SmoothGrad`.

    It is never negative, and exactly 0 where the gradient is constant.

    Sources: Adebayo et al. 2018, §3 (VarGrad); Chan, Golub & LeVeque 1983 (how deviations are merged).
    Raises: as `SmoothGrad`; ValueError where a square is beyond the range of the dtype.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1) @ torch.tensor([2.0, -1.0, 0.0])
    >>> pb.attribute(f, torch.ones(1, 1, 3), method="vargrad(samples=4)").values
    tensor([[[0., 0., 0.]]])
    """

    def estimate(self, evaluator: Evaluator) -> Estimate:
        moments = [_Moments(chart.displacement) for chart in evaluator.charts]
        for number, rows, gradient in self._gradients(evaluator):
            for entry, first, last in rows.runs():
                moments[number].merge(entry, gradient[first:last])
        for moment in moments:
            self._check_squares(moment.squares, moment.largest())
        return Estimate([moment.squares / self.samples for moment in moments])


class _Moments:
    """Running count, mean and sum of squared deviations of each example's rows."""

    def __init__(self, like: Tensor) -> None:
        self.counts = [0] * len(like)
        self.mean, self.squares = torch.zeros_like(like), torch.zeros_like(like)
        self._largest = like.new_zeros(len(like))

    def largest(self) -> Tensor:
        """The largest deviation, (batch,); 0 where it may be a rounding error."""
        rounding = _ROUNDING * torch.finfo(self.mean.dtype).eps * self.mean.detach().flatten(1).abs().amax(1)
        return self._largest.where(self._largest > rounding, 0)

    def merge(self, example: int, rows: Tensor) -> None:
        before, new = self.counts[example], len(rows)
        # Relative to the first row, so that the mean of equal rows is exactly that row.
        mean = rows[0] + (rows - rows[0]).mean(0)
        shift = mean - self.mean[example] if before else torch.zeros_like(mean)
        deviation, after = rows - mean, before + new
        _keep_largest(self._largest, example, deviation)
        _keep_largest(self._largest, example, shift)
        self.squares[example] += deviation.square().sum(0) + shift.square() * (before * new / after)
        self.mean[example] = self.mean[example] + shift * (new / after) if before else mean
        self.counts[example] = after


def _keep_largest(largest: Tensor, example: int, values: Tensor) -> None:
    largest[example] = torch.maximum(largest[example], values.detach().abs().amax())
