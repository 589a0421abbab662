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
    """The fewest entries of each row that hold `share` of its energy, as a mask of the shape of z, by histograms."""
    flat, kind = z.flatten(1), torch.finfo(z.dtype)
    # Symmetric signals have units of equal energy: rounding must not decide which of them is removed.
    level = (2 * flat.abs().clamp(min=kind.tiny).log() / math.sqrt(kind.eps)).round()
    energy, low = flat.square(), level.amin(1, keepdim=True)
    above, wanted = torch.zeros_like(low), share * energy.sum(1, keepdim=True)
    levels, bits = int((level.amax(1, keepdim=True) - low).max()) + 1, min(10, max(1, z[0].numel().bit_length() - 2))
    for step in reversed([2.0**shift for shift in range(0, levels.bit_length(), bits)]):  # each in the last entry's bin
        place = ((level - low) / step).clamp(-1, 2**bits).long() + 1
        bins = energy.new_zeros(len(z), 2**bits + 2).scatter_add_(1, place, energy)[:, 1:-1].flip(1)
        reached = above + bins.cumsum(1)
        whole = (reached < wanted).sum(1, keepdim=True).clamp(max=2**bits - 1)
        low = low + step * (2**bits - 1 - whole)
        above = (reached - bins).gather(1, whole)
    last = energy.where(level == low, 0)
    return ((level > low) | (level == low) & (above + last.cumsum(1) - last < wanted)).reshape(z.shape)


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
