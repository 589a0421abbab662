"""Experiments on real models and data."""

from .axiom_matrix.run import judge, question, write_matrix, write_report
from .catalogue import transform_rows
from .compare.grid import Outcome, Settings, compare
from .explain import Explanation, explain
from .loaders.data import Photo, Photos, load_photos
from .loaders.models import LoadedModel, Preparation, load_model
from .storage.folder import check_writable

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
