"""Rows that pass the model by each method's definition, counted by hand and not by the method."""

from collections.abc import Callable, Sequence
from typing import Any

from references import options_of

from pullback.transforms import Transform

FEW = 16  # rows of a run in which one row more would be felt
Groups = Sequence[int]  # how many groups of coefficients play in each domain
Rows = tuple[int, int]  # (forward only, with a gradient)

_noisy = lambda o, groups: (0, o["samples"])
_all = lambda o, groups: (sum(2**g for g in groups), 0)


def _integrated(o: dict[str, Any], groups: Groups) -> Rows:
    return 0, o["steps"] or o["max_evaluations"]  # with tol=0 it spends what it may


def _kernel_shap(o: dict[str, Any], groups: Groups) -> Rows:
    """None, all, and every other coalition where they are no more than `samples`."""
    return sum(2 + (2**g - 2 if 2**g - 2 <= o["samples"] else o["samples"] // 2 * 2) for g in groups), 0


def _shapley(o: dict[str, Any], groups: Groups) -> Rows:
    """None, all, and what lies between along `pairs` of orders and their reverses; else every coalition."""
    return (sum(2 + 2 * o["pairs"] * (g - 1) for g in groups), 0) if o["exact"] is False else _all(o, groups)


# Of one example, beside f(x) and f(x₀).
ROWS: dict[str, Callable[[dict[str, Any], Groups], Rows]] = {
    "gradient": lambda o, groups: (0, 1),
    "input_x_gradient": lambda o, groups: (0, 1),
    "smoothgrad": _noisy,
    "absgrad": _noisy,
    "squaregrad": _noisy,
    "vargrad": _noisy,
    "integrated_gradients": _integrated,
    "expected_gradients": lambda o, groups: (2, o["samples"]),  # f at the ends: of x, and of the baseline
    "gradient_shap": lambda o, groups: (o["samples"] + 1, o["samples"]),  # f at each noisy end, and of the baseline
    "occlusion": lambda o, groups: (sum(1 + g for g in groups), 0),
    "shapley": _shapley,
    "kernel_shap": _kernel_shap,
    "lime": lambda o, groups: (o["samples"] * len(groups), 0),
    "sobol": lambda o, groups: (sum(o["samples"] * (g + 2) for g in groups), 0),
    "hsic": lambda o, groups: (o["samples"] * len(groups), 0),
    "rise": lambda o, groups: ((o["masks"] + 1) * len(groups), 0),  # x too
    "mask": lambda o, groups: (len(groups), o["steps"] * len(groups)),  # and f at the masks that were found
    "captum": lambda o, groups: (0, o["options"].get("n_steps", 1) * len(groups)),
}
ANEW = ("gradient", "input_x_gradient")  # which read f(x) on the way


def groups_of(transform: Transform, method: str) -> int:
    """How many groups of coefficients play in this domain; blocks are cells of each band, channels together."""
    _, options = options_of(method)
    layout, by = transform.layout, options.get("by", "band")
    if by != "block":
        return len(layout.group(by).bands)
    cells = 1
    for side in transform.shape[1:]:
        cells *= -(-side // options["block"])
    return cells * len(layout.bands)


def planned(method: str, transforms: Sequence[Transform], images: int) -> Rows:
    """(forward, backward) rows of a run: x and x₀ once, what the method asks for, and one row that shows whether the model
    repeats itself, for which a run of few rows takes the f(x) that a method reads on the way."""
    name, options = options_of(method)
    forward, backward = ROWS[name](options, [groups_of(transform, method) for transform in transforms])
    again = not (name in ANEW and images * (forward + backward) < FEW)
    return images * (2 + forward + backward) + again, images * backward
