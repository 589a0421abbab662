"""Completeness: Σ_k a_k = f(x) - f(x₀), and the parts of the gap between the two."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..attribution import Estimator
from ..attribution.engine.check_model import feed_dtype
from ..attribution.estimator import MethodClaim
from .case import Case
from .outcome import Outcome, inapplicable, shown
from .tolerances import Tolerance
from .trial import Trial
from .validate_map import short

GRANTED = 1e-2  # of |Δf|: the same for every method, whether its steps are visible or not
LITERATURE = 5e-2  # of |Δf|: what papers and tutorials accept of a quadrature
WRONG_SIGN = "the totals are -(f(x) - f(x₀)) within the tolerance: the sign is wrong"
_EXPENSIVE = 64  # gradients for one example; above this, double precision is measured on the cheap form only
_ALIKE = 512  # units of rounding by which two readings of f may differ, in batches of other sizes
_REPEATS = (6, 24)  # seeds over which a random method is averaged: first, and where these are not enough


def completeness(trial: Trial) -> Outcome:
    """The largest |Σ a - Δf| / |Δf| of the batch, with Δf = f(x) - f(x₀).

    |Δf| is never taken as less than a tenth of its root mean square over the batch; where all Δf are 0, Σ|a| replaces it.
    The tolerance is 1 % of |Δf| and rounding, for every method. A random method is judged by its mean over seeds, with
    four standard errors more. For an estimator that claims completeness, the gap is split into quadrature, dtype and
    T⁻¹T, and its order of convergence is measured.
    """
    point, origin = trial.scores(trial.case)
    difference, size = point - origin, torch.maximum(point.abs(), origin.abs())
    absolute = trial.reference().double().flatten(1).abs().sum(1)
    scale = _scale(difference, absolute, size * _eps(trial))
    sums = total(trial.reference())
    gap = sums - difference
    worst = int((gap / scale).abs().argmax())
    residual = float((gap / scale).abs().max())
    numbers = {"total": sums, "f(x)": point, "f(x₀)": origin, "gap": gap}
    evidence: dict[str, Any] = {"example": worst, **{name: float(number[worst]) for name, number in numbers.items()}}
    evidence["dtype"] = short(trial.case.x.dtype)
    evidence["x"] = shown(trial.case.x[worst])
    if trial.override is not None:
        return Outcome(residual, trial.tolerance, evidence=evidence)
    hidden = _hidden(trial, difference, scale, absolute, size)
    if hidden > GRANTED and (residual > GRANTED or (trial.double is not None and not bool(difference.any()))):
        return _in_double(trial, hidden)
    rounding = _rounding(trial, scale, absolute)
    if (other := _of_another_function(trial, difference, scale, size)) is not None:
        return replace(other, evidence=evidence)
    tolerance = rounding.plus(GRANTED, "of |Δf|, granted to every method")
    if residual > tolerance.value and trial.is_random:
        return replace(_mean_over_seeds(trial, difference, scale, tolerance), evidence=evidence)
    parts = _parts(trial, gap, scale, rounding.value)
    outcome = Outcome(residual, tolerance, _sentence(parts), evidence, parts)
    if not outcome.broken:
        return outcome
    negated = float(((sums + difference) / scale).abs().max()) <= tolerance.value
    return outcome.because(WRONG_SIGN if negated else _advice(trial.estimator, residual, parts))


def _of_another_function(trial: Trial, difference: Tensor, scale: Tensor, size: Tensor) -> Outcome | None:
    """The outcome where an estimator that claims completeness shares out another difference than Δf; None where it does not.

    Rounding is granted, but no quadrature: the estimator reads both scores, as the law does.
    """
    if trial.estimator is None or MethodClaim.COMPLETE not in trial.estimator.claims:
        return None
    eps = max(_eps(trial), torch.finfo(trial.dtype).eps)
    stated = trial.found.score_difference.double()
    value = min(float((_ALIKE * eps * size / scale).max()), GRANTED)
    tolerance = Tolerance(value, f"rounding of f(x) and f(x₀): {_ALIKE} eps")
    apart = float(((stated - difference) / scale).abs().max())
    reason = "the method explains another function: its score_difference is not f(x) - f(x₀) as gradients see f"
    return Outcome(apart, tolerance, reason) if apart > value else None


def total(values: Tensor) -> Tensor:
    """Σ a of each example, (batch,), in double precision."""
    return values.double().flatten(1).sum(1)


def _scale(difference: Tensor, absolute: Tensor, rounding: Tensor) -> Tensor:
    """|Δf| of each example, bounded from below; where all are 0, Σ|a| (absolute), but large beside eps |f| (rounding)."""
    largest = difference.abs().max()
    if float(largest) == 0:
        return torch.maximum(absolute, 64 / GRANTED * rounding).clamp(min=torch.finfo(absolute.dtype).tiny)
    typical = float(largest * (difference / largest).square().mean().sqrt())
    return difference.abs().clamp(min=0.1 * typical)


def _eps(trial: Trial) -> float:
    return torch.finfo(feed_dtype(trial.case.model, trial.case.x.dtype)).eps


def _rounding(trial: Trial, scale: Tensor, absolute: Tensor) -> Tolerance:
    """The rounding of a sum, relative to Σ|a|, which exceeds |Δf| where attributions cancel; in the narrower dtype."""
    cancellation = max(1.0, float((absolute / scale).max()))
    kind = max(trial.dtype, feed_dtype(trial.case.model, trial.case.x.dtype), key=lambda kind: torch.finfo(kind).eps)
    value = min(64 * torch.finfo(kind).eps * cancellation, GRANTED)
    return Tolerance(value, f"rounding of {short(kind)} {value:.1e} (64 eps × Σ|a| / |Δf| = {cancellation:.1f})")


def _hidden(trial: Trial, difference: Tensor, scale: Tensor, absolute: Tensor, size: Tensor) -> float:
    """The fraction of |Δf| that rounding of f(x) and f(x₀) may hide; the fraction of Σ|a| where all Δf are 0."""
    visible = scale if bool(difference.any()) else absolute
    return 8 * _eps(trial) * float((size / visible.where(visible > 0, size.clamp(min=1))).max())


def _in_double(trial: Trial, hidden: float) -> Outcome:
    """The outcome in double precision, for f(x) and f(x₀) whose rounding exceeds 1 % of |Δf|."""
    close = f"f(x) and f(x₀) are so close that rounding hides {_percent(hidden)} of their difference"
    if trial.double is None:
        more = "" if trial.case.x.dtype == torch.double else ", or the model and x in double precision"
        return inapplicable(f"{close}: take another baseline{more}")
    exact = completeness(trial.double)
    trial.evaluations += trial.double.take_evaluations()
    return exact.because(f"decided in double precision: {close}")


def _parts(trial: Trial, gap: Tensor, scale: Tensor, rounding: float) -> dict[str, Any]:
    """The gap of the worst example as quadrature + dtype + inverse, in units of |Δf|, and its order of convergence.

    inverse: f(T⁻¹Tx) - f(x), minus the same at x₀.  dtype: what the gap loses in double precision; an expensive method is
    measured in its cheap form.  quadrature: the rest.  For a callable, only `inverse` is known.
    """
    double, own, worst = trial.double, trial.estimator, int((gap / scale).abs().argmax())
    unit = float(scale[worst])
    inverse = float(_inverse_errors(trial.case if double is None else double.case)[worst]) / unit
    if own is None or MethodClaim.COMPLETE not in own.claims:
        return {"inverse": inverse}
    dtype = 0.0
    if double is not None:
        expensive = own.cost([trial.case.transform.layout]).gradients > _EXPENSIVE
        one, two = (_gap(each, expensive) for each in (trial, double))
        dtype = float((one - two)[worst]) / unit
        trial.evaluations += double.take_evaluations()
    parts = {"quadrature": float(gap[worst]) / unit - dtype - inverse, "dtype": dtype, "inverse": inverse}
    if isinstance(getattr(own, "steps", None), int):
        return parts | _by_steps(trial, own, gap, scale, rounding)
    return parts | _by_certificate(trial, worst, unit, rounding)


def _gap(trial: Trial, cheap: bool) -> Tensor:
    """Σ a - Δf of each example, (batch,)."""
    sums = total(trial.reference("cheap" if cheap else "full"))
    point, origin = trial.scores(trial.case)
    return sums - (point - origin)


def _inverse_errors(case: Case) -> Tensor:
    """f(T⁻¹Tx) - f(x), minus the same at x₀. Shape: (batch,)."""
    there = [case.transform.inverse(case.transform(signal)) for signal in (case.x, case.base)]
    before, after = case.scores(), replace(case, x=there[0], base=there[1]).scores()
    return (after[0] - before[0]) - (after[1] - before[1])


def _by_steps(trial: Trial, own: Estimator, gap: Tensor, scale: Tensor, rounding: float) -> dict[str, Any]:
    """The gap at fewer steps, or at more where it exceeds the tolerance, and the order of convergence."""
    steps: int = own.steps  # type: ignore[attr-defined]
    relative, difference = {steps: float((gap / scale).abs().max())}, total(trial.reference()) - gap
    others = (steps // 4, steps // 2) if relative[steps] <= rounding + GRANTED else (steps // 2, 4 * steps)
    for other in {max(2, count) for count in others} - {steps}:
        values = trial.attribution(trial.case, replace(own, steps=other)).values  # type: ignore[type-var]
        relative[other] = float(((total(values) - difference) / scale).abs().max())
    return _convergence(relative, rounding)


def _by_certificate(trial: Trial, worst: int, unit: float, rounding: float) -> dict[str, Any]:
    """What an adaptive method reports of the worst example: the gap before its correction, and the error of its map."""
    if trial.estimator is None or "residual" not in (full := trial.found.details):
        return {}
    few = trial.attribution(trial.case, trial.form("cheap") or trial.estimator).details
    gaps = {int(d["evaluations"][worst]): abs(float(d["residual"][worst])) / unit for d in (few, full)}
    reported = {"before its correction": gaps[max(gaps)], "map error": float(full["map_error"][worst])}
    return reported | _convergence(gaps, rounding)


def _convergence(gaps: dict[int, float], rounding: float) -> dict[str, Any]:
    """The gap by the number of steps, and p in gap ∝ steps^-p; None for one number, or where the gap is rounding."""
    fewest, most = min(gaps), max(gaps)
    order = None
    if fewest != most and min(gaps[fewest], gaps[most]) > rounding:
        order = math.log(gaps[fewest] / gaps[most]) / math.log(most / fewest)
    return {"gap by steps": {str(steps): gap for steps, gap in sorted(gaps.items())}, "order": order}


def _sentence(parts: dict[str, Any]) -> str:
    names = [name for name in ("quadrature", "dtype", "inverse", "map error") if name in parts]
    named = [f"{name} {_percent(parts[name])}" for name in names]
    if "before its correction" in parts:
        named.insert(0, f"{_percent(parts['before its correction'])} before its correction")
    if parts.get("order") is not None:
        named.append(f"order {parts['order']:.1f} in the steps")
    return ", ".join(named) if len(named) > 1 else ""


def _advice(own: Estimator | None, residual: float, parts: dict[str, Any]) -> str:
    """What to do about a gap above the tolerance, and whether the literature would accept it."""
    accepted = "within the 5 % that the literature accepts" if residual <= LITERATURE else ""
    order, steps = parts.get("order"), getattr(own, "steps", None)
    if not isinstance(steps, int) or order is None:
        return accepted
    if order < 0.2:
        return f"no convergence from {min(map(int, parts['gap by steps']))} to {steps} steps"
    needed = math.ceil(steps * (residual / GRANTED) ** (1 / order))
    advice = f"about {needed} steps for 1 %" if needed < 100 * steps else "too few steps"
    return ", ".join(filter(None, (accepted, advice)))


def _mean_over_seeds(trial: Trial, difference: Tensor, scale: Tensor, tolerance: Tolerance) -> Outcome:
    """The outcome for the mean over seeds, plus four standard errors; none where these exceed what the literature accepts."""
    for repeats in _REPEATS:
        totals = torch.stack([total(trial.reference("full", seed)) for seed in range(repeats)])
        residual = float(((totals.mean(0) - difference) / scale).abs().max())
        spread = float((totals.std(0) / scale).max())
        error = 4 * spread / repeats**0.5
        if residual > tolerance.value + error or error <= LITERATURE:
            break
    else:
        mean = f"the mean over {repeats} seeds by {_percent(residual)} ± {_percent(error)}"
        return inapplicable(f"one seed is off by {_percent(spread)}, {mean}: take more samples")
    reason = f"mean over {repeats} seeds, of which one is off by {_percent(spread)}"
    granted = tolerance.plus(error, f"4 standard errors of {repeats} seeds")
    return Outcome(residual, granted, reason, details={"standard deviation": spread, "seeds": repeats})


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
