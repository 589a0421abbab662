"""Models in other coordinates: `Pullback`, in those of a transform; `Joint`, of several inputs as one; and covectors."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..core.precision import full_products
from ..core.tensors import ordinary
from ..transforms import Transform, TransformClaim
from ..transforms.base import check_transform
from .engine.check_model import feed_dtype


class Pullback(nn.Module):
    """g(z) = f(T⁻¹ z). An ordinary module: Captum, Quantus and torch hooks take it as it is.

    model: (batch, *T.shape) -> output.  z: (batch, *T.layout.shape). Further arguments are passed on to the model.
    Raises: TypeError unless `transform` is a Transform; when called, TypeError or ValueError for z of another shape.

    >>> import torch, pullback as pb
    >>> T = pb.transforms.get("dct", shape=(1, 8))
    >>> g = pb.Pullback(torch.nn.Flatten(), T)
    >>> x = torch.arange(8.0).reshape(1, 1, 8)
    >>> torch.allclose(g(T(x)), x.flatten(1), atol=1e-5)
    True
    """

    def __init__(self, model: Callable[..., Any], transform: Transform) -> None:
        super().__init__()
        self.model = model
        self.transform = check_transform("Pullback", transform)

    def forward(self, z: Tensor, *args: Any, **kwargs: Any) -> Any:
        """f(T⁻¹z).  z: (batch, *coeff).  args, kwargs: further inputs of the model."""
        x = self.transform.inverse(z)
        return self.model(x.to(feed_dtype(self.model, x.dtype)), *args, **kwargs)


class Joint(nn.Module):
    """g(pack(x₁, x₂, …)) = f(x₁, x₂, …): several inputs attributed together, as one signal of one channel.

    A completeness gap, a sum or a ranking then covers all inputs. Baselines are packed in the same way.

    model: (x₁, x₂, …) -> output.  inputs: tensors (batch, *shape_i); only their shapes are kept.
    Raises: TypeError unless the inputs are a tuple or list of tensors; ValueError where there are none.

    >>> image, depth = torch.ones(2, 3, 4, 4), torch.ones(2, 5)
    >>> g = pb.attribution.Joint(lambda i, d: i.flatten(1).sum(1) + 2 * d.sum(1), (image, depth))
    >>> att = pb.attribute(g, g.pack(image, depth), method="input_x_gradient")
    >>> [tuple(part.shape) for part in g.split(att.values)]
    [(2, 3, 4, 4), (2, 5)]
    """

    def __init__(self, model: Callable[..., Any], inputs: Sequence[Tensor]) -> None:
        super().__init__()
        if isinstance(inputs, Tensor) or not isinstance(inputs, Sequence):
            raise TypeError(
                f"Joint: expected a tuple of tensors, one for each argument of the model, got {type(inputs).__name__}."
            )
        if not inputs:
            raise ValueError("Joint: expected at least one input tensor, got none.")
        self.model = model
        self.shapes = tuple(tuple(ordinary("Joint", x).shape[1:]) for x in inputs)

    def pack(self, *inputs: Tensor) -> Tensor:
        """The inputs as one signal. Shape: (batch, 1, total size).

        Raises: ValueError for other shapes than those of the first inputs, or different batch sizes, dtypes or devices.
        """
        inputs = tuple(ordinary("Joint", x) for x in inputs)
        shapes = tuple(tuple(x.shape[1:]) for x in inputs)
        if shapes != self.shapes or len({(len(x), x.dtype, x.device) for x in inputs}) != 1:
            got = ", ".join(f"{x.dtype} {tuple(x.shape)} on {x.device}" for x in inputs) or "none"
            wanted = ", ".join(f"(batch, {str(shape)[1:-1]})" for shape in self.shapes)
            raise ValueError(f"Joint: expected tensors of one batch size, dtype and device with shapes {wanted}; got {got}.")
        return torch.cat([x.flatten(1) for x in inputs], 1)[:, None]

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """The parts that `pack` joined, (batch, *shape_i) each: of inputs, or of their values."""
        parts = x.flatten(1).split([math.prod(shape) for shape in self.shapes], 1)
        return tuple(part.unflatten(1, shape) if shape else part[:, 0] for part, shape in zip(parts, self.shapes))

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """f of the parts of x.  x: all inputs in one tensor, as `pack` makes it."""
        return self.model(*self.split(x), *args, **kwargs)


def analysis_transpose(transform: Transform, z: Tensor) -> Tensor:
    """Tᵀ z: T⁻¹ itself where T is orthogonal, else by automatic differentiation of T."""
    if TransformClaim.ORTHOGONAL in transform.claims:
        return transform.inverse(z)
    with torch.inference_mode(False), torch.enable_grad(), full_products(z):
        z = z.clone() if z.is_inference() else z
        x = torch.zeros((len(z), *transform.shape), dtype=z.dtype, device=z.device, requires_grad=True)
        (out,) = torch.autograd.grad(transform(x), x, z)
    return out
