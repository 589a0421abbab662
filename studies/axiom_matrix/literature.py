"""What the literature says about methods and axioms, as data, and why measurements differ from it."""

from dataclasses import dataclass

_IG = "Sundararajan, Taly & Yan 2017"
_FRIEDMAN = "Friedman 2004; Lundstrom et al. 2022"
_KINDERMANS = "Kindermans et al. 2019"
_SAMPLED = "Shapley 1953; sampled, Castro et al. 2009"
_DERIVED = "follows from the formula"


@dataclass(frozen=True)
class Expectation:
    """The literature's verdict on a method and an axiom, for a ReLU network with biases and the zero baseline."""

    method: str
    axiom: str
    holds: bool
    source: str
    differs: str = ""  # why a measurement in double precision has the opposite verdict
    may_differ: str = ""  # why it has the opposite verdict on some networks


def _rows(method: str, source: str, keeps: str = "", breaks: str = "") -> list[Expectation]:
    kept = [Expectation(method, axiom, True, source) for axiom in keeps.split()]
    return kept + [Expectation(method, axiom, False, source) for axiom in breaks.split()]


_LOCAL = "dummy implementation_invariance linearity symmetry"
_NODES = "50 nodes, Captum's default, leave more than 1 % on deep networks: completeness is a promise up to quadrature"
_LEAK = (
    "in ε-LRP the bias of a unit absorbs relevance, so that only networks without biases conserve it, and no relevance "
    "passes a saturated unit"
)
_LOSSLESS = (
    "where the ε rule loses nothing it is gradient × input on a ReLU network (Ancona et al. 2018), which is invariant; "
    "Captum has no rule for networks in which ReLU is written otherwise, and raises on them"
)
_NO_RULE = (
    "Captum has a rule for ReLU but not for ReLU6: there the multiplier is the gradient, so that the method is "
    "gradient × input, and incomplete"
)
_WITHIN = (
    "its players are groups of coefficients: every coefficient of a group gets a part of the group's share, also one "
    "without any effect"
)
_WHOLE = (
    "with a feature_mask Captum gives each coefficient the whole share of its group, so that the sum counts it several times"
)

TABLE: tuple[Expectation, ...] = (
    *_rows("gradient", _IG, _LOCAL, "sensitivity completeness affine_invariance"),
    *_rows("gradient", _KINDERMANS, "input_shift_invariance"),
    *_rows("input_x_gradient", _IG, _LOCAL, "sensitivity completeness"),
    *_rows("input_x_gradient", _KINDERMANS, "", "input_shift_invariance"),
    *_rows("input_x_gradient", _FRIEDMAN, "affine_invariance"),
    *_rows("smoothgrad", _DERIVED, "dummy implementation_invariance linearity", "sensitivity completeness"),
    *_rows("integrated_gradients", _IG, f"completeness sensitivity {_LOCAL}"),
    *_rows("integrated_gradients", _FRIEDMAN, "affine_invariance"),
    *_rows("integrated_gradients", _KINDERMANS, "", "input_shift_invariance"),
    *_rows("expected_gradients", "Erion et al. 2021", "completeness sensitivity dummy implementation_invariance linearity"),
    *_rows("gradient_shap", "Erion et al. 2021", "dummy implementation_invariance linearity"),
    *_rows("shapley", "Shapley 1953", "completeness sensitivity implementation_invariance linearity"),
    Expectation("shapley", "dummy", True, "Shapley 1953", _WITHIN),
    *_rows("captum.Saliency(abs=False)", _IG, _LOCAL, "sensitivity completeness"),
    *_rows("captum.Saliency", _DERIVED, "dummy implementation_invariance", "sensitivity completeness linearity"),
    *_rows("captum.InputXGradient", _IG, "dummy implementation_invariance linearity symmetry", "sensitivity completeness"),
    Expectation("captum.IntegratedGradients", "completeness", True, _IG, may_differ=_NODES),
    *_rows("captum.IntegratedGradients", _IG, f"sensitivity {_LOCAL}"),
    *_rows("captum.IntegratedGradients(n_steps=200)", _IG, f"completeness sensitivity {_LOCAL}"),
    Expectation("captum.DeepLift", "completeness", True, _IG, may_differ=_NO_RULE),
    Expectation("captum.DeepLift", "sensitivity", True, _IG),
    Expectation("captum.DeepLift", "implementation_invariance", False, _IG),
    *_rows("captum.GuidedBackprop", _IG, "", "sensitivity implementation_invariance completeness"),
    *_rows("captum.Deconvolution", _IG, "", "sensitivity implementation_invariance completeness"),
    Expectation("captum.Saliency", "coordinate_consistency", False, "|∂f/∂z| is not a covector: " + _DERIVED),
    Expectation("captum.GradientShap(n_samples=25)", "determinism", False, "Lundberg & Lee 2017: points are drawn"),
    Expectation("captum.ShapleyValueSampling", "determinism", False, "Castro et al. 2009: permutations are drawn"),
    Expectation("captum.LRP", "implementation_invariance", False, _IG, may_differ=_LOSSLESS),
    Expectation("captum.LRP", "completeness", True, _IG, _LEAK),
    Expectation("captum.LRP", "sensitivity", True, _IG, _LEAK),
    *_rows("captum.ShapleyValueSampling", _SAMPLED, "completeness sensitivity dummy implementation_invariance linearity"),
    *_rows("captum.ShapleyValueSampling(feature_mask)", _SAMPLED, "sensitivity implementation_invariance linearity"),
    Expectation("captum.ShapleyValueSampling(feature_mask)", "completeness", True, "Shapley 1953", _WHOLE),
    Expectation("captum.ShapleyValueSampling(feature_mask)", "dummy", True, "Shapley 1953", _WITHIN),
)


def expected(method: str, axiom: str) -> Expectation | None:
    """The literature's entry, or None where it has none."""
    return next((entry for entry in TABLE if (entry.method, entry.axiom) == (method, axiom)), None)
