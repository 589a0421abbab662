"""STFT and MDCT against scipy and against sums written from the formula."""

import itertools
import math

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import families
from support.compare import same
from support.families import get
from support.subjects import normal

import pullback as pb
from pullback.transforms import TransformClaim

SPECS = ["stft", "stft(window=blackman, size=6, hop=1)", "mdct", "mdct(window=kbd, size=8)"]


@pytest.mark.parametrize("n", range(1, 34))
def test_every_name_works_at_every_length(n: int) -> None:
    for spec in ("stft", "mdct", "mdct(window=kbd)"):
        transform = get(spec, 2, n)
        report = pb.axioms.check_transform(transform)
        assert not report.faults, str(report)
        assert get(transform.spec, 2, n).spec == transform.spec


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(1, 40),
    st.integers(1, 17),
    st.integers(1, 19),
    st.sampled_from(["hann", "hamming", "blackman", "rectangular", "sine"]),
)
def test_stft_keeps_what_it_claims_or_is_refused(n: int, size: int, hop: int, window: str) -> None:
    spec = f"stft({window}, size={size}, hop={hop})"
    first_is_zero = window in ("hann", "blackman")
    covered = hop < size if first_is_zero else hop <= size
    if not covered:
        with pytest.raises(ValueError, match="no inverse exists"):
            get(spec, 1, n)
        return
    transform = get(spec, 1, n)
    report = pb.axioms.check_transform(transform)
    assert not report.faults, str(report)
    assert (TransformClaim.SURJECTIVE in transform.claims) == (math.prod(transform.layout.shape) == n)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(1, 60), st.integers(1, 8), st.sampled_from(["sine", "kbd"]), st.floats(0, 20))
def test_mdct_is_orthonormal_for_every_length_and_size(n: int, quarter: int, window: str, alpha: float) -> None:
    transform = get(f"mdct({window}, size={4 * quarter}, alpha={alpha!r})", 1, n)
    report = pb.axioms.check_transform(transform)
    assert transform.claims == TransformClaim.ORTHOGONAL
    assert not report.faults, str(report)
    assert get(transform.spec, 1, n).spec == transform.spec


@pytest.mark.parametrize(("size", "hop"), [(8, 4), (9, 3), (16, 5), (7, 4)])
@pytest.mark.parametrize("window", ["hann", "hamming", "blackman", "rectangular", "sine"])
def test_stft_is_scipys_with_the_tight_window(size: int, hop: int, window: str) -> None:
    x = normal(2, 3, 50)
    names = {"rectangular": "boxcar", "sine": "cosine"}
    taps = scipy.signal.get_window(names.get(window, window), size, fftbins=window != "sine")
    taps[np.abs(taps) < 1e-12] = 0
    tight = scipy.signal.ShortTimeFFT(taps, hop, fs=1, phase_shift=None)
    energy = np.array([sum(taps[m % hop :: hop] ** 2) for m in range(size)])
    frames = scipy.signal.ShortTimeFFT(taps / np.sqrt(energy), hop, fs=1, phase_shift=None)
    expected = np.moveaxis(frames.stft(x.numpy()), -1, -2) / math.sqrt(size)
    transform = get(f"stft({window}, size={size}, hop={hop})", 3, 50)
    assert transform.layout.shape == (3, expected.shape[-2], size)
    z = transform(x).numpy()
    scale = np.full(expected.shape[-1], math.sqrt(2))
    scale[[0, -1] if size % 2 == 0 else [0]] = 1
    same(torch.from_numpy(z[..., (0, *range(1, size, 2))]), (expected * scale).real)
    same(torch.from_numpy(z[..., 2::2]), (expected * scale).imag[..., 1 : (size + 1) // 2])
    times = np.clip(tight.t(50), 0, 49)
    same(transform.layout.position[0, 0, :, 0].double(), times)


def test_stft_frames_are_the_sum_of_the_formula() -> None:
    n, size, hop = 11, 6, 4
    window = [0.5 - 0.5 * math.cos(2 * math.pi * m / size) for m in range(size)]
    tight = [w / math.sqrt(sum(window[j] ** 2 for j in range(m % hop, size, hop))) for m, w in enumerate(window)]
    x = normal(1, 1, n)
    z = get(f"stft(hann, size={size}, hop={hop})", 1, n)(x)[0, 0]
    for p, row in enumerate(z):
        for j, value in enumerate(row.tolist()):
            k, wave = (j + 1) // 2, math.sin if j and j % 2 == 0 else math.cos
            weight = math.sqrt((1 if j in (0, size - 1) else 2) / size) * (-1 if wave is math.sin else 1)
            terms = [
                weight * tight[m] * wave(2 * math.pi * k * m / size) * float(x[0, 0, p * hop - size // 2 + m])
                for m in range(size)
                if 0 <= p * hop - size // 2 + m < n
            ]
            assert value == pytest.approx(sum(terms), abs=1e-12)


def test_stft_layout() -> None:
    layout = get("stft(hann, size=8, hop=4)", 2, 20).layout
    assert layout.shape == (2, 6, 8)
    assert layout.frequency[0, 0, 3].tolist() == [0, 0.125, 0.125, 0.25, 0.25, 0.375, 0.375, 0.5]
    assert layout.position[0, 1, :, 5].tolist() == [0, 4, 8, 12, 16, 19]
    assert [band.name for band in layout.bands] == ["a3", "d3", "d2", "d1"]
    assert layout.sizes.tolist() == [12, 24, 24, 36]


def test_a_tone_lies_at_its_frequency_and_a_click_at_its_time() -> None:
    n = 512
    tone = torch.cos(2 * math.pi * 0.171 * torch.arange(n).double())[None, None]
    click = torch.zeros(1, 1, n).double()
    click[..., 200] = 1
    for spec in ("stft(size=64)", "mdct(size=64)", "mdct(kbd, size=64)"):
        transform = get(spec, 1, n)
        mean = lambda place, z: float((place[0] * z[0] ** 2).sum() / (z**2).sum())
        assert mean(transform.layout.frequency, transform(tone)) == pytest.approx(0.171, abs=0.01)
        assert mean(transform.layout.position, transform(click)) == pytest.approx(200, abs=16)


def mdct_by_the_formula(x: np.ndarray, size: int, rising: np.ndarray) -> list[float]:
    """Every block by itself: z_k = √(2/B) Σ_n w(n) x_n cos(π/B (n - start + ½ + B)(k + ½)), w = 0 outside the signal."""
    hop, n = size // 2, len(x)
    count = max(1, n // hop)
    edges = [*(t * hop for t in range(count)), n]
    z = []
    for start, stop in itertools.pairwise(edges):
        length = stop - start
        for k in range(length):
            total = 0.0
            for i in range(max(0, start - hop // 2), min(n, stop + hop // 2)):
                weight = 1.0
                if start > 0 and i < start + hop // 2:
                    weight = rising[i - start + hop // 2]
                if stop < n and i >= stop - hop // 2:
                    weight = rising[stop + hop // 2 - 1 - i]
                total += weight * x[i] * math.cos(math.pi / length * (i - start + 0.5 + length) * (k + 0.5))
            z.append(math.sqrt(2 / length) * total)
    return z


@pytest.mark.parametrize("window", ["sine", "kbd"])
@pytest.mark.parametrize(("n", "size"), [(32, 8), (35, 8), (17, 12), (5, 8), (23, 4), (47, 16)])
def test_mdct_is_the_double_loop(window: str, n: int, size: int) -> None:
    names = {
        "sine": scipy.signal.windows.cosine(size),
        "kbd": scipy.signal.windows.kaiser_bessel_derived(size, beta=4 * np.pi),
    }
    x = normal(2, 1, n)
    z = get(f"mdct({window}, size={size})", 1, n)(x)
    for row, signal in zip(z, x):
        same(row[0], mdct_by_the_formula(signal[0].numpy(), size, names[window][: size // 2]))


def test_inner_frames_are_princen_and_bradleys() -> None:
    """The textbook sum over 2M samples, with its own phase (n + ½ + M/2), for a frame that is not at an end."""
    size, hop, t = 12, 6, 3
    x = normal(1, 1, 60)
    window = np.sin(np.pi * (np.arange(size) + 0.5) / size)
    z = get("mdct(size=12)", 1, 60)(x)[0, 0, t * hop : (t + 1) * hop]
    frame = x[0, 0, t * hop - hop // 2 :][:size].numpy()
    phases = np.outer(np.arange(hop) + 0.5, np.arange(size) + 0.5 + hop / 2)
    same(z, math.sqrt(2 / hop) * np.cos(np.pi / hop * phases) @ (window * frame))


def test_mdct_layout() -> None:
    layout = get("mdct(size=8)", 1, 10).layout
    assert layout.frequency[0, 0].tolist() == pytest.approx(
        [(2 * k + 1) / 16 for k in range(4)] + [(2 * k + 1) / 24 for k in range(6)]
    )
    assert layout.position[0, 0].tolist() == [1.5] * 4 + [6.5] * 6
    assert layout.bands[0].low == 0
    assert layout.sizes[0] == 2


def test_kbd_with_alpha_0_and_100_still_reconstructs() -> None:
    for alpha in (0, 100):
        assert not pb.axioms.check_transform(get(f"mdct(kbd, size=16, alpha={alpha})", 1, 50)).faults


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_lower_precision_is_carried_out_in_single(spec: str, dtype: torch.dtype) -> None:
    families.runs_in_single_precision(get(spec, 3, 37), dtype)


@pytest.mark.parametrize("spec", SPECS)
def test_copies_pickles_and_constants_go_where_the_input_is(spec: str) -> None:
    families.can_be_copied_and_moved(get(spec, 2, 13))


@pytest.mark.parametrize("spec", SPECS)
def test_gradients(spec: str) -> None:
    families.has_gradients(get(spec, 2, 13))


@pytest.mark.parametrize(
    ("spec", "error", "match"),
    [
        ("stft(window=hat)", ValueError, "hann, hamming, blackman, rectangular, sine; got 'hat'"),
        ("stft(size=8, hop=9)", ValueError, "a window of 8 samples every 9 leaves samples under no window"),
        ("stft(hann, size=8, hop=8)", ValueError, "leaves 1 of every 8 samples under no window.*smaller hop"),
        ("stft(size=1)", ValueError, "no inverse exists"),
        ("stft(size=0)", ValueError, "size must be a whole number of at least 1"),
        ("stft(hop=0)", ValueError, "hop must be a whole number of at least 1"),
        ("stft(hop=1.5)", TypeError, "hop must be a whole number"),
        ("stft(hop=true)", TypeError, "hop must be a whole number"),
        ("mdct(window=hann)", ValueError, "sine, kbd; got 'hann'"),
        ("mdct(size=6)", ValueError, "at least 4, a multiple of 4, got 6"),
        ("mdct(size=0)", ValueError, "at least 4"),
        ("mdct(kbd, alpha=-1)", ValueError, "alpha must be a finite number from 0 to 100"),
        ("mdct(kbd, alpha=x)", ValueError, "alpha must be a finite number from 0 to 100"),
    ],
)
def test_impossible_settings_are_refused(spec: str, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        get(spec, 1, 32)


@pytest.mark.parametrize("spec", ["stft", "mdct"])
def test_impossible_signals_are_refused(spec: str) -> None:
    with pytest.raises(ValueError, match="1 signal axes"):
        get(spec, 1, 8, 8)
    transform = get(spec, 1, 16)
    families.refuses_complex_and_whole_numbers(transform)
    with pytest.raises(ValueError, match="z must be"):
        transform.inverse(torch.zeros(1, 1, 3))
