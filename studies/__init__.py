"""Experiments on real models and data."""

from ..core.imports import import_matplotlib, needs

with needs("pullback.studies", "'pullback[cli]'"):
    import_matplotlib()
    from .axiom_matrix.matrix import check_method
    from .axiom_matrix.run import check_and_write, write_matrix, write_report
    from .axiom_matrix.subject import SMALL, Subject, load_subject
    from .catalogue import metric_rows, metric_text, transform_rows
    from .compare.cluster import Ray
    from .compare.cost import Cost, expected_cost
    from .compare.grid import DOMAINS, Comparison, compare
    from .compare.questions import read as read_questions
    from .compare.settings import Settings
    from .compare.shards import Shard, compare_shard, merge
    from .compare.status import Status, missing_shards, status
    from .divided import run_study
    from .domains.settings import Settings as DomainsSettings
    from .domains.study import Domains, domains, domains_shard
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

__all__ = ["DOMAINS", "KINDS", "NOISE_LEVELS", "SMALL", "Comparison", "Cost", "Domains", "DomainsSettings", "Explanation"]
__all__ += ["Kind", "LoadedModel", "Minimal", "MinimalSettings", "MixedRecordings", "OverlapSettings", "Part", "Photo"]
__all__ += ["Photos", "Planted", "PlantedSettings", "Preparation", "Ray", "Robustness", "RobustnessSettings", "Settings"]
__all__ += ["Shard", "Signal", "Status", "Subject", "Volume", "VolumeSettings", "check_and_write", "check_method", "compare"]
__all__ += ["compare_shard", "domains", "domains_shard", "expected_cost", "explain", "explain_top", "load_model", "load_photos"]
__all__ += ["load_subject", "merge", "metric_rows", "metric_text", "minimal", "minimal_limits", "missing_shards", "noise"]
__all__ += ["overlap", "planted", "read_questions", "robustness", "run_study", "status", "transform_rows", "volume"]
__all__ += ["write_matrix", "write_page", "write_report"]
