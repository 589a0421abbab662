"""Scores of attributions: how well a map's first coefficients keep f(x), and how sparse it is."""

from . import statistics
from .faithfulness import kept_score
from .sparsity import fraction_holding, gini
from .statistics import mean_interval

__all__ = ["fraction_holding", "gini", "kept_score", "mean_interval", "statistics"]
