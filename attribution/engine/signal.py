"""The signal at the door: which tensors x may be, and what to say about a model that does not take them."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from ...core.tensors import array_advice, check_range, ordinary

_ABOUT_SHAPES = re.compile(r"\b(shapes?|sizes?|dimensions?|channels?|broadcast\w*|\d-?D)\b", re.IGNORECASE)


def signal(x: Any) -> Tensor:
    """x as a plain tensor: without its subclass and lazy signs; its graph is kept.

    Raises: TypeError for several inputs, an array or anything else that is no tensor; ValueError where it is not dense.

    >>> signal([[1.0, 2.0]])
    Traceback (most recent call last):
    TypeError: x: expected a tensor (batch, *shape), got list.
    """
    if isinstance(x, Tensor):
        return ordinary("x", x)
    advice = array_advice(x, "x")
    parts = list(x.values()) if isinstance(x, Mapping) else x if isinstance(x, (tuple, list)) else []
    if parts and all(isinstance(part, Tensor) for part in parts):
        held = "list(x.values())" if isinstance(x, Mapping) else "x"
        joint = f"g = pb.attribution.Joint(model, {held}), pb.attribute(g, g.pack(*{held}), …)"
        advice = f". Several inputs of the model, in the order of its arguments: {joint}. Several examples: torch.stack({held})"
    raise TypeError(f"x: expected a tensor (batch, *shape), got {type(x).__name__}{advice}.")


def check_signal(x: Any) -> Tensor:
    """x as a plain tensor.  Raises: TypeError or ValueError unless it is a real tensor (batch, *shape), not empty, finite,
    and neither too large nor too small for its format; see `core.tensors.limits`."""
    x = signal(x)
    if not x.is_floating_point() or x.ndim < 2 or x.numel() == 0:
        expected = "x: expected a real floating-point tensor (batch, *shape) that is not empty"
        raise ValueError(f"{expected}, got {x.dtype} of shape {tuple(x.shape)}.")
    return check_range("x", x, least=True)


@contextlib.contextmanager
def shapes_noted(x: Tensor) -> Iterator[None]:
    """Adds the shape of x to errors of the model about shapes: a signal without a batch axis looks like a batch of others."""
    try:
        yield
    except (RuntimeError, ValueError, IndexError) as error:
        if _ABOUT_SHAPES.search(str(error)) and not str(error).startswith(("target:", "model:")):
            shapes = f"x has shape {tuple(x.shape)}, (batch, *shape), so the model was given rows of {tuple(x.shape[1:])}"
            error.add_note(f"pullback: {shapes}; one signal by itself is x[None].")
        raise
