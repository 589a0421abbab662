"""Judges transforms and estimators: residuals against tolerances."""

from .check import parametrize
from .registration import register_transform
from .report import AxiomReport, Finding, tolerance
from .transform_laws import check_transform

__all__ = ["AxiomReport", "Finding", "check_transform", "parametrize", "register_transform", "tolerance"]
