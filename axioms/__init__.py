"""Judges transforms and estimators: residuals against tolerances."""

from ..core.precision import tolerance
from .check import check, parametrize
from .method_laws import NAMES
from .report import AxiomReport, Finding
from .rewrites.rewrite import rewrites
from .transform_laws import check_transform

__all__ = ["NAMES", "AxiomReport", "Finding", "check", "check_transform", "parametrize", "rewrites", "tolerance"]
