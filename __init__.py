"""pullback: in which coordinates does this model think?"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import attribution, axioms, domains, metrics, studies, transforms
    from .attribution import Attribution, Broadcast, Execution, PerExample, Pullback, attribute, best_basis
    from .core.progress import Interrupted
    from .domains import FittedDomain, fit_domain
    from .metrics.protocol import compare_domains as compare
    from .transforms import register as register_transform

    __version__: str

__all__ = ["Attribution", "Broadcast", "Execution", "FittedDomain", "Interrupted", "PerExample", "Pullback"]
__all__ += [
    "attribute",
    "attribution",
    "axioms",
    "best_basis",
    "compare",
    "domains",
    "fit_domain",
    "metrics",
    "register_transform",
]
__all__ += ["studies", "transforms"]
_ROOMS = ("attribution", "axioms", "domains", "metrics", "studies", "transforms")
# Where the names are that do not come from `attribution`.
_ELSEWHERE = {"register_transform": ("transforms", "register"), "Interrupted": ("core.progress", "Interrupted")}
_ELSEWHERE["compare"] = "metrics.protocol", "compare_domains"
_ELSEWHERE |= {name: ("domains", name) for name in ("FittedDomain", "fit_domain")}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """A room or a public name, imported when it is first asked for: so the command can answer Ctrl-C from its start."""
        if name == "__version__":
            return importlib.import_module("importlib.metadata").version("pullback")
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name in _ROOMS:
            return importlib.import_module(f".{name}", __name__)
        room, own = _ELSEWHERE.get(name, ("attribution", name))
        return globals().setdefault(name, getattr(importlib.import_module(f".{room}", __name__), own))

    def __dir__() -> list[str]:
        """The names of the module, also those that are not imported yet."""
        return sorted({*globals(), *__all__})
