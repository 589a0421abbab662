"""`read_scores`: f at a few points, outside of a run."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .open_engine import open_engine
from .score import Target


def read_scores(model: Callable[..., Any], points: Tensor, target: Target = None, check: bool = False) -> Tensor:
    """f at every point, (points,), as gradients see it: some models compute another function where none are recorded.

    check: whether to refuse a model whose layers mix examples or are random.

    >>> shortcut = lambda x: x.sum(1) if torch.is_grad_enabled() else 2 * x.sum(1)
    >>> read_scores(shortcut, torch.ones(1, 3))
    tensor([3.])
    """
    example = torch.arange(len(points), device=points.device)
    with open_engine(model, points, target, check=check) as engine:
        return engine.as_recorded(lambda: engine.scores(example, points.__getitem__))
