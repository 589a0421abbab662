"""Metrics: how good a map is, by what it is invariant under, and how numbers of examples are summarised."""

from . import statistics
from .bands import BandDeletion, BandShapleyError
from .base import Invariance, Metric, Needs, Scores, get, measure, names, register
from .class_answers import AverageDrop, AverageGain, AverageIncrease, FaithfulnessOfSpectra, FidelityToInput
from .correlation import MuFidelity, SensitivityN
from .curves import Deletion, Insertion, RateFidelity, SymmetricRelevanceGain
from .explainer import Explainer, explainer, explainer_of
from .faithfulness import kept_score
from .infidelity import Infidelity
from .judged import Answers, Judged
from .localisation import OctaveDistance, PointingGame, RelevanceAUPRC, RelevanceMass, RelevanceRank
from .randomisation import LabelRandomisation, LabelRandomisationRanks, ParameterRandomisation, ParameterRandomisationRanks
from .selection import Selection
from .selection_error import Gain, SelectionError
from .separation import Separation, dominant, energy_left, ideal_order, si_sdr, si_sdr_gain
from .sparsity import (
    EffectiveNumber,
    FractionHolding,
    Gini,
    Participation,
    cancellation,
    effective_number,
    fraction_holding,
    gini,
    participation,
)
from .stability import MaxSensitivity, TopKStability
from .statistics import mean_interval

__all__ = ["Answers", "AverageDrop", "AverageGain", "AverageIncrease", "BandDeletion", "BandShapleyError", "Deletion"]
__all__ += ["EffectiveNumber", "Explainer", "FaithfulnessOfSpectra", "FidelityToInput", "FractionHolding", "Gain", "Gini"]
__all__ += ["Infidelity", "Insertion", "Invariance", "Judged", "LabelRandomisation", "LabelRandomisationRanks"]
__all__ += ["MaxSensitivity", "Metric", "MuFidelity", "Needs", "OctaveDistance", "ParameterRandomisation"]
__all__ += ["ParameterRandomisationRanks", "Participation", "PointingGame", "RateFidelity", "RelevanceAUPRC", "RelevanceMass"]
__all__ += ["RelevanceRank", "Scores", "Selection", "SelectionError", "SensitivityN", "Separation", "SymmetricRelevanceGain"]
__all__ += ["TopKStability", "cancellation", "dominant", "effective_number", "energy_left", "explainer", "explainer_of"]
__all__ += ["fraction_holding", "get", "gini", "ideal_order", "kept_score", "mean_interval", "measure", "names"]
__all__ += ["participation", "register", "si_sdr", "si_sdr_gain", "statistics"]
