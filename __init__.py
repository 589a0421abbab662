"""pullback: in which coordinates does this model think?"""

import importlib.metadata

from . import attribution, axioms, metrics, transforms
from .attribution import Attribution, Pullback, attribute, best_basis, shared
from .axioms import register_transform

__version__ = importlib.metadata.version("pullback")
__all__ = [
    "Attribution",
    "Pullback",
    "attribute",
    "attribution",
    "axioms",
    "best_basis",
    "metrics",
    "register_transform",
    "shared",
    "transforms",
]
