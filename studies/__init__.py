"""Experiments on real models and data."""

from .axioms import judge, question, write_matrix, write_report
from .catalogue import transform_rows
from .compare import Outcome, Settings, compare
from .data import Photo, Photos, load_photos
from .explain import Explanation, explain
from .folder import check_writable
from .models import LoadedModel, Preparation, load_model

__all__ = [
    "Explanation",
    "LoadedModel",
    "Outcome",
    "Photo",
    "Photos",
    "Preparation",
    "Settings",
    "check_writable",
    "compare",
    "explain",
    "judge",
    "load_model",
    "load_photos",
    "question",
    "transform_rows",
    "write_matrix",
    "write_report",
]
