"""Laws of the form: two questions with the same answer."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..attribution.call import resolve_baseline
from ..attribution.estimator import MethodClaim
from ..transforms import DCT, DWT, Pixel, Transform, TransformClaim
from .outcome import Outcome, compare, inapplicable, worse
from .repeatability import against_seeds
from .rewrites.modules import Shifted
from .rewrites.rewrite import SINGLY, TOGETHER, Rewritten, rewrites
from .tolerances import Limit
from .transform_wrappers import Opaque, Rescaled
from .trial import Case, Trial
from .validate_map import MethodFault


def implementation_invariance(trial: Trial) -> Outcome:
    """Networks that compute the same function get the same map.

    x and x₀ are first moved by a thousandth, so that no unit sits on a kink, where the derivative is a convention.
    All rewrites are tried together in two networks; only where these differ, or the method raises, are they tried one by one.
    """
    case = trial.case
    step = 1e-3 * case.x.std() * trial.normal(2, *case.x.shape, salt=21)
    case = replace(case, x=case.x + step[0], base=case.base + step[1])
    before = trial.quick(case)
    together = _compare_all(trial, case, before, rewrites(case.model, case.x, steps=TOGETHER, seed=trial.seed))
    outcomes, notes, details = together
    if not outcomes or _above(worse(outcomes)) or any(_RAISED in note for note in notes):
        singly = _compare_all(trial, case, before, rewrites(case.model, case.x, steps=SINGLY, seed=trial.seed))
        outcomes, details = [*outcomes, *singly[0]], {**details, **singly[2]}
        notes += [note for note in singly[1] if note not in notes]
    if not outcomes:
        return inapplicable("; ".join(["no rewrite of this network is known to preserve it", *notes]))
    if _above(worst := worse(outcomes)):
        broken = [o.reason for o in outcomes if _above(o) and " + " not in o.reason]
        worst = replace(worst, reason=f"changed by {', '.join(broken) or 'rewrites together'}")
    else:
        worst = replace(worst, reason=f"{len(outcomes)} networks, {details['sites']} places rewritten")
    return replace(
        worst.noting(f"{len(notes)} skipped, see details" if notes else ""), details=details | {"skipped": notes}
    )


_RAISED = "the method raised"


def _above(outcome: Outcome) -> bool:
    return outcome.residual is not None and outcome.limit is not None and outcome.residual > outcome.limit.value


def _compare_all(
    trial: Trial, case: Case, before: Tensor, found: list[Rewritten]
) -> tuple[list[Outcome], list[str], dict[str, Any]]:
    outcomes: list[Outcome] = []
    notes: list[str] = []
    networks: dict[str, float] = {}
    for rewritten in found:
        notes += rewritten.skipped
        if rewritten.model is None:
            continue
        networks[rewritten.name] = rewritten.residual
        if not rewritten.equal:
            notes.append(f"{rewritten.name}: outputs differ by {rewritten.residual:.1e}, so it proves nothing")
            continue
        try:
            after = trial.quick(replace(case, model=rewritten.model))
        except MethodFault:
            raise
        except Exception as error:
            notes.append(f"{rewritten.name}: {_RAISED} {type(error).__name__}: {error}")
            continue
        outcome = compare(before, after, trial.limit, case, ("f", f"f with {rewritten.name}"))
        outcomes.append(replace(outcome, reason=rewritten.name))
    return outcomes, list(dict.fromkeys(notes)), {"networks": networks, "sites": sum(r.sites for r in found)}


def affine_invariance(trial: Trial) -> Outcome:
    """Other units and another origin for each coefficient, z' = (z - d)/c, leave its share alone (Friedman 2004)."""
    case = trial.case
    z = case.transform(case.x)
    scale = torch.exp2(2 * torch.rand(z.shape[1:], generator=trial.generator(31), dtype=torch.double).to(z) - 1)
    shift = z.std() * trial.normal(*z.shape[1:], salt=32)
    other = replace(case, transform=Rescaled(case.transform, scale, shift))
    return compare(trial.steady_answer, trial.steady(other), trial.limit, case, ("f∘T⁻¹", "f∘T⁻¹ in other units of z"))


def input_shift_invariance(trial: Trial) -> Outcome:
    """h(x) = f(x - m) at x + m gets the map of f at x (Kindermans et al. 2019).

    The baseline is resolved again at x + m, as the caller gave it: a constant stays, a callable x -> x₀ follows.
    """
    case = trial.case
    shift = case.x.abs().mean().clamp(min=0.1) * torch.ones_like(case.x[0])
    x = case.x + shift
    try:
        base = resolve_baseline(trial.baseline, x)
    except ValueError as error:
        return inapplicable(f"the baseline does not fit: {error}")
    other = Case(Shifted(case.model, shift).eval(), x, base, case.target, case.transform)
    outcome = compare(trial.quick_answer, trial.quick(other), trial.limit, case, ("f", "f(x - m) at x + m"))
    return against_seeds(trial, outcome, "" if callable(trial.baseline) else "the baseline does not move with x")


def coordinate_consistency(trial: Trial) -> Outcome:
    """Linear domains agree: shares have one total in all of them, sensitivities are carried by T.adjoint.

    Our own estimators must besides give, through covectors, the numbers of f∘T⁻¹ with automatic differentiation.
    A foreign method may keep either of the two; its map in the signal says which.
    """
    case, own = trial.case, trial.own
    if TransformClaim.LINEAR | TransformClaim.RECONSTRUCTS not in case.transform.claims:
        return inapplicable(f"{case.transform.spec} is not linear with an exact inverse")
    domain = _other_domain(trial)
    if own is None:
        here, there = _maps(trial, domain)
        kept = [_totals(here, there, trial.limit, case, domain), _carried(here, there, trial.limit, case, domain)]
        return against_seeds(trial, min(kept, key=lambda o: o.residual or 0.0), domain.spec)
    within = replace(case, transform=domain)
    by_covectors = trial.steady_answer if domain is case.transform else trial.steady(within)
    by_autograd = trial.steady(replace(within, transform=Opaque(domain)))
    direct = compare(by_covectors, by_autograd, trial.limit, case, ("by covectors", "by autograd through T⁻¹"))
    if own.linear_in_gradients and own.kind == "sensitivity":
        return worse([_carried(*_maps(trial, domain), trial.limit, case, domain), direct])
    # Only shares that total f(x) - f(x₀), or are a displacement times one covector, have one total in all domains.
    if own.kind == "share" and (MethodClaim.COMPLETE in own.claims or own.linear_in_gradients):
        return worse([_totals(*_maps(trial, domain), trial.limit, case, domain), direct])
    return direct


def _other_domain(trial: Trial) -> Transform:
    """T itself, or where that is the signal a DCT, whose coefficients mix all samples.

    For a method that plays with blocks of places it is a Haar DWT, whose coefficients have places.
    """
    case = trial.case
    if not isinstance(case.transform, Pixel):
        return case.transform
    shape = tuple(case.x.shape[1:])
    if not 2 <= len(shape) <= 4:
        return Rescaled(Pixel(shape), torch.full_like(case.x[0], 2), None)
    return DWT(shape, "haar", level=1) if getattr(trial.own, "by", "") == "block" and min(shape[1:]) > 1 else DCT(shape)


def _maps(trial: Trial, domain: Transform) -> tuple[Tensor, Tensor]:
    """The map in the signal, and that in the domain."""
    case = trial.case
    if domain is not case.transform:
        return trial.quick_answer, trial.quick(replace(case, transform=domain))
    return trial.quick(replace(case, transform=Pixel(tuple(case.x.shape[1:])))), trial.quick_answer


def _carried(here: Tensor, there: Tensor, limit: Limit, case: Case, domain: Transform) -> Outcome:
    """T.adjoint of the map in the signal, against the map in the domain."""
    names = ("T.adjoint of the map in the signal", f"map in {domain.spec}")
    return compare(domain.adjoint(here), there, limit, case, names)


def _totals(a: Tensor, b: Tensor, limit: Limit, case: Case, domain: Transform) -> Outcome:
    """Totals of two maps, against Σ|a| of the map with the larger total."""
    totals = [values.double().flatten(1).sum(1) for values in (a, b)]
    size = torch.maximum(totals[0].abs(), totals[1].abs())
    rms = float(size.square().mean().sqrt()) or 1.0
    apart = (totals[0] - totals[1]).abs() / size.clamp(min=0.1 * rms)
    worst = int(apart.argmax())
    cancellation = max(1.0, float((b.double().flatten(1).abs().sum(1) / size.clamp(min=0.1 * rms)).max()))
    bar = Limit(
        min(limit.value * cancellation, max(limit.value, 1e-2)), f"{limit.source} × Σ|a| / |Σa| = {cancellation:.1f}"
    )
    evidence = {"example": worst, "totals": {"signal": float(totals[0][worst]), domain.spec: float(totals[1][worst])}}
    return Outcome(float(apart.max()), bar, evidence=evidence)
