"""Experiments on real models and data."""

from ..core.imports import needs

with needs("pullback.studies", "'pullback[cli]'"):
    from .axiom_matrix.run import judge, question, write_matrix, write_report
    from .catalogue import transform_rows
    from .compare.grid import DOMAINS, Comparison, Settings, compare
    from .explain import Explanation, explain
    from .loaders.data import Photo, Photos, load_photos
    from .loaders.model_formats import load_model
    from .loaders.models import LoadedModel, Preparation

__all__ = [
    "DOMAINS",
    "Comparison",
    "Explanation",
    "LoadedModel",
    "Photo",
    "Photos",
    "Preparation",
    "Settings",
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
