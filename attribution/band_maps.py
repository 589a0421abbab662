"""Where the attribution of each group of bands lies, as figures draw it."""

from typing import Any

import torch
from torch import Tensor

from .pullback import analysis_transpose


def band_maps(attribution: Any, by: str = "octave") -> Tensor:
    """Where the Σ|a| of each group of bands lies, for a linear T; each map is non-negative and sums to Σ|a| of its group.

    With g = T.adjoint(ḡ), the map of group b is proportional to |T⁻¹((z - z₀) on b) ⊙ Tᵀ(g on b)|, summed over channels: the
    part of the signal times the part of the gradient in the same group. `Attribution.heatmap` multiplies by all of ḡ
    instead: its maps are exact and signed, but at a place they also hold products of different groups, which cancel in the
    sum only. For sensitivities it is |Tᵀ(a on b)|.
    by: as in `Attribution.importance`.  Shape: (batch, groups, *spatial).

    >>> import pullback as pb
    >>> x = torch.randn(1, 1, 64, generator=torch.Generator().manual_seed(0))
    >>> att = pb.attribute(lambda x: x.tanh().sum((1, 2)), x, transform="dct")
    >>> shares = torch.tensor(att.importance("octave").values)
    >>> torch.allclose(band_maps(att).sum(2) / att.values.abs().sum(), shares.float(), atol=1e-5)
    True
    """
    layout = attribution.layout.group(by)
    masks = [(layout.index == group).to(attribution.values.device) for group in range(len(layout.bands))]
    gradient = _gradient(attribution)
    parts = [_part(attribution, gradient, mask) for mask in masks]
    place = torch.stack(parts, 1).abs().sum(2)
    size, total = layout.sum(attribution.values.abs()), place.flatten(2).sum(2)
    factor = torch.where(total > 0, size / total.where(total > 0, 1), 0)
    return place * factor.reshape(*factor.shape, *[1] * (place.ndim - 2))


def _part(attribution: Any, gradient: Tensor, mask: Tensor) -> Tensor:
    """The map of the coefficients in `mask`, (batch, *shape)."""
    transform = attribution.transform
    there = analysis_transpose(transform, gradient * mask)
    return there if attribution.kind == "sensitivity" else there * transform.inverse(attribution.displacement * mask)


def _gradient(attribution: Any) -> Tensor:
    """a / (z - z₀) for shares, and a for sensitivities, (batch, *coeff)."""
    if attribution.kind == "sensitivity":
        return attribution.values
    if attribution.covector is not None:
        return attribution.transform.adjoint(attribution.covector)
    moved = attribution.displacement != 0
    return torch.where(moved, attribution.values / attribution.displacement.where(moved, 1), 0)


def as_shares(maps: Tensor) -> Tensor:
    """Maps divided by their sum, so that those of several domains can be drawn on one scale: (batch, groups, *spatial)."""
    total = maps.flatten(1).sum(1)
    return maps / torch.where(total > 0, total, 1).reshape(-1, *[1] * (maps.ndim - 1))
