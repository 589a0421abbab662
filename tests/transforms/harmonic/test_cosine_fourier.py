"""Cosine, block cosine, Hartley and Walsh–Hadamard transforms against scipy and against sums written from the formula."""

import math

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import torch
import torch_dct
from hypothesis import given, settings
from hypothesis import strategies as st
from support import families
from support.compare import same
from support.families import SIZES, get
from support.subjects import normal

import pullback as pb
from pullback.transforms import TransformClaim

SPECS = [
    "dct",
    "dct(type=1)",
    "dct(type=3)",
    "dct(type=4)",
    "block_dct",
    "block_dct(block=3)",
    "dft",
    "hartley",
    "hadamard",
]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(SIZES, st.integers(1, 2))
def test_every_law_at_every_size(sizes: tuple[int, ...], channels: int) -> None:
    for spec in SPECS:
        if spec == "dct(type=1)" and min(sizes) < 2:
            continue
        transform = get(spec, channels, *sizes)
        report = pb.axioms.check_transform(transform)
        assert transform.claims == TransformClaim.ORTHOGONAL
        assert not report.faults, str(report)
        assert get(transform.spec, *transform.shape).spec == transform.spec


@pytest.mark.parametrize("type", [1, 2, 3, 4])
@pytest.mark.parametrize("sizes", [(2,), (7,), (8,), (33,), (6, 5), (3, 4, 5)])
def test_dct_is_scipys(type: int, sizes: tuple[int, ...]) -> None:
    x = normal(2, 3, *sizes)
    axes = list(range(2, x.ndim))
    transform = get(f"dct(type={type})", 3, *sizes)
    same(transform(x), scipy.fft.dctn(x.numpy(), type, axes=axes, norm="ortho", orthogonalize=True))
    same(transform.inverse(x), scipy.fft.idctn(x.numpy(), type, axes=axes, norm="ortho", orthogonalize=True))


@pytest.mark.parametrize("n", [1, 8, 13])
def test_dct_is_torch_dcts(n: int) -> None:
    x = normal(2, 3, n)
    torch.testing.assert_close(get("dct", 3, n)(x), torch_dct.dct(x, norm="ortho"))
    torch.testing.assert_close(get("dct(type=3)", 3, n)(x), torch_dct.idct(x, norm="ortho"))


def test_dct_type_2_is_the_default_and_keeps_its_spec() -> None:
    assert get("dct", 1, 8).spec == get("dct(type=2)", 1, 8).spec == "dct"
    assert get("dct(4)", 1, 8).spec == "dct(type=4)"


@pytest.mark.parametrize("type", [1, 2, 3, 4])
@pytest.mark.parametrize("n", [16, 21])
def test_dct_atoms_are_cosines_of_the_frequencies_in_the_layout(type: int, n: int) -> None:
    transform = get(f"dct(type={type})", 1, n)
    atoms = transform.inverse(torch.eye(n, dtype=torch.float64)[:, None])[:, 0].numpy()
    places = np.arange(1, n - 1)  # types 1 and 3 weigh the samples at the ends
    for atom, frequency in zip(atoms, transform.layout.frequency[0, 0].double().numpy()):
        phases = 2 * np.pi * np.round(frequency * 4 * n * (n - 1)) / (4 * n * (n - 1)) * places
        waves = np.stack([np.cos(phases), np.sin(phases)], 1)
        fit = waves @ np.linalg.lstsq(waves, atom[places], rcond=None)[0]
        np.testing.assert_allclose(fit, atom[places], rtol=0, atol=1e-12)


@pytest.mark.parametrize("spec", ["dct", "dct(type=3)", "dct(type=4)", "hadamard", "block_dct(block=16)"])
def test_bands_are_those_of_the_wavelet_transform(spec: str) -> None:
    wanted = get("dwt(haar, level=4)", 1, 16, 16).layout
    layout = get(spec, 1, 16, 16).layout
    assert {b.name for b in layout.bands} >= {b.name for b in wanted.bands if b.name != "aa4"}
    for band in layout.bands[1:]:
        inside = layout.frequency.amax(0)[layout.index == layout.bands.index(band)]
        assert bool(((band.low < inside) & (inside <= band.high)).all()), band
    lowest = layout.frequency.amax(0)[layout.index == 0]
    assert bool((lowest <= layout.bands[0].high).all())
    assert layout.bands[0].low == 0


@pytest.mark.parametrize("sizes", [(16, 24), (9, 21), (5, 3)])
def test_block_dct_is_scipys_in_each_block(sizes: tuple[int, int]) -> None:
    x = normal(1, 2, *sizes)
    expected = np.empty(x.shape)
    for top in range(0, sizes[0], 8):
        for left in range(0, sizes[1], 8):
            cell = np.s_[..., top : top + 8, left : left + 8]
            expected[cell] = scipy.fft.dctn(x.numpy()[cell], axes=(-2, -1), norm="ortho")
    same(get("block_dct", 2, *sizes)(x), expected)


def test_block_dct_layout() -> None:
    layout = get("block_dct(block=4)", 1, 10).layout
    assert layout.frequency[0, 0].tolist() == [0, 0.125, 0.25, 0.375] * 2 + [0, 0.25]
    assert layout.position[0, 0].tolist() == [1.5] * 4 + [5.5] * 4 + [8.5] * 2
    assert [b.name for b in layout.bands] == ["a3", "d3", "d2", "d1"]
    assert layout.sizes.tolist() == [3, 2, 3, 2]
    assert get("block_dct(block=[4, 2])", 1, 8, 8).spec == "block_dct(block=[4, 2])"


@pytest.mark.parametrize("sizes", [(1,), (8,), (9,), (4, 5), (6, 4), (3, 4, 2)])
def test_hartley_is_the_cas_sum(sizes: tuple[int, ...]) -> None:
    x = normal(1, 2, *sizes)
    expected = torch.zeros_like(x)
    for k in np.ndindex(*sizes):
        for n in np.ndindex(*sizes):
            turn = 2 * math.pi * sum(a * b / size for a, b, size in zip(k, n, sizes))
            expected[(..., *k)] += (math.cos(turn) + math.sin(turn)) * x[(..., *n)] / math.sqrt(math.prod(sizes))
    same(get("hartley", 2, *sizes)(x), expected)


@pytest.mark.parametrize("sizes", [(1,), (8,), (9,), (4, 5), (6, 4), (3, 4, 2)])
def test_dft_is_scipys_as_cosines_and_sines(sizes: tuple[int, ...]) -> None:
    x = normal(2, 2, *sizes)
    axes = tuple(range(2, x.ndim))
    spectrum = scipy.fft.fftn(x.numpy(), axes=axes, norm="ortho")
    expected = np.empty(x.shape)
    for k in np.ndindex(*sizes):
        signs = [np.sign(-a % n - a) for a, n in zip(k, sizes)]  # of the wrapped frequency; 0 where k = -k
        first = next((sign for sign in signs if sign), 0)
        value = spectrum[(..., *k)]
        expected[(..., *k)] = value.real if first == 0 else math.sqrt(2) * (value.real if first > 0 else value.imag)
    same(get("dft", 2, *sizes)(x), expected)


@pytest.mark.parametrize("n", [1, 2, 4, 64])
def test_hadamard_is_scipys_in_sequency_order(n: int) -> None:
    rows = scipy.linalg.hadamard(n) / math.sqrt(n)
    changes = (np.diff(np.sign(rows), axis=1) != 0).sum(1)
    x = normal(2, 1, n)
    same(get("hadamard", 1, n)(x), x.numpy() @ rows[changes.argsort()].T)


def test_hadamard_of_other_sizes_is_block_diagonal_and_separable() -> None:
    transform = get("hadamard", 1, 13, 6)
    left, right = (scipy.linalg.block_diag(*(_walsh(n) for n in parts)) for parts in [(8, 4, 1), (4, 2)])
    x = normal(2, 1, 13, 6)
    same(transform(x), left @ x.numpy() @ right.T)
    assert transform.layout.position[0, 0, :, 0].tolist() == [3.5] * 8 + [9.5] * 4 + [12]
    assert transform.layout.frequency[1, 0, 0].tolist() == [0, 0.125, 0.25, 0.375, 0, 0.25]
    assert bool(get("hadamard", 1, 8).layout.position.isnan().all())


def _walsh(n: int) -> np.ndarray:
    rows = scipy.linalg.hadamard(n) / math.sqrt(n)
    return rows[(np.diff(np.sign(rows), axis=1) != 0).sum(1).argsort()]


@pytest.mark.parametrize("n", [32, 64, 512, 600])
def test_hadamard_takes_several_radix_stages(n: int) -> None:
    x = normal(1, 2, n)
    parts = [1 << bit for bit in reversed(range(10)) if n >> bit & 1]
    same(get("hadamard", 2, n)(x), x.numpy() @ scipy.linalg.block_diag(*(_walsh(size) for size in parts)).T)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_lower_precision_is_carried_out_in_single(spec: str, dtype: torch.dtype) -> None:
    families.runs_in_single_precision(get(spec, 3, 9, 16), dtype)


@pytest.mark.parametrize("spec", SPECS)
def test_copies_pickles_and_constants_go_where_the_input_is(spec: str) -> None:
    families.can_be_copied_and_moved(get(spec, 2, 5, 6))


@pytest.mark.parametrize("spec", SPECS)
def test_gradients(spec: str) -> None:
    families.has_gradients(get(spec, 2, 5, 6))


@pytest.mark.parametrize(
    ("spec", "shape", "error", "match"),
    [
        ("dct(type=5)", (1, 8), ValueError, "type must be 1, 2, 3 or 4, got 5"),
        ("dct(type=true)", (1, 8), ValueError, "type must be 1, 2, 3 or 4"),
        ("dct(type=1)", (1, 8, 1), ValueError, "at least 2 samples along every axis"),
        ("block_dct(block=0)", (1, 8), ValueError, "block must be a whole number of at least 1, got 0"),
        ("block_dct(block=2.5)", (1, 8), TypeError, "whole number"),
        ("block_dct(block=[4, 4])", (1, 8), ValueError, "one for each of 1 signal axes"),
        ("hartley", (1, 2, 2, 2, 2), ValueError, "signal axes"),
        ("hadamard", (8,), ValueError, "signal axes"),
        ("hadamard", (1, 0), ValueError, "at least 1 sample"),
    ],
)
def test_impossible_settings_are_refused(spec: str, shape: tuple[int, ...], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        pb.transforms.get(spec, shape)


@pytest.mark.parametrize("spec", SPECS)
def test_impossible_input_is_refused(spec: str) -> None:
    transform = get(spec, 1, 8)
    families.refuses_complex_and_whole_numbers(transform)
    with pytest.raises(ValueError, match="build the transform with shape"):
        transform(torch.zeros(1, 1, 9))
