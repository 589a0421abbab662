"""Arguments as people write them: NumPy's numbers, wavelets as objects and filters, short names, axes from the end."""

import copy
import itertools
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pywt
import torch
from support.subjects import normal

import pullback as pb
from pullback.transforms import DCT, DTCWT, DWT, MDCT, PCA, STFT, SWT, WPT, Along, BlockDCT, Laplacian, Polar, Restrict, get

WHOLE = [np.int64, np.int8, np.uint16, np.array, torch.tensor]
REAL = [np.float32, np.float64, np.float16]


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_numbers_of_numpy_and_torch(kind: Any) -> None:
    n = kind
    pairs = [
        (DWT((n(1), n(16)), "haar", n(2)), "dwt(haar, level=2, mode=periodization)"),
        (SWT((1, 16), "haar", n(2)), "swt(haar, level=2)"),
        (WPT((1, 16), "haar", n(2)), "wpt(haar, level=2, order=frequency)"),
        (DTCWT((1, 16), n(10), n(1)), "dtcwt(taps=10, level=1, first=sym5)"),
        (Laplacian((1, 16), n(2)), "laplacian(levels=2, a=0.4)"),
        (STFT((1, 80), "hann", n(64), n(16)), "stft(window=hann, size=64, hop=16)"),
        (MDCT((1, 80), "sine", n(16)), "mdct(window=sine, size=16)"),
        (BlockDCT((1, 16, 16), n(8)), "block_dct(block=8)"),
        (BlockDCT((1, 16, 16), [n(8), n(4)]), "block_dct(block=[8, 4])"),
        (DCT((1, 8), n(4)), "dct(type=4)"),
        (Along((3, 16, 16), "dct", n(1)), "along(dct, axes=1)"),
        (Along((3, 16, 16), "dct", [n(1), n(2)]), "along(dct, axes=[1, 2])"),
        (Restrict((3, 16), "dct", [[n(2), n(5)]], [n(0)]), "restrict(dct, crop=[[2, 5]], channels=[0])"),
    ]
    for transform, spec in pairs:
        assert transform.spec == spec
        assert get(transform.spec, transform.shape).spec == spec
        assert all(type(size) is int for size in transform.shape)
    assert PCA.fit(normal(9, 1, 4), n(2)).layout.shape == (1, 6)


@pytest.mark.parametrize("kind", REAL)
def test_real_numbers_of_numpy(kind: Any) -> None:
    assert Laplacian((1, 16), 1, kind(0.375)).spec == "laplacian(levels=1, a=0.375)"
    assert Polar((1, 8), np.bool_(True), kind(0.5)).spec == "polar(log=true, floor=0.5)"
    assert MDCT((1, 32), "kbd", 8, kind(2.5)).spec == "mdct(window=kbd, size=8, alpha=2.5)"


def test_sizes_that_are_no_whole_numbers_are_refused() -> None:
    for shape in [
        (1, 8.7),
        (1, 8.0),
        (1, "8"),
        "18",
        (1, True),
        (1, None),
        {1, 8},
        b"\x01\x08",
        None,
        8,
        [[1, 8]],
        np.float32(8),
    ]:
        for build in (DCT, DWT, lambda shape: get("dct", shape), lambda shape: get("pixel", shape)):
            with pytest.raises(TypeError, match=r"shape must be .channels, .spatial. of one signal, in whole numbers, got"):
                build(shape)
    with pytest.raises(ValueError, match="signal axes"):
        DCT(itertools.count(1))  # never ends
    assert get("dct", np.array([1, 8])).shape == get("dct", torch.tensor([1, 8])).shape == get("dct", [1, 8]).shape == (1, 8)


# Wavelets ---------------------------------------------------------------------------------------------------------------

CUSTOM = pywt.Wavelet("mine", filter_bank=pywt.Wavelet("bior4.4").filter_bank)  # CDF 9/7
RENAMED = pywt.Wavelet("db4", filter_bank=pywt.Wavelet("db2").filter_bank)  # a name that means other filters
FAMILIES = [
    lambda w: DWT((1, 128), w, 2),
    lambda w: DWT((1, 128), w, 1, "symmetric"),
    lambda w: SWT((1, 128), w, 2),
    lambda w: WPT((1, 128), w, 2),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["db4", "haar", "bior2.2", "dmey", "sym5"])
def test_an_object_of_pywavelets_is_its_name(name: str, family: Any) -> None:
    assert family(pywt.Wavelet(name)).spec == family(name).spec == family(name.upper()).spec
    assert f"({name}, " in family(pywt.Wavelet(name)).spec


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("wavelet", "same"), [(CUSTOM, "bior4.4"), (RENAMED, "db2"), (CUSTOM.filter_bank, "bior4.4")])
def test_filters_give_the_coefficients_of_the_wavelet_that_has_them(wavelet: Any, same: str, family: Any) -> None:
    transform, x = family(wavelet), normal(2, 1, 128)
    assert torch.equal(transform(x), family(same)(x))
    other = family("db4")(x)  # the control: the name alone would say db4
    assert other.shape != transform(x).shape or not torch.allclose(transform(x), other)
    assert not pb.axioms.check_transform(transform).faults
    for again in (get(transform.spec, (1, 128)), copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        assert torch.equal(again(x), transform(x))
        assert again.spec == transform.spec


def test_orthonormal_filters_serve_everywhere(tmp_path: Path) -> None:
    mine = pywt.Wavelet("mine", filter_bank=pywt.Wavelet("sym4").filter_bank)
    x = normal(2, 1, 32)
    assert torch.equal(DTCWT((1, 32), first=mine)(x), DTCWT((1, 32), first="sym4")(x))
    assert torch.equal(DWT((1, 32), mine, 1, "boundary")(x), DWT((1, 32), "sym4", 1, "boundary")(x))
    att = pb.attribute(lambda x: x.flatten(1).square().sum(1), x, transform=DWT((1, 32), mine, 2))
    att.save(tmp_path / "a.safetensors")
    again = pb.Attribution.load(tmp_path / "a.safetensors")
    assert again.transform.spec == att.transform.spec
    assert torch.equal(again.signal(), att.signal())


@pytest.mark.parametrize(
    ("wavelet", "message"),
    [
        ("db99", "'db99' is not a discrete wavelet"),
        ("morl", "'morl' is not a discrete wavelet"),
        (pywt.ContinuousWavelet("morl"), "must be a name, a pywt.Wavelet, or four filters"),
        (7, "must be a name"),
        ([[1.0, 1.0]] * 3, "four filters"),
        ([[1.0, 1.0, 1.0]] * 4, "of one even length"),
        ([[1.0, 1.0], [1.0], [1.0, 1.0], [1.0, 1.0]], "of one even length"),
        ([[1.0, 2.0]] * 4, "must rebuild every signal"),
        ([[float("nan"), 2.0]] * 4, "must rebuild every signal"),
        ([["a", "b"]] * 4, "must be a name"),
    ],
)
def test_other_wavelets_are_refused(wavelet: Any, message: str) -> None:
    for build in (DWT, SWT, WPT, lambda shape, wavelet: DTCWT(shape, first=wavelet)):
        with pytest.raises((ValueError, TypeError), match=message) as error:
            build((1, 16), wavelet)
        assert len(str(error.value)) <= 300


def test_names_in_any_case_and_short_names_of_modes() -> None:
    short = {
        "zpd": "zero",
        "cpd": "constant",
        "sym": "symmetric",
        "PPD": "periodic",
        "per": "periodization",
        "Reflect": "reflect",
    }
    for name, mode in short.items():
        assert get(f"DWT(DB2, level=1, mode={name})", (1, 16)).spec == f"dwt(db2, level=1, mode={mode})"
        if mode != "periodization":  # there PyWavelets repeats the last of an odd number of samples
            wanted = pywt.wavedec(np.arange(15.0), "db2", mode, level=1)
            z = get(f"dwt(db2, level=1, mode={name})", (1, 15))(torch.arange(15.0, dtype=torch.double)[None, None])
            np.testing.assert_allclose(z[0, 0], np.concatenate(wanted), atol=1e-10)
    for text in ("STFT(Hann)", "mdct(KBD)", "Wpt(haar, order=Natural)", "WPT(haar, order=NATURAL)", "dct >> Pixel"):
        assert get(text, (1, 16)).spec == get(text.lower(), (1, 16)).spec
    assert get("Color(YCbCr)", (3, 4)).spec == "color(ycbcr)"
    with pytest.raises(ValueError, match=r"expected mode in periodization, boundary, zero, .*; got 'smooth'"):
        get("dwt(db2, mode=smooth)", (1, 16))


# Axes and lists ---------------------------------------------------------------------------------------------------------


def test_places_from_the_end() -> None:
    assert get("along(dct, axes=-1)", (3, 4, 5)).spec == "along(dct, axes=2)"
    assert get("along(dct, axes=[-3, -1])", (3, 4, 5)).spec == "along(dct, axes=[0, 2])"
    assert get("restrict(dct, crop=[[-4, -1]], channels=[-1])", (3, 8)).spec == "restrict(dct, crop=[[4, 7]], channels=[2])"
    for axes in (-4, 3, [0, -3], [], "1", True, 1.0, [None]):
        with pytest.raises((ValueError, TypeError), match="axes must be"):
            Along((3, 4, 5), "dct", axes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "crop", ["[none, [4, 8]]", "[None, [4, 8]]", "[NONE, (4, 8)]", "[ none , [ 4 , 8 ] ]", "[none, [4, -8]]"]
)
def test_none_inside_a_list_of_a_spec(crop: str) -> None:
    assert get(f"restrict(dct, crop={crop})", (1, 16, 16)).spec == "restrict(dct, crop=[None, [4, 8]])"


@pytest.mark.parametrize(
    ("shape", "found", "advice"),
    [
        ((3, 64, 64), (1, 64, 64, 3), r"x.movedim.-1, -3..$"),
        ((3, 64, 64), (64, 64, 3), r"x.movedim.-1, -3..None..$"),
        ((3, 64, 64), (1, 128, 96, 3), r"x.movedim.-1, -3..$"),
        ((1, 64, 64), (1, 64, 64, 3), r"x.movedim.-1, -3..$"),
        ((2, 100), (5, 100, 2), r"x.movedim.-1, -2..$"),
        ((1, 8, 8, 8), (2, 8, 8, 8, 1), r"x.movedim.-1, -4..$"),
        ((3, 64, 64), (1, 1, 64, 64), r"shape=.1, 64, 64., or reshape"),
        ((3, 64, 64), (3, 64, 64), r"x.None..$"),
    ],
)
def test_the_advice_for_a_tensor_of_another_shape_leads_to_a_right_run(shape: Any, found: Any, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        get("dwt(haar)", shape)(torch.zeros(found))


LAST = [("dct", (16, 3)), ("dwt(haar)", (96, 7)), ("dft", (140, 1)), ("dwt(db2)", (224, 224, 3)), ("dct", (32, 32, 32, 1))]
FIRST = [("dct", (1, 44_100)), ("dct", (3, 32, 32)), ("dwt(haar)", (64, 256)), ("dct", (128, 32)), ("dct", (512, 4, 4))]
FIRST += [
    ("dct", (1, 64, 3)),
    ("along(dct, axes=0)", (16, 3)),
    ("pixel", (224, 224, 3)),
    ("dct", (1, 16, 16, 2)),
    ("dct", (8, 2)),
]


@pytest.mark.parametrize(("spec", "shape"), LAST)
def test_channels_that_seem_to_be_last_get_a_hint(spec: str, shape: tuple[int, ...]) -> None:
    with pytest.warns(UserWarning, match=r"if the channels are last, move them with x.movedim.-1, 1."):
        get(spec, shape)
    with pytest.warns(UserWarning, match="if the channels are last"):
        pb.attribute(lambda x: x.flatten(1).sum(1), torch.ones(1, *shape), transform=spec)


@pytest.mark.parametrize(("spec", "shape"), FIRST)
def test_channels_first_get_none(spec: str, shape: tuple[int, ...]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        get(spec, shape)
