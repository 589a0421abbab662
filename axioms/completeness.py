"""Completeness: Σ_k a_k = f(x) - f(x₀), and what its gap is made of."""

import dataclasses
import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..attribution import Estimator
from ..attribution.engine.check_model import feed_dtype
from ..attribution.estimator import MethodClaim
from .outcome import Outcome, inapplicable, shown
from .tolerances import Limit
from .trial import Case, Trial
from .validate_map import short

GRANTED = 1e-2  # of |Δf|: one bar for every method, ours or foreign, its steps seen or hidden
LITERATURE = 5e-2  # of |Δf|: what papers and tutorials accept of a quadrature
_MANY = 64  # rows for one example, beyond which double precision is asked of the brief form only
_REPEATS = (6, 24)  # seeds over which a random method is averaged: at first, and where these do not settle it


def completeness(trial: Trial) -> Outcome:
    """max over examples of |Σ a - Δf| / |Δf|; no |Δf| counts as less than a tenth of the batch's root mean square, and where
    all are 0 the sum is measured against Σ|a|.

    1 % of |Δf| is granted, besides rounding, to every method alike; a method that draws is judged by its mean over seeds, with
    four standard errors. For our own methods the gap is split into quadrature, dtype and T⁻¹T, and its order is measured.
    """
    point, origin = trial.scores(trial.case)
    delta, size = point - origin, torch.maximum(point.abs(), origin.abs())
    shares = trial.answer.double().flatten(1).abs().sum(1)
    scale = _scale(delta, shares, size * _eps(trial))
    gap = total(trial.answer) - delta
    worst = int((gap / scale).abs().argmax())
    residual = float((gap / scale).abs().max())
    evidence = {
        "example": worst,
        "total": float(total(trial.answer)[worst]),
        "f(x)": float(point[worst]),
        "f(x₀)": float(origin[worst]),
        "gap": float(gap[worst]),
        "x": shown(trial.case.x[worst]),
    }
    if trial.override is not None:
        return Outcome(residual, trial.limit, evidence=evidence)
    hidden = _hidden(trial, delta, scale, shares, size)
    if hidden > GRANTED and (residual > GRANTED or (trial.double is not None and not bool(delta.any()))):
        return _told_in_double(trial, hidden)
    rounding = _rounding(trial, scale, shares)
    limit = rounding.plus(GRANTED, "of |Δf|, granted to every method")
    if residual > limit.value and trial.draws:
        return replace(_sampled(trial, delta, scale, limit), evidence=evidence)
    parts = _parts(trial, gap, scale, rounding.value)
    reason = "; ".join(
        filter(None, (_sentence(parts), _advice(trial.own, residual, parts) if residual > limit.value else ""))
    )
    return Outcome(residual, limit, reason, evidence, parts)


def total(values: Tensor) -> Tensor:
    """Σ a of each example, (batch,), in double precision."""
    return values.double().flatten(1).sum(1)


def _scale(delta: Tensor, shares: Tensor, rounding: Tensor) -> Tensor:
    """|Δf| of each example. Where there is nothing to share out, Σ|a|; and so much that rounding of f stays within 1 % of it.

    shares: Σ|a|.  rounding: eps |f|.  Each (batch,).
    """
    largest = delta.abs().max()
    if float(largest) == 0:
        return torch.maximum(shares, 64 / GRANTED * rounding).clamp(min=torch.finfo(shares.dtype).tiny)
    typical = float(largest * (delta / largest).square().mean().sqrt())
    return delta.abs().clamp(min=0.1 * typical)


def _eps(trial: Trial) -> float:
    return torch.finfo(feed_dtype(trial.case.model, trial.case.x.dtype)).eps


def _rounding(trial: Trial, scale: Tensor, shares: Tensor) -> Limit:
    """Rounding of a sum, relative to Σ|a|, which exceeds |Δf| where attributions cancel; in the narrower dtype of two."""
    cancellation = max(1.0, float((shares / scale).max()))
    kind = max(trial.dtype, feed_dtype(trial.case.model, trial.case.x.dtype), key=lambda kind: torch.finfo(kind).eps)
    value = min(64 * torch.finfo(kind).eps * cancellation, GRANTED)
    return Limit(value, f"rounding of {short(kind)} {value:.1e} (64 eps × Σ|a| / |Δf| = {cancellation:.1f})")


def _hidden(trial: Trial, delta: Tensor, scale: Tensor, shares: Tensor, size: Tensor) -> float:
    """How much of |Δf| rounding of f(x) and f(x₀) may hide: of Σ|a| where there is nothing to share out."""
    seen = scale if bool(delta.any()) else shares
    return 8 * _eps(trial) * float((size / seen.where(seen > 0, size.clamp(min=1))).max())


def _told_in_double(trial: Trial, hidden: float) -> Outcome:
    """The verdict where |Δf| is so small beside |f| that rounding of f hides what 1 % of it is."""
    apart = f"f(x) and f(x₀) are so near each other that rounding hides {_percent(hidden)} of their difference"
    if trial.double is None:
        more = "" if trial.case.x.dtype == torch.double else ", or the model and x in double precision"
        return inapplicable(f"{apart}: take another baseline{more}")
    exact = completeness(trial.double)
    trial.spent += trial.double.taken()
    return exact.noting(f"settled in double precision: {apart}")


# What the gap is made of -------------------------------------------------------------------------------------------------


def _parts(trial: Trial, gap: Tensor, scale: Tensor, rounding: float) -> dict[str, Any]:
    """The gap as quadrature + dtype + inverse, each in units of |Δf|, for the example of largest gap; and its order.

    inverse: f(T⁻¹Tx) - f(x), less the same at x₀.  dtype: what the gap loses in double precision, by the brief form of a
    method of many rows.  quadrature: what is left. They add up to the gap. Where steps are hidden, only `inverse` is seen.
    """
    double, worst = trial.double, int((gap / scale).abs().argmax())
    unit = float(scale[worst])
    exact = trial.case if double is None else double.case
    inverse = float(_inverse_errors(exact)[worst]) / unit
    if trial.own is None or MethodClaim.COMPLETE not in trial.own.claims:
        return {"inverse": inverse}
    dtype = 0.0
    if double is not None:
        few = trial.own.cost([trial.case.transform.layout]).gradients > _MANY
        both = [total(one.quick_answer if few else one.answer) - _delta(one) for one in (trial, double)]
        dtype = float((both[0] - both[1])[worst]) / unit
        trial.spent += double.taken()
    parts = {"quadrature": float(gap[worst]) / unit - dtype - inverse, "dtype": dtype, "inverse": inverse}
    if isinstance(getattr(trial.own, "steps", None), int):
        return parts | _by_steps(trial, trial.own, gap, scale, rounding)
    return parts | _by_certificate(trial, worst, unit, rounding)


def _delta(trial: Trial) -> Tensor:
    point, origin = trial.scores(trial.case)
    return point - origin


def _inverse_errors(case: Case) -> Tensor:
    """f(T⁻¹Tx) - f(x), less the same at x₀. Shape: (batch,)."""
    there = [case.transform.inverse(case.transform(signal)) for signal in (case.x, case.base)]
    before, after = case.scores(), replace(case, x=there[0], base=there[1]).scores()
    return (after[0] - before[0]) - (after[1] - before[1])


def _by_steps(trial: Trial, own: Estimator, gap: Tensor, scale: Tensor, rounding: float) -> dict[str, Any]:
    """The gap at fewer steps, or where it is above the bar at more, and the order that these show."""
    steps: int = own.steps  # type: ignore[attr-defined]
    relative, delta = {steps: float((gap / scale).abs().max())}, total(trial.answer) - gap
    others = (steps // 4, steps // 2) if relative[steps] <= rounding + GRANTED else (steps // 2, 4 * steps)
    for other in {max(2, count) for count in others} - {steps}:
        values = trial.attribution(trial.case, dataclasses.replace(own, steps=other)).values  # type: ignore[type-var]
        relative[other] = float(((total(values) - delta) / scale).abs().max())
    relative = dict(sorted(relative.items()))
    return {"gap by steps": {str(k): v for k, v in relative.items()}, "order": _order(relative, rounding)}


def _by_certificate(trial: Trial, worst: int, unit: float, rounding: float) -> dict[str, Any]:
    """What a method that checks itself says of the example: the gap before its correction, and the error of its map."""
    if trial.own is None or "residual" not in (full := trial.found.details):
        return {}
    few = trial.attribution(trial.case, trial.brief or trial.own).details
    gaps = {int(d["evaluations"][worst]): abs(float(d["residual"][worst])) / unit for d in (few, full)}
    return {
        "before its correction": gaps[max(gaps)],
        "map error": float(full["map_error"][worst]),
        "gap by steps": {str(k): v for k, v in sorted(gaps.items())},
        "order": _order(gaps, rounding),
    }


def _order(relative: dict[int, float], rounding: float) -> float | None:
    """p in gap ∝ steps^-p between the fewest and the most steps; None where there is one number, or the gap is at rounding."""
    fewest, most = min(relative), max(relative)
    if fewest == most or relative[most] <= rounding or relative[fewest] <= rounding:
        return None
    return math.log(relative[fewest] / relative[most]) / math.log(most / fewest)


def _sentence(parts: dict[str, Any]) -> str:
    named = [
        f"{name} {_percent(parts[name])}" for name in ("quadrature", "dtype", "inverse", "map error") if name in parts
    ]
    if "before its correction" in parts:
        named.insert(0, f"{_percent(parts['before its correction'])} before its correction")
    if parts.get("order") is not None:
        named.append(f"order {parts['order']:.1f} in the steps")
    return ", ".join(named) if len(named) > 1 else ""


def _advice(own: Estimator | None, residual: float, parts: dict[str, Any]) -> str:
    """What a reader can do about a gap above the bar, and how the literature would see it."""
    accepted = "within the 5 % that the literature accepts" if residual <= LITERATURE else ""
    order, steps = parts.get("order"), getattr(own, "steps", None)
    if not isinstance(steps, int) or order is None:
        return accepted
    if order < 0.2:
        return f"no convergence from {min(map(int, parts['gap by steps']))} to {steps} steps"
    needed = math.ceil(steps * (residual / GRANTED) ** (1 / order))
    return ", ".join(
        filter(None, (accepted, f"about {needed} steps for 1 %" if needed < 100 * steps else "too few steps"))
    )


# Methods that draw -------------------------------------------------------------------------------------------------------


def _sampled(trial: Trial, delta: Tensor, scale: Tensor, limit: Limit) -> Outcome:
    """The mean over seeds, against four of its standard errors; no verdict where these exceed what the literature accepts."""
    for repeats in _REPEATS:
        totals = torch.stack([total(trial.seeded(seed)) for seed in range(repeats)])
        residual = float(((totals.mean(0) - delta) / scale).abs().max())
        spread = float((totals.std(0) / scale).max())
        error = 4 * spread / repeats**0.5
        if residual > limit.value + error or error <= LITERATURE:
            break
    details = {"standard deviation": spread, "seeds": repeats}
    if residual <= limit.value + error and error > LITERATURE:
        return inapplicable(
            f"one seed is off by {_percent(spread)}, so that {repeats} seeds tell the mean to "
            f"±{_percent(error)} only, and it is off by {_percent(residual)}: take more samples"
        )
    return Outcome(
        residual,
        limit.plus(error, f"4 standard errors of {repeats} seeds"),
        f"mean of {repeats} seeds, one seed is off by {_percent(spread)}",
        details=details,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
