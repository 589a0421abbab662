"""`Tolerance`: the largest residual that is granted, and its reasons; `condition`: how much a transform amplifies errors."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..attribution.pullback import analysis_transpose
from ..transforms import Transform, TransformClaim


@dataclass(frozen=True)
class Tolerance:
    """The largest residual with which a law still holds, and what this number is made of."""

    value: float
    source: str

    def plus(self, extra: float, source: str) -> "Tolerance":
        """A tolerance that is larger by `extra`, for one more reason."""
        return self if extra <= 0 else Tolerance(self.value + extra, f"{self.source} + {extra:.1e} {source}")


def condition(transform: Transform, x: Tensor, iterations: int = 12) -> float:
    """‖T‖ ‖T⁻¹‖ of a linear T, by power iteration; of another T, how much T⁻¹ amplifies small changes of z at T x."""
    if TransformClaim.ORTHOGONAL in transform.claims:
        return 1.0
    z, generator = transform(x[:1]), torch.Generator().manual_seed(0)
    draw: Callable[[Tensor], Tensor] = lambda like: torch.randn(like.shape, generator=generator, dtype=torch.double).to(z)
    if TransformClaim.LINEAR not in transform.claims:
        noise = draw(z)
        step = 1e-3 * z.norm() * noise / noise.norm()
        change = transform.inverse(z + step) - transform.inverse(z)
        return max(1.0, float(change.norm() / x[:1].norm().clamp(min=1e-12) * 1e3))
    inverse, forward, gains = draw(z), draw(x[:1]), [1.0, 1.0]
    for _ in range(iterations):
        inverse, forward = inverse / inverse.norm(), forward / forward.norm()
        inverse = transform.adjoint(transform.inverse(inverse))
        forward = analysis_transpose(transform, transform(forward))
        gains = [float(inverse.norm()), float(forward.norm())]
    return max(1.0, (gains[0] * gains[1]) ** 0.5)
