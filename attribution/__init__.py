"""How f(x) - f(x₀) is shared out among the coefficients of T x."""

from . import bridges, masks, targets
from .attribute import attribute
from .best_basis import basis_cost, best_basis
from .boundary import BoundarySensitivity, boundary_sensitivity
from .bridges import Captum
from .estimator import Chart, Estimate, Estimator, Promise, Walk, get, names, register
from .gradients import Gradient, InputXGradient, SmoothGrad
from .masks import Mask, MaskPath
from .paths import IntegratedGradients
from .pullback import Joint, Pullback
from .result import Attribution
from .score import Score

__all__ = [
    "Attribution",
    "BoundarySensitivity",
    "Captum",
    "Chart",
    "Estimate",
    "Estimator",
    "Gradient",
    "InputXGradient",
    "IntegratedGradients",
    "Joint",
    "Mask",
    "MaskPath",
    "Promise",
    "Pullback",
    "Score",
    "SmoothGrad",
    "Walk",
    "attribute",
    "basis_cost",
    "best_basis",
    "boundary_sensitivity",
    "bridges",
    "get",
    "masks",
    "names",
    "register",
    "targets",
]
