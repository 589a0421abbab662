"""The laws of attribution methods, each with its source; `judge` measures one on a trial."""

from collections.abc import Callable
from dataclasses import dataclass, replace

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
    """A statement about a method, and what measures it.

    promise: the flag by which an estimator promises it; None for what every method must keep (`universal`) or what none
    of them promises.
    settled_in_double: whether rounding in the model could look like a break.
    """

    name: str
    statement: str
    source: str
    measure: Callable[[Trial], Outcome]
    promise: MethodClaim | None = None
    universal: bool = False
    settled_in_double: bool = True

    def promised(self, claims: MethodClaim) -> bool:
        return self.universal or (self.promise is not None and self.promise in claims)


_CLEAR = 0.2  # a residual that rounding does not reach in any model measured so far
_SUNDARARAJAN = "Sundararajan, Taly & Yan 2017"
LAWS: tuple[MethodLaw, ...] = (
    MethodLaw(
        "completeness",
        "Σ a = f(x) - f(x₀)",
        f"{_SUNDARARAJAN}, §3",
        completeness,
        MethodClaim.COMPLETE,
        settled_in_double=False,
    ),
    MethodLaw(
        "sensitivity",
        "one coefficient differs and so does f: it gets a share",
        f"{_SUNDARARAJAN}, §2.1",
        sensitivity,
        MethodClaim.SENSITIVE,
        settled_in_double=False,
    ),
    MethodLaw(
        "dummy",
        "a coefficient without effect gets 0",
        "Friedman 2004; " + f"{_SUNDARARAJAN}, sensitivity(b)",
        dummy,
        MethodClaim.DUMMY,
    ),
    MethodLaw(
        "implementation_invariance",
        "equal functions have equal maps",
        f"{_SUNDARARAJAN}, §2.2",
        implementation_invariance,
        MethodClaim.IMPLEMENTATION_INVARIANT,
    ),
    MethodLaw("linearity", "a(p f + q h) = p a(f) + q a(h)", f"{_SUNDARARAJAN}, §3", linearity, MethodClaim.LINEAR),
    MethodLaw(
        "symmetry",
        "interchangeable, equal coefficients get the same",
        f"{_SUNDARARAJAN}, §4.1; Friedman 2004",
        symmetry,
        MethodClaim.SYMMETRIC,
    ),
    MethodLaw(
        "batch_independence", "alone and in a batch: the same map", "definition", batch_independence, universal=True
    ),
    MethodLaw("determinism", "asked twice, the same map", "definition", determinism, universal=True),
    MethodLaw(
        "coordinate_consistency",
        "linear domains agree",
        "∇_z (f∘T⁻¹) = (T⁻¹)ᵀ ∇_x f",
        coordinate_consistency,
        universal=True,
    ),
    MethodLaw(
        "affine_invariance",
        "units and origin of a coefficient do not matter",
        "Friedman 2004; Sundararajan & Najmi 2020",
        affine_invariance,
    ),
    MethodLaw(
        "input_shift_invariance", "f(x - m) at x + m: the same map", "Kindermans et al. 2019", input_shift_invariance
    ),
)
NAMES = tuple(law.name for law in LAWS)
LAWS_VERSION = 1  # stored with each verdict: raise it when a law changes a verdict, a residual or a tolerance


def judge(law: MethodLaw, trial: Trial) -> Finding:
    """The finding of one law. What the method raises is reported, and never stops the other laws.

    In less than double precision an alarm that rounding in the model might explain is settled in double precision.
    """
    finding = _measured(law, trial)
    doubtful = finding.holds is False and finding.residual is not None and finding.residual < _CLEAR
    if not doubtful or not law.settled_in_double or trial.override is not None or trial.double is None:
        return finding
    exact = _measured(law, trial.double)
    evaluations = finding.evaluations + exact.evaluations
    if exact.holds is None:
        return replace(finding, evaluations=evaluations)
    first = f"settled in double precision; {finding.residual:.1e} against {finding.tolerance or 0:.1e} before"
    return replace(exact, evaluations=evaluations, reason="; ".join(filter(None, (exact.reason, first))))


def _measured(law: MethodLaw, trial: Trial) -> Finding:
    """The finding of one law in the precision of the trial; without a residual where the answer is no map."""
    before, residual, holds = trial.spent, None, None
    try:
        outcome = law.measure(trial)
    except MethodFault as fault:
        outcome, holds = inapplicable(f"the method returned {fault}"), False
    except Exception as error:  # a foreign method may raise anything
        outcome = inapplicable(f"raised {type(error).__name__}: {' '.join(str(error).split())[:300]}")
    if outcome.residual is not None and outcome.limit is not None:
        residual, holds = outcome.residual, outcome.residual <= outcome.limit.value
    return Finding(
        axiom=law.name,
        holds=holds,
        residual=residual,
        tolerance=None if outcome.limit is None else outcome.limit.value,
        reason=outcome.reason,
        claimed=True if trial.own is not None and law.promised(trial.own.claims) else None,
        statement=law.statement,
        source=law.source,
        counterexample=outcome.evidence if holds is False else {},
        tolerance_source="" if outcome.limit is None else outcome.limit.source,
        details=outcome.details,
        evaluations=trial.spent - before,
    )
