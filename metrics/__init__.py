"""Metrics: how good a map is, by what it is invariant under, and how numbers of examples are summarised."""

from .base import Invariance, Metric, Needs, Scores, get, measure, names, register
from .faithfulness import kept_score
from .judged import Answers, Judged
from .selection import Selection
from .selection_error import Gain, SelectionError
from .sparsity import fraction_holding, gini
from .statistics import mean_interval

__all__ = ["Answers", "Gain", "Invariance", "Judged", "Metric", "Needs", "Scores", "Selection", "SelectionError"]
__all__ += ["fraction_holding", "get", "gini", "kept_score", "mean_interval", "measure", "names", "register"]
