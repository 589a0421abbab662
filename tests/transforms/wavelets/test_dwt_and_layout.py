"""Coefficients against PyWavelets and scipy.fft; shapes, sizes and errors."""

import itertools
import warnings

import numpy as np
import pytest
import pywt
import scipy.fft
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.subjects import normal

import pullback as pb
from pullback.transforms import TransformClaim, get

DISCRETE = pywt.wavelist(kind="discrete")


def pywt_flat(x: np.ndarray, wavelet: str, mode: str, level: int) -> np.ndarray:
    """The pyramid of PyWavelets in the order of our packing: coarse to fine, keys sorted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of boundary effects at deep levels
        low, *steps = pywt.wavedecn(x, wavelet, mode=mode, level=level)
    return np.concatenate([low.ravel(), *(step[key].ravel() for step in steps for key in sorted(step))])


@pytest.mark.parametrize("wavelet", DISCRETE)
def test_periodization_equals_pywavelets(wavelet: str) -> None:
    x = normal(1, 2, 64)
    t = get(f"dwt({wavelet}, level=2)", (2, 64))
    for channel in range(2):
        expected = pywt_flat(x[0, channel].numpy(), wavelet, "periodization", 2)
        np.testing.assert_allclose(t(x)[0, channel].numpy(), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(t.inverse(t(x)), x, rtol=0, atol=1e-10)


@pytest.mark.parametrize("mode", ["periodization", "zero", "constant", "symmetric", "reflect", "periodic"])
@pytest.mark.parametrize(
    ("wavelet", "sizes"), [("haar", (16, 24)), ("db4", (32, 48)), ("bior2.2", (16, 16, 8)), ("sym3", (8, 16, 24))]
)
def test_every_mode_equals_pywavelets_in_2d_and_3d(mode: str, wavelet: str, sizes: tuple[int, ...]) -> None:
    x = normal(2, 1, *sizes)
    t = get(f"dwt({wavelet}, level=1, mode={mode})", (1, *sizes))
    for example in range(2):
        expected = pywt_flat(x[example, 0].numpy(), wavelet, mode, 1)
        np.testing.assert_allclose(t(x)[example, 0].numpy(), expected, rtol=0, atol=1e-10)


def test_the_setting_of_the_paper_equals_pywavelets() -> None:
    x = normal(1, 1, 64, 64)
    t = get("dwt(haar, level=3, mode=reflect)", (1, 64, 64))
    np.testing.assert_allclose(t(x)[0, 0].numpy(), pywt_flat(x[0, 0].numpy(), "haar", "reflect", 3), rtol=0, atol=1e-10)


@pytest.mark.parametrize("n", range(1, 34))
def test_dwt_inverts_every_size_at_every_level(n: int) -> None:
    x = normal(2, 1, n)
    for wavelet, mode in itertools.product(["haar", "db4", "bior4.4"], ["periodization", "zero", "symmetric"]):
        for level in range(40):
            try:
                t = get(f"dwt({wavelet}, level={level}, mode={mode})", (1, n))
            except ValueError:
                assert level > 0
                break
            assert t.inverse(t(x)).shape == x.shape
            torch.testing.assert_close(t.inverse(t(x)), x, rtol=0, atol=1e-10)
            if mode == "periodization":
                assert t.layout.index.numel() == n  # critically sampled for every size


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.sampled_from(["haar", "db2", "sym4", "bior2.2", "coif1"]))
def test_dwt_of_any_shape_is_as_claimed(sizes: list[int], wavelet: str) -> None:
    t = get(f"dwt({wavelet}, level={None if max(sizes) > 1 else 0})", (2, *sizes))
    report = pb.axioms.check_transform(t)
    assert not report.faults, str(report)


@pytest.mark.parametrize("mode", ["reflect", "periodic", "symmetric", "constant", "zero"])
@pytest.mark.parametrize("n", [7, 8, 13, 16, 33])
def test_padded_modes_claim_what_they_keep(mode: str, n: int) -> None:
    for wavelet in ("haar", "db2", "bior2.2"):
        t = get(f"dwt({wavelet}, level=1, mode={mode})", (1, n))
        report = pb.axioms.check_transform(t)
        assert not report.faults, str(report)
        assert (TransformClaim.SURJECTIVE in t.claims) == (t.layout.index.numel() == n)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 11), min_size=1, max_size=3))
def test_dct_equals_scipy(sizes: list[int]) -> None:
    x = normal(2, 3, *sizes)
    axes = tuple(range(2, 2 + len(sizes)))
    expected = scipy.fft.dctn(x.numpy(), type=2, norm="ortho", axes=axes)
    np.testing.assert_allclose(get("dct", (3, *sizes))(x).numpy(), expected, rtol=0, atol=1e-10)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 11), min_size=1, max_size=3))
def test_dft_holds_the_fourier_coefficients_of_scipy(sizes: list[int]) -> None:
    x = normal(2, 1, *sizes)
    axes = tuple(range(2, 2 + len(sizes)))
    spectrum = scipy.fft.fftn(x.numpy(), norm="ortho", axes=axes)
    z = get("dft", (1, *sizes))(x).numpy()
    mirrored = np.roll(np.flip(z, axes), 1, axes)  # z at -k
    np.testing.assert_allclose((z**2 + mirrored**2) / 2, np.abs(spectrum) ** 2, rtol=0, atol=1e-10)
    np.testing.assert_allclose((z**2).sum(), (x.numpy() ** 2).sum(), rtol=1e-12)


@pytest.mark.parametrize(("spec", "n", "k"), [("dct", 64, 9), ("dft", 64, 9), ("dft", 65, 9)])
def test_a_tone_lands_on_its_centre_frequency(spec: str, n: int, k: int) -> None:
    frequency = k / (2 * n) if spec == "dct" else k / n
    tone = torch.cos(2 * torch.pi * frequency * (torch.arange(n).double() + 0.5))
    t = get(spec, (1, n))
    peak = int(t(tone[None, None])[0, 0].abs().argmax())
    assert float(t.layout.frequency[0, 0, peak]) == pytest.approx(frequency)
    band = t.layout.bands[int(t.layout.index[0, peak])]
    assert band.low < frequency <= band.high


def test_a_click_lands_on_its_position() -> None:
    for spec in ("dwt(haar, level=2)", "dwt(db4, level=2)", "dwt(sym4, level=2, mode=symmetric)"):
        t = get(spec, (1, 64))
        click = torch.zeros(1, 1, 64, dtype=torch.float64)
        click[0, 0, 41] = 1
        z = t(click)[0, 0]
        for band in range(len(t.layout.bands)):
            mine = t.layout.index[0] == band
            peak = t.layout.position[0, 0][mine][z[mine].abs().argmax()]
            reach = 2 ** t.layout.bands[band].scale * (1 if "haar" in spec else 3)
            assert abs(float(peak) - 41) <= reach


def test_bands_of_dct_dft_and_dwt_have_the_same_names() -> None:
    wavelet = {band.name for band in get("dwt(db4, level=3)", (1, 64, 64)).layout.bands}
    for spec in ("dct", "dft"):
        names = {band.name for band in get(spec, (1, 64, 64)).layout.bands}
        assert wavelet - {"aa3"} <= names


@pytest.mark.parametrize("spec", ["pixel", "dwt(db2, level=2)", "dct", "dft", "dwt(db2, level=2, mode=reflect)"])
def test_layout_sums_conserve_totals_under_every_grouping(spec: str) -> None:
    t = get(spec, (2, 13, 16))
    values = normal(3, *t.layout.shape)
    for by in ("band", "scale", "orientation", "octave"):
        sums = t.layout.group(by).sum(values)
        torch.testing.assert_close(sums.sum(1), values.flatten(1).sum(1), rtol=1e-10, atol=1e-10)
    sizes = t.layout.sizes
    assert int(sizes.sum()) == t.layout.index.numel()
    with pytest.raises(ValueError, match="expected by in band, scale"):
        t.layout.group("color")
    with pytest.raises(ValueError, match="expected a tensor of shape"):
        t.layout.sum(values[:, :1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("spec", ["pixel", "dwt(db4, level=2)", "dct", "dft", "dwt(db4, level=1, mode=reflect)"])
def test_half_precision_is_carried_out_in_single(spec: str, dtype: torch.dtype) -> None:
    t = get(spec, (1, 16, 18))
    x = normal(2, 1, 16, 18).to(dtype)
    assert t(x).dtype == torch.float32
    torch.testing.assert_close(t(x), t(x.float()), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: get("dwt(db4, level=9)", (1, 32)), r"level must lie in 0…5 for a signal of \(1, 32\)"),
        (lambda: get("dwt(db4, level=-1)", (1, 32)), "level must lie in"),
        (lambda: get("dwt(db4, level=1, mode=reflect)", (1, 3)), "level must lie in 0…0"),
        (lambda: get("dwt(db44x)", (1, 32)), "not a discrete wavelet of PyWavelets"),
        (lambda: get("dwt(mexh)", (1, 32)), "not a discrete wavelet"),
        (lambda: get("dwt(haar, mode=mirror)", (1, 32)), "expected mode in periodization, boundary, zero"),
        (lambda: get("dwt(haar, depth=2)", (1, 32)), "Its arguments: wavelet"),
        (lambda: get("dvt", (1, 32)), "Did you mean 'dwt'"),
        (lambda: get("", (1, 32)), "expected name or name"),
        (lambda: get("dwt(haar", (1, 32)), "not closed"),
        (lambda: get("dwt(level=1, haar)", (1, 32)), "follows a keyword"),
        (lambda: get("dwt(level=1, level=2)", (1, 32)), "given twice"),
        (lambda: get("dwt(haar, level=1+)", (1, 32)), "expected a number, a word"),
        (lambda: get("dct", (32,)), "channels first"),
        (lambda: get("dct", (1, 0)), "at least 1 sample"),
        (lambda: get("dct", (1, 2, 2, 2, 2)), "signal axes"),
        (lambda: get(get("dct", (1, 8)), (1, 9)), "built for signals of shape"),
        (lambda: pb.transforms.Compose(get("dct", (1, 8)), get("dct", (1, 9))), "gives coefficients of shape"),
        (lambda: pb.transforms.Compose(), "at least one"),
        (lambda: get("dct", (1, 8))(torch.zeros(2, 1, 9)), r"build the transform with shape=\(1, 9\)"),
        (lambda: get("dct", (1, 8))(torch.zeros(1, 8)), r"add the batch axis with x\[None\]"),
        (lambda: get("dct", (3, 8))(torch.zeros(3, 9)), r"add the batch axis with x\[None\], and .*shape=\(3, 9\)"),
        (lambda: get("dct", (1, 8))(torch.zeros(2, 1, 8, dtype=torch.long)), r"\.float\(\)"),
        (lambda: get("dct", (1, 8))(torch.zeros(2, 1, 8, dtype=torch.complex64)), "real and imaginary parts"),
        (lambda: get("dct", (1, 8)).inverse(torch.zeros(2, 1, 9)), "z must be"),
        (lambda: get("dct", (1, 8)).adjoint(torch.zeros(2, 1, 9)), "g must be"),
    ],
)
def test_bad_input_is_one_clear_error(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: get("dwt(haar, level=1.5)", (1, 32)),
        lambda: get(3, (1, 8)),  # type: ignore[arg-type]
        lambda: get("dct", (1, 8))(np.zeros((1, 1, 8))),
    ],
)  # type: ignore[arg-type]
def test_a_wrong_type_is_a_type_error(call) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TypeError):
        call()


def test_specs_build_the_same_transform_again() -> None:
    for spec, shape in [
        ("dwt(bior4.4, 2, mode=zero)", (1, 24, 20)),
        (" dct ", (1, 9)),
        ("dwt('db2') >> dct", (3, 16)),
        ("dft()", (1, 6)),
    ]:
        t = get(spec, shape)
        again = get(t.spec, shape)
        x = normal(1, *shape)
        assert again.spec == t.spec
        torch.testing.assert_close(again(x), t(x), rtol=0, atol=0)


def test_a_third_party_transform_registers_once() -> None:
    class Mine(pb.transforms.Pixel):
        pass

    registry = type(pb.transforms.registry.transforms)("transform", "pullback.none")  # type: ignore[attr-defined]
    registry.register("mine")(Mine)
    assert registry.names() == ["mine"]
    with pytest.raises(ValueError, match="belongs to"):
        registry.register("mine")(pb.transforms.DCT)
    with pytest.raises(ValueError, match="letters"):
        registry.register("my transform")(Mine)


def test_a_composition_has_scales_only_where_they_are_those_of_the_signal() -> None:
    colour = get("color(opponent) >> dwt(haar, level=2)", (3, 8, 8)).layout
    assert [band.octave for band in colour.group("octave").bands] == ["coarser", "octave 2", "octave 1"]
    packed = get("dwt(haar, level=1) >> dct", (1, 8, 8)).layout
    assert packed.frequency.shape[0] == 2
    assert bool(packed.frequency.isnan().all())
    assert {band.octave for band in packed.bands} == {"all"}


def test_the_adjoint_works_in_inference_mode() -> None:
    t = get("dwt(bior2.2, level=1, mode=zero)", (1, 8))
    g = normal(2, 1, 8)
    with torch.inference_mode():
        inside = t.adjoint(g.clone())
    torch.testing.assert_close(inside.clone(), t.adjoint(g))
