"""Metrics: how good a map is, by what it is invariant under, and how numbers of examples are summarised."""

from . import statistics
from .base import Invariance, Metric, Needs, Scores, get, measure, names, register
from .class_answers import AverageDrop, AverageGain, AverageIncrease, FaithfulnessOfSpectra, FidelityToInput
from .correlation import MuFidelity, SensitivityN
from .curves import Deletion, Insertion, RateFidelity, SymmetricRelevanceGain
from .faithfulness import kept_score
from .infidelity import Infidelity
from .judged import Answers, Judged
from .selection import Selection
from .selection_error import Gain, SelectionError
from .sparsity import fraction_holding, gini
from .statistics import mean_interval

__all__ = ["Answers", "AverageDrop", "AverageGain", "AverageIncrease", "Deletion", "FaithfulnessOfSpectra", "FidelityToInput"]
__all__ += [
    "Gain",
    "Infidelity",
    "Insertion",
    "Invariance",
    "Judged",
    "Metric",
    "MuFidelity",
    "Needs",
    "RateFidelity",
    "Scores",
]
__all__ += ["Selection", "SelectionError", "SensitivityN", "SymmetricRelevanceGain"]
__all__ += ["fraction_holding", "get", "gini", "kept_score", "mean_interval", "measure", "names", "register", "statistics"]
