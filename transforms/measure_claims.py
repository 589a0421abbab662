"""Claims of maps that nobody can look into, measured on random signals."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from .base import TransformClaim

Map = Callable[[Tensor], Tensor]


def measure(analysis: Map, synthesis: Map, x: Tensor, z: Tensor) -> dict[TransformClaim, float]:
    """The residual of each claim: relative, 0 where it holds, infinite where a number is not finite.

    x: signals (batch, *shape), at least two.  z: coefficients (batch, *coeff), drawn independently of T.
    """
    with torch.no_grad():
        there, back = analysis(x), synthesis(z)
        mixed = _off(analysis(2 * x - 3 * x.flip(0)), 2 * there - 3 * there.flip(0))
        mixed = max(mixed, _off(synthesis(2 * z - 3 * z.flip(0)), 2 * back - 3 * back.flip(0)))
        steps = [(part - part.flip(0)).flatten(1).norm(dim=1) for part in (there, x)]
        return {
            TransformClaim.LINEAR: mixed,
            TransformClaim.RECONSTRUCTS: _off(synthesis(there), x),
            TransformClaim.SURJECTIVE: _off(analysis(back), z),
            TransformClaim.ISOMETRIC: _off(*(step[: len(x) // 2, None] for step in steps)),
        }


def kept(residuals: dict[TransformClaim, float], dtype: torch.dtype) -> TransformClaim:
    """The claims whose residual is no more than rounding in `dtype`."""
    claims = TransformClaim.NONE
    for claim, residual in residuals.items():
        if residual <= limit(dtype):
            claims |= claim
    return claims


def limit(dtype: torch.dtype) -> float:
    """The largest relative residual that rounding explains."""
    return float(3 * torch.finfo(dtype).eps ** (2 / 3))


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
    """A short name for messages."""
    return getattr(map_, "__qualname__", type(map_).__name__).rpartition(".")[2]


def _off(a: Tensor, b: Tensor) -> float:
    """max over examples of ‖a - b‖ / ‖b‖."""
    if a.shape != b.shape:
        return float("inf")
    scale = b.flatten(1).norm(dim=1)
    distance = (a - b).flatten(1).norm(dim=1) / scale.where(scale > 0, torch.ones_like(scale))
    return float(distance.max()) if bool(distance.isfinite().all()) else float("inf")
