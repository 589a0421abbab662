"""Families of perturbations: what is removed from a signal in place of a selection's own component."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ...attribution.baselines.fixed import blurred
from ...core.precision import wide
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
    flat = z.flatten(1).to(wide(z.dtype))
    energy, (level, top) = flat.square(), _levels(flat)
    low, bits = torch.zeros_like(level[:, :1]), min(10, max(1, flat.shape[1].bit_length() - 2))
    above, wanted = torch.zeros_like(energy[:, :1]), share * energy.sum(1, keepdim=True)
    for step in reversed(range(0, top, bits)):  # each in the last entry's bin
        place = ((level - low) >> step).clamp_(-1, 2**bits).add_(1).long()
        bins = energy.new_zeros(len(z), 2**bits + 2).scatter_add_(1, place, energy)[:, 1:-1].flip(1)
        reached = above + bins.cumsum(1)
        whole = (reached < wanted).sum(1, keepdim=True).clamp(max=2**bits - 1)
        low = low + ((2**bits - 1 - whole) << step).to(low)
        above = (reached - bins).gather(1, whole)
    last = level == low
    taken = (energy * last).cumsum_(1)
    return ((level > low) | last & (above + taken - energy < wanted)).reshape(z.shape)


def _levels(flat: Tensor) -> tuple[Tensor, int]:
    """|z| to about half of its digits, as whole numbers that rise with it, and how many bits these have at most.

    Symmetric signals have units of equal energy: rounding must not decide which of them is removed. The bits of a floating
    point number, exponent first, are such a whole number; half of the mantissa is rounded away.
    """
    kind = torch.finfo(flat.dtype)
    mantissa = round(-math.log2(kind.eps))
    away = mantissa - mantissa // 2 - 1
    number = flat.abs().view(torch.int32 if kind.bits == 32 else torch.int64)
    return (number + (1 << (away - 1))) >> away, kind.bits - 1 - away


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
