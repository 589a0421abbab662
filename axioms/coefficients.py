"""Laws about single coefficients: sensitivity(a), dummy, symmetry."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..attribution.pullback import analysis_transpose
from ..transforms import TransformClaim
from .case import Case
from .outcome import Outcome, inapplicable, shown
from .repeatability import allow_for_seeds
from .rewrites.modules import blind, saturating
from .tolerances import Tolerance
from .trial import Trial

KINKS = ((2.0, 1.0), (4.0, 1.0), (2.0, -1.0))  # (the unit saturates after 1/2 or 1/4 of the step; sign of the model)
MOVED = "the model, one coefficient moved"


def sensitivity(trial: Trial) -> Outcome:
    """If x and x₀ differ in one coefficient only, and f differs, then this coefficient gets a share that is not zero.

    Residual: the fraction of differences that get zero. They are random coefficients on f = 1 - ReLU(1 - x) with x₀ = 0
    and x = 2, on a steeper and on a mirrored copy, and on the model the coefficient with the largest displacement.
    """
    exact = TransformClaim.LINEAR | TransformClaim.BIJECTIVE in trial.case.transform.claims
    case = trial.case if exact else trial.case.in_coefficients()
    probes = [
        (f"{'-' if sign < 0 else ''}(1 - ReLU(1 - {kink:g} t)), t = 0 → 1", *_saturated(trial, case, kink, sign))
        for kink, sign in KINKS
    ]
    probes += [(MOVED, *found) for found in _moved(trial, case)]
    missed = [miss for probe in probes if (miss := _missed(trial, *probe))]
    zero = f"zero is below {trial.rounding.value:.1e} × |Δf|: {trial.rounding.source}"
    granted, source = (0.0, "exact") if trial.override is None else (trial.override, trial.tolerance.source)
    reason = _places([probe[0] for probe in probes], [miss["model"] for miss in missed]) if missed else ""
    tolerance = Tolerance(granted, f"{source}; {zero}")
    return Outcome(len(missed) / len(probes), tolerance, reason, {"missed": missed}, {"probes": len(probes)})


def _places(probes: Sequence[str], missed: Sequence[object]) -> str:
    """How many differences got no share, on built-in functions and on the model."""
    own = missed.count(MOVED)
    moved = f"; {own} of {probes.count(MOVED)} on the model" if MOVED in probes else ""
    return f"{len(missed) - own} of {len(KINKS)} differences on built-in functions got no share{moved}"


def _missed(trial: Trial, name: str, case: Case, index: int) -> dict[str, object]:
    """The evidence where a coefficient that changes the score gets no share; nothing where it gets one."""
    share = float(trial.map(case, "cheap").flatten(1)[0, index])
    point, origin = trial.scores(case)
    if abs(share) > trial.rounding.value * abs(float((point - origin)[0])):
        return {}
    scores = {"f(x)": float(point[0]), "f(x₀)": float(origin[0])}
    signals = {"x": shown(case.x[0]), "x₀": shown(case.base[0])}
    return {"model": name, "coefficient": index, **scores, "a": share, **signals}


def _saturated(trial: Trial, case: Case, kink: float, sign: float) -> tuple[Case, int]:
    """A model of z_k alone that saturates between x₀ = 0 and x = T⁻¹(2 e_k), and k, which is random."""
    size = torch.Size(case.transform.layout.shape).numel()
    index = int(torch.randint(size, (1,), generator=trial.generator(int(10 * kink + sign))))
    unit = _unit(case, index)
    x = case.transform.inverse(2 * unit)
    row = analysis_transpose(case.transform, unit)  # ⟨row, x⟩ = (T x)_k
    return Case(saturating(row[0], kink / 2, sign).to(x), x, torch.zeros_like(x), 0, case.transform), index


def _moved(trial: Trial, case: Case, count: int = 1) -> list[tuple[Case, int]]:
    """The first example, moved from its baseline in one coefficient, for coefficients that change the score."""
    first = case.subset([0])
    base = first.transform(first.base)
    step = (first.transform(first.x) - base).flatten()
    found: list[tuple[Case, int]] = []
    for index in step.abs().topk(min(4 * count, len(step))).indices.tolist():
        one = replace(first, x=first.transform.inverse(base + step[index] * _unit(case, index)))
        point, origin = trial.scores(one)
        visible = 1e4 * torch.finfo(case.x.dtype).eps * abs(float(origin))  # far above the rounding of a score
        if abs(float(point - origin)) > visible and len(found) < count:
            found.append((one, index))
    return found


def dummy(trial: Trial) -> Outcome:
    """A coefficient without any effect on f gets nothing; residual: its largest |a| divided by the largest of all.

    The model is composed with the projection that removes T⁻¹e_k, for the coefficients with the largest attributions.
    If T is not linear, the projection acts on z.
    """
    case, answer = _linear(trial)
    order = _by_size(answer)
    index = order[: max(1, min(3, len(order) // 3))].tolist()
    directions = case.transform.inverse(torch.cat([_unit(case, k) for k in index])).flatten(1).T
    basis = torch.linalg.qr(directions.double()).Q.to(case.x)
    return _blinded(trial, case, basis, index, lambda a: a.abs().amax(1), "f∘(1 - Q Qᵀ), Q spans T⁻¹e_k")


def symmetry(trial: Trial) -> Outcome:
    """Two coefficients get the same share if f depends on their sum alone and they are equal in x and in x₀.

    The model is composed with the projection that removes T⁻¹(e_j - e_k), and x and x₀ are moved until z_j = z_k.
    Residual: the largest |a_j - a_k| divided by the largest |a|.
    """
    case, answer = _linear(trial)
    if answer[0].numel() < 2:
        return inapplicable("there is one coefficient only")
    order = _by_size(answer)
    pair = [int(order[0]), int(order[min(len(order) - 1, 1 + len(order) // 4)])]
    difference = _unit(case, pair[0]) - _unit(case, pair[1])
    direction = case.transform.inverse(difference).flatten()
    if float(direction.norm()) == 0:
        return inapplicable("T⁻¹ maps the two coefficients to the same signal")
    row = analysis_transpose(case.transform, difference)[0]
    x, base = (
        signal - (signal * row).flatten(1).sum(1).reshape(-1, *[1] * row.ndim) * row / row.square().sum()
        for signal in (case.x, case.base)
    )
    basis, equal = (direction / direction.norm())[:, None], replace(case, x=x, base=base)
    apart: Callable[[Tensor], Tensor] = lambda a: (a[:, 0] - a[:, 1]).abs()
    outcome = _blinded(trial, equal, basis, pair, apart, "f∘(1 - q qᵀ), q along T⁻¹(e_j - e_k)")
    return allow_for_seeds(trial, outcome)


def _blinded(
    trial: Trial, case: Case, basis: Tensor, index: list[int], fault: Callable[[Tensor], Tensor], model: str
) -> Outcome:
    """The outcome on a model that `basis` does not affect: fault(a of the coefficients `index`) against the largest |a|."""
    values = trial.map(replace(case, model=blind(case.model, basis)), "cheap").flatten(1)
    size = values.abs().amax(1)
    residual = fault(values[:, index]) / size.where(size > 0, torch.ones_like(size))
    worst = int(residual.argmax())
    evidence = {"example": worst, "coefficients": index, "a": values[worst, index].tolist(), "largest |a|": float(size[worst])}
    evidence |= {"model": model, "x": shown(case.x[worst])}
    return Outcome(float(residual.max()), trial.tolerance, evidence=evidence)


def _linear(trial: Trial) -> tuple[Case, Tensor]:
    """The problem and its map; both in z itself where T is not linear."""
    if TransformClaim.LINEAR in trial.case.transform.claims:
        return trial.case, trial.reference("cheap")
    case = trial.case.in_coefficients()
    return case, trial.map(case, "cheap")


def _by_size(answer: Tensor) -> Tensor:
    """Indices of the coefficients, those with the largest |a| first."""
    return answer.flatten(1).abs().amax(0).argsort(descending=True)


def _unit(case: Case, index: int) -> Tensor:
    """e_k, (1, *coeff)."""
    shape = case.transform.layout.shape
    flat = case.x.new_zeros(torch.Size(shape).numel())
    flat[index] = 1
    return flat.reshape(1, *shape)
