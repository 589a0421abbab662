"""Families of perturbations: what is removed from a signal in place of a selection's own component."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ...attribution.baselines.fixed import blurred
from ...transforms import Transform, TransformClaim

SHARE = 0.9  # of the energy of the removed component that a foreign family removes
OWN = "own"  # the selection's own coefficients go back to those of the baseline
USABLE = TransformClaim.LINEAR | TransformClaim.RECONSTRUCTS
SIGMA = 4.0  # samples, of the family "blur"

Family = Transform | Callable[[Tensor], Tensor]  # what is taken away of a removed component, as a signal


def projected(family: Transform, component: Tensor, share: float = SHARE) -> Tensor:
    """Π_P(r): the fewest coefficients of r in the domain P that hold `share` of ‖P r‖², as a signal. Shape: that of r.

    A selection of the domain T removes r = x - x_S. In the family P ≠ T, x - Π_P(r) is shown instead: it belongs to the units
    of P, so what T's units alone look like, and what a model makes of them, does not decide.
    component: r, (rows, *shape).

    >>> from pullback.transforms import get
    >>> projected(get("pixel", (1, 3)), torch.tensor([[[4.0, 1.0, 0.2]]]))
    tensor([[[4., 0., 0.]]])
    """
    z = family(component)
    return family.inverse(z * strongest(z, share))


def strongest(z: Tensor, share: float) -> Tensor:
    """The fewest entries of each row that hold `share` of its energy, as a mask of the shape of z."""
    energy = z.flatten(1).square()
    # Symmetric signals have units of equal energy: rounding must not decide which of them is removed.
    alike = (energy.log() / math.sqrt(torch.finfo(z.dtype).eps)).round()
    place = alike.argsort(dim=1, descending=True, stable=True)
    energy = energy.gather(1, place)
    before = energy.cumsum(1) - energy
    kept = torch.zeros_like(energy, dtype=torch.bool).scatter_(1, place, before < share * energy.sum(1, keepdim=True))
    return kept.reshape(z.shape)


def blur(component: Tensor) -> Tensor:
    """r - G r, with a Gaussian G of 4 samples: the removed component stays, without its details."""
    return component - blurred(component, SIGMA)


def noise(component: Tensor, seed: int = 0) -> Tensor:
    """r - n, where n is r with random phases at all frequencies but 0, the same for all rows: F⁻¹(u ⊙ F r) with |u| = 1.

    The place of what is removed is filled with as much energy at each frequency, so that the signal stays in the range of
    scales that a model knows, and its structure is lost.  component: r, (rows, channels, *sizes).
    """
    axes = tuple(range(2, component.ndim))
    drawn = torch.randn(component.shape[2:], generator=torch.Generator().manual_seed(seed)).to(component)
    phases = torch.fft.fftn(drawn)
    phases = phases / phases.abs()
    phases[(0,) * len(axes)] = 1
    return component - torch.fft.ifftn(torch.fft.fftn(component, dim=axes) * phases, dim=axes).real


FOREIGN = ("blur", "noise")  # families that belong to no domain
