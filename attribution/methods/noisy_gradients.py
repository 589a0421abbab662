"""Statistics of noisy gradients that are not linear in them: the adjoint is applied to each sample."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.checks import check_count, is_number
from ...transforms import Layout
from ..engine.row_index import RowIndex
from ..engine.row_sums import accumulate
from ..estimator import Cost, Estimate, Estimator, Evaluator, MethodClaim, register
from .gradients import noisy

_ROUNDING = 1e3  # units of the last bit of a mean below which deviations from it may be rounding
# What a coefficient that f ignores is given is 0 in all of them, but none is linear in f.
_MOMENTS = MethodClaim.DUMMY | MethodClaim.IMPLEMENTATION_INVARIANT


@dataclass(frozen=True)
class NoisyGradients(Estimator):
    """A statistic of g_i = ∇_z f(T⁻¹ T(x + δ_i)), with the noise of `smoothgrad`: δ_i ~ N(0, σ² I) in the signal.

    samples: how many.  spread: σ / (max x - min x) of the example.
    Source of the settings: Smilkov et al. 2017.
    """

    samples: int = 25
    spread: float = 0.15
    claims = _MOMENTS
    kind = "sensitivity"

    def __post_init__(self) -> None:
        check_count(self.name, "samples", self.samples)
        if not is_number(self.spread) or not self.spread >= 0:
            raise ValueError(f"{self.name}: spread must be at least 0, got {self.spread!r}.")

    def cost(self, layouts: Sequence[Layout]) -> Cost:
        return Cost(gradients=self.samples)

    def _pulled(self, evaluator: Evaluator) -> Iterator[tuple[int, RowIndex, Tensor]]:
        """(chart, rows, gradients in it), a chunk of rows at a time; one gradient stream serves all charts."""
        for rows, _, gradient in evaluator.gradient_chunks(self.samples, noisy(evaluator, self.spread)):
            gradient = gradient.contiguous()  # once, and not in every chart
            for number, chart in enumerate(evaluator.charts):
                yield number, rows, chart.pull(gradient)

    def _check_squares(self, values: Tensor, largest: Tensor) -> None:
        """Raises: ValueError where squares of numbers up to `largest` (batch,) do not fit into the dtype of `values`."""
        found, reach = values.detach().flatten(1).amax(1), torch.finfo(values.dtype)
        lost = largest.isfinite() & (~found.isfinite() | (found < reach.tiny) & (largest > 0))
        if bool(lost.any()):
            wrong = int(lost.nonzero()[0, 0])
            raise ValueError(
                f"{self.name}: squares of {float(largest[wrong]):.3g}, as for example {wrong}, are beyond the "
                f"range of {values.dtype}; scale the score, or run x and the model in torch.float64."
            )

    @classmethod
    def examples(cls) -> Iterable[Estimator]:
        return [cls(samples=4)]


@register("squaregrad")
@dataclass(frozen=True)
class SquareGrad(NoisyGradients):
    """a = 1/n Σ_i g_i², the second moment of noisy gradients g_i.

    Source: Hooker et al. 2019, §4 (SmoothGrad-Squared).
    Raises: ValueError as `smoothgrad` does, and where a square is beyond the range of the dtype.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1) @ torch.tensor([2.0, -1.0, 0.0])
    >>> pb.attribute(f, torch.ones(1, 1, 3), method="squaregrad(samples=4)").values
    tensor([[[4., 1., 0.]]])
    """

    def estimate(self, evaluator: Evaluator) -> Estimate:
        largest = [chart.displacement.new_zeros(len(chart.displacement)) for chart in evaluator.charts]
        totals = [torch.zeros_like(chart.displacement) for chart in evaluator.charts]
        for number, rows, gradient in self._pulled(evaluator):
            accumulate(totals[number], rows, gradient.square() / self.samples)
            for entry, first, last in rows.runs():
                _keep_largest(largest[number], entry, gradient[first:last])
        for total, most in zip(totals, largest):
            self._check_squares(total, most)
        return Estimate(totals)


@register("absgrad")
@dataclass(frozen=True)
class AbsGrad(NoisyGradients):
    """a = 1/n Σ_i |g_i|, the mean magnitude of noisy gradients g_i, for each example on its own.

    Source: the saliency of Kasmi et al. 2025 (WAM) as its code computes it, without its division by a maximum over the
    batch.
    Raises: ValueError as `smoothgrad` does.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1) @ torch.tensor([2.0, -1.0, 0.0])
    >>> pb.attribute(f, torch.ones(1, 1, 3), method="absgrad(samples=4)").values
    tensor([[[2., 1., 0.]]])
    """

    def estimate(self, evaluator: Evaluator) -> Estimate:
        totals = [torch.zeros_like(chart.displacement) for chart in evaluator.charts]
        for number, rows, gradient in self._pulled(evaluator):
            accumulate(totals[number], rows, gradient.abs())
        return Estimate([total.div_(self.samples) for total in totals])


@register("vargrad")
@dataclass(frozen=True)
class VarGrad(NoisyGradients):
    """a = 1/n Σ_i (g_i - ḡ)², the variance of noisy gradients g_i.

    Deviations are merged chunk by chunk (Chan, Golub & LeVeque 1983), so that a is never negative and is exactly 0 where
    the gradient is constant.

    Source: Adebayo et al. 2018, §3 (VarGrad).
    Raises: ValueError as `smoothgrad` does, and where a square is beyond the range of the dtype.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1) @ torch.tensor([2.0, -1.0, 0.0])
    >>> pb.attribute(f, torch.ones(1, 1, 3), method="vargrad(samples=4)").values
    tensor([[[0., 0., 0.]]])
    """

    def estimate(self, evaluator: Evaluator) -> Estimate:
        moments = [_Moments(chart.displacement) for chart in evaluator.charts]
        for number, rows, gradient in self._pulled(evaluator):
            moments[number].update(rows, gradient)
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
        """The largest deviation, (batch,); 0 where that may be rounding."""
        rounding = _ROUNDING * torch.finfo(self.mean.dtype).eps * self.mean.detach().flatten(1).abs().amax(1)
        return self._largest.where(self._largest > rounding, 0)

    def update(self, rows: RowIndex, values: Tensor) -> None:
        for entry, first, last in rows.runs():
            self._merge(entry, values[first:last])

    def _merge(self, example: int, rows: Tensor) -> None:
        before, new = self.counts[example], len(rows)
        # Relative to the first row, so that equal rows have exactly their own mean.
        mean = rows[0] + (rows - rows[0]).mean(0)
        shift = mean - self.mean[example] if before else torch.zeros_like(mean)
        after = before + new
        apart = rows - mean
        _keep_largest(self._largest, example, apart)
        _keep_largest(self._largest, example, shift)
        self.squares[example] += apart.square().sum(0) + shift.square() * (before * new / after)
        self.mean[example] = self.mean[example] + shift * (new / after) if before else mean
        self.counts[example] = after


def _keep_largest(largest: Tensor, example: int, values: Tensor) -> None:
    largest[example] = torch.maximum(largest[example], values.detach().abs().amax())
