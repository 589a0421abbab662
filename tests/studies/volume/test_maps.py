"""The maps of scales: coefficients spread over their cells, their controls, and what a scale can tell."""

import numpy as np
import pytest
import torch
from torch import nn

import pullback as pb
from pullback.studies.volume.distances import bins, edge_fraction, signed_distance
from pullback.studies.volume.maps import ATTRIBUTION, CELLS, COEFFICIENT, MAPS, PERMUTED, SAMPLES, SHUFFLED, Cells, scale_maps
from pullback.studies.volume.subject import CORE_ONLY, EDGE_ONLY, resolution


@pytest.mark.parametrize("shape", [(1, 8, 8, 8), (2, 6, 5, 7)])
@pytest.mark.parametrize("spec", ["dwt(haar, level=2)", "dwt(db2, level=2)", "dwt(db2, level=1, mode=symmetric)"])
def test_no_importance_is_lost(shape: tuple[int, ...], spec: str) -> None:
    T = pb.transforms.get(spec, shape)
    z = torch.randn(2, *T.layout.shape, dtype=torch.double, generator=torch.Generator().manual_seed(0)).abs()
    maps = Cells(T)(z)
    assert maps.shape == (2, len(T.layout.group("octave").bands), *shape[1:])
    assert torch.allclose(maps.flatten(2).sum(2), T.layout.group("octave").sum(z), rtol=1e-10)


def test_a_haar_coefficient_covers_the_voxels_that_it_reads() -> None:
    T = pb.transforms.get("dwt(haar, level=3)", (1, 8, 8, 16))
    cells = Cells(T)
    for k in torch.linspace(0, T.layout.index.numel() - 1, 40).long():
        one = torch.zeros(1, T.layout.index.numel(), dtype=torch.double)
        one[0, k] = 1
        z = one.reshape(1, *T.layout.shape)
        atom = T.inverse(z)[0, 0]
        assert torch.equal(cells(z)[0].sum(0) > 0, atom.abs() > 1e-12)
        assert torch.allclose(cells(z)[0].sum(0), atom.square(), atol=1e-12)


@pytest.mark.parametrize("spec", ["dct", "pixel"])
def test_domains_without_cells_are_refused(spec: str) -> None:
    with pytest.raises(ValueError, match="choose a wavelet"):
        Cells(pb.transforms.get(spec, (1, 4, 4, 4)))


def maps_of(twin: bool = True, method: str = "input_x_gradient") -> dict[tuple[str, str], np.ndarray]:
    """Maps of a small network at one volume."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 1, 8, 8, 8, dtype=torch.double, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        models = [nn.Sequential(nn.Flatten(), nn.Linear(512, 1)).double() for _ in range(2)]
    found = [pb.attribute(model, x, method=method, transform="dwt(haar, level=2)") for model in models]
    return scale_maps(found[0], found[1] if twin else None, Cells(found[0].transform), generator)


@pytest.mark.parametrize("method", ["input_x_gradient", "gradient"])
def test_controls_keep_what_they_say(method: str) -> None:
    maps = maps_of(method=method)
    assert set(maps) == {(kind, control) for kind in MAPS for control in (ATTRIBUTION, SHUFFLED, COEFFICIENT, PERMUTED)}
    for kind in MAPS:
        own, other = maps[kind, ATTRIBUTION], maps[kind, SHUFFLED]
        assert (own >= 0).all()
        assert np.allclose(own.sum((1, 2, 3)), other.sum((1, 2, 3)))
        assert not np.allclose(own, other)
        assert not np.allclose(own, maps[kind, PERMUTED])
    fine = maps[SAMPLES, ATTRIBUTION][-1], maps[SAMPLES, SHUFFLED][-1]
    assert np.allclose(np.sort(fine[0].ravel()), np.sort(fine[1].ravel()))


def test_coefficients_know_nothing_of_the_model() -> None:
    assert np.allclose(maps_of(True)[CELLS, COEFFICIENT], maps_of(False)[CELLS, COEFFICIENT])
    assert (CELLS, PERMUTED) not in maps_of(False)


def test_a_coarse_scale_cannot_tell_the_edge_of_a_thin_object_from_its_centre() -> None:
    cells = Cells(pb.transforms.get("dwt(haar, level=3)", (1, 32, 32, 32)))
    inside = np.zeros((32, 32, 32), bool)
    inside[10:15, 4:28, 4:28] = True
    thin = spans(cells, inside)
    assert thin["octave 1"] > 0.4 > 0.15 > thin["octave 3"]
    inside[2:30, 2:30, 2:30] = True
    assert spans(cells, inside)["octave 3"] > 2 * thin["octave 3"]


def spans(cells: Cells, inside: np.ndarray) -> dict[str, float]:
    """For each octave, by how much the edge fractions of an edge and of a centre differ once they are averaged."""
    places = bins(signed_distance(inside, (1.0, 1.0, 1.0)), (1.0, 1.0, 1.0))
    found = {(octave, what): float(edge_fraction(own)) for octave, what, own in resolution(cells, places)}
    return {octave: found[octave, EDGE_ONLY] - found[octave, CORE_ONLY] for octave in cells.octaves}
