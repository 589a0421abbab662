"""One call of `attribute`: it groups the domains, reads f where paths start and end, and runs the method."""

import contextlib
import dataclasses
import functools
import importlib.metadata
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import torch
from torch import Tensor

from ..core.isolation import with_defaults
from ..core.plain_data import plain
from ..core.precision import wide
from ..core.progress import Progress
from ..transforms import Transform, TransformClaim
from ..transforms import get as get_transform
from .baselines.base import Baseline
from .baselines.fixed import get as get_baseline
from .baselines.path_start import Start, repeated, starts
from .engine.dry_run import LONG, DryRun
from .engine.engine import Engine
from .engine.execution import Execution
from .engine.faster_form import choose_form
from .engine.open_engine import open_engine, read_checked
from .engine.score import Target
from .engine.signal import signal
from .estimator import Chart, Estimate, Estimator, Evaluator, MethodClaim, check_gradient
from .estimator import get as get_estimator
from .pullback import Pullback
from .resume import Fields, check_same_call

BaselineLike = Tensor | float | str | Baseline | Callable[[Tensor], Tensor] | None
Domain = str | Transform
Evaluators = Sequence[tuple[list[int], Evaluator]]  # which domains, and the evaluator that they share
Method = str | Estimator
Model = Callable[..., Any]
_VERSION = importlib.metadata.version("pullback")


class Options(TypedDict, total=False):
    """The options of `attribute`, `resume` and `run`."""

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
    model: Model, x: Tensor, target: Target, domains: Sequence[Domain], earlier: Sequence[Fields] = (), **options: Any
) -> list[dict[str, Any]]:
    """The fields of an `Attribution` in each of the `domains`, from one gradient stream.

    earlier: results to continue from, one for each domain, or none.  options: see `Options`.
    """
    unknown = [name for name in options if name not in Options.__annotations__]
    if unknown:
        raise TypeError(f"unknown option {unknown[0]!r}; the options are {', '.join(Options.__annotations__)}.")
    x, estimator = signal(x), get_estimator(options.pop("method", "integrated_gradients"))
    baseline, seed = options.pop("baseline", None), _whole(options.pop("seed", 0))
    create_graph = options.get("create_graph", False)
    with open_engine(model, x, target, **options) as engine:
        # A copy: results hold x, and the caller may reuse the tensor.
        x = (x if create_graph and not x.is_inference() else x.detach()).clone().to(wide(x.dtype))
        transforms = [get_transform(spec, tuple(x.shape[1:])) for spec in domains]
        own = baseline if isinstance(baseline, Baseline) else with_defaults(engine.prepared.around, baseline)
        rule = get_baseline(own)
        call = Call(estimator, x, transforms, starts(rule, transforms, x, seed, create_graph), engine, seed)
        dry_run = call.dry_run(options.get("batch_size", "auto") == "auto" and not create_graph)
        differences = call.score_differences(dry_run)
        call.choose_precision()
        question = {"target": engine.score.described(), "baseline": rule.describe(), "dtype": str(x.dtype)}
        found = call.fields(call.continued(earlier, differences, question) if earlier else call.evaluators, differences)
        dry_run.finish()
        settings = question | {
            "method": estimator.name or type(estimator).__name__,
            "options": described(dataclasses.asdict(estimator)) if dataclasses.is_dataclass(estimator) else {},
            "baseline_coordinates": rule.coordinates,
            "seed": seed,
            "batch_size": engine.limit,
            "execution": engine.prepared.settings,
            "evaluations": {"forward": engine.count.forward, "gradient": engine.count.gradient},
            "device": str(x.device),
            "versions": {"pullback": _VERSION, "torch": torch.__version__},
        }
    return [each | {"settings": settings | {"transform": each["transform"].spec}} for each in found]


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
    def bases(self) -> dict[int, Tensor]:
        """The distinct x₀, by the identity of their tensors."""
        return {id(start.signal): start.signal for start in self.starts}

    @functools.cached_property
    def evaluators(self) -> Evaluators:
        """(which domains, evaluator): linear domains with the same x₀ share one, every other domain has its own."""
        shared: dict[int, list[int]] = {}
        alone = []
        for i, domain in enumerate(self.domains):
            if is_signal_linear(domain):
                shared.setdefault(id(self.starts[i].signal), []).append(i)
            else:
                alone.append([i])
        return [(members, self._evaluator(members)) for members in (*shared.values(), *alone)]

    @functools.cached_property
    def planned(self) -> list[int]:
        """The largest number of evaluations of each evaluator."""
        layouts = [[chart.layout for chart in evaluator.charts] for _, evaluator in self.evaluators]
        return [len(self.x) * self.estimator.cost(each).total for each in layouts]

    @property
    def has_gradients(self) -> bool:
        """Whether the method needs gradients."""
        return self.estimator.cost([domain.layout for domain in self.domains]).gradients > 0

    def dry_run(self, measure: bool) -> DryRun:
        """f at x and at each x₀.  measure: whether to measure how many rows fit into memory.

        Raises: ValueError where the model is not deterministic or mixes rows.
        """
        engine, batch, evaluations = self.engine, len(self.x), sum(self.planned)
        # f at all ends, at x once more, at the middle of a path, and there again after the run and before long ones
        engine.count.planned = engine.count.forward + batch * (2 + len(self.bases)) + 2 + (evaluations >= LONG) + evaluations
        self._equalise()
        points = torch.stack([self.x, *self.bases.values()], 1)
        several = max(self.planned) > 1  # one row alone is run whatever memory it takes
        run = read_checked(engine, points, measure and several and self.has_gradients, evaluations)
        varies = bool((run.known != run.known[:1]).any())
        for each in (engine, *(evaluator.engine for _, evaluator in self.evaluators)):
            each.varies = varies
        invariant = MethodClaim.IMPLEMENTATION_INVARIANT in self.estimator.claims
        choose_form(run, evaluations, self.has_gradients, invariant)
        self._equalise()
        return run

    def score_differences(self, run: DryRun) -> list[Tensor]:
        """f(x) - f(x₀) of each domain, (batch,)."""
        differences = dict(zip(self.bases, run.known[0] - run.known[1:]))
        return [differences[id(start.signal)] for start in self.starts]

    def _equalise(self) -> None:
        """Gives all evaluators the same limit of rows."""
        self.engine.equalise(max(self.planned))
        for _, evaluator in self.evaluators:
            evaluator.engine.limit = self.engine.limit

    def choose_precision(self) -> None:
        """Chooses the precision, where a narrower number format may be taken."""
        engine = self.engine.uncounted()
        if not engine.prepared.narrower:
            return
        base = next(iter(self.bases.values()))
        points = torch.cat([self.x[:2], (self.x[:2] + base[:2]) / 2])
        example = torch.arange(len(points), device=self.x.device) % len(self.x[:2])
        gradient = lambda: torch.cat([part for *_, part in engine.gradient_chunks(example, points.__getitem__)])
        # A method without gradients may explain a model that has none: then "auto" stays with fp32.
        with contextlib.suppress(*([] if self.has_gradients else [ValueError, RuntimeError])):
            engine.prepared.choose_precision(gradient, engine.prepared.narrower)

    def continued(self, earlier: Sequence[Fields], differences: Sequence[Tensor], question: Fields) -> Evaluators:
        """The evaluators, with what `earlier` results kept.  Raises: ValueError where these answer another question."""
        if not self.estimator.resumable:
            raise ValueError(f"resume: {self.estimator!r} cannot continue; only integrated_gradients without steps can.")
        # Equal functions: a longer run may take another memory format, or an equal network.
        formats = {name: self.engine.prepared.numbers[name] for name in ("precision", "compiled")}
        check_same_call(earlier, self.evaluators, self.domains, differences, {**question, **formats})
        return [(of, replace(evaluator, earlier=earlier[of[0]]["details"])) for of, evaluator in self.evaluators]

    def fields(self, evaluators: Evaluators, differences: Sequence[Tensor]) -> list[dict[str, Any]]:
        """Runs the method. The fields of an `Attribution` in each domain, without the settings."""
        found = {}
        with self.engine.prepared.numerics():
            for members, evaluator in evaluators:
                estimate = self.estimator.estimate(evaluator)
                for number, i in enumerate(members):
                    parts = _fields(self.domains[i], evaluator.charts[number], estimate, number, differences[i])
                    found[i] = parts | {"kind": self.estimator.kind}
        return [found[i] for i in range(len(found))]

    def _evaluator(self, members: list[int]) -> Evaluator:
        """The evaluator of one group: in the signal for linear domains, else in the coefficients of the one domain."""
        x, seed, start, domain = self.x, self.seed, self.starts[members[0]], self.domains[members[0]]
        same = lambda u: u
        if is_signal_linear(domain):
            charts = [_chart(self.domains[i], x, self.starts[i]) for i in members]
            return Evaluator(x, x, start.signal, same, charts, self.engine, seed, start.draw, start.random)
        point, base = domain.ends(x, start.signal)
        draw = lambda rows: domain(start.draw(rows))
        if start.coefficients is not None:  # the baseline as it was declared, which may differ from T T⁻¹ of it
            base, draw = start.coefficients, repeated(start.coefficients)
        engine = self.engine.through(lambda model: Pullback(model, domain), point.dtype)
        chart = Chart(same, point - base, point, same, domain.layout, same)
        return Evaluator(x, point, base, domain, [chart], engine, seed, draw, start.random)


def _chart(domain: Transform, x: Tensor, start: Start) -> Chart:
    """The chart of a linear domain."""
    point = domain(x)
    if start.coefficients is not None:
        displacement = point - start.coefficients
    else:  # T is linear: from the zero baseline, the displacement is the point
        displacement = domain(x - start.signal) if start.nonzero else point
    return Chart(domain.adjoint, displacement, point, domain.inverse, domain.layout, domain)


def is_signal_linear(domain: Transform) -> bool:
    """Whether gradients in this domain follow from those in the signal: T⁻¹ is linear, and T⁻¹ T x = x."""
    return TransformClaim.LINEAR | TransformClaim.RECONSTRUCTS in domain.claims


def resolve_baseline(baseline: BaselineLike, x: Tensor, seed: int = 0) -> Tensor:
    """x₀ of a baseline that lives in the signal, in the form of x.  Raises: TypeError or ValueError where it does not fit x."""
    return starts(get_baseline(baseline), [get_transform("pixel", tuple(x.shape[1:]))], x, seed)[0].signal


def _fields(domain: Transform, chart: Chart, estimate: Estimate, number: int, difference: Tensor) -> dict[str, Any]:
    """The fields that come from chart `number`.  Raises: ValueError that names the example with values that are not finite."""
    values, details, moved = estimate.values[number], estimate.details, estimate.displacements
    check_gradient(values, where=f" (in {domain.spec})")
    return {
        "values": values,
        "coefficients": chart.point,
        "displacement": chart.displacement if moved is None else moved[number],
        "score_difference": difference if estimate.score_difference is None else estimate.score_difference,
        "transform": domain,
        "covector": estimate.covector if is_signal_linear(domain) else None,
        "details": details[number] if isinstance(details, list) else details,
    }


def described(value: Any) -> Any:
    """`value` as JSON can hold it, with small tensors of whole numbers as lists."""
    return plain(value, lambda t: t.tolist() if t.numel() <= 4096 and not t.is_floating_point() else plain(t))


def _whole(seed: Any) -> int:
    try:
        return operator.index(seed)
    except TypeError:
        raise TypeError(f"seed: expected a whole number, got {seed!r}.") from None
