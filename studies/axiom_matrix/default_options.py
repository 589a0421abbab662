"""How the matrix asks methods that are named without options: with so few players and samples that large models can answer."""

from ...attribution.methods.coalitions import Players
from ...transforms import Layout

# Of methods whose cost does not follow from their axioms: enough samples for a few players.
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
_ALONE = {"mask", "rise"}  # these have no players


def groups(layout: Layout) -> dict[str, str | int]:
    """Few players in any domain: its orientations, or its scales; where it has but one of both, the blocks of half a side."""
    for by in ("orientation", "scale"):
        if Players.of(layout, by).count > 1:
            return {"by": by}
    return {"by": "block", "block": max(1, -(-max(layout.shape[1:]) // 2))}


def asked(method: str, layout: Layout) -> str:
    """The spec that a method by name is asked with in a domain; a spec with options of its own stays as it is.

    >>> from pullback.transforms import get
    >>> dct, pixel = get("dct", (1, 16, 16)).layout, get("pixel", (1, 16, 16)).layout
    >>> asked("lime", dct), asked("sobol", pixel)
    ('lime(by=orientation, samples=128)', 'sobol(by=block, block=8, samples=16)')
    >>> asked("lime(by=band)", dct), asked("gradient", dct)
    ('lime(by=band)', 'gradient')
    """
    if method not in OPTIONS:
        return method
    players = {} if method in _ALONE else groups(layout)
    options = players | {name: value for name, value in OPTIONS[method].items() if name != "unions" or "block" in players}
    return f"{method}({', '.join(f'{name}={value}' for name, value in options.items())})"
