"""Domains that are fitted to a model and its data, and judged on examples that they have not seen."""

from .families import Family, families, menu
from .fit import FittedDomain, fit_domain
from .judging import contrast, holm, selection_error
from .moments import Moments, attribution_klt, leading_atoms
from .objectives import Objective, objectives
from .pairs import Pairs
from .streams import Streams, randomise

__all__ = ["Family", "FittedDomain", "Moments", "Objective", "Pairs", "Streams", "attribution_klt", "contrast", "families"]
__all__ += ["fit_domain", "holm", "leading_atoms", "menu", "objectives", "randomise", "selection_error"]
