"""Filters by octave: a wave of known frequency passes exactly the right ones; masks ignore the sign of a frequency."""

import itertools

import pytest
import torch
from torch import Tensor

from pullback.studies.robustness.octaves import depth, octave_noise, octave_of, passed, radius, share_by_octave, wave, waves

SHAPES = [(32,), (33,), (28, 28), (15, 24), (8, 9, 10)]


def octave(shape: tuple[int, ...], frequency: tuple[int, ...], deepest: int) -> int:
    """By hand: the octave of a wave of `frequency` cycles per side."""
    away = sum((min(abs(k) % n, n - abs(k) % n) / n) ** 2 for k, n in zip(frequency, shape)) ** 0.5
    return next((j for j in range(1, deepest + 1) if away > 2 ** -(j + 1)), deepest + 1)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_wave_passes_exactly_the_filters_of_its_octave(shape: tuple[int, ...]) -> None:
    deepest = depth(shape)
    tried = set()
    for frequency in waves(shape)[1:]:
        own = octave(shape, frequency, deepest)
        tried.add(own)
        x = 3 + wave(shape, frequency, torch.full((1, 2), 0.7, dtype=torch.double))
        mean = x.mean(tuple(range(2, x.ndim)), keepdim=True).expand_as(x)
        for cut in range(1, deepest + 1):
            low, high = passed(x, cut, low=True), passed(x, cut, low=False)
            stays, goes = (low, high) if own > cut else (high, low)
            assert (stays - x).abs().max() < 1e-10, (frequency, cut)
            assert (goes - mean).abs().max() < 1e-10, (frequency, cut)
    assert len(tried) >= min(2, deepest)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_low_and_high_pass_share_the_mean_and_split_the_rest(shape: tuple[int, ...]) -> None:
    x = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    mean = x.mean(tuple(range(2, x.ndim)), keepdim=True)
    for cut in range(1, depth(shape) + 1):
        assert (passed(x, cut, low=True) + passed(x, cut, low=False) - mean - x).abs().max() < 1e-10


def mirrored(grid: Tensor) -> Tensor:
    """The value at -k for each frequency k."""
    axes = tuple(range(grid.ndim))
    return grid.flip(axes).roll([1] * grid.ndim, axes)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_masks_are_symmetric_and_a_square_cut_by_index_is_not(shape: tuple[int, ...]) -> None:
    own = octave_of(shape, depth(shape))
    assert torch.equal(own, mirrored(own))
    assert torch.equal(radius(shape), mirrored(radius(shape)))
    if len(shape) == 2:
        square = torch.zeros(shape)  # the control: a square around the middle bin, as filters by index have it
        square[shape[0] // 2 - 4 : shape[0] // 2 + 4, shape[1] // 2 - 4 : shape[1] // 2 + 4] = 1
        square = torch.fft.ifftshift(square)
        assert not torch.equal(square, mirrored(square))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_noise_of_an_octave_has_no_other_frequencies_and_mean_square_one(shape: tuple[int, ...]) -> None:
    deepest = depth(shape)
    white = torch.randn(2, 2, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    for number in range(1, deepest + 2):
        noise = octave_noise(white, number, deepest)
        assert (noise.flatten(1).square().mean(1) - 1).abs().max() < 1e-10
        shares = share_by_octave(noise, deepest)
        assert (shares[:, deepest + 1 - number] / shares.sum(1) - 1).abs().max() < 1e-10


def test_waves_are_one_of_each_pair_and_keep_their_size_at_every_phase() -> None:
    found = waves((9, 12))
    assert not {tuple(-k for k in each) for each in found if any(each)} & set(found)
    assert len(found) == (9 * 13 + 1) // 2
    phase = torch.rand(5, generator=torch.Generator().manual_seed(2), dtype=torch.double)
    for frequency in itertools.islice(found, 0, None, 7):
        assert (wave((9, 12), frequency, phase).square().mean((1, 2)) - 1).abs().max() < 1e-10


def test_the_deepest_octave_leaves_something_below_it() -> None:
    for n in (4, 5, 8, 28, 31, 32, 100, 224):
        own = octave_of((n, n), depth((n, n)))
        assert (own == depth((n, n)) + 1).any()
