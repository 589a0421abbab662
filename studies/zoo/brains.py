"""Two brains on one grid: a single one with the names of its regions, and the average of 152."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.imports import needs, package_folder
from ..kinds import Signal
from ..training.brains import SIDE
from .card import DataSet, Item
from .packages import debian_install, debian_needed

_PACKAGE, _FOLDER = "mricron-data", "usr/share/mricron/templates"
NILEARN = "pip install --no-deps nilearn==0.14.1"
GRID, STEP, ORIGIN = (91, 109, 91), 2.0, (-90.0, -126.0, -72.0)  # voxels; mm; mm of the first voxel's centre, right, front, up
EACH = 10  # points of each region
_BRIGHT = 95  # per cent of the voxels of a brain that are darker than 1
_WIDTH = 1.0  # mm: of the Gaussian that is applied before a brain is sampled


@functools.lru_cache(maxsize=1)
def colin27() -> tuple[Tensor, Tensor]:
    """One brain (Colin27, T1) and the region of each voxel (AAL, 0 for none, else its place + 1), each of shape `GRID`.

    Sources: Holmes et al. 1998; Tzourio-Mazoyer et al. 2002.  Raises: ImportError that says what to install.
    """
    folder = debian_needed("brain-regions", _PACKAGE, _FOLDER)
    return _brain(folder / "ch2bet.nii.gz"), _on_grid(folder / "aal.nii.gz", order=0).long()


@functools.lru_cache(maxsize=1)
def mni152() -> Tensor:
    """The average of 152 brains (ICBM 2009a, T1), of shape `GRID`.  Source: Fonov et al. 2011.  Raises: as `colin27`."""
    folder = package_folder("nilearn", "--no-deps nilearn==0.14.1") / "datasets" / "data"
    return _brain(folder / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz")


def regions() -> tuple[str, ...]:
    """The names of the 116 regions, as Precentral_L.  Raises: as `colin27`."""
    path = debian_needed("brain-regions", _PACKAGE, _FOLDER) / "aal.nii.txt"
    return tuple(line.split()[1] for line in path.read_text().splitlines() if line.strip())


def _brain(path: Path) -> Tensor:
    """A brain whose 95th percentile is 1: fluid is near 0.5, grey matter near 0.8, white matter near 1."""
    found = _on_grid(path, order=1)
    return found / float(np.percentile(found[found > 0], _BRIGHT))


def _on_grid(path: Path, order: int) -> Tensor:
    """A volume at the points of the grid, by its affine.  order: 1 interpolates, 0 takes the nearest voxel."""
    with needs("brain-regions", "'pullback[volume]'"):
        import nibabel
    from scipy import ndimage

    image: Any = nibabel.load(path)
    values = np.asanyarray(image.dataobj).astype(np.float32)
    to_voxel = np.linalg.inv(image.affine) @ affine()
    smooth = ndimage.gaussian_filter(values, _WIDTH / np.linalg.norm(image.affine[:3, :3], axis=0)) if order else values
    return torch.from_numpy(ndimage.affine_transform(smooth, to_voxel[:3, :3], to_voxel[:3, 3], GRID, order=order))


def affine(corner: tuple[int, ...] = (0, 0, 0)) -> np.ndarray:
    """From voxels of a part of the grid that begins at `corner` to mm."""
    found = np.diag([STEP, STEP, STEP, 1.0])
    found[:3, 3] = [start + STEP * at for start, at in zip(ORIGIN, corner)]
    return found


def _patches() -> Iterator[Item]:
    """Parts of the average brain of 32³ voxels around points of all regions, one of each region after the other."""
    names, labels, brain = regions(), colin27()[1], mni152()
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(names), generator=generator).tolist()
    points = {}
    for number in order:
        voxels = (labels == number + 1).nonzero()
        points[number] = voxels[torch.randperm(len(voxels), generator=generator)[:EACH]].tolist()
    for turn in range(EACH):
        for number in order:
            name = f"{names[number]}/{turn}"
            yield Item(name, functools.partial(_patch, brain, tuple(points[number][turn]), name), number, names[number])


def _patch(brain: Tensor, point: tuple[int, ...], name: str) -> Signal:
    edge = SIDE // 2
    padded = torch.nn.functional.pad(brain, (edge,) * 6)
    values = padded[tuple(slice(at, at + SIDE) for at in point)][None].clone()
    return Signal(values, (STEP,) * 3, "mm", name, origin=affine(tuple(at - edge for at in point)))


BRAIN_REGIONS = DataSet(
    "brain-regions",
    "volume",
    _patches,
    "mricron-data: BSD-3; the average brain in nilearn: free with its copyright notice",
    "\n".join([debian_install(_PACKAGE), NILEARN]),
)
