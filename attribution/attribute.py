"""`attribute`: the one place where estimator, transform and result meet."""

import dataclasses
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from ..transforms import Claim, Transform
from ..transforms import get as get_transform
from ..transforms.base import wide
from .estimator import Chart, Estimate, Estimator, Walk
from .estimator import get as get_estimator
from .progress import Progress, reporter
from .pullback import Pullback
from .result import Attribution
from .rows import Extras, Rows, budget, check_model, feed_dtype
from .score import Score, Target
from .targets import Choice

Baseline = Tensor | float | Callable[[Tensor], Tensor] | None
Method = str | Estimator
Domain = str | Transform


@overload  # a str is itself a Sequence[str]; the first overload takes it
def attribute(model: Callable[..., Any], x: Tensor, target: Target = None, *, method: Method = ...,  # type: ignore[overload-overlap]
              transform: Domain = ..., baseline: Baseline = ..., rows: int | str = ..., seed: int = ...,
              progress: Progress | bool | None = ..., args: Sequence[Any] = ..., kwargs: Mapping[str, Any] | None = ...,
              create_graph: bool = ...) -> Attribution: ...  # fmt: skip
@overload
def attribute(model: Callable[..., Any], x: Tensor, target: Target = None, *, method: Method = ...,
              transform: Sequence[Domain], baseline: Baseline = ..., rows: int | str = ..., seed: int = ...,
              progress: Progress | bool | None = ..., args: Sequence[Any] = ..., kwargs: Mapping[str, Any] | None = ...,
              create_graph: bool = ...) -> list[Attribution]: ...  # fmt: skip
def attribute(
    model: Callable[..., Any],
    x: Tensor,
    target: Target = None,
    *,
    method: Method = "integrated_gradients",
    transform: Domain | Sequence[Domain] = "pixel",
    baseline: Baseline = None,
    rows: int | str = "auto",
    seed: int = 0,
    progress: Progress | bool | None = None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    create_graph: bool = False,
) -> Attribution | list[Attribution]:
    """Shares f(x) - f(x₀) among the coefficients of T x, in one domain or in several from one gradient stream.

    For linear T a gradient is carried to z after the fact, ∇_z (f∘T⁻¹)(z) = (T⁻¹)ᵀ ∇_x f(x), so any number of linear
    domains costs the model rows of one. Other T run on f∘T⁻¹ with automatic differentiation.

    model: (rows, *shape) -> output, in eval mode.  x: (batch, *shape), channels first, floating point.
    target: which number of the output is f: a class index, one per example, one of `targets` (difference, top_k,
    log_odds, predicted), a callable output -> (rows,), or None.
    method: a spec such as "smoothgrad(samples=25)", or an Estimator.
    transform: a spec such as "dwt(db4, level=3)", a Transform, or a list of these; a list returns a list.
    baseline: x₀, a number, a tensor that broadcasts to x, a callable x -> x₀, or None for zero.
    rows: at most this many examples × steps × samples in one forward; results do not depend on it.
    seed: with the content of each example, it fixes all random numbers.
    progress: True for a bar with the time left, or a callable that takes (rows done, rows planned).
    args, kwargs: what else the model takes, model(x, *args, **kwargs). It is not attributed. A tensor with one entry per
    example follows its example from row to row; everything else is passed as it is.
    create_graph: keep the values differentiable, with respect to x, the baseline and the model's parameters.

    Nothing of the caller's is changed: mode, hooks, gradients, random state; the result has no graph unless asked for.
    Raises: TypeError or ValueError that says who expected what, and which example is at fault.

    >>> import torch, pullback as pb
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3)).eval()
    >>> att = pb.attribute(model, torch.ones(2, 1, 4, 4), 0, transform="dct")
    >>> bool((att.gap.abs() < 1e-5).all())
    True
    """
    estimator = get_estimator(method)
    check_model(model)
    with torch.inference_mode(False), torch.set_grad_enabled(create_graph), reporter(progress) as report:
        feed = feed_dtype(model, _check_x(x).dtype)
        x = (x.clone() if x.is_inference() else x if create_graph else x.detach()).to(wide(x.dtype))
        several = not isinstance(transform, (str, Transform))
        specs = [transform] if isinstance(transform, (str, Transform)) else list(transform)
        domains = [get_transform(spec, tuple(x.shape[1:])) for spec in specs]
        base = resolve_baseline(baseline, x, create_graph)
        score = Score.of(target, len(x), x.device)
        extras = Extras(tuple(args), dict(kwargs or {}), len(x))
        most = budget(rows, tuple(x.shape[1:]), x.device)
        runner = Rows(model, score, most, feed, report, extras, create_graph)
        runner.settle(x)
        walks = _walks(model, runner, domains, x, base, seed)
        runner.expect(len(x) * (2 + _cost(estimator, walks)))
        delta = _delta(runner, x, base)
        found = {}
        for members, walk in walks:
            estimate = estimator.estimate(walk)
            found.update({member: (walk, estimate, number) for number, member in enumerate(members)})
        settings = _settings(estimator, target, baseline, seed, runner, x, base)
        results = [_result(domain, *found[member], delta, x, settings) for member, domain in enumerate(domains)]
    return results if several else results[0]


def _cost(estimator: Estimator, walks: Sequence[tuple[list[int], Walk]]) -> int:
    """Model rows for one example."""
    return sum(estimator.cost() * (len(members) if estimator.each_domain else 1) for members, _ in walks)


def _walks(model: Callable[..., Any], runner: Rows, domains: Sequence[Transform], x: Tensor, base: Tensor,
           seed: int) -> list[tuple[list[int], Walk]]:  # fmt: skip
    """One walk in the signal for all linear domains, and one in z for each of the others."""
    shared = [i for i, domain in enumerate(domains) if _shares_walk(domain)]
    walks = []
    if shared:
        charts = [_chart(domains[i], x, base) for i in shared]
        walks.append((shared, Walk(x, x, base, lambda u: u, charts, runner, seed)))
    for i in sorted(set(range(len(domains))) - set(shared)):
        point, origin = domains[i].ends(x, base)
        own = runner.through(Pullback(model, domains[i]), point.dtype)
        chart = Chart(lambda g: g, point - origin, point, lambda z: z, domains[i].layout)
        walks.append(([i], Walk(x, point, origin, domains[i], [chart], own, seed)))
    return walks


def _shares_walk(domain: Transform) -> bool:
    """Whether gradients of this domain are those of the signal, carried over: T⁻¹ is linear and meets the walk at x."""
    return Claim.LINEAR | Claim.RECONSTRUCTS in domain.claims


def _chart(domain: Transform, x: Tensor, base: Tensor) -> Chart:
    return Chart(domain.adjoint, domain(x - base), domain(x), domain.inverse, domain.layout)


def _delta(runner: Rows, x: Tensor, base: Tensor) -> Tensor:
    """f(x) - f(x₀). Shape: (batch,)."""
    example = torch.arange(len(x), device=x.device)
    return runner.values(example, lambda part: x[part]) - runner.values(example, lambda part: base[part])


def _result(domain: Transform, walk: Walk, estimate: Estimate, number: int, delta: Tensor, x: Tensor,
            settings: dict[str, Any]) -> Attribution:  # fmt: skip
    values, chart = estimate.values[number], walk.charts[number]
    finite = values.flatten(1).isfinite().all(1)
    if not bool(finite.all()):
        wrong = int((~finite).nonzero()[0, 0])
        raise ValueError(f"The model's gradient is not finite for example {wrong} (in {domain.spec}); look for square roots, "
                         "logarithms or divisions at zero in the model, or take another baseline.")  # fmt: skip
    return Attribution(
        values=values,
        coefficients=domain(x),
        displacement=chart.displacement,
        delta=delta,
        transform=domain,
        covector=estimate.covector if _shares_walk(domain) else None,
        settings=settings | {"transform": domain.spec},
        details=estimate.details[number] if isinstance(estimate.details, list) else estimate.details,
    )


def _settings(estimator: Estimator, target: Target, baseline: Baseline, seed: int, runner: Rows, x: Tensor,
              base: Tensor) -> dict[str, Any]:  # fmt: skip
    options: dict[str, Any] = _describe(dataclasses.asdict(estimator)) if dataclasses.is_dataclass(estimator) else {}
    return {
        "method": estimator.name or type(estimator).__name__,
        "options": options,
        "shares": estimator.shares,
        "target": _describe(target),
        "baseline": "zero" if baseline is None else _describe(baseline),
        "seed": seed,
        "rows": runner.budget,
        "evaluations": {"forward": runner.count.forwards, "gradient": runner.count.gradients},
        "dtype": str(x.dtype),
        "device": str(x.device),
        "versions": {"pullback": importlib.metadata.version("pullback"), "torch": torch.__version__},
    }


def _describe(value: Any) -> Any:
    """`value` as JSON can hold it."""
    if value is None or isinstance(value, (int, float, str)):
        return value
    if isinstance(value, Choice):
        return value.label
    if isinstance(value, Tensor):
        return (
            value.tolist()
            if value.numel() <= 4096 and not value.is_floating_point()
            else f"tensor {tuple(value.shape)}"
        )
    if isinstance(value, Mapping):
        return {str(key): _describe(entry) for key, entry in value.items()}
    if isinstance(value, Sequence):
        return [_describe(entry) for entry in value]
    if isinstance(value, np.generic):
        return value.item()
    return f"callable {getattr(value, '__qualname__', type(value).__name__)}"


def _check_x(x: Any) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(f"x: expected a tensor (batch, *shape), got {type(x).__name__}.")
    if not x.is_floating_point() or x.ndim < 2 or x.numel() == 0:
        raise ValueError(f"x: expected a real floating-point tensor (batch, *shape) that is not empty, got {x.dtype} of shape "
                         f"{tuple(x.shape)}.")  # fmt: skip
    return _finite("x", x)


def resolve_baseline(baseline: Baseline, x: Tensor, create_graph: bool = False) -> Tensor:
    """x₀ in the shape, dtype and device of x.  Raises: TypeError or ValueError that says what came."""
    if baseline is None:
        return torch.zeros_like(x)
    value = baseline(x) if callable(baseline) and not isinstance(baseline, Tensor) else baseline
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = torch.full_like(x, value)
    if not isinstance(value, Tensor):
        raise TypeError(f"baseline: expected a number, a tensor, a callable or None, got {type(value).__name__}.")
    if value.is_complex() or (value.ndim and value.shape != x.shape and value.shape != x.shape[1:]
                              and value.shape != (1, *x.shape[1:])):  # fmt: skip
        raise ValueError(f"baseline: expected a real tensor of shape {tuple(x.shape)} or {tuple(x.shape[1:])}, got "
                         f"{value.dtype} of shape {tuple(value.shape)}.")  # fmt: skip
    return _finite("baseline", (value if create_graph else value.detach()).to(x).expand_as(x))


def _finite(who: str, value: Tensor) -> Tensor:
    finite = value.isfinite().flatten(1).all(1)
    if not bool(finite.all()):
        raise ValueError(f"{who}: example {int((~finite).nonzero()[0, 0])} holds NaN or infinity; clean or drop it.")
    return value
