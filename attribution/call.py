"""One call of `attribute`: where paths start, which domains share an evaluator, and what is read beside the method."""

import contextlib
import dataclasses
import functools
import importlib.metadata
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict, TypeVar, Unpack

import torch
from torch import Tensor

from ..core.checks import check_finite, not_finite
from ..core.isolation import with_defaults
from ..core.plain import plain
from ..core.precision import wide
from ..core.progress import Progress
from ..transforms import Transform, TransformClaim
from ..transforms import get as get_transform
from .baselines.base import Baseline
from .baselines.fixed import get_baseline
from .engine.dry_run import choose_memory_format
from .engine.engine import Engine
from .engine.execution import Execution
from .engine.open import open_engine, read_checked
from .engine.random import Keyed
from .engine.row_index import RowIndex
from .engine.score import Target
from .estimator import Chart, Estimate, Estimator, Evaluator
from .estimator import get as get_estimator
from .pullback import Pullback
from .resume import Earlier, check_same_call
from .targets import Choice

BaselineLike = Tensor | float | str | Baseline | Callable[[Tensor], Tensor] | None
Method = str | Estimator
Domain = str | Transform
Result = TypeVar("Result")


class Options(TypedDict, total=False):
    """The options of `attribute`, which `run` and `Attribution.resume` take too."""

    method: Method
    baseline: BaselineLike
    batch_size: int | str
    seed: int
    progress: Progress | bool | None
    model_args: Sequence[Any]
    model_kwargs: Mapping[str, Any] | None
    create_graph: bool
    execution: Execution | None


def run(
    make: Callable[..., Result],
    model: Callable[..., Any],
    x: Tensor,
    target: Target,
    domains: Sequence[Domain],
    earlier: Sequence[Earlier] | None = None,
    **options: Unpack[Options],
) -> list[Result]:
    """The result of `method` in each of the `domains`, from one gradient stream.  options: as in `attribute`.

    make: builds a result from the fields of an `Attribution`.  earlier: results to continue from, one for each domain.
    """
    estimator = get_estimator(options.pop("method", "integrated_gradients"))
    baseline, seed = options.pop("baseline", None), _whole(options.pop("seed", 0))
    create_graph = options.get("create_graph", False)
    with open_engine(model, x, target, **options) as engine:  # type: ignore[misc]
        # A copy: results hold x, and the caller may reuse the tensor.
        x = (x if create_graph and not x.is_inference() else x.detach()).clone().to(wide(x.dtype))
        transforms = [get_transform(spec, tuple(x.shape[1:])) for spec in domains]
        own = baseline if isinstance(baseline, Baseline) else with_defaults(engine.prepared.around, baseline)
        rule = get_baseline(own)
        call = Call(estimator, x, transforms, starts(rule, transforms, x, seed, create_graph), engine, seed)
        ends = call.ends(measure=options.get("batch_size", "auto") == "auto" and not create_graph)
        differences = call.score_differences(ends)
        call.choose_formats()
        told = {"target": _described(target), "baseline": rule.describe(), "dtype": str(x.dtype)}
        evaluators = call.evaluators
        if earlier is not None:
            if not estimator.resumable:
                raise ValueError(f"resume: {estimator!r} cannot continue; only integrated_gradients without steps can.")
            formats = {name: value for name, value in engine.prepared.numbers.items() if name != "memory_format"}
            check_same_call(earlier, evaluators, transforms, differences, told | formats)
            evaluators = [(of, replace(each, earlier=earlier[of[0]].details)) for of, each in evaluators]
        found = call.estimates(evaluators)
        settings = _settings(estimator, told, rule, seed, engine, x)
        return [
            make(**_fields(domain, *found[i], differences[i], estimator, settings))
            for i, domain in enumerate(transforms)
        ]


@dataclass(frozen=True, eq=False)
class Start:
    """Where the paths of one domain start: x₀ (batch, *shape), z₀ where it was declared in z, and further draws of x₀.

    random: whether these differ.
    """

    signal: Tensor
    coefficients: Tensor | None
    draw: Callable[[RowIndex], Tensor]
    random: bool = False

    @functools.cached_property
    def moved(self) -> bool:
        """Whether x₀ is not zero throughout."""
        return bool(self.signal.any())


Evaluators = Sequence[tuple[list[int], Evaluator]]  # which domains, and the evaluator that they share


@dataclass(frozen=True, eq=False)
class Call:
    """The parts of a call, ready to run.  starts: one for each of the `domains`."""

    estimator: Estimator
    x: Tensor
    domains: Sequence[Transform]
    starts: Sequence[Start]
    engine: Engine
    seed: int

    @functools.cached_property
    def bases(self) -> list[Tensor]:
        """The distinct x₀."""
        kept: list[Tensor] = []
        for start in self.starts:
            if _find(kept, start.signal) is None:
                kept.append(start.signal)
        return kept

    @functools.cached_property
    def evaluators(self) -> Evaluators:
        """(which domains, evaluator): linear domains with the same x₀ share one, every other domain has its own."""
        shared: dict[int, list[int]] = {}
        alone = []
        for i, domain in enumerate(self.domains):
            if is_signal_linear(domain):
                shared.setdefault(_find(self.bases, self.starts[i].signal), []).append(i)
            else:
                alone.append([i])
        return [(members, self._evaluator(members)) for members in (*shared.values(), *alone)]

    @functools.cached_property
    def planned(self) -> list[int]:
        """Evaluations of each evaluator, at most."""
        layouts = [[chart.layout for chart in evaluator.charts] for _, evaluator in self.evaluators]
        return [len(self.x) * self.estimator.cost(each).total for each in layouts]

    @property
    def has_gradients(self) -> bool:
        """Whether the method asks for any gradient."""
        return self.estimator.cost([domain.layout for domain in self.domains]).gradients > 0

    def ends(self, measure: bool) -> Tensor:
        """f(x), and f(x₀) for each of the `bases`; `measure` also finds how many rows fit. Shape: (1 + bases, batch).

        Raises: ValueError where the model does not repeat itself.
        """
        engine, count = self.engine, 1 + len(self.bases)
        engine.count.planned = engine.count.forward + len(self.x) * count + 1 + sum(self.planned)
        self._equalise()
        example = torch.arange(len(self.x), device=self.x.device).repeat(count)
        ends = read_checked(engine, example, torch.cat([self.x, *self.bases]), count, measure and self.has_gradients)
        varies = bool((ends != ends[:1]).any())
        for each in (engine, *(evaluator.engine for _, evaluator in self.evaluators)):
            each.varies = varies
        self._equalise()
        return ends

    def _equalise(self) -> None:
        """Gives all evaluators the number of rows that was found to fit."""
        self.engine.equalise(max(self.planned))
        for _, evaluator in self.evaluators:
            evaluator.engine.limit = self.engine.limit

    def score_differences(self, ends: Tensor) -> list[Tensor]:
        """f(x) - f(x₀) of each domain, (batch,)."""
        return [ends[0] - ends[1 + _find(self.bases, start.signal)] for start in self.starts]

    def choose_formats(self) -> None:
        """Chooses the memory format and, where a narrower number format may be taken, the precision."""
        choose_memory_format(self.engine, self.x, sum(self.planned), self.has_gradients)
        engine = self.engine.uncounted()
        if not engine.prepared.narrower:
            return
        points = torch.cat([self.x[:2], (self.x[:2] + self.bases[0][:2]) / 2])
        example = torch.arange(len(points), device=self.x.device) % len(self.x[:2])
        gradient = lambda: torch.cat([part for *_, part in engine.gradient_chunks(example, points.__getitem__)])
        # A method without gradients may explain a model that has none: then "auto" stays with fp32.
        with contextlib.suppress(*([] if self.has_gradients else [ValueError, RuntimeError])):
            engine.prepared.choose_precision(gradient, engine.prepared.narrower)

    def estimates(self, evaluators: Evaluators) -> dict[int, tuple[Evaluator, Estimate, int]]:
        """For each domain its evaluator, what was found with it, and the domain's place in it."""
        with self.engine.prepared.numerics():
            found = [(members, each, self.estimator.estimate(each)) for members, each in evaluators]
        return {
            member: (evaluator, estimate, number)
            for members, evaluator, estimate in found
            for number, member in enumerate(members)
        }

    def _evaluator(self, members: list[int]) -> Evaluator:
        """The evaluator of one group: in the signal for linear domains, else in the coefficients of the one domain."""
        x, start, seed, domain = self.x, self.starts[members[0]], self.seed, self.domains[members[0]]
        if is_signal_linear(domain):
            charts = [_chart(self.domains[i], x, self.starts[i]) for i in members]
            return Evaluator(x, x, start.signal, lambda u: u, charts, self.engine, seed, start.draw, start.random)
        same = lambda u: u
        point, base = domain.ends(x, start.signal)
        if start.coefficients is not None:
            base = start.coefficients
        own = self.engine.through(lambda model: Pullback(model, domain), point.dtype)
        chart = Chart(same, point - base, point, same, domain.layout, same)
        # A baseline declared in z is where it was declared, not T T⁻¹ of it.
        draw = (lambda rows: domain(start.draw(rows))) if start.coefficients is None else _fixed(base)
        return Evaluator(x, point, base, domain, [chart], own, seed, draw, start.random)


def _chart(domain: Transform, x: Tensor, start: Start) -> Chart:
    point = domain(x)
    if start.coefficients is not None:
        displacement = point - start.coefficients
    else:  # T is linear: from the zero baseline, the displacement is the point
        displacement = domain(x - start.signal) if start.moved else point
    return Chart(domain.adjoint, displacement, point, domain.inverse, domain.layout, domain)


def is_signal_linear(domain: Transform) -> bool:
    """Whether gradients of this domain are those of the signal, carried over: T⁻¹ is linear, and T⁻¹ T x is x."""
    return TransformClaim.LINEAR | TransformClaim.RECONSTRUCTS in domain.claims


def _find(bases: Sequence[Tensor], base: Tensor) -> Any:
    """Index of the entry that equals `base`, or None."""
    return next((i for i, known in enumerate(bases) if known is base or torch.equal(known, base)), None)


def starts(
    rule: Baseline, domains: Sequence[Transform], x: Tensor, seed: int, create_graph: bool = False
) -> list[Start]:
    """The start in each domain; one object for all of them where the baseline lives in the signal."""
    if rule.coordinates == "signal":
        keyed = Keyed(x, seed)
        first = RowIndex.product(torch.ones(len(x), dtype=torch.long), x.device)
        base = _check_baseline(rule, rule.draw(keyed, first), x, create_graph)
        draw = functools.partial(rule.draw, keyed) if rule.random else _fixed(base)
        return [Start(base, None, draw, rule.random)] * len(domains)
    found = []
    for domain in domains:
        z0 = rule.coefficients(domain, x)
        base = _check_baseline(rule, domain.inverse(z0), x, create_graph)
        found.append(Start(base, z0, _fixed(base)))
    return found


def resolve_baseline(baseline: BaselineLike, x: Tensor, seed: int = 0) -> Tensor:
    """x₀ of a baseline that lives in the signal, in the shape, dtype and device of x.

    Raises: TypeError or ValueError that says what came.
    """
    return starts(get_baseline(baseline), [get_transform("pixel", tuple(x.shape[1:]))], x, seed)[0].signal


def _fixed(base: Tensor) -> Callable[[RowIndex], Tensor]:
    return lambda rows: base[rows.example]


def _check_baseline(rule: Baseline, base: Tensor, x: Tensor, create_graph: bool) -> Tensor:
    if base.shape != x.shape:
        got = f"{rule.describe()} gave shape {tuple(base.shape)}"
        raise ValueError(f"baseline: {got} for x of shape {tuple(x.shape)}.")
    return check_finite("baseline", (base if create_graph else base.detach()).to(x))


def _fields(
    domain: Transform,
    evaluator: Evaluator,
    estimate: Estimate,
    number: int,
    difference: Tensor,
    estimator: Estimator,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """The fields of an `Attribution`.  Raises: ValueError that names the example whose values are not finite."""
    values, chart, details = estimate.values[number], evaluator.charts[number], estimate.details
    wrong = not_finite(values)
    if wrong is not None:
        raise ValueError(
            f"The model's gradient is not finite for example {wrong} (in {domain.spec}); look for square roots, "
            "logarithms or divisions at zero in the model, or take another baseline."
        )
    return {
        "values": values,
        "coefficients": chart.point,
        "displacement": chart.displacement if estimate.displacements is None else estimate.displacements[number],
        "score_difference": difference if estimate.score_difference is None else estimate.score_difference,
        "transform": domain,
        "kind": estimator.kind,
        "covector": estimate.covector if is_signal_linear(domain) else None,
        "settings": settings | {"transform": domain.spec},
        "details": details[number] if isinstance(details, list) else details,
    }


def _settings(
    estimator: Estimator, told: Mapping[str, Any], rule: Baseline, seed: int, engine: Engine, x: Tensor
) -> dict[str, Any]:
    """What the result says of how it was made, as JSON can hold it."""
    return {
        "method": estimator.name or type(estimator).__name__,
        "options": plain(dataclasses.asdict(estimator)) if dataclasses.is_dataclass(estimator) else {},
        "target": told["target"],
        "baseline": told["baseline"],
        "baseline_coordinates": rule.coordinates,
        "seed": seed,
        "batch_size": engine.limit,
        "execution": engine.prepared.settings,
        "evaluations": {"forward": engine.count.forward, "gradient": engine.count.gradient},
        "dtype": told["dtype"],
        "device": str(x.device),
        "versions": {"pullback": _version(), "torch": torch.__version__},
    }


@functools.cache
def _version() -> str:
    """Of this package, read from its files once."""
    return importlib.metadata.version("pullback")


def _described(target: Target) -> Any:
    """A target as JSON can hold it: choices by their label, class indices as lists."""
    if isinstance(target, Choice):
        return target.label
    whole = isinstance(target, Tensor) and target.numel() <= 4096 and not target.is_floating_point()
    return target.tolist() if isinstance(target, Tensor) and whole else plain(target)


def _whole(seed: Any) -> int:
    try:
        return operator.index(seed)
    except TypeError:
        raise TypeError(f"seed: expected a whole number, got {seed!r}.") from None
