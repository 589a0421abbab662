"""pullback: in which coordinates does this model think?"""

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

from . import attribution, axioms, metrics, transforms
from .attribution import Attribution, Broadcast, Execution, PerExample, Pullback, attribute, best_basis
from .transforms import register as register_transform

if TYPE_CHECKING:
    from . import studies

__version__ = importlib.metadata.version("pullback")
__all__ = ["Attribution", "Broadcast", "Execution", "PerExample", "Pullback"]
__all__ += ["attribute", "attribution", "axioms", "best_basis", "metrics", "register_transform", "studies", "transforms"]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """`pullback.studies`, imported when it is first asked for: loaders, figures and reports cost nothing before."""
        if name == "studies":
            return importlib.import_module(".studies", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
