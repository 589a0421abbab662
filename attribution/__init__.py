"""How f(x) - f(x₀) is shared out among the coefficients of T x."""

from . import bridges, masks, targets
from .attribute import attribute
from .baselines import in_domain
from .best_basis import basis_cost, best_basis
from .boundary import BoundarySensitivity, boundary_sensitivity
from .bridges import Captum
from .drawn_baselines import among
from .estimator import Chart, Estimate, Estimator, Promise, Walk, get, names, register
from .expected import ExpectedGradients, GradientSHAP
from .extras import shared
from .gradients import Gradient, InputXGradient, SmoothGrad
from .masks import Mask, MaskPath
from .origins import Origin
from .paths import IntegratedGradients
from .perturbation import RISE, Occlusion
from .pullback import Joint, Pullback
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
    "BoundarySensitivity",
    "Captum",
    "Chart",
    "Estimate",
    "Estimator",
    "ExpectedGradients",
    "Gradient",
    "GradientSHAP",
    "InputXGradient",
    "IntegratedGradients",
    "Joint",
    "KernelSHAP",
    "Mask",
    "MaskPath",
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
    "basis_cost",
    "best_basis",
    "boundary_sensitivity",
    "bridges",
    "get",
    "in_domain",
    "masks",
    "names",
    "register",
    "shared",
    "targets",
]
