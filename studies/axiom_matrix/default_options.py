"""The options of methods that are named without options: few players and samples, so that large models can be checked."""

from ...attribution.methods.coalitions import Players
from ...transforms import Layout

LIMIT = 20_000  # model evaluations for one map of one example
# For methods whose axioms do not fix their cost: enough samples for a few players.
OPTIONS: dict[str, dict[str, str | int]] = {
    "hsic": {"samples": 128},
    "kernel_shap": {},
    "lime": {"samples": 128},
    "mask": {"steps": 40},
    "occlusion": {},
    "rise": {"masks": 128},
    "shapley": {"unions": "band"},
    "sobol": {"samples": 16},
}
_WITHOUT_PLAYERS = {"mask", "rise"}


def groups(layout: Layout) -> dict[str, str | int]:
    """Options for a few players in any domain: its orientations, or its scales, or else blocks of half a side."""
    for by in ("orientation", "scale"):
        if Players.of(layout, by).count > 1:
            return {"by": by}
    return {"by": "block", "block": max(1, -(-max(layout.shape[1:]) // 2))}


def with_options(method: str, layout: Layout) -> str:
    """The method with its options in a domain; a spec that has options stays as it is.

    >>> from pullback.transforms import get
    >>> dct, pixel = get("dct", (1, 16, 16)).layout, get("pixel", (1, 16, 16)).layout
    >>> with_options("lime", dct), with_options("sobol", pixel)
    ('lime(by=orientation, samples=128)', 'sobol(by=block, block=8, samples=16)')
    >>> with_options("lime(by=band)", dct), with_options("gradient", dct)
    ('lime(by=band)', 'gradient')
    """
    if method not in OPTIONS:
        return method
    options = {} if method in _WITHOUT_PLAYERS else groups(layout)
    options |= {name: value for name, value in OPTIONS[method].items() if name != "unions" or "block" in options}
    return f"{method}({', '.join(f'{name}={value}' for name, value in options.items())})"


def check_cost(evaluations: int) -> None:
    """Raises: ValueError for a method that needs more model evaluations for one example than the limit."""
    if evaluations > LIMIT:
        raise ValueError(f"needs {evaluations:,} model evaluations for one example; the limit here is {LIMIT:,}")
