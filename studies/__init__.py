"""Experiments on real models and data."""

from ..core.imports import import_matplotlib, needs

with needs("pullback.studies", "'pullback[cli]'"):
    import_matplotlib()
    from .axiom_matrix.matrix import check_method
    from .axiom_matrix.run import check_and_write, write_matrix, write_report
    from .axiom_matrix.subject import Subject, load_subject
    from .catalogue import transform_rows
    from .compare.grid import DOMAINS, Comparison, Settings, compare
    from .explain import Explanation, explain, explain_top
    from .kinds import KINDS, Kind, Part, Signal
    from .loaders.data import Photo, Photos, load_photos
    from .loaders.model_formats import load_model
    from .loaders.models import LoadedModel
    from .loaders.preparation import Preparation
    from .robustness.run import Robustness, robustness
    from .robustness.settings import Settings as RobustnessSettings

__all__ = ["DOMAINS", "KINDS", "Comparison", "Explanation", "Kind", "LoadedModel", "Part", "Photo", "Photos"]
__all__ += ["Preparation", "Robustness", "RobustnessSettings", "Settings", "Signal", "Subject", "check_and_write"]
__all__ += ["check_method", "compare", "explain", "explain_top", "load_model", "load_photos", "load_subject", "robustness"]
__all__ += ["transform_rows", "write_matrix", "write_report"]
