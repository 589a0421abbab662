"""`Pullback`: the model read in the coordinates of a transform."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ..transforms import Transform
from .rows import feed_dtype


class Pullback(nn.Module):
    """g(z) = f(T⁻¹ z). An ordinary module: Captum, Quantus and torch hooks take it as it is.

    model: (batch, *T.shape) -> output.  z: (batch, *T.layout.shape). Further arguments are passed on to the model.

    >>> import torch, pullback as pb
    >>> T = pb.transforms.get("dct", shape=(1, 8))
    >>> g = pb.Pullback(torch.nn.Flatten(), T)
    >>> x = torch.arange(8.0).reshape(1, 1, 8)
    >>> torch.allclose(g(T(x)), x.flatten(1), atol=1e-5)
    True
    """

    def __init__(self, model: Callable[..., Any], transform: Transform) -> None:
        super().__init__()
        if not isinstance(transform, Transform):
            raise TypeError(f"Pullback: expected a Transform, got {type(transform).__name__}; build one with "
                            "pullback.transforms.get(spec, shape).")  # fmt: skip
        self.model = model
        self.transform = transform

    def forward(self, z: Tensor, *args: Any, **kwargs: Any) -> Any:
        x = self.transform.inverse(z)
        return self.model(x.to(feed_dtype(self.model, x.dtype)), *args, **kwargs)
