"""How f(x) - f(x₀) is shared out among the coefficients of T x."""

from .attribute import attribute
from .baselines import Origin, among, in_domain
from .estimator import Chart, Estimate, Estimator, Promise, Walk, get, names, register
from .expected import ExpectedGradients, GradientSHAP
from .gradients import Gradient, InputXGradient, SmoothGrad
from .paths import IntegratedGradients
from .perturbation import RISE, Occlusion
from .pullback import Pullback
from .result import Attribution
from .score import Score
from .sensitivity import HSIC, Sobol
from .shapley import Shapley
from .statistics import AbsGrad, SquareGrad, VarGrad
from .surrogates import LIME, KernelSHAP

__all__ = [
    "HSIC",
    "LIME",
    "RISE",
    "AbsGrad",
    "Attribution",
    "Chart",
    "Estimate",
    "Estimator",
    "ExpectedGradients",
    "Gradient",
    "GradientSHAP",
    "InputXGradient",
    "IntegratedGradients",
    "KernelSHAP",
    "Occlusion",
    "Origin",
    "Promise",
    "Pullback",
    "Score",
    "Shapley",
    "SmoothGrad",
    "Sobol",
    "SquareGrad",
    "VarGrad",
    "Walk",
    "among",
    "attribute",
    "get",
    "in_domain",
    "names",
    "register",
]
