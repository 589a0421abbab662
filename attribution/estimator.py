"""`Estimator`: how f(x) - f(x₀) is shared out; `Evaluator`: the gradients it may ask for; `Chart`: one domain."""

import abc
import enum
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..core.registry import Registry, parse
from ..transforms import Layout
from .engine.random import Keyed, derive
from .engine.row_index import both
from .engine.row_sums import accumulate
from .engine.rows import Rows

_ALL = slice(None)


class MethodClaim(enum.Flag):
    """What an estimator promises of its values a; each is the name of a law in `pullback.axioms`.

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


@dataclass(frozen=True, eq=False)
class Chart:
    """One domain, seen from the coordinates u in which the model is walked.

    pull: carries gradients with respect to u, (rows, *u), to the domain, (rows, *coeff).
    displacement: z - z₀, (batch, *coeff).
    point: z, (batch, *coeff).
    push: carries coefficients, (rows, *coeff), to u, (rows, *u): T⁻¹ where u is the signal, else the identity.
    layout: what the coefficients mean.
    carry: carries differences u - u', (rows, *u), to z - z', (rows, *coeff).

    Shares total the same in every chart, here in u and in z = 2u:

    >>> import pullback as pb
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
    """What an estimator found.

    values: for each chart of the evaluator, (batch, *coeff).
    covector: ḡ (batch, *u) where values = displacement ⊙ pull(ḡ) (shares) or pull(ḡ) (sensitivities), else None.
    details: what else is worth keeping, by name; tensors have the batch first. A list where each chart has its own.
    score_difference: what the values should total, (batch,), where that is not f(x) - f(x₀), as with many baselines.
    displacements: z - z₀ of each chart, where the method replaces coefficients by others than the baseline's.
    score: f(x), (batch,), where the method has read it anew: it must be what it was.

    >>> Estimate([torch.zeros(2, 1, 8)], details={"tries": torch.tensor([3, 5])}).details["tries"].shape  # 2 examples
    torch.Size([2])
    """

    values: list[Tensor]
    covector: Tensor | None = None
    details: dict[str, Any] | list[dict[str, Any]] = field(default_factory=dict)
    score_difference: Tensor | None = None
    displacements: list[Tensor] | None = None
    score: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Evaluator:
    """A score to be read along points of one coordinate system u, and the charts to which covectors are carried.

    For linear T, u is the signal, so that all linear domains share the walk; for others u is that domain's own z.

    signal: x, (batch, *shape).  point, base: u and u₀, (batch, *u).  lift: x -> u, for noise that lives in the signal.
    random: whether draws of u₀ differ.  earlier: the `details` of a finished result to go on from.

    >>> import pullback as pb
    >>> @dataclass(frozen=True)
    ... class Halfway(Estimator):
    ...     claims, shares = MethodClaim.DUMMY, True
    ...     def estimate(self, evaluator):
    ...         middle = (evaluator.base + evaluator.point) / 2
    ...         return evaluator.shares(evaluator.mean_gradient(torch.ones(1), lambda example, sample: middle[example]))
    ...     cost = lambda self: 1
    ...     examples = classmethod(lambda cls: [cls()])
    >>> pb.attribute(lambda x: x.square().sum(1), torch.full((1, 2), 3.0), method=Halfway()).values
    tensor([[9., 9.]])
    """

    signal: Tensor
    point: Tensor
    base: Tensor
    lift: Callable[[Tensor], Tensor]
    charts: Sequence[Chart]
    rows: Rows
    seed: int
    draw: Callable[[Tensor, Tensor], Tensor]
    random: bool = True
    earlier: Mapping[str, Any] | None = None

    def gradient_chunks(
        self, per_example: int | Tensor, points: Callable[[Tensor, Tensor], Tensor]
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """(example, sample, f, ∇f) of `per_example` rows for each example, a chunk at a time, example by example.

        per_example: one number for all, or one for each example, (batch,).
        points: (example, sample), each (rows,) -> u, (rows, *u).
        """
        pairs = self._pairs(per_example)
        for part, value, gradient in self.rows.gradient_chunks(pairs(_ALL)[0], lambda part: points(*pairs(part))):
            yield *pairs(part), value, gradient

    def value_chunks(
        self, per_example: int, points: Callable[[Tensor, Tensor], Tensor]
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """(example, sample, f), as `gradient_chunks` but forward only."""
        pairs = self._pairs(per_example)
        for part, value in self.rows.value_chunks(pairs(_ALL)[0], lambda part: points(*pairs(part))):
            yield *pairs(part), value

    def values(self, per_example: int, points: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """f of `per_example` rows for each example. Shape: (batch, per_example)."""
        values = [value for _, _, value in self.value_chunks(per_example, points)]
        return torch.cat(values).reshape(-1, per_example)

    def _pairs(self, per_example: int | Tensor) -> Callable[[slice], tuple[Tensor, Tensor]]:
        """slice -> (example, sample) of these rows, which run example by example; known to the host as well."""
        counts = torch.as_tensor(per_example).cpu().expand(len(self.point))
        example = torch.arange(len(counts)).repeat_interleave(counts)
        sample = torch.arange(len(example)) - (counts.cumsum(0) - counts)[example]
        there = example.to(self.point.device), sample.to(self.point.device)
        return lambda part: (both(there[0][part], example[part]), both(there[1][part], sample[part]))

    def mean_gradient(self, weights: Tensor, points: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Σ_s weights[s] ∇f(points(example, s)) for each example.  weights: (samples,). Shape: (batch, *u)."""
        total = torch.zeros_like(self.line[0])
        for example, sample, _, gradient in self.gradient_chunks(len(weights), points):
            accumulate(total, example, gradient, weights[sample])
        return total.contiguous()

    def sensitivities(self, covector: Tensor) -> Estimate:
        """The covector (batch, *u) in each chart, as it is."""
        return Estimate([chart.pull(covector) for chart in self.charts], covector)

    def shares(self, covector: Tensor) -> Estimate:
        """Displacement times covector in each chart: totals ⟨u - u₀, covector⟩ in every one."""
        return Estimate([chart.displacement * chart.pull(covector) for chart in self.charts], covector)

    def noise(self, example: Tensor, sample: Tensor, shape: Sequence[int] | None = None) -> Tensor:
        """Standard normal noise of `shape` (None: the signal's) for each row, keyed by (seed, example's content, sample)."""
        size = self.signal.shape[1:] if shape is None else shape
        return self.keyed.draw(example, sample, tuple(size), Tensor.normal_)

    def seed_of(self, example: int) -> int:
        """A seed for everything random about one example, from the walk's seed and the example's content."""
        return derive(self.seed, self.keyed.keys[example], 0)

    @functools.cached_property
    def line(self) -> tuple[Tensor, Tensor]:
        """(u₀, u - u₀), (batch, *u) each, in the memory format in which the model is fed."""
        return self.rows.arranged(self.base), self.rows.arranged(self.point - self.base)

    @functools.cached_property
    def keyed(self) -> Keyed:
        """Random numbers that belong to an example, whatever batch it is in."""
        return Keyed(self.signal, self.seed)


class Estimator(abc.ABC):
    """Shares f(x) - f(x₀) among coefficients. Subclasses are frozen dataclasses; no model is kept inside.

    How to write one is shown at `Evaluator`. What one costs is known before it runs:

    >>> import pullback as pb
    >>> layout = pb.transforms.get("dwt(haar, level=1)", shape=(1, 8)).layout
    >>> get("smoothgrad(samples=16)").total_rows([layout]), get("shapley(by=band)").total_rows([layout])
    (16, 4)
    """

    name: ClassVar[str] = ""  # the registered name; `register` writes it
    shares: ClassVar[bool]  # whether values are shares of f(x) - f(x₀); otherwise they are sensitivities
    linear_in_gradients: ClassVar[bool] = False  # whether one covector, carried to each domain, gives all its maps
    least_rows: int = 1  # how many rows it must be allowed at once
    revisits: ClassVar[bool] = False  # whether it reads f(x) anew, as `Estimate.score`
    each_domain: ClassVar[bool] = False  # whether every domain runs the model anew
    resumes: ClassVar[bool] = False  # whether it can go on from an earlier result, `evaluator.earlier`

    @property
    @abc.abstractmethod
    def claims(self) -> MethodClaim:
        """What it promises; a plain class attribute where that does not depend on the options."""

    @abc.abstractmethod
    def estimate(self, evaluator: Evaluator) -> Estimate:
        """Values in each of the walk's charts."""

    @abc.abstractmethod
    def cost(self) -> int:
        """Model rows with a gradient for one example of a walk; in each of its domains where `each_domain`."""

    def forwards(self, layouts: Sequence[Layout]) -> int:
        """Model rows without a gradient for one example of a evaluator whose charts have these layouts."""
        return 0

    def repeats(self) -> int:
        """Those among `forwards` that are left out where draws of the baseline do not differ."""
        return 0

    def total_rows(self, layouts: Sequence[Layout]) -> int:
        """All model rows for one example of a evaluator whose charts have these layouts."""
        return self.cost() * (len(layouts) if self.each_domain else 1) + self.forwards(layouts)

    @classmethod
    @abc.abstractmethod
    def examples(cls) -> Iterable["Estimator"]:
        """Instances on which the law suite runs, fine enough to keep what they claim."""


estimators: Registry[Estimator] = Registry("method", "pullback.methods")
register = estimators.register
names = estimators.names


def get(spec: "str | Estimator") -> Estimator:
    """The estimator that `spec` describes; one that is built already is returned as it is.

    Raises: ValueError or TypeError that names what was expected, and lists the choices.

    >>> get("smoothgrad(samples=16)")
    SmoothGrad(samples=16, spread=0.15)
    """
    if isinstance(spec, Estimator):
        return spec
    calls = parse(spec)
    if len(calls) != 1:
        raise ValueError(f"Method {spec!r}: expected one method; '>>' belongs to transforms.")
    return estimators.build(calls[0])
