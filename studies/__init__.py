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
    from .planted.study import Planted, planted
    from .planted.study import Settings as PlantedSettings
    from .volume.run import Volume, volume
    from .volume.settings import Settings as VolumeSettings

__all__ = ["DOMAINS", "KINDS", "SMALL", "Comparison", "Explanation", "Kind", "LoadedModel", "Part", "Photo", "Photos"]
__all__ += ["Planted", "PlantedSettings", "Preparation", "Settings", "Signal", "Subject", "Volume", "VolumeSettings"]
__all__ += ["check_and_write", "check_method", "compare", "explain", "explain_top", "load_model", "load_photos"]
__all__ += ["load_subject", "metric_rows", "metric_text", "planted", "transform_rows", "volume", "write_matrix"]
__all__ += ["write_report"]
