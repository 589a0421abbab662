"""Masks on coefficients: the few that f needs (meaningful perturbation), for one price α or for several."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...core.checks import is_number
from ...transforms import Layout
from ..estimator import Cost, Estimate, Estimator, Evaluator, MethodClaim, register
from .mask_optimisation import CURVES, Descent, MaskOptions, Pool, Problem, optimise

_WARM = 50  # at least this number of steps starts from a known mask, before any start from m = 1


@register("mask")
@dataclass(frozen=True)
class Mask(MaskOptions, Estimator):
    """a = m, the mask in [0, 1] that keeps f with the fewest coefficients; 1 - m in the deletion game.

        preservation    min_m  -f(T⁻¹(m ⊙ z + (1 - m) ⊙ r)) + α ‖w ⊙ m‖₁
        deletion        min_m  +f(T⁻¹(m ⊙ z + (1 - m) ⊙ r)) + α ‖w ⊙ (1 - m)‖₁

    by `steps` of NAdam from m = 1, each followed by the projection onto [0, 1]; the learning rate falls linearly to 0.
    For linear f the minimum is a threshold: m_k = 1 where (z - r)_k ∂f/∂z_k > α w_k. The gradient with respect to m is
    (z - r) ⊙ (T⁻¹)ᵀ ∇_x f, without automatic differentiation through T.
    NAdam divides gradients by their size, so that rounding grows with each step where they nearly vanish. In single precision
    another `batch_size`, batch or form of the network is such a rounding: masks of a small ReLU network moved by 3e-4, rarely
    by 0.08; those of an EfficientNet by 0.2 of their L2 norm after 25 steps and 0.6 after 100, as they did when x changed by
    1e-7, and their objective by up to 9 %: it is one of many masks of nearly equal worth. In double precision they do not move.

    alpha: the price of one coefficient, in units of the score; at least 0.
    game: "preservation" finds the few coefficients that suffice, "deletion" the few without which f falls.
    obfuscation: r. "baseline", z₀ of `attribute`; "zero"; "mean", each band's mean in this example; "noise", normal with
    each band's mean and deviation, drawn again at each step.
    weight: w. "uniform", 1; "scale", the square root of the band's size over the mean of these, so that small coarse
    bands cost less; one number per band, in the layout's order or by the band's name; or one per coefficient.
    Sources: Fong & Vedaldi 2017, eq. (3) and (4); for wavelets, Kolek et al. 2022 (CartoonX); Kasmi et al. 2025 (WAM), whose
    printed objective has +f where keeping the prediction needs -f.
    Raises: ValueError or TypeError that says which option was out of range.

    >>> import torch, pullback as pb
    >>> f, x = lambda x: x.sum((1, 2)), torch.tensor([[[3.0, 1.0, 2.0]]])  # ∂f/∂z is 1: what exceeds the price stays
    >>> pb.attribute(f, x, method=Mask(alpha=1.5, steps=40)).values
    tensor([[[1., 0., 1.]]])
    """

    claims = MethodClaim.DUMMY | MethodClaim.SYMMETRIC | MethodClaim.IMPLEMENTATION_INVARIANT
    kind = "sensitivity"
    examples = classmethod(
        lambda cls: [cls(alpha=0.02, steps=24), cls(alpha=0.02, steps=24, game="deletion", obfuscation="mean")]
    )

    def estimate(self, evaluator: Evaluator) -> Estimate:
        found = Front(self, (self.alpha,)).estimate(evaluator)
        values = [mask if self.game == "preservation" else 1 - mask for mask in found.values]
        assert isinstance(found.details, list)  # one for each chart
        return Estimate(values, details=[{name: d[name][:, 0] for name in CURVES} for d in found.details])

    def cost(self, layouts: Sequence[Layout]) -> Cost:
        return Cost(self.steps * len(layouts), len(layouts))


@dataclass(frozen=True)
class Front(Estimator):
    """The masks of `options` for several prices; `details` of each chart hold "mask" and the curves of `MaskPath`.

    continuation: None optimises all examples × prices from m = 1. A fraction c gives each price except the smallest
    c × steps: up to two thirds from m = 1, the rest, at least 50, from the mask that is best for this price among all that
    were found so far. This takes (1 + c (prices - 1)) / prices of the steps. Each price gets the best of all masks.
    Raises: ValueError for no alphas, one below 0, or a continuation outside (0, 1].

    >>> import pullback as pb
    >>> one, prices = [pb.transforms.get("pixel", (1, 8)).layout], (1e-4, 1e-3, 1e-2)
    >>> Front(Mask(steps=500), prices).cost(one).total, Front(Mask(steps=500), prices, 0.3).cost(one).total
    (1503, 808)
    """

    options: MaskOptions
    alphas: tuple[float, ...]
    continuation: float | None = None
    name = "mask"
    claims = Mask.claims
    kind = "sensitivity"
    examples = classmethod(lambda cls: [cls(Mask(steps=20), (0.01, 0.1))])

    def __post_init__(self) -> None:
        if not self.alphas:
            raise ValueError("mask: alphas must hold at least one price, got none.")
        for alpha in self.alphas:
            replace(self.options, alpha=alpha)  # checks it
        if self.continuation is not None and not (is_number(self.continuation) and 0 < self.continuation <= 1):
            raise ValueError(f"mask: continuation must be a fraction in (0, 1] or None, got {self.continuation!r}.")

    def estimate(self, evaluator: Evaluator) -> Estimate:
        if evaluator.engine.create_graph:
            raise ValueError("mask: the result of an optimisation has no graph; call it without create_graph.")
        problems = [Problem.of(self.options, evaluator, chart) for chart in evaluator.charts]
        details = self._alone(problems) if self.continuation is None else [self._continued(one) for one in problems]
        return Estimate([front["mask"][:, 0] for front in details], details=list(details))

    def cost(self, layouts: Sequence[Layout]) -> Cost:
        steps, prices, domains = self.options.steps, len(self.alphas), len(layouts)
        if self.continuation is None:
            return Cost(domains * steps * prices, domains * prices)
        fresh, warm = self._shares()
        forwards = 1 + (bool(fresh) + 1) * (prices - 1) + prices
        return Cost(domains * (steps + (fresh + warm) * (prices - 1)), domains * forwards)

    def _alone(self, problems: Sequence[Problem]) -> list[dict[str, Tensor]]:
        """Of each chart {"mask": (batch, prices, *coeff)} and the curves, (batch, prices); each price from m = 1."""
        starts = [self._start(problem) for problem in problems]
        flat = [
            Descent(problem, mask.flatten(0, 1), example.repeat_interleave(mask.shape[1]), alpha.flatten())
            for problem, (mask, example, alpha) in zip(problems, starts)
        ]
        optimise(flat, self.options.steps)
        return [{"mask": mask} | problem.curves(mask, *rest) for problem, (mask, *rest) in zip(problems, starts)]

    def _start(self, problem: Problem) -> tuple[Tensor, Tensor, Tensor]:
        """Masks of ones (batch, prices, *coeff), the examples (batch,) and the prices (batch, prices)."""
        z, prices = problem.chart.point, len(self.alphas)
        example = torch.arange(len(z), device=z.device)
        return z.new_ones(len(z), prices, *z.shape[1:]), example, z.new_tensor(self.alphas).expand(len(z), -1)

    def _continued(self, problem: Problem) -> dict[str, Tensor]:
        """As `_alone`, of one chart. A mask found for one price may be the best for another."""
        mask, example, alpha = self._start(problem)
        first, *later = sorted(range(len(self.alphas)), key=self.alphas.__getitem__)
        fresh, warm = self._shares()
        pool = Pool(problem, example)
        start = mask[:, first].clone()
        optimise([Descent(problem, start, example, alpha[:, first])], self.options.steps)
        pool.add(start[:, None])
        if fresh and later:
            rows = mask[:, later].flatten(0, 1)
            optimise([Descent(problem, rows, example.repeat_interleave(len(later)), alpha[:, later].flatten())], fresh)
            pool.add(rows.unflatten(0, (len(mask), len(later))))
        for price in later:
            now = pool.best(alpha[:, price])
            optimise([Descent(problem, now, example, alpha[:, price])], warm)
            pool.add(now[:, None])
        mask = torch.stack([pool.best(price) for price in alpha.unbind(1)], 1)
        return {"mask": mask} | problem.curves(mask, example, alpha)

    def _shares(self) -> tuple[int, int]:
        """Steps of each later price from m = 1, and from the best known mask."""
        later = max(1, round((self.continuation or 1) * self.options.steps))
        warm = min(later, max(_WARM, later // 3))
        return later - warm, warm
