"""How f(x) - f(x₀) is shared out among the coefficients of T x."""

from .attribute import attribute
from .boundary import BoundarySensitivity, boundary_sensitivity
from .estimator import Chart, Estimate, Estimator, Promise, Walk, get, names, register
from .gradients import Gradient, InputXGradient, SmoothGrad
from .paths import IntegratedGradients
from .pullback import Pullback
from .result import Attribution
from .score import Score

__all__ = [
    "Attribution",
    "BoundarySensitivity",
    "Chart",
    "Estimate",
    "Estimator",
    "Gradient",
    "InputXGradient",
    "IntegratedGradients",
    "Promise",
    "Pullback",
    "Score",
    "SmoothGrad",
    "Walk",
    "attribute",
    "boundary_sensitivity",
    "get",
    "names",
    "register",
]
