"""The optimisation of masks: its options, objective and descent, the prices of coefficients, and their substitutes."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...core.checks import check_choice, check_count, check_number
from ...transforms import Layout
from ..engine.row_index import RowIndex
from ..estimator import Chart, Evaluator, check_gradient
from .coalitions import band_mean

CURVES = ("sparsity", "logit", "probability", "objective")
GAMES = ("preservation", "deletion")
OBFUSCATIONS = ("baseline", "zero", "mean", "noise")
WEIGHTS = ("uniform", "scale")
Weight = str | Sequence[float] | Mapping[str, float] | Tensor


@dataclass(frozen=True)
class MaskOptions:
    """The options of `Mask`.  Raises: ValueError or TypeError where one is out of range."""

    alpha: float = 1e-4
    steps: int = 500
    lr: float = 0.1
    game: str = "preservation"
    obfuscation: str = "baseline"
    weight: Any = "uniform"

    def __post_init__(self) -> None:
        check_count("mask", "steps", self.steps)
        check_choice("mask", "game", self.game, GAMES)
        check_choice("mask", "obfuscation", self.obfuscation, OBFUSCATIONS)
        if isinstance(self.weight, str):
            check_choice("mask", "weight", self.weight, WEIGHTS)
        check_number("mask", "alpha", self.alpha, 0)  # a negative price would reward coefficients for being kept
        check_number("mask", "lr", self.lr, 0)
        if self.lr == 0:
            raise ValueError("mask: lr must be a positive number, got 0.")


@dataclass(frozen=True, eq=False)
class Problem:
    """The objective of `Mask` in one chart: ∓f(T⁻¹(m ⊙ z + (1 - m) ⊙ r)) + α ‖w ⊙ m‖₁, or ‖w ⊙ (1 - m)‖₁.

    weight: w, (*coeff).  substitute: (example, step) -> r, (rows, *coeff).
    """

    options: MaskOptions
    evaluator: Evaluator
    chart: Chart
    weight: Tensor
    substitute: Callable[[Tensor, int], Tensor]

    @classmethod
    def of(cls, options: MaskOptions, evaluator: Evaluator, chart: Chart) -> "Problem":
        weight = coefficient_weights(options.weight, chart.layout).to(chart.point)
        return cls(options, evaluator, chart, weight, _substitute(options.obfuscation, evaluator, chart))

    @property
    def sign(self) -> int:
        """The sign of f in the objective."""
        return -1 if self.options.game == "preservation" else 1

    def size(self, mask: Tensor) -> Tensor:
        """‖w ⊙ m‖₁, in the deletion game ‖w ⊙ (1 - m)‖₁, of mask (batch, number, *coeff). Shape: (batch, number)."""
        priced = mask if self.options.game == "preservation" else 1 - mask
        return (self.weight * priced).flatten(2).sum(2)

    def curves(self, mask: Tensor, example: Tensor, alpha: Tensor) -> dict[str, Tensor]:
        """The curves of `MaskPath` for mask (batch, prices, *coeff). Shapes: (batch, prices)."""
        flat, rows = mask.flatten(0, 1), example.repeat_interleave(mask.shape[1])

        def points(part: slice) -> Tensor:
            absent = self.substitute(rows[part], self.options.steps)
            return self.chart.push(torch.lerp(absent, self.chart.point[rows[part]], flat[part]))

        logit, probability = (curve.view(mask.shape[:2]) for curve in self.evaluator.engine.probabilities(rows, points))
        objective = self.sign * logit + alpha * self.size(mask)
        return dict(zip(CURVES, (1 - mask.flatten(2).mean(2), logit, probability, objective)))


@dataclass(frozen=True, eq=False)
class Descent:
    """The masks of one chart that are optimised.

    mask: (rows, *coeff).  example: of each row, (rows,).  alpha: the price of each row, (rows,).
    """

    problem: Problem
    mask: Tensor
    example: Tensor
    alpha: Tensor

    def rows(self, part: slice) -> "Descent":
        """Some of the rows, with copies of their masks: a chunk that ran out of memory starts again."""
        return Descent(self.problem, self.mask[part].clone(), self.example[part], self.alpha[part])

    def slope(self) -> Tensor:
        """The gradient of the price with respect to the mask, (rows, *coeff)."""
        return -self.problem.sign * self.alpha.reshape(-1, *[1] * self.problem.weight.ndim) * self.problem.weight


def optimise(descents: Sequence[Descent], steps: int) -> None:
    """Optimises the masks of all charts in place. Rows of several charts share a forward: few rows alone keep no device busy.

    Raises: ValueError that names the example at which the gradient was not finite.
    """
    engine, sizes = descents[0].problem.evaluator.engine, [len(one.example) for one in descents]
    starts = [0, *itertools.accumulate(sizes)]

    def run(part: slice) -> list[tuple[Tensor, slice, Tensor]]:
        cuts = [slice(*(min(max(at - start, 0), size) for at in (part.start, part.stop))) for start, size in zip(starts, sizes)]
        chosen = [(one, cut, one.rows(cut)) for one, cut in zip(descents, cuts) if cut.start < cut.stop]
        _descend([own for _, _, own in chosen], steps)
        return [(one.mask, cut, own.mask) for one, cut, own in chosen]

    for _, found in engine.chunks(torch.cat([one.example for one in descents]), run):
        for whole, cut, mask in found:
            whole[cut] = mask


def _descend(parts: Sequence[Descent], steps: int) -> None:
    options, engine = parts[0].problem.options, parts[0].problem.evaluator.engine
    example, sizes = torch.cat([part.example for part in parts]), [len(part.example) for part in parts]
    slopes, masks, charts = zip(*((part.slope(), part.mask, part.problem.chart) for part in parts))
    optimizer = torch.optim.NAdam(masks, lr=options.lr)
    for step in range(steps):
        if step == 0 or options.obfuscation == "noise":
            absent = [part.problem.substitute(part.example, step) for part in parts]
            moved = [chart.point[part.example] - rest for part, chart, rest in zip(parts, charts, absent)]
        points = [chart.push(torch.addcmul(rest, mask, way)) for chart, rest, mask, way in zip(charts, absent, masks, moved)]
        gradients = engine.gradient(torch.cat(points), example)[1].split(sizes)
        for part, chart, gradient, slope, way in zip(parts, charts, gradients, slopes, moved):
            part.mask.grad = torch.addcmul(slope, chart.pull(gradient), way, value=part.problem.sign)
            check_gradient(part.mask.grad, part.example, " at some masked signal", "obfuscation")
        optimizer.param_groups[0]["lr"] = options.lr * (1 - step / steps)
        optimizer.step()
        for mask in masks:
            mask.clamp_(0, 1)
    for mask in masks:
        mask.grad = None


class Pool:
    """Masks of each example, (batch, number, *coeff), with ∓f of each, from which the best for any α is chosen."""

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


def _substitute(kind: str, evaluator: Evaluator, chart: Chart) -> Callable[[Tensor, int], Tensor]:
    """(example, step) -> r, the substitute for removed coefficients. Shape: (rows, *coeff)."""
    z, mean = chart.point, band_mean(chart.layout, chart.point)
    if kind != "noise":
        fixed = {"baseline": z - chart.displacement, "zero": torch.zeros_like(z), "mean": mean}[kind]
        return lambda example, step: fixed[example]
    spread = band_mean(chart.layout, (z - mean).square()).sqrt()

    def noisy(example: Tensor, step: int) -> Tensor:
        rows = RowIndex.of(example.cpu(), torch.full_like(example, step).cpu(), example.device)
        noise = evaluator.keyed.draw(rows, tuple(z.shape[1:]), Tensor.normal_)
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
        size = layout.sizes.double().sqrt()
        return (torch.ones_like(size) if weight == "uniform" else size / size.mean())[layout.index]
    names = [band.name for band in layout.bands]
    if isinstance(weight, Mapping):
        if set(weight) != set(names):
            raise ValueError(f"mask: weight must name every band, {', '.join(names)}; got {', '.join(map(str, weight))}.")
        weight = [weight[name] for name in names]
    given = torch.as_tensor(weight, dtype=None if isinstance(weight, Tensor) else torch.double).detach().cpu()
    if not bool((given.isfinite() & (given >= 0)).all()):
        raise ValueError("mask: weight must be finite and at least 0 everywhere; a negative price rewards coefficients.")
    if given.shape == layout.index.shape:
        return given
    if tuple(given.shape) != (len(names),):
        bands = f"one number for each of the {len(names)} bands ({', '.join(names)})"
        wanted = f"'uniform', 'scale', {bands} or one per coefficient, {layout.shape}"
        raise ValueError(f"mask: weight must be {wanted}; got shape {tuple(given.shape)}.")
    return given[layout.index]
