"""The two brains on one grid, the parts of them, and the recipe of the network that names regions."""

from itertools import islice

import numpy as np
import torch
from support.zoo import installed

from pullback.studies.training import brains as recipe
from pullback.studies.zoo import DATA, brains


def test_both_brains_lie_on_one_grid() -> None:
    one, labels = installed(brains.colin27)
    other = installed(brains.mni152)
    assert one.shape == labels.shape == other.shape == brains.GRID
    inside = (one > 0) & (other > 0)
    assert inside.sum() > 0.8 * (one > 0).sum()
    alike = lambda moved: torch.corrcoef(torch.stack([moved[inside], other[inside]]))[0, 1]
    assert alike(one) > 0.8  # their tissues lie at the same points
    assert all(alike(moved) < 0.6 for moved in (one.flip(1), one.flip(2), one.roll(5, 0), one.roll(5, 1)))
    assert labels.unique().tolist() == list(range(117))
    left = labels == 1 + brains.regions().index("Precentral_L")
    x, y, z = (brains.affine()[:3, :3] @ left.nonzero().double().mean(0).numpy() + brains.affine()[:3, 3]).tolist()
    assert -50 < x < -30
    assert -20 < y < 10
    assert 35 < z < 65


def test_parts_lie_around_points_of_their_region() -> None:
    installed(brains.mni152)
    labels = installed(brains.colin27)[1]
    items = list(islice(installed(lambda: DATA["brain-regions"]()), 120))
    assert len({item.class_name for item in items[:116]}) == 116
    assert items[116].name.endswith("/1")
    for item in items[:3]:
        signal = item.read()
        assert signal.values.shape == (1, 32, 32, 32)
        assert (signal.step, signal.unit) == ((2.0, 2.0, 2.0), "mm")
        middle = signal.origin @ np.array([16, 16, 16, 1.0])
        voxel = tuple(np.rint(np.linalg.inv(brains.affine()) @ middle)[:3].astype(int))
        assert labels[voxel] == item.label + 1
        assert signal.values[0, 16, 16, 16] == brains.mni152()[voxel]


def test_training_parts_follow_the_seed_and_all_regions_occur() -> None:
    generator = torch.Generator().manual_seed(0)
    brain = torch.rand(40, 44, 40, generator=generator)
    labels = torch.arange(1, 117).repeat_interleave(512).reshape(116 * 2, 256)[:, :256]
    grid = torch.zeros(brain.shape, dtype=torch.long).flatten()
    grid[: labels.numel()] = labels.flatten()
    first, again = (list(recipe.parts(brain, grid.reshape(brain.shape), 2, 4, seed=1)) for _ in range(2))
    assert torch.equal(first[1][0], again[1][0])
    assert first[0][0].shape == (4, 1, 32, 32, 32)
    assert all(0 <= int(region) < 116 for _, regions in first for region in regions)
    assert recipe.network()(first[0][0]).shape == (4, 116)
