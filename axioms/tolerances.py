"""`Limit`: a tolerance and what it is made of; the condition of a transform."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..attribution.result import analysis_transpose
from ..transforms import Transform, TransformClaim


@dataclass(frozen=True)
class Limit:
    """The largest residual that is not held against the method, and where it comes from."""

    value: float
    source: str

    def plus(self, extra: float, source: str) -> "Limit":
        """With `extra` granted for another reason."""
        return self if extra <= 0 else Limit(self.value + extra, f"{self.source} + {extra:.1e} {source}")


def condition(transform: Transform, x: Tensor, iterations: int = 12) -> float:
    """‖T‖ ‖T⁻¹‖, by power iteration; for other T the amplification of small changes of z by T⁻¹, measured at T x."""
    if TransformClaim.ORTHOGONAL in transform.claims:
        return 1.0
    z = transform(x[:1])
    generator = torch.Generator().manual_seed(0)

    def draw(shape: torch.Size) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.double).to(z)

    if TransformClaim.LINEAR not in transform.claims:
        noise = draw(z.shape)
        step = 1e-3 * z.norm() * noise / noise.norm()
        change = transform.inverse(z + step) - transform.inverse(z)
        return max(1.0, float(change.norm() / x[:1].norm().clamp(min=1e-12) * 1e3))
    synthesis, analysis = draw(z.shape), draw(x[:1].shape)
    gains = [1.0, 1.0]
    for _ in range(iterations):
        synthesis, analysis = synthesis / synthesis.norm(), analysis / analysis.norm()
        pulled, lifted = (
            transform.adjoint(transform.inverse(synthesis)),
            analysis_transpose(transform, transform(analysis)),
        )
        gains = [float(pulled.norm()), float(lifted.norm())]
        synthesis, analysis = pulled, lifted
    return max(1.0, (gains[0] * gains[1]) ** 0.5)
