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
    from .explain import Explanation, explain, explain_top
    from .kinds import KINDS, Kind, Part, Signal
    from .loaders.data import Photo, Photos, load_photos
    from .loaders.model_formats import load_model
    from .loaders.models import LoadedModel
    from .loaders.preparation import Preparation
    from .planted.study import Planted, planted
    from .planted.study import Settings as PlantedSettings
    from .report.report import write_page
    from .robustness.run import Robustness, robustness
    from .robustness.settings import Settings as RobustnessSettings

__all__ = ["DOMAINS", "KINDS", "SMALL", "Comparison", "Explanation", "Kind", "LoadedModel", "Part", "Photo", "Photos"]
__all__ += ["Planted", "PlantedSettings", "Preparation", "Robustness", "RobustnessSettings", "Settings", "Signal", "Subject"]
__all__ += ["check_and_write", "check_method", "compare", "explain", "explain_top", "load_model", "load_photos"]
__all__ += ["load_subject", "metric_rows", "metric_text", "planted", "read_questions", "robustness", "transform_rows"]
__all__ += ["write_matrix", "write_page", "write_report"]
