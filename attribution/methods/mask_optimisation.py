"""The optimisation of masks: its objective and its descent, the prices of coefficients, and what stands in for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...transforms import Layout
from ..engine.row_index import RowIndex
from ..estimator import Chart, Evaluator
from .coalitions import band_mean

CURVES = ("sparsity", "logit", "probability", "objective")
Weight = str | Sequence[float] | Mapping[str, float] | Tensor


@dataclass(frozen=True, eq=False)
class Problem:
    """What `Mask` minimises, in one chart: ∓f(T⁻¹(m ⊙ z + (1 - m) ⊙ r)) + α ‖w ⊙ m‖₁, or ‖w ⊙ (1 - m)‖₁.

    game, obfuscation, lr, steps: as in `Mask`.  weight: w, (*coeff).  substitute: (example, step) -> r, (rows, *coeff).
    """

    game: str
    obfuscation: str
    lr: float
    steps: int
    evaluator: Evaluator
    chart: Chart
    weight: Tensor
    substitute: Callable[[Tensor, int], Tensor]

    @classmethod
    def of(
        cls, evaluator: Evaluator, chart: Chart, weight: Weight, *, game: str, obfuscation: str, lr: float, steps: int
    ) -> "Problem":
        prices, absent = coefficient_weights(weight, chart.layout), _substitute(obfuscation, evaluator, chart)
        return cls(game, obfuscation, lr, steps, evaluator, chart, prices.to(chart.point), absent)

    @property
    def coefficients(self) -> Tensor:
        """z, (batch, *coeff)."""
        return self.chart.point

    @property
    def sign(self) -> int:
        """Of f in what is minimised."""
        return -1 if self.game == "preservation" else 1

    def solve(self, mask: Tensor, example: Tensor, alpha: Tensor, steps: int) -> None:
        """Optimises `mask` (rows, *coeff) in place, a chunk of rows at a time.

        example: (rows,), whose mask each is.  alpha: (rows,), its price.
        Raises: ValueError that names the example at which the gradient was not finite.
        """

        def run(part: slice) -> Tensor:  # on a copy, so that a chunk that ran out of memory starts anew
            return self._descend(mask[part].clone(), example[part], alpha[part], steps)

        for part, found in self.evaluator.engine.chunks(example, run):
            mask[part] = found

    def _descend(self, mask: Tensor, example: Tensor, alpha: Tensor, steps: int) -> Tensor:
        price = -self.sign * alpha.reshape(-1, *[1] * self.weight.ndim) * self.weight
        optimizer = torch.optim.NAdam([mask], lr=self.lr)
        for step in range(steps):
            if step == 0 or self.obfuscation == "noise":
                absent = self.substitute(example, step)
                moved = self.coefficients[example] - absent
            _, gradient = self.evaluator.engine.gradient(self.chart.push(torch.addcmul(absent, mask, moved)), example)
            mask.grad = torch.addcmul(price, self.chart.pull(gradient), moved, value=self.sign)
            _check(mask.grad, example)
            optimizer.param_groups[0]["lr"] = self.lr * (1 - step / steps)
            optimizer.step()
            mask.clamp_(0, 1)
        mask.grad = None
        return mask

    def size(self, mask: Tensor) -> Tensor:
        """‖w ⊙ m‖₁, in the deletion game ‖w ⊙ (1 - m)‖₁, of mask (batch, number, *coeff). Shape: (batch, number)."""
        priced = mask if self.game == "preservation" else 1 - mask
        return (self.weight * priced).flatten(2).sum(2)

    def curves(self, mask: Tensor, example: Tensor, alpha: Tensor) -> dict[str, Tensor]:
        """What `MaskPath` reports of mask (batch, prices, *coeff). Shapes: (batch, prices)."""
        flat, rows = mask.flatten(0, 1), example.repeat_interleave(mask.shape[1])

        def points(part: slice) -> Tensor:
            absent = self.substitute(rows[part], self.steps)
            return self.chart.push(torch.lerp(absent, self.coefficients[rows[part]], flat[part]))

        logit, probability = (curve.view(mask.shape[:2]) for curve in self.evaluator.engine.probabilities(rows, points))
        objective = self.sign * logit + alpha * self.size(mask)
        return dict(zip(CURVES, (1 - mask.flatten(2).mean(2), logit, probability, objective)))


class Pool:
    """Masks of each example, (batch, number, *coeff), with f and price of each, so that the best for any α is at hand."""

    def __init__(self, problem: Problem, example: Tensor) -> None:
        self._problem, self._example = problem, example
        self._masks: list[Tensor] = []
        self._loss: list[Tensor] = []

    def add(self, mask: Tensor) -> None:
        alpha = mask.new_zeros(mask.shape[:2])
        self._masks.append(mask)
        self._loss.append(self._problem.curves(mask, self._example, alpha)["objective"])

    def best(self, alpha: Tensor) -> Tensor:
        """The mask of lowest objective at alpha (batch,). Shape: (batch, *coeff)."""
        masks = torch.cat(self._masks, 1)
        cost = torch.cat(self._loss, 1) + alpha[:, None] * self._problem.size(masks)
        return masks[self._example, cost.argmin(1)]


def _check(gradient: Tensor, example: Tensor) -> None:
    if bool(gradient.sum().isfinite()):  # one cheap pass: what is not finite stays so in the sum
        return
    finite = gradient.flatten(1).isfinite().all(1)
    if not bool(finite.all()):
        raise ValueError(
            f"mask: the model's gradient is not finite for example {int(example[~finite][0])} at some masked "
            "signal; look for square roots, logarithms or divisions at zero in the model, or take another "
            "obfuscation."
        )


def _substitute(kind: str, evaluator: Evaluator, chart: Chart) -> Callable[[Tensor, int], Tensor]:
    """(example, step) -> r, what stands in for a removed coefficient. Shape: (rows, *coeff)."""
    if kind == "baseline":
        return lambda example, step: chart.point[example] - chart.displacement[example]
    if kind == "zero":
        return lambda example, step: torch.zeros_like(chart.point[example])
    mean = band_mean(chart.layout, chart.point)
    if kind == "mean":
        return lambda example, step: mean[example]
    spread = band_mean(chart.layout, (chart.point - mean).square()).sqrt()
    shape = chart.point.shape[1:]

    def noisy(example: Tensor, step: int) -> Tensor:
        rows = RowIndex.of(example.cpu(), torch.full_like(example, step).cpu(), example.device)
        noise = evaluator.keyed.draw(rows, tuple(shape), Tensor.normal_)
        return torch.addcmul(mean[example], spread[example], noise)

    return noisy


def coefficient_weights(weight: Weight, layout: Layout) -> Tensor:
    """w of `Mask`, one number per coefficient. Shape: (*coeff).

    Raises: ValueError that says what was expected, with the names of the bands.

    >>> from pullback.transforms import get
    >>> layout = get("dwt(haar, level=1)", (1, 4)).layout
    >>> [band.name for band in layout.bands], coefficient_weights([0.5, 2.0], layout).tolist()
    (['a1', 'd1'], [[0.5, 0.5, 2.0, 2.0]])
    """
    if isinstance(weight, str):
        sizes = layout.sizes.double()
        bands = torch.ones_like(sizes) if weight == "uniform" else sizes.sqrt() / sizes.sqrt().mean()
        return bands[layout.index]
    names = [band.name for band in layout.bands]
    if isinstance(weight, Mapping):
        if set(weight) != set(names):
            raise ValueError(
                f"mask: weight must name every band, {', '.join(names)}; got {', '.join(map(str, weight))}."
            )
        weight = [weight[name] for name in names]
    given = torch.as_tensor(weight, dtype=None if isinstance(weight, Tensor) else torch.double).detach().cpu()
    if not bool((given.isfinite() & (given >= 0)).all()):
        raise ValueError(
            "mask: weight must be finite and at least 0 everywhere; a negative price would reward coefficients "
            "for being kept."
        )
    if given.shape == layout.index.shape:
        return given
    if tuple(given.shape) != (len(names),):
        raise ValueError(
            f"mask: weight must be 'uniform', 'scale', one number for each of the {len(names)} bands ("
            f"{', '.join(names)}) or one per coefficient, {layout.shape}; got shape "
            f"{tuple(given.shape)}."
        )
    return given[layout.index]
