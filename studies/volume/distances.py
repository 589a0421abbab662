"""Where a voxel lies: its signed distance to the surface of the object in a volume."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

Field = NDArray[np.float64]
EDGES = (-np.inf, -8.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 8.0, np.inf)  # of the bins, in voxels; negative inside
EDGE = tuple(low >= -1 and high <= 1 for low, high in zip(EDGES, EDGES[1:]))  # bins within a voxel of the surface
CORE = tuple(high <= -1 for high in EDGES[1:])  # bins deeper inside
_GREYS = 256


def otsu(values: ArrayLike) -> float:
    """The border between the two groups of values whose variance within is smallest, of 256 levels.

    Source: Otsu 1979.

    >>> round(otsu([0.0, 0.1, 0.1, 0.9, 1.0]), 1)
    0.5
    """
    flat = np.asarray(values, dtype=float).ravel()
    counts, edges = np.histogram(flat, _GREYS)
    middle, below = (edges[:-1] + edges[1:]) / 2, counts.cumsum()
    above, sums = below[-1] - below, (counts * middle).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    best = np.flatnonzero(between == np.nanmax(between))
    return float(edges[1:][best].mean())  # between two far groups all borders are equally good


def signed_distance(inside: ArrayLike, step: Sequence[float]) -> Field:
    """The distance of each voxel's centre to the surface of an object, negative inside it. Shape: (i, j, k), as `inside`.

    d = +(distance to the nearest voxel of the object) outside and -(distance to the nearest voxel outside) inside, each less
    half of the smallest step: the surface lies between the voxels. The end of the volume is no surface.

    inside: whether a voxel belongs to the object.  step: of the voxels along each axis.  In the unit of `step`.
    Raises: ValueError where nothing, or all, is inside.  Source: Euclidean distance transform, through SciPy.

    >>> signed_distance([[[False, True, True, True]]], (1.0, 1.0, 2.0)).tolist()
    [[[1.5, -1.5, -3.5, -5.5]]]
    """
    mask = np.asarray(inside, dtype=bool)
    if not mask.any() or mask.all():
        raise ValueError(
            f"signed_distance: expected an object with a surface; {'all' if mask.any() else 'no'} voxels are inside."
        )
    half = min(step) / 2
    outward = ndimage.distance_transform_edt(~mask, sampling=tuple(step))
    inward = ndimage.distance_transform_edt(mask, sampling=tuple(step))
    found: Field = np.where(mask, half - inward, outward - half)
    return found


def bins(distance: Field, step: Sequence[float]) -> NDArray[np.int64]:
    """The number of the bin of `EDGES` in which each voxel lies; a voxel is the largest step."""
    return np.digitize(distance / max(step), EDGES[1:-1])


def shares(maps: ArrayLike, places: NDArray[np.int64]) -> Field:
    """The share of Σ map in each bin, (maps, bins); NaN for a map that is 0 everywhere.

    maps: never negative, (maps, i, j, k).  places: the bin of each voxel, (i, j, k).

    >>> shares(np.ones((1, 1, 1, 4)), np.array([[[0, 0, 0, 9]]]))[0, [0, 9]].tolist()
    [0.75, 0.25]
    """
    count = len(EDGES) - 1
    totals = [np.bincount(places.ravel(), np.ravel(one), count) for one in np.asarray(maps, dtype=float)]
    found = np.stack(totals)
    with np.errstate(invalid="ignore"):
        return found / found.sum(1, keepdims=True)


def edge_fraction(found: ArrayLike) -> NDArray[np.float64]:
    """The share within a voxel of the surface, of what lies there or deeper inside: 1 is all at the edge, 0 all in the centre.

    found: shares of bins, (…, bins). Shape: (…). NaN where nothing lies there.
    """
    own = np.asarray(found, dtype=float)
    edge, core = own[..., np.array(EDGE)].sum(-1), own[..., np.array(CORE)].sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(edge / (edge + core))
