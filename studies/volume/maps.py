"""Where the importance of each scale lies in a volume, and the same for controls."""

import numpy as np
import torch
from torch import Tensor

from ...attribution import Attribution
from ...transforms import Transform

CELLS, SAMPLES = "cells", "samples"
MAPS = {
    CELLS: "|a| of each coefficient, spread evenly over the voxels that are nearer to it than to others of its band",
    SAMPLES: "each voxel's part of a scale: |T⁻¹(Δz on the scale) ⊙ ḡ| for shares, |Tᵀ(a on the scale)| for sensitivities",
}
ATTRIBUTION, SHUFFLED, COEFFICIENT, PERMUTED = "attribution", "shuffled", "coefficient", "randomised_model"
CONTROLS = {
    SHUFFLED: "importance shuffled within the band",
    COEFFICIENT: "|coefficient|",
    PERMUTED: "model with permuted parameters",
}

Maps = dict[tuple[str, str], np.ndarray]


class Cells:
    """Spreads coefficients over the voxels that are nearest to them, without a loss: Σ over a band is kept.

    A Haar coefficient of scale j is spread over the 2^j × 2^j × 2^j voxels that it reads: exactly where it can be.
    The wider atoms of other wavelets are spread over the same cells, which hold most of their energy.

    Raises: ValueError where bands are no grids with positions in the volume.

    >>> from pullback.transforms import get
    >>> T = get("dwt(haar, level=1)", (1, 2, 2, 4))
    >>> found = Cells(T)(T(torch.ones(1, 1, 2, 2, 4)).abs())
    >>> found.shape, found[0, 0].flatten()[:2]
    (torch.Size([1, 2, 2, 2, 4]), tensor([0.3536, 0.3536]))
    """

    def __init__(self, transform: Transform) -> None:
        self.layout, self.shape = transform.layout, transform.shape[1:]
        self.octaves = octaves(transform)
        self.places: list[list[Tensor]] = []
        for number, band in enumerate(self.layout.bands):
            where, grid = self.layout.position[:, self.layout.index == number], self.layout.grid(number)
            if band.scale == 0 or grid is None or len(grid) != 1 + len(self.shape) or not bool(where.isfinite().all()):
                what = f"{transform.title}: band {band.name} is no grid of coefficients with a scale and positions"
                raise ValueError(f"study volume: {what}; choose a wavelet, as 'dwt(haar, level=3)'.")
            self.places.append(
                [_nearest(own.reshape(grid)[0], axis, n) for axis, (own, n) in enumerate(zip(where, self.shape))]
            )

    def __call__(self, z: Tensor) -> Tensor:
        """Maps of each octave, coarse to fine.  z: ≥ 0, (batch, *coeff). Shape: (batch, octaves, i, j, k)."""
        found = z.new_zeros(len(z), len(self.octaves), *self.shape)
        for (_, values), band, places in zip(self.layout.unpack(z).items(), self.layout.bands, self.places):
            if values.numel():
                each = values.sum(1)
                for axis, place in enumerate(places, 1):
                    count = torch.bincount(place, minlength=each.shape[axis]).clamp(min=1).to(z)
                    each = (each / count.reshape(-1, *[1] * (each.ndim - axis - 1))).index_select(axis, place)
                found[:, self.octaves.index(band.octave)] += each
        return found

    def averaged(self, map_: Tensor, octave: str) -> Tensor:
        """A map (i, j, k) averaged over the cells of the coarsest band of an octave. Shape: (i, j, k).

        This is what a map of coefficients could show of it at best.
        """
        numbers = [number for number, band in enumerate(self.layout.bands) if band.octave == octave]
        places = max((self.places[number] for number in numbers), key=lambda own: sum(map(len, own)))
        found = map_
        for axis, place in enumerate(places):
            count = torch.bincount(place).clamp(min=1).to(map_)
            shape = [len(count) if other == axis else size for other, size in enumerate(found.shape)]
            sums = found.new_zeros(shape).index_add(axis, place, found)
            found = (sums / count.reshape(-1, *[1] * (found.ndim - axis - 1))).index_select(axis, place)
        return found


def _nearest(positions: Tensor, axis: int, count: int) -> Tensor:
    """The coefficient that is nearest to each voxel along an axis, (voxels,)."""
    own = positions.movedim(axis, 0).flatten(1)
    if not own.numel():
        return torch.zeros(0, dtype=torch.long)
    return (torch.arange(count, dtype=own.dtype)[:, None] - own[:, 0]).abs().argmin(1)


def octaves(transform: Transform) -> list[str]:
    """The names of the octaves, coarse to fine; the first one may be "coarser", the approximation."""
    return [band.name for band in transform.layout.group("octave").bands]


def scale_maps(att: Attribution, twin: Attribution | None, cells: Cells, generator: torch.Generator) -> Maps:
    """The importance of one volume by scale, (octaves, i, j, k), by map and control.

    twin: the attribution of the model with permuted parameters, if there is one.  generator: of the shuffling.
    """
    size, shown = att.values.abs(), att.heatmap("octave")[0].abs()
    found = {
        (CELLS, ATTRIBUTION): cells(size),
        (CELLS, SHUFFLED): cells(_shuffled(size, cells, generator)),
        (CELLS, COEFFICIENT): cells(att.displacement.abs()),
        (SAMPLES, ATTRIBUTION): shown[None],
        (SAMPLES, SHUFFLED): _permuted(shown, generator)[None],
        (SAMPLES, COEFFICIENT): _parts(att)[None],
    }
    if twin is not None:
        found |= {(CELLS, PERMUTED): cells(twin.values.abs()), (SAMPLES, PERMUTED): twin.heatmap("octave").abs()}
    return {name: each[0].detach().cpu().numpy() for name, each in found.items()}


def _shuffled(size: Tensor, cells: Cells, generator: torch.Generator) -> Tensor:
    """|a| of one volume, permuted within each band."""
    found, index = size.clone(), cells.layout.index
    for number in range(len(cells.layout.bands)):
        own = (index == number).to(size.device)
        values = size[0][own]
        found[0][own] = values[torch.randperm(len(values), generator=generator).to(size.device)]
    return found


def _permuted(maps: Tensor, generator: torch.Generator) -> Tensor:
    """Each map with its voxels in another order."""
    flat = maps.flatten(1)
    order = torch.stack([torch.randperm(flat.shape[1], generator=generator) for _ in flat]).to(maps.device)
    return flat.gather(1, order).reshape(maps.shape)


def _parts(att: Attribution) -> Tensor:
    """|T⁻¹(Δz on each octave)|, channels summed, (octaves, i, j, k)."""
    grouped = att.layout.group("octave")
    index = grouped.index.to(att.values.device)
    parts = [att.transform.inverse(att.displacement * (index == number))[0] for number in range(len(grouped.bands))]
    return torch.stack(parts).abs().sum(1)
