"""`Metric`: a number per example that says how good a map is, and what that number can and cannot compare."""

import abc
import enum
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Unpack

import numpy as np
import torch
from torch import Tensor

from ..attribution import Attribution
from ..core.registry import Registry
from ..core.spec import parse
from .explainer import explainer_of
from .judged import Judged, Judging, judging
from .truth import check_truth

Better = Literal["higher", "lower", "neither"]


class Invariance(enum.IntEnum):
    """The changes of domain that leave a metric as it is, for maps that follow from one covector.

    NOTHING      it depends on the coordinates, so it may compare domains
    ORTHONORMAL  equal in all orthonormal domains: it cannot rank these
    LINEAR       equal in all bijective linear domains

    >>> Invariance.LINEAR > Invariance.ORTHONORMAL > Invariance.NOTHING
    True
    """

    NOTHING = 0
    ORTHONORMAL = 1
    LINEAR = 2


class Needs(enum.Flag):
    """What a metric needs besides a map and its model.

    SIGNED   values whose sign counts
    GROUPS   bands of coefficients; without them it has no number, or says nothing
    SHARES   values that are shares of f(x) - f(x₀)
    TRUTH    the coefficients, or the samples, that matter
    SOURCE   the part of the signal that matters, such as one voice of a mixture
    EXPLAIN  the method, to make maps of other inputs, classes or models
    CLASSES  a target that is a class, for probabilities and predictions
    """

    NOTHING = 0
    SIGNED = enum.auto()
    GROUPS = enum.auto()
    SHARES = enum.auto()
    TRUTH = enum.auto()
    SOURCE = enum.auto()
    EXPLAIN = enum.auto()
    CLASSES = enum.auto()


@dataclass(frozen=True, eq=False)
class Scores:
    """What a metric found for a batch.

    value: one number per example, (batch,); NaN where it is not defined.  curve: (batch, points), at `axis`; None without one.
    details: further tensors by name, the batch first.
    """

    value: Tensor
    curve: Tensor | None = None
    axis: tuple[float, ...] = ()
    details: dict[str, Tensor] = field(default_factory=dict)


class Metric(abc.ABC):
    """A metric. Subclasses are frozen dataclasses whose fields are its options.

    formula: in one line.  source: paper and equation.  better: "higher" or "lower", "neither" for a description.
    chance: the expected value of a random map, None where there is no such number.
    invariant: the changes of domain that leave it as it is; a law that the tests measure.
    within_domain: whether it compares methods inside one domain only, though it depends on the domain: it rewards answers
    beyond those at x and x₀, which grow with cancellation in a domain that does not suit the model.
    needs: what it needs besides a map and its model.

    >>> get("selection_error(budgets=[0.1])").better, get("selection_error").ranks_domains
    ('lower', True)
    """

    name: ClassVar[str] = ""  # the registered name; `register` writes it
    formula: ClassVar[str]
    source: ClassVar[str]
    better: ClassVar[Better]
    chance: ClassVar[float | None] = None
    invariant: ClassVar[Invariance] = Invariance.NOTHING
    within_domain: ClassVar[bool] = False
    needs: ClassVar[Needs] = Needs.NOTHING

    @property
    def ranks_domains(self) -> bool:
        """Whether a better value in one domain than in another may be a finding."""
        return self.invariant is Invariance.NOTHING and not self.within_domain and self.better != "neither"

    @abc.abstractmethod
    def cost(self, attribution: Attribution) -> int:
        """The largest number of evaluations of the model for one example."""

    @abc.abstractmethod
    def measure(self, judged: Judged) -> Scores:
        """The number of each example."""

    def __call__(
        self, model: Callable[..., Any], attribution: Attribution, target: Any = None, **options: Unpack[Judging]
    ) -> Scores:
        """`measure` on one map.  options: as in `metrics.measure`.

        >>> import torch, pullback as pb
        >>> f = lambda x: x.flatten(1) @ torch.tensor([2.0, -1.0, 0.0])
        >>> att = pb.attribute(f, torch.ones(1, 1, 3), method="input_x_gradient")
        >>> get("selection_error(budgets=[0.67])")(f, att).value  # two of three coefficients hold all of f
        tensor([0.])
        """
        return measure(model, attribution, [self], target, **options)[0]

    @classmethod
    def examples(cls) -> Iterable["Metric"]:
        """Instances on which the law suite runs: by default cls()."""
        return [cls()]


metrics: Registry[Metric] = Registry("metric", "pullback.metrics")
register = metrics.register
names = metrics.names


def get(spec: "str | Metric") -> Metric:
    """The metric that `spec` describes; a metric is returned as it is.

    Raises: ValueError or TypeError that lists the choices.

    >>> get("gain")
    Gain(budgets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5), by='count', answer='score')
    """
    if isinstance(spec, Metric):
        return spec
    if not isinstance(spec, str):
        raise TypeError(f"metric: expected a spec such as 'selection_error(by=energy)' or a Metric, got {spec!r}.")
    calls = parse(spec)
    if len(calls) != 1:
        raise ValueError(f"Metric {spec!r}: expected one metric; '>>' belongs to transforms.")
    name = calls[0].name
    if name not in metrics and inspect.isfunction(getattr(sys.modules[__name__.rpartition(".")[0]], name, None)):
        raise ValueError(f"Unknown metric {name!r}: {name} is a function: pb.metrics.{name}(…).")
    return metrics.build(calls[0])


def listed(specs: "str | Metric | Sequence[str | Metric]") -> list[Metric]:
    """The metrics of one spec or of several."""
    return [get(each) for each in ([specs] if isinstance(specs, str | Metric) else specs)]


def measure(
    model: Callable[..., Any],
    attribution: Attribution,
    metrics: str | Metric | Sequence[str | Metric],
    target: Any = None,
    **options: Unpack[Judging],
) -> list[Scores]:
    """What each of the metrics finds for a map, in their order. Inputs that several ask for are evaluated once.

    options: truth, True for the coefficients (batch, *coeff) or for the samples (batch, *shape) that matter, and truth_in,
    "z" or "signal", where both have one shape; source, the part of x that matters (batch, *shape);
    explain, (model, x, target) -> the map of the same method, by default `explainer` with the settings of the map;
    orders, rankings of your own by name, (batch, *coeff), the largest first; and batch_size, seed, progress, model_args,
    model_kwargs as in `attribute`.

    Raises: TypeError or ValueError where a metric, the map or the target is not what was expected, the settings of the map
    name another target, or a metric needs what is not given.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1) @ torch.tensor([2.0, -1.0, 0.0])
    >>> att = pb.attribute(f, torch.ones(1, 1, 3), method="input_x_gradient")
    >>> error, gain = measure(f, att, ["selection_error(budgets=[0.34])", "gain(budgets=[0.34])"])
    >>> error.value, gain.value  # keeping the first leaves 2 of 1, removing it -1 of 0; |z - z₀| ties, so it does the same
    (tensor([1.]), tensor([0.]))
    """
    if not isinstance(attribution, Attribution):
        got, advice = type(attribution).__name__, "call it once for each of several"
        if isinstance(attribution, Tensor | np.ndarray):
            advice = "wrap a map with pb.Attribution.from_map(values, x, target=…, model=…)"
        raise TypeError(f"measure: expected one Attribution, got {got}; {advice}.")
    chosen = listed(metrics)
    check_truth(options.get("truth"), attribution, options.get("truth_in"))
    for each in chosen:
        _check_needs(each, attribution, options)
    if options.get("explain") is None and any(Needs.EXPLAIN in each.needs for each in chosen):
        options["explain"] = explainer_of(attribution)
    with judging(model, attribution, target, sum(each.cost(attribution) for each in chosen), **options) as judged:
        return [_defined(each.measure(judged), attribution) for each in chosen]


def _defined(scores: Scores, attribution: Attribution) -> Scores:
    """`scores`, NaN for an example whose map holds NaN or infinity."""
    finite = attribution.values.flatten(1).isfinite().all(1)
    if bool(finite.all()):
        return scores
    curve = None if scores.curve is None else scores.curve.where(finite[:, None], torch.nan)
    return replace(scores, value=scores.value.where(finite, torch.nan), curve=curve)


def _check_needs(metric: Metric, attribution: Attribution, options: Judging) -> None:
    """Raises: ValueError that names what the metric lacks."""
    lacks = None
    if Needs.TRUTH in metric.needs and options.get("truth") is None:
        lacks = "the coefficients that matter; pass truth=, a mask (batch, *coeff)"
    elif Needs.SOURCE in metric.needs and options.get("source") is None:
        lacks = "the source that x holds; pass source=, a tensor of the shape of x"
    elif Needs.SHARES in metric.needs and attribution.kind != "share":
        lacks = "shares of f(x) - f(x₀), such as those of integrated_gradients; this map holds sensitivities"
    if lacks:
        raise ValueError(f"{metric.name}: needs {lacks}.")
