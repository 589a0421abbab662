"""Laws of invariance: two questions that must have the same answer."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..attribution import Estimator
from ..attribution.call import resolve_baseline
from ..attribution.estimator import MethodClaim
from ..transforms import DCT, DWT, Pixel, Transform, TransformClaim
from .case import Case
from .outcome import Outcome, compare, inapplicable, worst_of
from .repeatability import allow_for_seeds
from .rewrites.modules import Preceded
from .rewrites.rewrite import SINGLY, TOGETHER, Rewritten, rewrites
from .tolerances import Tolerance
from .transform_wrappers import Opaque, Rescaled
from .trial import Trial
from .validate_map import MethodFault

_RAISED = "the method raised"
Compared = tuple[list[Outcome], list[str], dict[str, Any]]  # outcomes, what was skipped, and details


def implementation_invariance(trial: Trial) -> Outcome:
    """Networks that compute the same function get the same map.

    x and x₀ are moved by a thousandth first, so that no unit is at a kink, where the derivative is a convention. All
    rewrites are tried together in two networks; where these differ, or the method raises, they are tried one by one.
    """
    case = trial.case
    step = 1e-3 * case.x.std() * trial.normal(2, *case.x.shape, salt=21)
    case = replace(case, x=case.x + step[0], base=case.base + step[1])
    before = trial.map(case, "cheap")
    outcomes, notes, details = _compare_all(trial, case, before, rewrites(case.model, case.x, steps=TOGETHER, seed=trial.seed))
    if not outcomes or worst_of(outcomes).broken or any(_RAISED in note for note in notes):
        singly = rewrites(case.model, case.x, steps=SINGLY, seed=trial.seed)
        more, new, other = _compare_all(trial, case, before, singly)
        outcomes, notes, details = outcomes + more, notes + [note for note in new if note not in notes], details | other
    if not outcomes:
        return inapplicable("; ".join(["no rewrite of this network is known to preserve it", *notes]))
    worst = worst_of(outcomes)
    broken = [o.reason for o in outcomes if o.broken and " + " not in o.reason]
    reason = f"{len(outcomes)} networks, {details['sites']} places rewritten"
    if worst.broken:
        reason = f"changed by {', '.join(broken) or 'rewrites together'}"
    outcome = replace(worst, reason=reason, details=details | {"skipped": notes})
    return outcome.because(f"{len(notes)} skipped, see details" if notes else "")


def _compare_all(trial: Trial, case: Case, before: Tensor, found: list[Rewritten]) -> Compared:
    """Outcomes of the networks that compute the same function, what was skipped, and the residuals of all networks."""
    outcomes: list[Outcome] = []
    notes: list[str] = []
    for rewritten in found:
        notes += rewritten.skipped
        outcome = _compared(trial, case, before, rewritten)
        if isinstance(outcome, Outcome):
            outcomes.append(replace(outcome, reason=rewritten.name))
        elif outcome:
            notes.append(f"{rewritten.name}: {outcome}")
    residuals = {rewritten.name: rewritten.residual for rewritten in found if rewritten.model is not None}
    return outcomes, list(dict.fromkeys(notes)), {"networks": residuals, "sites": sum(r.sites for r in found)}


def _compared(trial: Trial, case: Case, before: Tensor, rewritten: Rewritten) -> Outcome | str:
    """The outcome for one network, or why there is none; "" where nothing was rewritten."""
    if rewritten.model is None:
        return ""
    if not rewritten.equal:
        return f"outputs differ by {rewritten.residual:.1e}, so it proves nothing"
    try:
        after = trial.map(replace(case, model=rewritten.model), "cheap")
    except MethodFault:
        raise
    except Exception as error:
        return f"{_RAISED} {type(error).__name__}: {error}"
    return compare(before, after, trial.tolerance, case, ("f", f"f with {rewritten.name}"))


def affine_invariance(trial: Trial) -> Outcome:
    """The share of a coefficient does not depend on its unit and origin, z' = (z - d)/c (Friedman 2004)."""
    case = trial.case
    z = case.transform(case.x)
    scale = torch.exp2(2 * torch.rand(z.shape[1:], generator=trial.generator(31), dtype=torch.double).to(z) - 1)
    shift = z.std() * trial.normal(*z.shape[1:], salt=32)
    other = replace(case, transform=Rescaled(case.transform, scale, shift))
    names = ("f∘T⁻¹", "f∘T⁻¹ in other units of z")
    return compare(trial.reference("fixed"), trial.map(other, "fixed"), trial.tolerance, case, names)


def input_shift_invariance(trial: Trial) -> Outcome:
    """h(x) = f(x - m) at x + m gets the map of f at x (Kindermans et al. 2019).

    The baseline is computed anew at x + m, as the caller gave it: a constant stays, a callable x -> x₀ follows x.
    """
    case = trial.case
    shift = case.x.abs().mean().clamp(min=0.1) * torch.ones_like(case.x[0])
    x = case.x + shift
    try:
        base = resolve_baseline(trial.baseline, x)
    except ValueError as error:
        return inapplicable(f"the baseline does not fit: {error}")
    other = replace(case, model=Preceded(case.model, lambda x: x - shift.to(x)), x=x, base=base)
    names = ("f", "f(x - m) at x + m")
    outcome = compare(trial.reference("cheap"), trial.map(other, "cheap"), trial.tolerance, case, names)
    return allow_for_seeds(trial, outcome, "" if callable(trial.baseline) else "the baseline does not move with x")


def coordinate_consistency(trial: Trial) -> Outcome:
    """Maps in linear domains agree: shares have the same total, and T.adjoint carries sensitivities from one to another.

    An estimator must also give the numbers that automatic differentiation of f∘T⁻¹ gives. A callable may do either of
    the two; its map in the signal shows which.
    """
    case, own = trial.case, trial.estimator
    if TransformClaim.LINEAR | TransformClaim.RECONSTRUCTS not in case.transform.claims:
        return inapplicable(f"{case.transform.spec} is not linear with an exact inverse")
    domain = _other_domain(trial)
    if own is None:
        maps = _maps(trial, domain)
        either = [law(*maps, trial.tolerance, case, domain) for law in (_totals, _carried)]
        return allow_for_seeds(trial, min(either, key=lambda o: o.residual or 0.0), domain.spec)
    within = replace(case, transform=domain)
    by_covectors = trial.reference("fixed") if domain is case.transform else trial.map(within, "fixed")
    by_autograd = trial.map(replace(within, transform=Opaque(domain)), "fixed")
    names = ("by covectors", "by autograd through T⁻¹")
    direct = compare(by_covectors, by_autograd, trial.tolerance, case, names)
    law = _agreement(own)
    return direct if law is None else worst_of([law(*_maps(trial, domain), trial.tolerance, case, domain), direct])


def _agreement(own: Estimator) -> Callable[..., Outcome] | None:
    """In which way maps of an estimator agree between linear domains; None where its claims do not say so."""
    if own.linear_in_gradients and own.kind == "sensitivity":
        return _carried
    # Only shares that sum to f(x) - f(x₀), or are a displacement times one covector, have the same total in all domains.
    same_total = MethodClaim.COMPLETE in own.claims or own.linear_in_gradients
    return _totals if own.kind == "share" and same_total else None


def _other_domain(trial: Trial) -> Transform:
    """T; for T = 1 a DCT, which mixes all samples, or a Haar DWT if players are blocks of places, which a DCT lacks."""
    case = trial.case
    if not isinstance(case.transform, Pixel):
        return case.transform
    if not 2 <= len(case.shape) <= 4:
        return Rescaled(Pixel(case.shape), torch.full_like(case.x[0], 2), None)
    by_block = getattr(trial.estimator, "by", "") == "block" and min(case.shape[1:]) > 1
    return DWT(case.shape, "haar", level=1) if by_block else DCT(case.shape)


def _maps(trial: Trial, domain: Transform) -> tuple[Tensor, Tensor]:
    """The map in the signal and the map in the domain."""
    if domain is trial.case.transform:
        return trial.map(trial.case.in_signal(), "cheap"), trial.reference("cheap")
    return trial.reference("cheap"), trial.map(replace(trial.case, transform=domain), "cheap")


def _carried(here: Tensor, there: Tensor, tolerance: Tolerance, case: Case, domain: Transform) -> Outcome:
    """T.adjoint of the map in the signal, compared with the map in the domain."""
    names = ("T.adjoint of the map in the signal", f"map in {domain.spec}")
    return compare(domain.adjoint(here), there, tolerance, case, names)


def _totals(here: Tensor, there: Tensor, tolerance: Tolerance, case: Case, domain: Transform) -> Outcome:
    """The totals of two maps; the tolerance is relative to Σ|a|, which exceeds |Σ a| where attributions cancel."""
    one, two = (values.double().flatten(1).sum(1) for values in (here, there))
    size = torch.maximum(one.abs(), two.abs())
    scale = size.clamp(min=0.1 * (float(size.square().mean().sqrt()) or 1.0))
    apart = (one - two).abs() / scale
    worst = int(apart.argmax())
    cancellation = max(1.0, float((there.double().flatten(1).abs().sum(1) / scale).max()))
    value = min(tolerance.value * cancellation, max(tolerance.value, 1e-2))
    source = f"{tolerance.source} × Σ|a| / |Σa| = {cancellation:.1f}"
    evidence = {"example": worst, "totals": {"signal": float(one[worst]), domain.spec: float(two[worst])}}
    return Outcome(float(apart.max()), Tolerance(value, source), evidence=evidence)
