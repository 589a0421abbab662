"""Metrics: how good a map is, by what it is invariant under, and how numbers of examples are summarised."""

from .bands import BandDeletion, BandShapleyError
from .base import Invariance, Metric, Needs, Scores, get, measure, names, register
from .explainer import Explainer, explainer, explainer_of
from .faithfulness import kept_score
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
    effective_number,
    fraction_holding,
    gini,
    participation,
)
from .stability import MaxSensitivity, TopKStability
from .statistics import mean_interval

__all__ = ["Answers", "Gain", "Invariance", "Judged", "Metric", "Needs", "Scores", "Selection", "SelectionError"]
__all__ += ["fraction_holding", "get", "gini", "kept_score", "mean_interval", "measure", "names", "register"]
__all__ += ["BandDeletion", "BandShapleyError", "EffectiveNumber", "Explainer", "FractionHolding", "Gini", "LabelRandomisation"]
__all__ += ["LabelRandomisationRanks", "MaxSensitivity", "OctaveDistance", "ParameterRandomisation"]
__all__ += ["ParameterRandomisationRanks", "Participation", "PointingGame", "RelevanceAUPRC", "RelevanceMass"]
__all__ += ["RelevanceRank", "Separation", "TopKStability"]
__all__ += [
    "dominant",
    "effective_number",
    "energy_left",
    "explainer",
    "explainer_of",
    "ideal_order",
    "participation",
    "si_sdr",
    "si_sdr_gain",
]
__all__.sort(key=lambda name: (not name[0].isupper(), name))
