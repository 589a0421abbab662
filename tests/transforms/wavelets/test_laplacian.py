"""The Laplacian pyramid against sums written from Burt & Adelson's equations."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import families
from support.families import SIZES, get
from support.subjects import normal

import pullback as pb
from pullback.transforms import Transform, TransformClaim


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SIZES, st.integers(0, 6), st.sampled_from([0.3, 0.375, 0.4, 0.5, 0.6]))
def test_keeps_exactly_what_it_claims(sizes: tuple[int, ...], levels: int, a: float) -> None:
    levels = min(levels, (max(sizes) - 1).bit_length())
    transform = get(f"laplacian(levels={levels}, a={a})", 2, *sizes)
    report = pb.axioms.check_transform(transform)
    assert not report.faults, str(report)
    assert transform.claims == (TransformClaim.LINEAR | TransformClaim.RECONSTRUCTS if levels else TransformClaim.ORTHOGONAL)
    assert get(transform.spec, 2, *sizes).spec == transform.spec


@pytest.mark.parametrize("sizes", [(9,), (8,), (6, 5), (3, 4, 2)])
def test_transpose_is_that_of_autograd(sizes: tuple[int, ...]) -> None:
    transform = get("laplacian(a=0.37)", 2, *sizes)
    g = normal(3, 2, *sizes)
    torch.testing.assert_close(transform.transpose(g), Transform.transpose(transform, g), rtol=1e-12, atol=1e-12)


def mirrored(i: int, n: int) -> int:
    """The sample at place i of the signal that is mirrored about its first and last sample."""
    if n == 1:
        return 0
    i %= 2 * (n - 1)
    return min(i, 2 * (n - 1) - i)


def weights(a: float) -> dict[int, float]:
    return {-2: 0.25 - a / 2, -1: 0.25, 0: a, 1: 0.25, 2: 0.25 - a / 2}


def reduce_by_the_formula(x: np.ndarray, a: float) -> np.ndarray:
    """G_{l+1}(i) = Σ_m w(m) G_l(2i + m): REDUCE."""
    n = len(x)
    return np.array([sum(w * x[mirrored(2 * i + m, n)] for m, w in weights(a).items()) for i in range((n + 1) // 2)])


def expand_by_the_formula(low: np.ndarray, n: int, a: float) -> np.ndarray:
    """2 Σ_m w(m) low((i - m)/2) over whole (i - m)/2: EXPAND."""
    return np.array(
        [sum(2 * w * low[mirrored(i - m, n) // 2] for m, w in weights(a).items() if (i - m) % 2 == 0) for i in range(n)]
    )


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 13, 16])
def test_levels_are_burt_and_adelsons(n: int) -> None:
    x = normal(1, 1, n)
    levels = (n - 1).bit_length()
    z = get(f"laplacian(levels={levels}, a=0.4)", 1, n)(x)[0, 0].numpy()
    gaussian, parts = x[0, 0].numpy(), []
    for _ in range(levels):
        smaller = reduce_by_the_formula(gaussian, 0.4)
        parts.append(gaussian - expand_by_the_formula(smaller, len(gaussian), 0.4))
        gaussian = smaller
    np.testing.assert_allclose(z, np.concatenate([gaussian, *parts[::-1]]), rtol=0, atol=1e-12)


def test_axes_are_separable() -> None:
    x = normal(1, 1, 7, 6)
    low = get("laplacian(levels=1)", 1, 7, 6)(x)[0, 0, :12].reshape(4, 3).numpy()
    rows = np.stack([reduce_by_the_formula(row, 0.4) for row in x[0, 0].numpy()])
    np.testing.assert_allclose(low, np.stack([reduce_by_the_formula(c, 0.4) for c in rows.T], 1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("sizes", [(2,), (3,), (13,), (16,), (1, 5), (6, 5), (3, 2, 7)])
def test_a_constant_has_no_detail(sizes: tuple[int, ...]) -> None:
    transform = get("laplacian", 1, *sizes)
    z = transform(torch.ones(1, 1, *sizes, dtype=torch.float64))
    top = transform.layout.index == 0
    torch.testing.assert_close(z[0], top.to(z), rtol=0, atol=1e-14)


def test_layout() -> None:
    layout = get("laplacian(levels=2)", 1, 9).layout
    assert [band.name for band in layout.bands] == ["g2", "l2", "l1"]
    assert [band.scale for band in layout.bands] == [3, 2, 1]
    assert [(band.low, band.high) for band in layout.bands] == [(0, 0.125), (0.125, 0.25), (0.25, 0.5)]
    assert [band.octave for band in layout.bands] == ["coarser", "octave 2", "octave 1"]
    assert layout.sizes.tolist() == [3, 5, 9]
    assert layout.position[0, 0].tolist() == [0, 4, 8, 0, 2, 4, 6, 8, *range(9)]
    assert layout.frequency[0, 0, [0, 3, 8]].tolist() == pytest.approx([0.160 / 4, 0.588 / 4, 0.672 / 2], abs=0.002)


def test_white_noise_has_the_frequencies_of_the_layout() -> None:
    n = 1024
    transform = get("laplacian(levels=3)", 1, n)
    z = transform(normal(64, 1, n))[:, 0]
    for number in (1, 2, 3):
        inside = transform.layout.index[0] == number
        band = z[:, inside].numpy()
        spectrum = np.abs(np.fft.rfft(band, axis=-1)) ** 2
        measured = (spectrum * np.fft.rfftfreq(band.shape[-1])).sum() / spectrum.sum() / 2 ** (3 - number)
        assert measured == pytest.approx(float(transform.layout.frequency[0, 0, inside][0]), rel=0.05)


def test_a_tone_at_the_centre_of_a_band_is_strongest_there() -> None:
    n = 256
    transform = get("laplacian(levels=4)", 1, n)
    for number in (1, 2, 3, 4):
        centre = float(transform.layout.frequency[transform.layout.index[None] == number][0])
        tone = torch.cos(2 * math.pi * centre * torch.arange(n).double())[None, None]
        energy = transform.layout.sum(transform(tone) ** 2) / transform.layout.sizes
        assert int(energy.argmax()) == number


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_lower_precision_is_carried_out_in_single(dtype: torch.dtype) -> None:
    x = normal(2, 3, 9, 16, dtype=dtype)
    transform = get("laplacian", 3, 9, 16)
    z = transform(x)
    assert z.dtype == torch.float32
    torch.testing.assert_close(transform.inverse(z), x.float(), rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="at least one example"):
        transform(x[:0])
    assert transform.inverse(transform(x.to("meta"))).shape == x.shape  # constants go where the input is
    assert transform.adjoint(x.to("meta")).is_meta


@pytest.mark.parametrize(
    ("spec", "error", "match"),
    [
        ("laplacian(levels=5)", ValueError, "levels must lie in 0…4"),
        ("laplacian(levels=-1)", ValueError, "levels must lie in 0…"),
        ("laplacian(levels=1.5)", TypeError, "whole number"),
        ("laplacian(a=x)", ValueError, "a must be a finite number from 0 to 1"),
        ("laplacian(a=-0.1)", ValueError, "a must be a finite number from 0 to 1"),
    ],
)
def test_impossible_settings_are_refused(spec: str, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        get(spec, 1, 16)


def test_impossible_signals_are_refused() -> None:
    with pytest.raises(ValueError, match="signal axes"):
        get("laplacian", 1, 2, 2, 2, 2)
    families.refuses_complex_and_whole_numbers(get("laplacian", 1, 8))
