"""The claims of maps given by the user, measured on random signals."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..core.precision import tolerance
from .base import TransformClaim
from .laws import CLAIMS, Draw, Map


def measure(analysis: Map, synthesis: Map, x: Tensor, z: Tensor) -> dict[TransformClaim, float]:
    """The residual of each claim, as in `laws`.

    x: signals (batch, *shape), at least two.  z: coefficients (batch, *coeff), drawn independently of T.
    """
    data = Draw(x, x.flip(0), z, z.flip(0))
    with torch.no_grad():
        return {claim: residual(analysis, synthesis, data) for claim, residual in CLAIMS.items()}


def kept(residuals: dict[TransformClaim, float], dtype: torch.dtype) -> TransformClaim:
    """The claims whose residual is no more than rounding in `dtype`."""
    claims = TransformClaim.NONE
    for claim, residual in residuals.items():
        if residual <= tolerance(dtype):
            claims |= claim
    return claims


def native(maps: Iterable[object], otherwise: Tensor) -> Tensor:
    """An empty tensor in the dtype and on the device of the first parameter among `maps`, or `otherwise`."""
    for map_ in maps:
        for value in map_.parameters() if isinstance(map_, nn.Module) else ():
            if value.is_floating_point():
                return value.detach().new_empty(0)
    return otherwise


def normal(shape: tuple[int, ...], like: Tensor, seed: int, batch: int = 4) -> Tensor:
    """Standard normal draws (batch, *shape) in the dtype and on the device of `like`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, *shape, generator=generator).to(like)


def called(map_: Map) -> str:
    """A short name of the map for messages."""
    return getattr(map_, "__qualname__", type(map_).__name__).rpartition(".")[2]
