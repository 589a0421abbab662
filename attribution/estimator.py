"""The contract of a method: `Estimator`, the `Evaluator` that gives it scores and gradients, and a `Chart` per domain."""

import abc
import enum
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from ..core.checks import not_finite
from ..core.registry import Registry
from ..core.spec import parse
from ..transforms import Layout
from .engine.engine import Engine
from .engine.random import Keyed
from .engine.row_index import RowIndex
from .engine.row_sums import accumulate

Kind = Literal["share", "sensitivity"]
PointsOf = Callable[[RowIndex], Tensor]  # the rows of one forward -> u, (rows, *u)


class MethodClaim(enum.Flag):
    """The laws that a method claims for its values a; `pullback.axioms` checks each of them.

    COMPLETE                  Σ_k a_k = f(x) - f(x₀), up to quadrature
    LINEAR                    a(f + g) = a(f) + a(g)
    DUMMY                     f ignores coefficient k => a_k = 0
    SENSITIVE                 x and x₀ differ only in k, and f(x) ≠ f(x₀) => a_k ≠ 0
    SYMMETRIC                 f symmetric in j, k, and both equal in x and in x₀ => a_j = a_k
    IMPLEMENTATION_INVARIANT  equal functions have equal maps

    Sources: Sundararajan, Taly & Yan 2017; Friedman 2004 for DUMMY.

    >>> MethodClaim.COMPLETE in get("integrated_gradients").claims, MethodClaim.COMPLETE in get("gradient").claims
    (True, False)
    """

    NONE = 0
    COMPLETE = enum.auto()
    LINEAR = enum.auto()
    DUMMY = enum.auto()
    SENSITIVE = enum.auto()
    SYMMETRIC = enum.auto()
    IMPLEMENTATION_INVARIANT = enum.auto()


class Cost(NamedTuple):
    """Evaluations of the model that a method needs for one example, with and without a gradient."""

    gradients: int = 0
    forwards: int = 0

    @property
    def total(self) -> int:
        """All evaluations."""
        return self.gradients + self.forwards


@dataclass(frozen=True, eq=False)
class Chart:
    """One domain, and the maps between it and the coordinates u in which the model is evaluated.

    pull: gradients with respect to u, (rows, *u), to gradients with respect to z, (rows, *coeff).
    displacement: z - z₀, (batch, *coeff).  point: z, (batch, *coeff).
    push: z, (rows, *coeff), to u, (rows, *u): T⁻¹ where u is the signal, else the identity.
    layout: the bands of z.
    carry: differences u - u', (rows, *u), to z - z', (rows, *coeff).

    Shares have the same total in every chart, here in u and in z = 2u:

    >>> step, covector = torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, -1.0]])
    >>> double, layout = lambda u: 2 * u, pb.transforms.get("pixel", shape=(2,)).layout
    >>> z = Chart(lambda g: g / 2, double(step), double(step), push=lambda z: z / 2, layout=layout, carry=double)
    >>> float((step * covector).sum()), float((z.displacement * z.pull(covector)).sum())
    (2.0, 2.0)
    """

    pull: Callable[[Tensor], Tensor]
    displacement: Tensor
    point: Tensor
    push: Callable[[Tensor], Tensor]
    layout: Layout
    carry: Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Estimate:
    """The result of an estimator.

    values: for each chart of the evaluator, (batch, *coeff).
    covector: ḡ (batch, *u) where values = displacement ⊙ pull(ḡ) (shares) or pull(ḡ) (sensitivities), else None.
    details: further findings by name; tensors have the batch first. A list where each chart has its own.
    score_difference: the total of the values, (batch,), where it is not f(x) - f(x₀), as with several baselines.
    displacements: z - z₀ of each chart, where the method replaces coefficients by others than the baseline's.

    >>> Estimate([torch.zeros(2, 1, 8)], details={"tries": torch.tensor([3, 5])}).details["tries"].shape  # 2 examples
    torch.Size([2])
    """

    values: list[Tensor]
    covector: Tensor | None = None
    details: dict[str, Any] | list[dict[str, Any]] = field(default_factory=dict)
    score_difference: Tensor | None = None
    displacements: list[Tensor] | None = None


@dataclass(frozen=True, eq=False)
class Evaluator:
    """f and ∇f at points of one coordinate system u, and the charts to which gradients are carried.

    For linear T, u is the signal, so that all linear domains share one evaluator; for any other T, u is its z.

    signal: x, (batch, *shape).  point, base: u and u₀, (batch, *u).  lift: x -> u, for noise that is added to the signal.
    draw: u₀ of given rows.  random: whether samples differ in it.  earlier: the `details` of a result to continue from.

    >>> import pullback as pb
    >>> @dataclass(frozen=True)
    ... class Halfway(Estimator):
    ...     claims, kind = MethodClaim.DUMMY, "share"
    ...     def estimate(self, evaluator):
    ...         middle = (evaluator.base + evaluator.point) / 2
    ...         return evaluator.shares(evaluator.mean_gradient(torch.ones(1), lambda rows: middle[rows.example]))
    ...     cost = lambda self, layouts: Cost(gradients=1)
    >>> pb.attribute(lambda x: x.square().sum(1), torch.full((1, 2), 3.0), method=Halfway()).values
    tensor([[9., 9.]])
    """

    signal: Tensor
    point: Tensor
    base: Tensor
    lift: Callable[[Tensor], Tensor]
    charts: Sequence[Chart]
    engine: Engine
    seed: int
    draw: PointsOf
    random: bool = True
    earlier: Mapping[str, Any] | None = None

    def gradient_chunks(self, per_example: int | Tensor, points: PointsOf) -> Iterator[tuple[RowIndex, Tensor, Tensor]]:
        """(rows, f, ∇f) of `per_example` samples of each example, one chunk of rows after another.

        per_example: one number for all, or one for each example, (batch,).  points: rows -> u, (rows, *u).
        """
        index = self._index(per_example)
        for part, value, gradient in self.engine.gradient_chunks(index.example, lambda part: points(index[part])):
            yield index[part], value, gradient

    def score_chunks(self, per_example: int, points: PointsOf) -> Iterator[tuple[RowIndex, Tensor]]:
        """(rows, f), as `gradient_chunks` but forward only."""
        index = self._index(per_example)
        for part, value in self.engine.score_chunks(index.example, lambda part: points(index[part])):
            yield index[part], value

    def scores(self, per_example: int, points: PointsOf) -> Tensor:
        """f of `per_example` samples of each example. Shape: (batch, per_example)."""
        return torch.cat([value for _, value in self.score_chunks(per_example, points)]).reshape(-1, per_example)

    def _index(self, per_example: int | Tensor) -> RowIndex:
        return RowIndex.product(torch.as_tensor(per_example).cpu().expand(len(self.point)), self.point.device)

    def mean_gradient(self, weights: Tensor, points: PointsOf) -> Tensor:
        """Σ_s weights[s] ∇f(points of sample s) for each example.  weights: (samples,). Shape: (batch, *u)."""
        total = torch.zeros_like(self.line[0])
        for rows, _, gradient in self.gradient_chunks(len(weights), points):
            accumulate(total, rows, gradient, weights[rows.sample])
        return total.contiguous()

    def sensitivities(self, covector: Tensor) -> Estimate:
        """The covector (batch, *u), pulled to each chart."""
        return Estimate([chart.pull(covector) for chart in self.charts], covector)

    def shares(self, covector: Tensor) -> Estimate:
        """Displacement times covector in each chart. In all of them the total is ⟨u - u₀, covector⟩."""
        return Estimate([chart.displacement * chart.pull(covector) for chart in self.charts], covector)

    def noise(self, rows: RowIndex) -> Tensor:
        """Standard normal noise of the signal's shape for each row, keyed by (seed, example's content, sample)."""
        return self.keyed.draw(rows, tuple(self.signal.shape[1:]), Tensor.normal_)

    @functools.cached_property
    def line(self) -> tuple[Tensor, Tensor]:
        """(u₀, u - u₀), (batch, *u) each, in the memory format in which the model is fed."""
        return self.engine.arranged(self.base), self.engine.arranged(self.point - self.base)

    @functools.cached_property
    def keyed(self) -> Keyed:
        """Random numbers keyed by the seed and the content of each example."""
        return Keyed(self.signal, self.seed)


class Estimator(abc.ABC):
    """A method: shares f(x) - f(x₀) among coefficients, or measures their influence. Subclasses are frozen dataclasses.

    `Evaluator` shows how to write one. The cost is known before the run:

    >>> layout = pb.transforms.get("dwt(haar, level=1)", shape=(1, 8)).layout
    >>> get("smoothgrad(samples=16)").cost([layout]), get("shapley(by=band)").cost([layout])
    (Cost(gradients=16, forwards=0), Cost(gradients=0, forwards=4))
    """

    name: ClassVar[str] = ""  # the registered name; `register` writes it
    linear_in_gradients: ClassVar[bool] = False  # whether one covector, pulled to each domain, gives all maps
    resumable: ClassVar[bool] = False  # whether it can continue from `Evaluator.earlier`

    @property
    @abc.abstractmethod
    def kind(self) -> Kind:
        """Whether values are shares of f(x) - f(x₀) or sensitivities; a class attribute unless it depends on options."""

    @property
    @abc.abstractmethod
    def claims(self) -> MethodClaim:
        """The claimed laws; a class attribute unless they depend on options."""

    @abc.abstractmethod
    def estimate(self, evaluator: Evaluator) -> Estimate:
        """Values in each of the evaluator's charts."""

    @abc.abstractmethod
    def cost(self, layouts: Sequence[Layout]) -> Cost:
        """The largest number of evaluations for one example of an evaluator whose charts have these layouts."""

    @classmethod
    def examples(cls) -> Iterable["Estimator"]:
        """Instances on which the law suite runs, with options fine enough to fulfil the claims: by default cls()."""
        return [cls()]


def check_gradient(gradient: Tensor, example: Tensor | None = None, where: str = "", other: str = "baseline") -> None:
    """Raises: ValueError that names the example whose gradient is not finite.  gradient: (rows, …).  example: of each row."""
    wrong = not_finite(gradient)
    if wrong is not None:
        what = f"not finite for example {wrong if example is None else int(example[wrong])}{where}"
        advice = f"look for square roots, logarithms or divisions at zero in the model, or take another {other}"
        raise ValueError(f"The model's gradient is {what}; {advice}.")


estimators: Registry[Estimator] = Registry("method", "pullback.methods")
register = estimators.register
names = estimators.names


def get(spec: "str | Estimator") -> Estimator:
    """The estimator that `spec` describes; an estimator is returned as it is.

    Raises: ValueError or TypeError that lists the choices.

    >>> get("smoothgrad(samples=16)")
    SmoothGrad(samples=16, spread=0.15)
    """
    if isinstance(spec, Estimator):
        return spec
    if not isinstance(spec, str):
        advice = f"; build it: {spec.__name__}()" if isinstance(spec, type) else ""
        raise TypeError(f"method: expected a spec such as 'smoothgrad(samples=25)' or an Estimator, got {spec!r}{advice}.")
    calls = parse(spec)
    if len(calls) != 1:
        raise ValueError(f"Method {spec!r}: expected one method; '>>' belongs to transforms.")
    return estimators.build(calls[0])
