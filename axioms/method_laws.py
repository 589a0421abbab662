"""The laws of attribution methods, each with its source; `check_law` measures one of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..attribution.estimator import MethodClaim
from .coefficients import dummy, sensitivity, symmetry
from .completeness import completeness
from .invariance import affine_invariance, coordinate_consistency, implementation_invariance, input_shift_invariance
from .outcome import Outcome, inapplicable
from .repeatability import batch_independence, determinism, linearity
from .report import Finding
from .trial import Trial
from .validate_map import MethodFault


@dataclass(frozen=True)
class MethodLaw:
    """A statement about a method, and the function that measures it."""

    name: str
    statement: str
    source: str
    measure: Callable[[Trial], Outcome]
    claim: MethodClaim | None = None  # the flag by which an estimator claims the law
    universal: bool = False  # whether every method must keep it
    in_double: bool = True  # whether double precision decides where rounding in the model could look like a broken law

    def claimed_by(self, claims: MethodClaim) -> bool:
        """Whether a method with these claims must keep the law."""
        return self.universal or (self.claim is not None and self.claim in claims)


def _law(measure: Callable[[Trial], Outcome], statement: str, source: str, *claim: Any, **how: Any) -> MethodLaw:
    return MethodLaw(measure.__name__, statement, source, measure, *claim, **how)


_IG, _FRIEDMAN = "Sundararajan, Taly & Yan 2017", "Friedman 2004"
LAWS: tuple[MethodLaw, ...] = (
    _law(completeness, "Σ a = f(x) - f(x₀)", f"{_IG}, §3", MethodClaim.COMPLETE, in_double=False),
    _law(
        sensitivity, "a coefficient that alone changes f gets a share", f"{_IG}, §2.1", MethodClaim.SENSITIVE, in_double=False
    ),
    _law(dummy, "a coefficient without effect gets 0", f"{_FRIEDMAN}; {_IG}, sensitivity(b)", MethodClaim.DUMMY),
    _law(implementation_invariance, "equal functions have equal maps", f"{_IG}, §2.2", MethodClaim.IMPLEMENTATION_INVARIANT),
    _law(linearity, "a(p f + q h) = p a(f) + q a(h)", f"{_IG}, §3", MethodClaim.LINEAR),
    _law(symmetry, "interchangeable, equal coefficients get the same", f"{_IG}, §4.1; {_FRIEDMAN}", MethodClaim.SYMMETRIC),
    _law(batch_independence, "the map is the same alone and in a batch", "definition", universal=True),
    _law(determinism, "two calls give the same map", "definition", universal=True),
    _law(coordinate_consistency, "maps in linear domains agree", "∇_z (f∘T⁻¹) = (T⁻¹)ᵀ ∇_x f", universal=True),
    _law(
        affine_invariance, "the unit and the origin of a coefficient do not matter", f"{_FRIEDMAN}; Sundararajan & Najmi 2020"
    ),
    _law(input_shift_invariance, "f(x - m) at x + m has the same map", "Kindermans et al. 2019"),
)
NAMES = tuple(law.name for law in LAWS)
LAWS_VERSION = 1  # stored with each verdict: raise it when a law changes a verdict, a residual or a tolerance
_CLEAR = 0.2  # a residual above this was never rounding in any model that was measured


def check_law(law: MethodLaw, trial: Trial) -> Finding:
    """The finding of one law. What the method raises is reported, and the other laws are still measured.

    Below double precision, a broken law that rounding in the model might explain is measured again in double precision.
    """
    finding = _finding(law, trial)
    doubtful = finding.holds is False and finding.residual is not None and finding.residual < _CLEAR
    if not doubtful or not law.in_double or trial.override is not None or trial.double is None:
        return finding
    exact = _finding(law, trial.double)
    evaluations = finding.evaluations + exact.evaluations
    if exact.holds is None:
        return replace(finding, evaluations=evaluations)
    before = f"decided in double precision; before, {finding.residual:.1e} against {finding.tolerance or 0:.1e}"
    return replace(exact, evaluations=evaluations, reason="; ".join(filter(None, (exact.reason, before))))


def _finding(law: MethodLaw, trial: Trial) -> Finding:
    """The finding of one law in the precision of the trial; it has no residual where no map was returned."""
    before, holds = trial.evaluations, None
    try:
        outcome = law.measure(trial)
    except MethodFault as fault:
        outcome, holds = inapplicable(f"the method returned {fault}"), False
    except Exception as error:  # a callable may raise anything
        outcome = inapplicable(f"raised {type(error).__name__}: {' '.join(str(error).split())[:300]}")
    limit, source = (None, "") if outcome.tolerance is None else (outcome.tolerance.value, outcome.tolerance.source)
    if outcome.residual is not None and limit is not None:
        holds = outcome.residual <= limit
    claimed = True if trial.estimator is not None and law.claimed_by(trial.estimator.claims) else None
    about: dict[str, Any] = {"reason": outcome.reason, "claimed": claimed, "statement": law.statement, "source": law.source}
    evidence = outcome.evidence if holds is False else {}
    found: dict[str, Any] = {"counterexample": evidence, "tolerance_source": source, "details": outcome.details}
    return Finding(law.name, holds, outcome.residual, limit, **about, **found, evaluations=trial.evaluations - before)
