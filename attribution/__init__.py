"""Attribution: methods that share f(x) - f(x₀) among the coefficients of T x, their results and analyses."""

from . import baselines, targets
from .analyses.best_basis import basis_cost, best_basis
from .analyses.boundary_sensitivity import BoundarySensitivity, boundary_sensitivity
from .analyses.mask_path import MaskPath, mask_path
from .analyses.quantus import quantus_explain
from .attribute import attribute, resume
from .baselines import Baseline, among, in_domain
from .engine.execution import Execution
from .engine.model_args import Broadcast, PerExample
from .engine.open_engine import open_engine
from .engine.row_index import RowIndex
from .engine.score import Score
from .estimator import Chart, Cost, Estimate, Estimator, Evaluator, MethodClaim, get, names, register
from .methods.captum import Captum
from .methods.expected_gradients import ExpectedGradients, GradientSHAP
from .methods.global_sensitivity import HSIC, Sobol
from .methods.gradients import Gradient, InputXGradient
from .methods.integrated_gradients.estimator import IntegratedGradients
from .methods.mask import Mask
from .methods.noisy_gradients import AbsGrad, SmoothGrad, SquareGrad, VarGrad
from .methods.occlusion import Occlusion
from .methods.rise import RISE
from .methods.shapley import Shapley
from .methods.surrogates import LIME, KernelSHAP
from .pullback import Joint, Pullback
from .result import Attribution
from .resume import ConvergenceWarning

__all__ = ["HSIC", "LIME", "RISE", "AbsGrad", "Attribution", "Baseline", "BoundarySensitivity", "Broadcast", "Captum", "Chart"]
__all__ += ["ConvergenceWarning", "Cost", "Estimate", "Estimator", "Evaluator", "Execution", "ExpectedGradients", "Gradient"]
__all__ += ["GradientSHAP", "InputXGradient", "IntegratedGradients", "Joint", "KernelSHAP", "Mask", "MaskPath", "MethodClaim"]
__all__ += [
    "Occlusion",
    "PerExample",
    "Pullback",
    "RowIndex",
    "Score",
    "Shapley",
    "SmoothGrad",
    "Sobol",
    "SquareGrad",
    "VarGrad",
]
__all__ += ["among", "attribute", "baselines", "basis_cost", "best_basis", "boundary_sensitivity", "get", "in_domain"]
__all__ += ["mask_path", "names", "open_engine", "quantus_explain", "register", "resume", "targets"]
