"""Checks of a model before it runs: it is deterministic, treats every example by itself, and gets its own dtype."""

from typing import Any

import torch
from torch import nn

from ...core.precision import wide


def check_model(model: Any) -> None:
    """Refuses layers that mix examples or are random.  Raises: ValueError that names one; TypeError for no callable."""
    if not callable(model):
        raise TypeError(f"model: expected a module or another callable (rows, *shape) -> output, got {type(model).__name__}.")
    if not isinstance(model, nn.Module):
        return
    for name, module in model.named_modules():
        where = f"{type(module).__name__} {name!r}" if name else type(module).__name__
        training = getattr(module, "training", False)  # frozen scripts have no mode
        if training and _is_random(module):
            raise ValueError(f"model: {where} is in training mode and draws random numbers; call model.eval() first.")
        if isinstance(module, nn.modules.batchnorm._NormBase):
            statistics = module.running_mean is not None
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and (training or not statistics):
                advice = "call model.eval() first" if statistics else "give it running statistics"
                reason = "averages over the batch, so one example's map would depend on the others"
                raise ValueError(f"model: {where} {reason}; {advice}.")
            if training and statistics:
                raise ValueError(f"model: {where} is in training mode and would update its statistics; call model.eval().")


def _is_random(module: nn.Module) -> bool:
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.p > 0
    if isinstance(module, (nn.MultiheadAttention, nn.RNNBase)):
        return module.dropout > 0
    return isinstance(module, nn.RReLU)


def feed_dtype(model: Any, dtype: torch.dtype) -> torch.dtype:
    """The dtype of the model's input for data of `dtype`: that of the data, or the model's where it is narrower.

    Raises: ValueError where the model's parameters are wider than half precision and differ from the data.
    """
    parameters = model.parameters() if isinstance(model, nn.Module) else ()
    dtypes = {p.dtype for p in parameters if p.is_floating_point()}
    if not dtypes or dtype in dtypes:
        return dtype
    own = max(dtypes, key=lambda each: torch.finfo(each).bits)
    if wide(own) != own:
        return own
    raise ValueError(f"x is {dtype} but the model's parameters are {own}; convert one: x.to({own}) or model.to({dtype}).")
