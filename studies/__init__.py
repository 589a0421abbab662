"""Experiments on real models and data."""

from .compare import Outcome, Settings, compare, transform_rows
from .data import Photo, Photos, load_photos
from .explain import Explanation, explain
from .models import LoadedModel, Preparation, load_model

__all__ = [
    "Explanation",
    "LoadedModel",
    "Outcome",
    "Photo",
    "Photos",
    "Preparation",
    "Settings",
    "compare",
    "explain",
    "load_model",
    "load_photos",
    "transform_rows",
]
