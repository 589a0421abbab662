"""Laws about single coefficients: sensitivity(a), dummy, symmetry."""

from dataclasses import replace

import torch
from torch import Tensor

from ..attribution.result import analysis_transpose
from ..transforms import TransformClaim
from .outcome import Outcome, inapplicable, shown
from .repeatability import against_seeds
from .rewrites.modules import Blind, saturating
from .tolerances import Limit
from .trial import Case, Trial

KINKS = ((2.0, 1.0), (4.0, 1.0), (2.0, -1.0))  # (where ReLU ends, as a fraction 1/· of the step; sign)


def sensitivity(trial: Trial) -> Outcome:
    """Inputs that differ in one coefficient and in the score give it a non-zero share; residual: the fraction that do not.

    On f = 1 - ReLU(1 - x) with x₀ = 0 and x = 2, a saturated steeper one and a mirrored one, for random coefficients, and
    on the user's model for the coefficients of largest displacement.
    """
    case = (
        trial.case
        if TransformClaim.LINEAR | TransformClaim.BIJECTIVE in trial.case.transform.claims
        else trial.case.in_coefficients()
    )
    probes = [
        (f"{'-' if sign < 0 else ''}(1 - ReLU(1 - {kink:g} t)), t = 0 → 1", one, k)
        for kink, sign in KINKS
        for one, k in [_saturated(trial, case, kink, sign)]
    ]
    probes += [("the model, one coefficient moved", one, k) for one, k in _moved(trial, case)]
    missed: list[dict[str, object]] = []
    for name, one, index in probes:
        values = trial.quick(one).flatten(1)[0]
        point, origin = trial.scores(one)
        change, share = float((point - origin)[0]), float(values[index])
        if abs(share) <= trial.rounding.value * abs(change):
            missed.append(
                {
                    "model": name,
                    "coefficient": index,
                    "f(x)": float(point[0]),
                    "f(x₀)": float(origin[0]),
                    "a": share,
                    "x": shown(one.x[0]),
                    "x₀": shown(one.base[0]),
                }
            )
    zero = f"zero is below {trial.rounding.value:.1e} × |Δf|: {trial.rounding.source}"
    granted, who = (0.0, "exact") if trial.override is None else (trial.override, trial.limit.source)
    limit = Limit(granted, f"{who}; {zero}")
    reason = f"{len(missed)} of {len(probes)} differences got 0" if missed else ""
    details = {"probes": len(probes)}
    return Outcome(len(missed) / len(probes), limit, reason, {"missed": missed}, details)


def _saturated(trial: Trial, case: Case, kink: float, sign: float) -> tuple[Case, int]:
    """x = T⁻¹(2 e_k), x₀ = 0, and a model of z_k alone that stops growing on the way."""
    shape = case.transform.layout.shape
    size = torch.Size(shape).numel()
    index = int(torch.randint(size, (1,), generator=trial.generator(int(10 * kink + sign))))
    unit = _unit(case, index)
    x = case.transform.inverse(2 * unit)
    row = analysis_transpose(case.transform, unit)  # ⟨row, x⟩ = (T x)_k
    return Case(saturating(row[0], kink / 2, sign).to(x), x, torch.zeros_like(x), 0, case.transform), index


def _moved(trial: Trial, case: Case, count: int = 1) -> list[tuple[Case, int]]:
    """The first example, moved from its baseline in one coefficient, where that changes the score."""
    first = case.subset([0])
    base = first.transform(first.base)
    step = (first.transform(first.x) - base).flatten()
    found: list[tuple[Case, int]] = []
    for index in step.abs().topk(min(4 * count, len(step))).indices.tolist():
        one = replace(first, x=first.transform.inverse(base + step[index] * _unit(case, index)))
        point, origin = trial.scores(one)
        seen = 1e4 * torch.finfo(case.x.dtype).eps * abs(float(origin))  # far above the rounding of a score
        if abs(float(point - origin)) > seen and len(found) < count:
            found.append((one, index))
    return found


def dummy(trial: Trial) -> Outcome:
    """A coefficient that f cannot see gets nothing; residual: its largest |a| against the largest of all.

    The model is composed with the projection that removes T⁻¹e_k, for the coefficients that had the largest attributions.
    For other than linear T the projection acts on z.
    """
    case, answer = _linear(trial)
    order = answer.flatten(1).abs().amax(0).argsort(descending=True)
    blinded = order[: max(1, min(3, len(order) // 3))].tolist()
    directions = case.transform.inverse(torch.cat([_unit(case, k) for k in blinded])).flatten(1).T
    basis = torch.linalg.qr(directions.double()).Q.to(case.x)
    blind = replace(case, model=Blind(case.model, basis).eval())
    values = trial.quick(blind).flatten(1)
    size = values.abs().amax(1)
    hidden = values[:, blinded].abs().amax(1) / size.where(size > 0, torch.ones_like(size))
    worst = int(hidden.argmax())
    evidence = {
        "example": worst,
        "coefficients": blinded,
        "a": values[worst, blinded].tolist(),
        "largest |a|": float(size[worst]),
        "model": "f∘(1 - Q Qᵀ), Q spans T⁻¹e_k",
        "x": shown(case.x[worst]),
    }
    return Outcome(float(hidden.max()), trial.limit, evidence=evidence)


def symmetry(trial: Trial) -> Outcome:
    """Coefficients that f depends on through their sum alone, equal in x and in x₀, get the same.

    The model is composed with the projection that removes T⁻¹(e_j - e_k), and x is moved until z_j = z_k.
    Residual: the largest |a_j - a_k| against the largest |a|.
    """
    case, answer = _linear(trial)
    if answer[0].numel() < 2:
        return inapplicable("one coefficient only")
    order = answer.flatten(1).abs().amax(0).argsort(descending=True)
    pair = [int(order[0]), int(order[min(len(order) - 1, 1 + len(order) // 4)])]
    difference = _unit(case, pair[0]) - _unit(case, pair[1])
    direction = case.transform.inverse(difference).flatten()
    if float(direction.norm()) == 0:
        return inapplicable("T⁻¹ does not tell the two coefficients apart")
    row = analysis_transpose(case.transform, difference)[0]
    x, base = (
        signal - (signal * row).flatten(1).sum(1).reshape(-1, *[1] * row.ndim) * row / row.square().sum()
        for signal in (case.x, case.base)
    )
    basis = (direction / direction.norm())[:, None]
    values = trial.quick(Case(Blind(case.model, basis).eval(), x, base, case.target, case.transform)).flatten(1)
    size = values.abs().amax(1)
    apart = (values[:, pair[0]] - values[:, pair[1]]).abs() / size.where(size > 0, torch.ones_like(size))
    worst = int(apart.argmax())
    evidence = {
        "example": worst,
        "coefficients": pair,
        "a": values[worst, pair].tolist(),
        "largest |a|": float(size[worst]),
        "model": "f∘(1 - q qᵀ), q along T⁻¹(e_j - e_k)",
        "x": shown(x[worst]),
    }
    return against_seeds(trial, Outcome(float(apart.max()), trial.limit, evidence=evidence))


def _linear(trial: Trial) -> tuple[Case, Tensor]:
    """The question and its answer, in z itself where T is not linear."""
    if TransformClaim.LINEAR in trial.case.transform.claims:
        return trial.case, trial.quick_answer
    case = trial.case.in_coefficients()
    return case, trial.quick(case)


def _unit(case: Case, index: int) -> Tensor:
    """e_k, (1, *coeff)."""
    shape = case.transform.layout.shape
    flat = case.x.new_zeros(torch.Size(shape).numel())
    flat[index] = 1
    return flat.reshape(1, *shape)
