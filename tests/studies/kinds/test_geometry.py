"""Volumes whose voxels are not cubes: affines, proportions and sides in files and figures."""

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import pullback as pb
from pullback.studies import KINDS, LoadedModel
from pullback.studies.kinds import Signal
from pullback.studies.kinds.slices import _cuts, projections, slices
from pullback.transforms.units import band_ranges

VOLUME, AFFINE = KINDS["volume"], np.array([[0, 0, -0.8, 5.0], [0, 1.0, 0, 6], [1.5, 0, 0, 7], [0, 0, 0, 1]])


def head() -> Signal:
    """Bright at its top, front and right: slices upwards, rows to the front, columns from right to left."""
    values = torch.zeros(1, 12, 10, 16)
    values[0, -2:], values[0, :, -2:], values[0, :, :, :2] = 3.0, 2.0, 1.0
    return Signal(values, (1.5, 1.0, 0.8), "mm", "head", origin=AFFINE)


def explained(domain: str = "dwt(haar, level=1)") -> pb.Attribution:
    return pb.attribute(
        lambda x: x.flatten(1).square().sum(1), head().values[None], method="input_x_gradient", transform=domain
    )


def test_slices_have_true_proportions_with_the_head_up_and_sides_named() -> None:
    att = explained()
    octaves = att.heatmap("octave")[0]
    figures = slices(att, octaves, head(), "head"), projections(octaves.sum(0), head(), "head")
    for figure, panels in zip(figures, ("volume, axis", "volume, mean")):
        drawn = [axis for axis in figure.axes if axis.get_title().startswith(panels)]
        assert [axis.images[0].origin for axis in drawn] == ["lower"] * 3
        assert [axis.get_aspect() for axis in drawn] == pytest.approx([1 / 0.8, 1.5 / 0.8, 1.5 / 1])
        assert [[text.get_text() for text in axis.texts] for axis in drawn] == [[*"RLAP"], [*"RLSI"], [*"PASI"]]


def test_slices_are_those_of_the_whole_averaged_volume() -> None:
    map_ = torch.randn(12, 10, 16, generator=torch.Generator().manual_seed(0))
    whole = gaussian_filter(map_.abs().numpy(), 1.0)
    for place in ((0, 9, 8), (6, 5, 15)):
        for axis, cut in enumerate(_cuts(map_, place)):
            assert cut == pytest.approx(whole.take(place[axis], axis), rel=1e-4)


def test_saved_maps_have_the_affine_of_their_source(tmp_path: Path) -> None:
    for end, data in VOLUME.files(explained(), head(), 0.1).items():
        (tmp_path / f"a{end}").write_bytes(data)
        image = nibabel.load(tmp_path / f"a{end}")
        assert np.array_equal(image.affine, AFFINE.astype(np.float32))
        assert image.header.get_zooms()[:3] == pytest.approx((1.5, 1.0, 0.8))


def test_an_affine_follows_the_distances_that_prepare_states(tmp_path: Path, toy: Callable[..., LoadedModel]) -> None:
    half = lambda one: one.but(values=one.values[..., ::2, ::2, ::2], step=tuple(2 * size for size in one.step))
    signal = toy("volume", prepare=half).fitted(head())
    att = pb.attribute(lambda x: x.flatten(1).sum(1), signal.values[None], method="input_x_gradient", transform="dct")
    (tmp_path / "a.nii.gz").write_bytes(VOLUME.files(att, signal, 0.1)["-map.nii.gz"])
    affine = nibabel.load(tmp_path / "a.nii.gz").affine
    assert np.allclose(affine[:3, :3], 2 * AFFINE[:3, :3])
    assert np.array_equal(affine[:, 3], AFFINE[:, 3])


def test_wavelets_with_a_level_of_their_own_along_each_axis_state_their_own_frequencies() -> None:
    """A grating of 4 mm along one axis; a band of `per_axis` has its own octave along each axis."""
    steps, sizes = (1.5, 1.0, 0.8), (32, 40, 48)
    domain = next(spec for spec in VOLUME.domains((1, *sizes)) if spec.startswith("per_axis"))
    for axis in range(3):
        place = torch.arange(sizes[axis], dtype=torch.float64) * steps[axis]
        wave = torch.sin(2 * np.pi * place / 4).reshape([-1 if other == axis else 1 for other in range(3)]).expand(sizes)
        x = (wave + 0.0)[None, None]
        att = pb.attribute(lambda x: x.flatten(1).square().sum(1), x, method="input_x_gradient", transform=domain)
        shares = att.importance("band").iloc[0]
        bands = {band.name: band for band in att.layout.bands}
        ranges = band_ranges(bands[shares.idxmax()], steps)
        assert ranges[axis][0] <= 0.25 <= ranges[axis][1]
        assert all(low == 0 for other, (low, _) in enumerate(ranges) if other != axis)
