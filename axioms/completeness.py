"""Completeness: Σ_k a_k = f(x) - f(x₀), and what its gap is made of."""

import copy
import dataclasses
import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..attribution import Estimator
from ..attribution.estimator import Promise
from .outcome import Outcome, plain
from .trial import Case, Limit, Trial

HIDDEN = 1e-2  # of |Δf|: what is granted where the steps cannot be seen, and what refining them must reach
VISIBLE = 5e-2  # of |Δf|: what is granted to a quadrature that is seen to converge, as in the literature


def completeness(trial: Trial) -> Outcome:
    """max over examples of |Σ a - Δf| / |Δf|; no |Δf| counts as less than a tenth of the batch's root mean square.

    A method whose number of steps can be set is run with half and with twice as many, and with eight times as many where
    that shows no progress: its quadrature may cost 5 % of |Δf| as long as it converges. Where the steps are hidden the bar
    is 1 %.
    """
    point, origin = trial.scores(trial.case)
    delta = point - origin
    scale = _scale(delta, torch.maximum(point.abs(), origin.abs()))
    gap = _total(trial.answer) - delta
    rounding = _rounding(trial, scale)
    residual, worst = float((gap / scale).abs().max()), int((gap / scale).abs().argmax())
    evidence = {"example": worst, "total": float(_total(trial.answer)[worst]), "f(x)": float(point[worst]),
                "f(x₀)": float(origin[worst]), "gap": float(gap[worst]), "x": plain(trial.case.x[worst])}  # fmt: skip
    judged = _judge(trial, residual, gap, delta, scale, rounding)
    if trial.override is not None:
        judged = replace(judged, residual=residual, limit=trial.limit)
    return replace(judged, evidence=evidence)


def _judge(trial: Trial, residual: float, gap: Tensor, delta: Tensor, scale: Tensor, rounding: Limit) -> Outcome:
    own = trial.own
    if own is None:
        details = {"inverse": _inverse_part(trial.case, scale)}
        return Outcome(residual, rounding.plus(HIDDEN, "of |Δf|, because a foreign method's steps are hidden"),
                       "judged at 1 % of |Δf|", details=details)  # fmt: skip
    if Promise.COMPLETE not in own.claims:
        return Outcome(residual, rounding)
    if isinstance(getattr(own, "steps", None), int):
        return _refined(trial, own, residual, gap, delta, scale, rounding)
    if isinstance(getattr(own, "samples", None), int):
        return _sampled(trial, delta, scale, rounding)
    parts = _split(trial, gap, scale)
    return Outcome(residual, rounding.plus(HIDDEN, "of |Δf| for the method's own error control"),
                   f"{_sentence(parts)}judged at 1 % of |Δf|, for it chooses its own steps",
                   details=parts | {"reported map error": trial.reported})  # fmt: skip


def _refined(trial: Trial, own: Estimator, residual: float, gap: Tensor, delta: Tensor, scale: Tensor,
             rounding: Limit) -> Outcome:  # fmt: skip
    steps: int = own.steps  # type: ignore[attr-defined]
    relative = {steps: residual}
    for factor in (0.5, 2, 8):
        finer = _with_steps(own, int(factor * steps))
        if finer is not None and (factor != 8 or _stuck(relative, residual, rounding)):
            gaps = _total(trial.map(trial.case, method=finer)) - delta
            relative[int(factor * steps)] = float((gaps / scale).abs().max())
    relative = dict(sorted(relative.items()))
    order = _order(relative, rounding.value)
    parts = _split(trial, gap, scale)
    details = {"gap by steps": {str(k): v for k, v in relative.items()}, "order": order, **parts}
    if _stuck(relative, residual, rounding):
        finest = max(relative)
        return Outcome(max(residual, relative[finest]), rounding.plus(HIDDEN, "of |Δf|"),
                       f"no convergence: {_percent(relative[finest])} at {finest} steps", details=details)  # fmt: skip
    needed = math.ceil(steps * (residual / HIDDEN) ** (1 / order)) if order and residual > HIDDEN else steps
    advice = f", about {needed} steps for 1 %" if needed > steps else ""
    reason = f"{_sentence(parts)}order {order:.1f} in the steps{advice}" if order else f"{_sentence(parts)}at rounding"
    return Outcome(residual, rounding.plus(VISIBLE, "of |Δf| for a quadrature that converges"), reason, details=details)


def _stuck(relative: dict[int, float], residual: float, rounding: Limit) -> bool:
    """Whether the finest quadrature is neither within 1 % nor clearly better than the one at hand."""
    return relative[max(relative)] > max(HIDDEN, 0.7 * residual) + rounding.value


def _with_steps(own: Estimator, steps: int) -> Estimator | None:
    try:
        return dataclasses.replace(own, steps=steps)  # type: ignore[type-var]
    except (ValueError, TypeError):
        return None


def _order(relative: dict[int, float], rounding: float) -> float | None:
    """p in gap ∝ steps^-p between the fewest and the most steps; None once the gap is at rounding."""
    fewest, most = min(relative), max(relative)
    if fewest == most or relative[most] <= rounding or relative[fewest] <= rounding:
        return None
    order = math.log(relative[fewest] / relative[most]) / math.log(most / fewest)
    return order if order > 0.05 else None


def _split(trial: Trial, gap: Tensor, scale: Tensor) -> dict[str, Any]:
    """The gap as quadrature + dtype + inverse, each in units of |Δf|, for the example of largest gap.

    inverse: f(T⁻¹Tx) - f(x), less the same at x₀.  dtype: the gap less that of a run in double precision.
    quadrature: what is left. They add up to the gap.
    """
    case, worst = trial.case, int((gap / scale).abs().argmax())
    unit = float(scale[worst])
    double = _in_double(case)
    dtype, exact = 0.0, gap
    if double is not None:
        try:
            point, origin = trial.scores(double)
            exact = _total(trial.map(double)) - (point - origin)
            dtype = float((gap - exact)[worst]) / unit
        except (RuntimeError, ValueError, TypeError) as error:
            return {"split": f"not measured: the model does not run in double precision ({error})"}
    inverse = float(_inverse_errors(double or case)[worst]) / unit
    total = float(gap[worst]) / unit
    return {"quadrature": total - dtype - inverse, "dtype": dtype, "inverse": inverse}


def _in_double(case: Case) -> Case | None:
    if case.x.dtype == torch.double:
        return None
    return replace(case, model=copy.deepcopy(case.model).double(), x=case.x.double(), base=case.base.double())


def _inverse_errors(case: Case) -> Tensor:
    """f(T⁻¹Tx) - f(x), less the same at x₀. Shape: (batch,)."""
    there = [case.transform.inverse(case.transform(signal)) for signal in (case.x, case.base)]
    before, after = case.scores(), replace(case, x=there[0], base=there[1]).scores()
    return (after[0] - before[0]) - (after[1] - before[1])


def _inverse_part(case: Case, scale: Tensor) -> float:
    return float((_inverse_errors(case) / scale).abs().max())


def _sampled(trial: Trial, delta: Tensor, scale: Tensor, rounding: Limit, repeats: int = 6) -> Outcome:
    """The mean over `repeats` seeds, against four of its standard errors."""
    totals = torch.stack([_total(trial.answer), *(_total(trial.map(trial.case, seed)) for seed in range(1, repeats))])
    residual = float(((totals.mean(0) - delta) / scale).abs().max())
    spread = float((totals.std(0) / scale).max())
    limit = rounding.plus(HIDDEN, "of |Δf|").plus(4 * spread / repeats**0.5, f"4 standard errors of {repeats} seeds")
    return Outcome(residual, limit, f"mean of {repeats} seeds, one seed is off by {_percent(spread)}",
                   details={"standard deviation": spread})  # fmt: skip


def _scale(delta: Tensor, size: Tensor) -> Tensor:
    typical = delta.square().mean().sqrt()
    if float(typical) == 0:  # nothing to share out: against the score itself
        return size.clamp(min=torch.finfo(size.dtype).tiny)
    return delta.abs().clamp(min=0.1 * float(typical))


def _rounding(trial: Trial, scale: Tensor) -> Limit:
    """Rounding of a sum: relative to Σ|a|, which exceeds |Δf| where attributions cancel."""
    cancellation = max(1.0, float((trial.answer.double().flatten(1).abs().sum(1) / scale).max()))
    small = min(trial.limit.value, 1e-4) if trial.override is None else trial.limit.value
    return Limit(min(small * cancellation, HIDDEN), f"{trial.limit.source} × Σ|a| / |Δf| = {cancellation:.1f}")


def _total(values: Tensor) -> Tensor:
    return values.double().flatten(1).sum(1)


def _sentence(parts: dict[str, Any]) -> str:
    if "split" in parts:
        return ""
    return "".join(f"{name} {_percent(value)}, " for name, value in parts.items())


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
