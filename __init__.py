"""pullback: in which coordinates does this model think?"""

from . import transforms

__all__ = ["transforms"]
