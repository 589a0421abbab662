"""Experiments on real models and data."""

from ..core.imports import import_matplotlib, needs

with needs("pullback.studies", "'pullback[cli]'"):
    import_matplotlib()
    from .axiom_matrix.matrix import check_method
    from .axiom_matrix.run import check_and_write, write_matrix, write_report
    from .axiom_matrix.subject import SMALL, Subject, load_subject
    from .catalogue import metric_rows, metric_text, transform_rows
    from .compare.grid import DOMAINS, Comparison, compare
    from .compare.questions import read as read_questions
    from .compare.settings import Settings
    from .domains.settings import Settings as DomainsSettings
    from .domains.study import Domains, domains
    from .explain import Explanation, explain, explain_top
    from .kinds import KINDS, Kind, Part, Signal
    from .loaders.data import Photo, Photos, load_photos
    from .loaders.model_formats import load_model
    from .loaders.models import LoadedModel
    from .loaders.preparation import Preparation
    from .minimal.report import limit_table as minimal_limits
    from .minimal.run import Minimal, minimal
    from .minimal.settings import Settings as MinimalSettings
    from .overlap.settings import Settings as OverlapSettings
    from .overlap.study import NOISE_LEVELS, MixedRecordings, noise, overlap
    from .planted.study import Planted, planted
    from .planted.study import Settings as PlantedSettings
    from .report.report import write_page
    from .robustness.run import Robustness, robustness
    from .robustness.settings import Settings as RobustnessSettings
    from .volume.run import Volume, volume
    from .volume.settings import Settings as VolumeSettings

__all__ = ["DOMAINS", "KINDS", "NOISE_LEVELS", "SMALL", "Comparison", "Domains", "DomainsSettings", "Explanation", "Kind"]
__all__ += ["LoadedModel", "Minimal", "MinimalSettings", "MixedRecordings", "OverlapSettings", "Part", "Photo", "Photos"]
__all__ += ["Planted", "PlantedSettings", "Preparation", "Robustness", "RobustnessSettings", "Settings", "Signal"]
__all__ += ["Subject", "Volume", "VolumeSettings", "check_and_write", "check_method", "compare", "domains", "explain"]
__all__ += ["explain_top", "load_model", "load_photos", "load_subject", "metric_rows", "metric_text", "minimal"]
__all__ += ["minimal_limits", "noise", "overlap", "planted", "read_questions", "robustness", "transform_rows", "volume"]
__all__ += ["write_matrix", "write_page", "write_report"]
