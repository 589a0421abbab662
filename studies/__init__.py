"""Experiments on real models and data."""

from ..core.imports import import_matplotlib, needs

with needs("pullback.studies", "'pullback[cli]'"):
    import_matplotlib()
    from .axiom_matrix.matrix import check_method
    from .axiom_matrix.run import check_and_write, write_matrix, write_report
    from .axiom_matrix.subject import SMALL, Subject, load_subject
    from .catalogue import metric_rows, metric_text, transform_rows
    from .compare.grid import DOMAINS, Comparison, Settings, compare
    from .explain import Explanation, explain, explain_top
    from .kinds import KINDS, Kind, Part, Signal
    from .loaders.data import Photo, Photos, load_photos
    from .loaders.model_formats import load_model
    from .loaders.models import LoadedModel
    from .loaders.preparation import Preparation
    from .overlap.settings import Settings as OverlapSettings
    from .overlap.study import NOISE_LEVELS, MixedRecordings, noise, overlap
    from .planted.study import Planted, planted
    from .planted.study import Settings as PlantedSettings

__all__ = ["DOMAINS", "KINDS", "NOISE_LEVELS", "SMALL"]
__all__ += ["Comparison", "Explanation", "Kind", "LoadedModel", "MixedRecordings", "OverlapSettings", "Part", "Photo", "Photos"]
__all__ += ["Planted", "PlantedSettings", "Preparation", "Settings", "Signal", "Subject", "check_and_write", "check_method"]
__all__ += ["compare", "explain", "explain_top", "load_model", "load_photos", "load_subject", "metric_rows", "metric_text"]
__all__ += ["noise", "overlap", "planted", "transform_rows", "write_matrix", "write_report"]
