"""`attribute`: the one place where estimator, transform and result meet."""

import contextlib
import dataclasses
import functools
import importlib.metadata
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from ..core.checks import check_finite, not_finite
from ..core.isolation import isolated, with_defaults
from ..core.plain import plain
from ..core.precision import wide
from ..core.progress import Progress, reporter
from ..transforms import Transform
from ..transforms import get as get_transform
from .baselines.base import Baseline
from .baselines.fixed import get_baseline
from .call import Call, is_signal_linear, starts
from .engine.check_model import check_model, feed_dtype
from .engine.chunks import budget
from .engine.execution import Execution
from .engine.model_args import Extras
from .engine.rows import Rows
from .engine.score import Score, Target
from .estimator import Estimate, Estimator, Evaluator
from .estimator import get as get_estimator
from .result import Attribution
from .resume import goes_on
from .targets import Choice

BaselineLike = Tensor | float | str | Baseline | Callable[[Tensor], Tensor] | None
Method = str | Estimator
Domain = str | Transform


@overload  # a str is itself a Sequence[str]; the first overload takes it
def attribute(
    model: Callable[..., Any],
    x: Tensor,
    target: Target = None,
    *,
    method: Method = ...,  # type: ignore[overload-overlap]
    transform: Domain = ...,
    baseline: BaselineLike = ...,
    batch_size: int | str = ...,
    seed: int = ...,
    progress: Progress | bool | None = ...,
    args: Sequence[Any] = ...,
    kwargs: Mapping[str, Any] | None = ...,
    create_graph: bool = ...,
    resume: Attribution | Sequence[Attribution] | None = ...,
    precision: str = ...,
    compile: bool | Mapping[str, Any] = ...,
    memory_format: str = ...,
) -> Attribution: ...
@overload
def attribute(
    model: Callable[..., Any],
    x: Tensor,
    target: Target = None,
    *,
    method: Method = ...,
    transform: Sequence[Domain],
    baseline: BaselineLike = ...,
    batch_size: int | str = ...,
    seed: int = ...,
    progress: Progress | bool | None = ...,
    args: Sequence[Any] = ...,
    kwargs: Mapping[str, Any] | None = ...,
    create_graph: bool = ...,
    resume: Attribution | Sequence[Attribution] | None = ...,
    precision: str = ...,
    compile: bool | Mapping[str, Any] = ...,
    memory_format: str = ...,
) -> list[Attribution]: ...
def attribute(
    model: Callable[..., Any],
    x: Tensor,
    target: Target = None,
    *,
    method: Method = "integrated_gradients",
    transform: Domain | Sequence[Domain] = "pixel",
    baseline: BaselineLike = None,
    batch_size: int | str = "auto",
    seed: int = 0,
    progress: Progress | bool | None = None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    create_graph: bool = False,
    resume: Attribution | Sequence[Attribution] | None = None,
    precision: str = "fp32",
    compile: bool | Mapping[str, Any] = False,
    memory_format: str = "auto",
) -> Attribution | list[Attribution]:
    """Shares f(x) - f(x₀) among the coefficients of T x, in one domain or in several from one gradient stream.

    For linear T a gradient is carried to z after the fact, ∇_z (f∘T⁻¹)(z) = (T⁻¹)ᵀ ∇_x f(x), so any number of linear
    domains costs the model rows of one. Other T run on f∘T⁻¹ with automatic differentiation.

    model: (rows, *shape) -> output, in eval mode.  x: (batch, *shape), channels first, floating point.
    target: which number of the output is f: a class index, one per example, one of `targets` (difference, top_k,
    log_odds, predicted), a callable output -> (rows,), or None.
    method: a spec such as "smoothgrad(samples=25)", or an Estimator.
    transform: a spec such as "dwt(db4, level=3)", a Transform, or a list of these; a list returns a list.
    baseline: x₀, a number, a tensor that broadcasts to x, a callable x -> x₀, a spec such as "blur(sigma=10)" or
    "uniform(0, 1)", `in_domain(z0)` to declare it in coefficients, `among(references)`, or None for zero.
    batch_size: at most this many examples × steps × samples in one forward; results do not depend on it. "auto" takes what the
    device's caches like, and no more than half of its free memory holds.
    seed: with the content of each example, it fixes all random numbers.
    progress: True for a bar with the time left, or a callable that takes (rows done, rows planned).
    args, kwargs: what else the model takes, model(x, *args, **kwargs). It is not attributed. A tensor with one entry per
    example follows its example from row to row, also inside lists, tuples and dictionaries; everything else, and what
    `pullback.Broadcast` marks, is passed as it is.
    create_graph: keep the values differentiable, with respect to x, the baseline and the model's parameters.
    resume: what this call returned before, made with "integrated_gradients(keep=True)", for the same model and data: the
    run goes on from there, and counts what is new.
    precision, compile, memory_format: how the model is run; see `Execution`. f(x) - f(x₀) is always read in full precision,
    so that `completeness_gap` shows what a narrower one costs. With compile, chunks are filled up to `rows`.

    Nothing of the caller's is changed: mode, hooks, gradients, random state; the result has no graph unless asked for.
    A model that does not give f(x) again when asked again is refused: its maps could not be repeated.
    Raises: TypeError or ValueError that says who expected what, and which example is at fault.

    >>> import torch, pullback as pb
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3)).eval()
    >>> att = pb.attribute(model, torch.ones(2, 1, 4, 4), 0, transform="dct")
    >>> bool((att.completeness_gap.abs() < 1e-5).all())
    True
    """
    estimator, seed = get_estimator(method), _whole(seed)
    check_model(model)
    with isolated(x.device if isinstance(x, Tensor) else None, create_graph) as outside, reporter(progress) as report:
        feed = feed_dtype(model, _check_x(x).dtype)
        # A copy: results hold x, and the caller may go on to reuse the tensor.
        x = (x if create_graph and not x.is_inference() else x.detach()).clone().to(wide(x.dtype))
        specs = (
            [transform]
            if isinstance(transform, (str, Transform)) or not isinstance(transform, Iterable)
            else [*transform]
        )
        if not specs:
            raise ValueError("transform: expected a spec, a Transform or a list of these; got an empty list.")
        domains = [get_transform(spec, tuple(x.shape[1:])) for spec in specs]
        prepared = Execution(precision, compile, memory_format).of(model, x, create_graph, outside)
        origin = get_baseline(baseline if isinstance(baseline, Baseline) else with_defaults(outside, baseline))
        runner = Rows(
            prepared,
            Score.of(target, len(x), x.device),
            _budget(batch_size, estimator, x),
            feed,
            with_defaults(outside, report),
            Extras(tuple(args), dict(kwargs or {}), len(x)),
            create_graph,
        )
        call = Call(estimator, x, domains, starts(origin, domains, x, seed, create_graph), prepared, runner, seed)
        with _telling_shapes(x):
            with prepared.exactly():
                runner.settle(x)
            call.expect()
            ends = call.ends(probe=batch_size == "auto" and estimator.cost() > 0 and not create_graph)
        deltas = call.deltas(ends)
        call.level()
        call.choose_precision()
        alike = {"target": _described(target), "baseline": origin.describe(), "dtype": str(x.dtype)} | {
            name: chosen for name, chosen in prepared.numbers.items() if name != "memory_format"
        }  # which "auto" may choose by the length of the run
        evaluators = (
            call.evaluators if resume is None else goes_on(resume, estimator, call.evaluators, domains, deltas, alike)
        )
        found = call.estimates(evaluators, ends)
        settings = _settings(estimator, target, origin, seed, runner, x, prepared.settings)
        results = [_result(domain, *found[i], deltas[i], settings) for i, domain in enumerate(domains)]
    return results[0] if isinstance(transform, (str, Transform)) else results


def _budget(batch_size: int | str, estimator: Estimator, x: Tensor) -> int:
    most = budget(batch_size, tuple(x.shape[1:]), x.device)
    if most < estimator.least_rows:
        raise ValueError(
            f"rows: {estimator!r} needs {estimator.least_rows} rows together, so batch_size must be at least "
            f"{estimator.least_rows}; got {most}."
        )
    return most


def _result(
    domain: Transform, evaluator: Evaluator, estimate: Estimate, number: int, delta: Tensor, settings: dict[str, Any]
) -> Attribution:
    values, chart = estimate.values[number], evaluator.charts[number]
    wrong = not_finite(values)
    if wrong is not None:
        raise ValueError(
            f"The model's gradient is not finite for example {wrong} (in {domain.spec}); look for square roots, "
            "logarithms or divisions at zero in the model, or take another baseline."
        )
    return Attribution(
        values=values,
        coefficients=chart.point,
        displacement=chart.displacement if estimate.displacements is None else estimate.displacements[number],
        score_difference=delta if estimate.score_difference is None else estimate.score_difference,
        transform=domain,
        covector=estimate.covector if is_signal_linear(domain) else None,
        settings=settings | {"transform": domain.spec},
        details=estimate.details[number] if isinstance(estimate.details, list) else estimate.details,
    )


def _settings(
    estimator: Estimator,
    target: Target,
    origin: Baseline,
    seed: int,
    runner: Rows,
    x: Tensor,
    execution: dict[str, Any],
) -> dict[str, Any]:
    options: dict[str, Any] = _described(dataclasses.asdict(estimator)) if dataclasses.is_dataclass(estimator) else {}
    return {
        "method": estimator.name or type(estimator).__name__,
        "options": options,
        "shares": estimator.shares,
        "target": _described(target),
        "baseline": origin.describe(),
        "baseline_coordinates": origin.coordinates,
        "seed": seed,
        "batch_size": runner.budget,
        "execution": execution,
        "evaluations": {"forward": runner.count.forwards, "gradient": runner.count.gradients},
        "dtype": str(x.dtype),
        "device": str(x.device),
        "versions": {"pullback": _version(), "torch": torch.__version__},
    }


@functools.cache
def _version() -> str:
    """Of this package: read from its files once."""
    return importlib.metadata.version("pullback")


def _described(value: Any) -> Any:
    """`value` as JSON can hold it, with whole numbers of tensors as lists."""
    if isinstance(value, Choice):
        return value.label
    return plain(value, lambda t: t.tolist() if t.numel() <= 4096 and not t.is_floating_point() else plain(t))


def _check_x(x: Any) -> Tensor:
    if not isinstance(x, Tensor):
        advice = "; pass torch.from_numpy(x)" if isinstance(x, np.ndarray) else ""
        raise TypeError(f"x: expected a tensor (batch, *shape), got {type(x).__name__}{advice}.")
    if not x.is_floating_point() or x.ndim < 2 or x.numel() == 0:
        raise ValueError(
            f"x: expected a real floating-point tensor (batch, *shape) that is not empty, got {x.dtype} of shape "
            f"{tuple(x.shape)}."
        )
    return check_finite("x", x)


def _whole(seed: Any) -> int:
    try:
        return operator.index(seed)
    except TypeError:
        raise TypeError(f"seed: expected a whole number, got {seed!r}.") from None


@contextlib.contextmanager
def _telling_shapes(x: Tensor) -> Iterator[None]:
    """Adds to what the model raises what it was given: a signal without a batch axis looks like a batch of others."""
    try:
        yield
    except RuntimeError as error:
        error.add_note(
            f"pullback.attribute: x has shape {tuple(x.shape)}, (batch, *shape), so the model was given rows of "
            f"{tuple(x.shape[1:])}; one signal by itself is x[None]."
        )
        raise


def resolve_baseline(baseline: BaselineLike, x: Tensor, seed: int = 0) -> Tensor:
    """x₀ of a baseline that lives in the signal, in the shape, dtype and device of x.

    Raises: TypeError or ValueError that says what came.
    """
    return starts(get_baseline(baseline), [get_transform("pixel", tuple(x.shape[1:]))], x, seed)[0].signal
