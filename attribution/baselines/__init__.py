"""Baselines x₀: what "absent" means. Each has a name and a rule that gives x₀ for any x."""

from .base import Baseline, names, register
from .fixed import Blur, Mean, Zero, get, in_domain
from .random import Gaussian, Uniform, among

__all__ = ["Baseline", "Blur", "Gaussian", "Mean", "Uniform", "Zero", "among", "get", "in_domain", "names", "register"]
