"""Domains that are fitted to a model and its data, and judged on examples that they have not seen."""

from .families import Family, families, menu
from .fit import FittedDomain, fit_domain
from .judging import contrast, selection_error
from .moments import Moments, attribution_klt, leading_atoms
from .objectives import Objective, objectives
from .pairs import Pairs
from .protocol import concluded
from .streams import Streams, randomise
from .tilings import best_tiling
from .transfer import differing, for_shape, transfer, transfer_matrix

__all__ = ["Family", "FittedDomain", "Moments", "Objective", "Pairs", "Streams", "attribution_klt", "best_tiling", "concluded"]
__all__ += ["contrast", "differing", "families", "fit_domain", "for_shape", "leading_atoms", "menu", "objectives", "randomise"]
__all__ += ["selection_error", "transfer", "transfer_matrix"]
