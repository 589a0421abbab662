"""Code length: how many bits some coefficients take, so that frames and bases can be compared at the same cost.

Each Δz_k = z_k - z₀_k is divided by a step that moves the signal by the same amount in every domain, and rounded. The code of
the quantised coefficients, zero where nothing is kept, holds for each band: the number of binary digits of each |q|, in unary,
by an adaptive arithmetic code (Krichevsky & Trofimov 1981), then the sign and the digits after the first one. So it pays for
positions too. It is an ideal length: it does not depend on the order in which the coefficients of a band are sent. It only sets
the price: what the model is asked holds the coefficients as they are.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..attribution import Attribution
from ..transforms import Layout, Transform, TransformClaim, get

STEP = 1 / 16  # of the root mean square of x - x₀: the quantised signal then has about 35 dB
_ROUNDING = 1e-9  # relative: by this much the same code of millions of samples may differ between two ways to add it up
_ATOMS = 16  # rows of T⁻¹ at a time


def affordable(attribution: Attribution, rank: Tensor, budgets: Sequence[float]) -> Tensor:
    """The most coefficients, first in the ranking, whose code is within each budget; at least 1. Shape: (budgets, batch).

    budgets: shares of the code of all samples of x - x₀.  rank: (batch, *coeff).  Raises: ValueError where T is not linear.
    """
    moved = difference(attribution)
    whole = sample_code_length(attribution.transform, moved)
    most = whole[:, None] * whole.new_tensor(budgets) * (1 + _ROUNDING)
    lengths = code_lengths(attribution, rank, steps(moved), most.amax(1))
    number = torch.arange(1, lengths.shape[1] + 1, device=rank.device)
    return torch.stack([torch.where(lengths <= each[:, None], number, 1).amax(1) for each in most.unbind(1)])


def code_lengths(attribution: Attribution, rank: Tensor, step: Tensor, most: Tensor | None = None) -> Tensor:
    """Bits of the first k coefficients of a ranking, for k = 1, 2, …, (batch, coefficients), in the order of the ranking.

    step: see `steps`.  most: (batch,); lengths that are larger for certain are left out at the end.
    Raises: ValueError where T is not linear, so that its coefficients have no common unit.
    """
    transform, moved = attribution.transform, attribution.displacement
    index = transform.layout.index.flatten().to(moved.device)
    digits = _digits(moved.flatten(1) / (step[:, None] / atom_norms(transform).to(moved)[index]))
    number = torch.arange(digits.shape[1], device=rank.device).expand_as(digits)
    place = torch.empty_like(number).scatter_(1, rank.flatten(1).long(), number)
    digits = digits.gather(1, place)
    if most is not None:  # the digits are part of the code
        digits = digits[:, : int((digits.cumsum(1) <= most[:, None]).sum(1).amax()) + 1]
    return _running_lengths(digits, index[place[:, : digits.shape[1]]], index.bincount())


def sample_code_length(transform: Transform, moved: Tensor) -> Tensor:
    """Bits of all samples by the same code in the domain "pixel", (batch,).  moved: x - x₀.

    For each channel and each number of digits, it says which of the samples with so many digits have more.
    """
    digits = _digits(moved.flatten(1) / steps(moved)[:, None]).long()
    bands, most = _pixels(transform).index.flatten().to(digits.device), int(digits.max()) + 1
    kinds = int(bands.max()) + 1
    held = digits.new_zeros(len(digits), kinds * most).scatter_add_(1, bands * most + digits, torch.ones_like(digits))
    held = held.reshape(-1, kinds, most)
    reached = held.flip(2).cumsum(2).flip(2)
    return _flags(reached - held, held).sum((1, 2)) + digits.sum(1)


def steps(moved: Tensor) -> Tensor:
    """The step of the quantiser, in units of the signal, (batch,): `STEP` of the root mean square of x - x₀, 1 if that is 0."""
    size = moved.double().flatten(1).square().mean(1).sqrt() * STEP
    return size.where(size > 0, 1).to(moved)


def atom_norms(transform: Transform) -> Tensor:
    """‖T⁻¹ e_k‖ of the coefficient in the middle of each band, (bands,): how far one unit of it moves the signal.

    Raises: ValueError where T is not linear.
    """
    if TransformClaim.LINEAR not in transform.claims:
        raise ValueError(
            f"metrics: {transform.spec} is not linear, so its coefficients have no length in bits; budget by count."
        )
    index = transform.layout.index.flatten()
    found = torch.ones(len(transform.layout.bands)).double()
    if TransformClaim.ORTHOGONAL in transform.claims:
        return found
    bands = index.unique()
    places = torch.stack([(held := (index == band).nonzero()[:, 0])[len(held) // 2] for band in bands])
    for part in places.split(_ATOMS):
        atoms = torch.zeros(len(part), len(index)).double()
        atoms[torch.arange(len(part)), part] = 1
        signal = transform.inverse(atoms.reshape(-1, *transform.layout.shape))
        found[index[part]] = signal.flatten(1).norm(dim=1)
    return found


def difference(attribution: Attribution) -> Tensor:
    """x - x₀, (batch, *shape)."""
    inverse, z = attribution.transform.inverse, attribution.coefficients
    return inverse(z) - inverse(z - attribution.displacement)


def _pixels(transform: Transform) -> Layout:
    return get("pixel", transform.shape).layout


def _digits(number: Tensor) -> Tensor:
    """The number of binary digits of each number, rounded to a whole one; 0 for 0."""
    return torch.frexp(number.abs().round()).exponent


def _running_lengths(digits: Tensor, bands: Tensor, sizes: Tensor) -> Tensor:
    """Bits of the code when only the first 1, 2, … coefficients are kept, (batch, coefficients).

    digits, bands: of each coefficient, in the order in which they are kept.  sizes: coefficients of each band, (bands,).  The
    code of a band whose coefficients are all zero is known; each that becomes k digits changes it by the ratio of two of the
    code's probabilities.
    """
    group = bands + len(sizes) * torch.arange(len(bands), device=bands.device)[:, None]  # an example and a band
    place = group.flatten().argsort(stable=True)
    place = place[digits.flatten()[place] > 0]
    k, group, added = digits.flatten()[place], group.flatten()[place], torch.zeros_like(digits, dtype=torch.double).flatten()
    bits, left = k.double(), torch.arange(len(k), device=k.device)
    held = _within(group).double()
    bits += torch.log2((sizes[group % len(sizes)] - held - 0.5) / (held + 0.5))
    for level in range(1, int(k.max()) + 1 if len(k) else 0):  # of these, some stop at each level
        stops = k == level
        passed, reached = stops.cumsum(0) - stops.long(), _within(group)
        stopped = passed - passed[torch.arange(len(k), device=k.device) - reached]
        alike = torch.where(stops, stopped, reached - stopped)
        bits[left] -= torch.log2((alike.double() + 0.5) / (reached + 1))
        k, group, left = k[~stops], group[~stops], left[~stops]
    added[place] = bits
    return _flags(torch.zeros_like(sizes), sizes).sum() + added.reshape(digits.shape).cumsum(1)


def _within(group: Tensor) -> Tensor:
    """How many entries of its group stand before each one; groups stand together.  group: (entries,), whole numbers."""
    sizes = group.bincount()
    return torch.arange(len(group), device=group.device) - (sizes.cumsum(0) - sizes)[group]


def _flags(ones: Tensor, zeros: Tensor) -> Tensor:
    """Bits by which an adaptive code says so many ones and zeros: log2 of π n! / (Γ(zeros + ½) Γ(ones + ½))."""
    one, zero = ones.double(), zeros.double()
    parts = torch.lgamma(one + zero + 1) - torch.lgamma(zero + 0.5) - torch.lgamma(one + 0.5)
    return (math.log(math.pi) + parts) / math.log(2)
