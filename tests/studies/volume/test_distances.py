"""Signed distances, thresholds, and the shares of a map over distance."""

import numpy as np
import pytest

from pullback.studies.volume.distances import CORE, EDGE, EDGES, bins, edge_fraction, otsu, shares, signed_distance

STEP = (0.5, 1.0, 1.5)


def ball(radius: float, step: tuple[float, ...] = STEP, reach: float = 12.0) -> tuple[np.ndarray, np.ndarray]:
    """Whether a voxel lies in a ball, and its true signed distance to the sphere."""
    axes = [np.arange(-reach, reach + each / 2, each) for each in step]
    away = np.sqrt(sum(grid**2 for grid in np.meshgrid(*axes, indexing="ij")))
    return away < radius, away - radius


def test_distances_of_a_ball_are_right_with_anisotropic_voxels() -> None:
    inside, truth = ball(8.0)
    found = signed_distance(inside, STEP)
    assert ((found < 0) == inside).all()
    assert np.abs(found - truth).max() < 1.0  # the surface lies within a voxel of 1.5
    assert abs((found - truth).mean()) < 0.25
    wrong = signed_distance(inside, (1.0, 1.0, 1.0))
    assert np.abs(wrong - truth).max() > 4.0  # without the spacing


def test_the_surface_lies_between_the_voxels_and_not_at_the_end_of_the_volume() -> None:
    inside = np.zeros((1, 1, 6), bool)
    inside[..., 2:] = True
    assert signed_distance(inside, (1.0, 1.0, 2.0)).ravel().tolist() == [3.5, 1.5, -1.5, -3.5, -5.5, -7.5]
    assert signed_distance(inside, (2.0, 2.0, 2.0)).ravel().tolist() == [3.0, 1.0, -1.0, -3.0, -5.0, -7.0]


@pytest.mark.parametrize("all_of_it", [True, False])
def test_a_volume_without_a_surface_is_refused(all_of_it: bool) -> None:
    with pytest.raises(ValueError, match="expected an object with a surface"):
        signed_distance(np.full((2, 2, 2), all_of_it), (1.0, 1.0, 1.0))


def test_otsu_parts_two_groups() -> None:
    generator = np.random.default_rng(0)
    values = np.concatenate([generator.normal(0, 1, 900), generator.normal(10, 1, 300)])
    assert 3 < otsu(values) < 7


def test_bins_hold_what_their_edges_say() -> None:
    distance = np.array([[[-20.0, -1.2, -0.7, 0.7, 1.2, 20.0]]])
    places = bins(distance, (1.0, 1.0, 1.0)).ravel()
    assert [EDGES[i] <= d < EDGES[i + 1] for i, d in zip(places, distance.ravel())] == [True] * 6
    assert [EDGE[i] for i in places] == [False, False, True, True, False, False]
    assert [CORE[i] for i in places] == [True, True, False, False, False, False]
    assert bins(distance, (1.0, 2.0, 1.0)).ravel().tolist() == [0, 4, 4, 5, 5, 9]  # in units of the largest step


def test_the_edge_fraction_of_a_shell_is_one_and_of_the_centre_zero() -> None:
    inside, _ = ball(8.0, (1.0, 1.0, 1.0))
    distance = signed_distance(inside, (1.0, 1.0, 1.0))
    places = bins(distance, (1.0, 1.0, 1.0))
    shell, centre, outside = np.abs(distance) < 1, distance < -3, distance > 3
    found = edge_fraction(shares(np.stack([shell, centre, shell * 1.0 + centre * shell.sum() / centre.sum(), outside]), places))
    assert found[:2].tolist() == [1.0, 0.0]
    assert abs(found[2] - 0.5) < 1e-12
    assert np.isnan(found[3])
    assert np.isnan(shares(np.zeros((1, *places.shape)), places)).all()
