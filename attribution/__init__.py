"""How f(x) - f(x₀) is shared out among the coefficients of T x."""

from . import targets
from .analyses.best_basis import basis_cost, best_basis
from .analyses.boundary_sensitivity import BoundarySensitivity, boundary_sensitivity
from .attribute import attribute
from .baselines.base import Baseline
from .baselines.fixed import in_domain
from .baselines.random import among
from .engine.model_args import Broadcast
from .engine.score import Score
from .estimator import Chart, Estimate, Estimator, Evaluator, MethodClaim, get, names, register
from .methods import captum as bridges
from .methods import mask as masks
from .methods.captum import Captum
from .methods.expected_gradients import ExpectedGradients, GradientSHAP
from .methods.global_sensitivity import HSIC, Sobol
from .methods.gradients import Gradient, InputXGradient, SmoothGrad
from .methods.integrated_gradients.estimator import IntegratedGradients
from .methods.mask import Mask, MaskPath
from .methods.noisy_gradients import AbsGrad, SquareGrad, VarGrad
from .methods.rise import RISE, Occlusion
from .methods.shapley import Shapley
from .methods.surrogates import LIME, KernelSHAP
from .pullback import Joint, Pullback
from .result import Attribution

__all__ = [
    "HSIC",
    "LIME",
    "RISE",
    "AbsGrad",
    "Attribution",
    "Baseline",
    "BoundarySensitivity",
    "Broadcast",
    "Captum",
    "Chart",
    "Estimate",
    "Estimator",
    "Evaluator",
    "ExpectedGradients",
    "Gradient",
    "GradientSHAP",
    "InputXGradient",
    "IntegratedGradients",
    "Joint",
    "KernelSHAP",
    "Mask",
    "MaskPath",
    "MethodClaim",
    "Occlusion",
    "Pullback",
    "Score",
    "Shapley",
    "SmoothGrad",
    "Sobol",
    "SquareGrad",
    "VarGrad",
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
    "targets",
]
