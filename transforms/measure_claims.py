"""The claims of maps that the user gives, measured on random signals."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..core.precision import tolerance
from .base import TransformClaim
from .laws import CLAIMS, Draw, Map
from .layout import Shape


def measure(analysis: Map, synthesis: Map, x: Tensor, z: Tensor) -> tuple[TransformClaim, dict[TransformClaim, float]]:
    """The claims whose residual is no more than rounding in the dtype of x, and the residuals.

    x: signals (batch, *shape), at least two.  z: coefficients (batch, *coeff), drawn independently of T.
    """
    data, claims = Draw(x, x.flip(0), z, z.flip(0)), TransformClaim.NONE
    with torch.no_grad():
        residuals = {claim: law(analysis, synthesis, data) for claim, law in CLAIMS.items()}
    for claim, residual in residuals.items():
        if residual <= tolerance(x.dtype):
            claims |= claim
    return claims, residuals


def native(maps: Iterable[object], otherwise: Tensor) -> Tensor:
    """An empty tensor in the dtype and on the device of the first parameter among `maps`, or `otherwise`."""
    for map_ in maps:
        for value in map_.parameters() if isinstance(map_, nn.Module) else ():
            if value.is_floating_point():
                return value.detach().new_empty(0)
    return otherwise


def normal(shape: Shape, like: Tensor, seed: int, batch: int = 4) -> Tensor:
    """Standard normal draws (batch, *shape) in the dtype and on the device of `like`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, *shape, generator=generator).to(like)


def called(map_: Map) -> str:
    """A short name of the map for messages."""
    return getattr(map_, "__qualname__", type(map_).__name__).rpartition(".")[2]
