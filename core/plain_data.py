"""Values as plain data: what settings and reports store of tensors, callables and other objects."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor


def plain(value: Any, tensor: Callable[[Tensor], Any] | None = None) -> Any:
    """`value` as JSON can hold it: callables and other objects by name, tensors by shape or as `tensor` describes them.

    >>> import torch
    >>> plain({"target": (1, torch.ones(2, 3)), "score": len})
    {'target': [1, 'tensor (2, 3)'], 'score': 'callable len'}
    """
    if value is None or isinstance(value, (int, float, str)):
        return value
    if isinstance(value, Tensor):
        return f"tensor {tuple(value.shape)}" if tensor is None else tensor(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): plain(entry, tensor) for key, entry in value.items()}
    if isinstance(value, Sequence):
        return [plain(entry, tensor) for entry in value]
    return f"callable {getattr(value, '__qualname__', type(value).__name__)}"
