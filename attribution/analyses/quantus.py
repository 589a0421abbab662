"""Attributions as explanations for the metrics of Quantus."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..attribute import attribute
from ..call import Domain, Method


def quantus_explain(
    method: Method = "integrated_gradients", transform: Domain = "pixel", **options: Any
) -> Callable[..., np.ndarray]:
    """An `explain_func` for Quantus: the heatmap of `method` in `transform`.

    The returned function takes (model, inputs, targets, **kwargs) and returns `Attribution.heatmap()` with one channel,
    (batch, 1, *spatial): Quantus ranks samples of the signal, so T has to be linear. Keywords that Quantus adds for its
    own use (device, and the names of its own methods) are not passed on.

    options: baseline, batch_size, seed … of `attribute`.
    Source: Hedström et al. 2023 (Quantus).
    Raises, when the returned function is called: the errors of `attribute`; ValueError where T is not linear.

    >>> import torch
    >>> explain = quantus_explain("gradient", "dct")
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3)).eval()
    >>> explain(model, inputs=np.ones((2, 1, 4, 4), dtype=np.float32), targets=np.array([0, 2])).shape
    (2, 1, 4, 4)
    """

    def explain(model: nn.Module, inputs: Any, targets: Any, **kwargs: Any) -> np.ndarray:
        own = {key: value for key, value in kwargs.items() if key in inspect.signature(attribute).parameters}
        own.pop("method", None)
        parameter = next(iter(model.parameters()), None)
        x = inputs if isinstance(inputs, Tensor) else torch.as_tensor(np.array(inputs))  # a copy, without negative strides
        x = x if parameter is None else x.to(parameter.device, parameter.dtype)
        found = attribute(model, x, targets, method=method, transform=transform, **(options | own))
        return found.heatmap()[:, None].cpu().numpy()

    return explain
