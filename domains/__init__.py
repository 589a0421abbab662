"""Domains that are fitted to a model and its data, and judged on examples that they have not seen."""

from .families import Family, families, menu
from .fit import FittedDomain, fit_domain, randomise
from .judging import contrast, holm, selection_error
from .moments import Moments, attribution_klt, leading_atoms
from .objectives import Objective, objectives
from .pairs import Pairs

__all__ = ["Family", "FittedDomain", "Moments", "Objective", "Pairs", "attribution_klt", "contrast", "families", "fit_domain"]
__all__ += ["holm", "leading_atoms", "menu", "objectives", "randomise", "selection_error"]
