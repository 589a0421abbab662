"""Domains that are fitted to a model and its data, and judged on examples that they have not seen."""

from .families import Family, families, menu
from .fit import FittedDomain, fit_domain
from .judging import contrast, holm, selection_error
from .moments import Moments, attribution_klt, leading_atoms
from .objectives import Objective, objectives
from .pairs import Pairs
from .streams import Streams, randomise
from .tilings import best_tiling
from .transfer import for_shape, transfer, transfer_matrix

__all__ = ["Family", "FittedDomain", "Moments", "Objective", "Pairs", "Streams", "attribution_klt", "best_tiling", "contrast"]
__all__ += ["families", "fit_domain", "for_shape", "holm", "leading_atoms", "menu", "objectives", "randomise"]
__all__ += ["selection_error", "transfer", "transfer_matrix"]
