"""Bands as arrays: `unpack` and `pack`, and the containers of PyWavelets and ptwt."""

from collections.abc import Callable
from typing import Any

import numpy as np
import ptwt
import pytest
import pywt
import torch
from support.subjects import TRANSFORMS, normal

import pullback as pb
from pullback.transforms import DWT, SWT, WPT, Layout, Transform, get

NO_GRID = [t for t in TRANSFORMS if t.spec.startswith("polar") and len(t.shape) > 2 and max(t.shape[1:]) > 2]
GRIDS = [t for t in TRANSFORMS if t not in NO_GRID]
ids: Callable[[Transform], str] = lambda t: f"{t.spec}-{'x'.join(map(str, t.shape))}"
SIZES = {1: (24,), 2: (16, 24), 3: (8, 8, 16)}
PADDED = ["zero", "symmetric", "reflect", "constant", "periodic"]


@pytest.mark.parametrize("transform", GRIDS, ids=ids)
def test_bands_come_back_and_each_holds_its_own_coefficients(transform: Transform) -> None:
    z, layout = normal(2, *transform.layout.shape), transform.layout
    bands = transform.unpack(z)
    assert torch.equal(transform.pack(dict(reversed(bands.items()))), z)
    assert list(bands) == [band.name for band in layout.bands]
    for number, band in enumerate(bands.values()):
        assert torch.equal(band.flatten(1), z[:, layout.index == number])
        assert band.ndim >= 2
    torch.testing.assert_close(torch.stack([band.flatten(1).sum(1) for band in bands.values()], 1), layout.sum(z))


@pytest.mark.parametrize("transform", NO_GRID, ids=ids)
def test_bands_without_a_grid_are_refused(transform: Transform) -> None:
    with pytest.raises(ValueError, match=r"unpack: band '.* magnitude' has no grid.*layout\.index == "):
        transform.unpack(normal(1, *transform.layout.shape))


@pytest.mark.parametrize(
    ("spec", "shape", "wanted"),
    [
        ("dwt(db4, level=2, mode=symmetric)", (1, 37, 52), {"aa2": (1, 14, 18), "ad2": (1, 14, 18), "dd1": (1, 22, 29)}),
        ("dwt(db4, level=2)", (1, 37, 52), {"aa2": (1, 10, 13), "ad1": (1, 19, 26), "da1": (1, 18, 26)}),
        ("swt(haar, level=1)", (2, 5, 6), {"aa1": (2, 5, 6), "dd1": (2, 5, 6)}),
        ("wpt(haar, level=1)", (3, 8), {"a": (3, 4), "d": (3, 4)}),
        ("dtcwt(level=1)", (1, 8, 10), {"aa1": (1, 4, 4, 5), "d1+15": (1, 2, 4, 5)}),
        ("laplacian(levels=1)", (1, 5, 6), {"g1": (1, 3, 3), "l1": (1, 5, 6)}),
        ("dct", (2, 8, 8), {"ad1": (2, 5, 3), "da1": (2, 3, 5), "dd1": (2, 3, 3)}),
        ("dft", (1, 8), {"d1": (1, 3)}),
        ("color", (3, 4, 5), {"luminance": (1, 4, 5)}),
        ("stft(hann, size=8)", (2, 16), {"d1": (2, 5, 3)}),
        ("along(dwt(haar, level=1), axes=[1, 3])", (2, 4, 5, 6), {"ad1": (2, 5, 2, 3)}),
        ("along(dwt(haar, level=1), axes=-1)", (2, 4, 6), {"d1": (2, 4, 3)}),
        ("per_axis(none, dct, dwt(haar, level=1))", (2, 4, 6), {"d1 × d1": (2, 1, 3)}),
        ("restrict(dwt(haar, level=1), crop=[[0, 4], [2, 8]])", (2, 6, 9), {"ad1": (2, 2, 3), "rest": (1, 60)}),
        ("color >> dwt(haar, level=1)", (3, 4, 6), {"da1": (3, 2, 3)}),
    ],
)
def test_a_band_has_its_true_shape(spec: str, shape: tuple[int, ...], wanted: dict[str, tuple[int, ...]]) -> None:
    transform = get(spec, shape)
    found = {name: tuple(band.shape[1:]) for name, band in transform.unpack(normal(2, *transform.layout.shape)).items()}
    assert {name: found[name] for name in wanted} == wanted


def test_derivatives_pass_through_bands() -> None:
    transform = get("dwt(db2, level=2)", (1, 12))
    assert torch.autograd.gradcheck(lambda z: transform.pack(transform.unpack(z)), normal(1, 1, 12).requires_grad_())


def test_wrong_bands_are_refused() -> None:
    transform = get("dwt(haar, level=1)", (1, 4))
    bands = transform.unpack(normal(2, 1, 4))
    for wrong, message in [
        ({"a1": bands["a1"]}, "'d1' is missing"),
        (bands | {"d2": bands["d1"]}, "got .'a1', 'd1', 'd2'."),
        (bands | {"d1": bands["d1"][:1]}, r"'d1' as a tensor of shape .batch, 1, 2., got .1, 1, 2."),
        (bands | {"d1": bands["d1"].numpy()}, "got ndarray"),
        ([bands["a1"]], "expected a mapping"),
    ]:
        with pytest.raises((ValueError, TypeError), match=message):
            transform.pack(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"unpack: expected a tensor of shape .batch, 1, 4., got .2, 5."):
        transform.unpack(normal(2, 5))
    twice = Layout(transform.layout.bands * 2, transform.layout.index, transform.layout.frequency, transform.layout.position)
    with pytest.raises(ValueError, match="two bands have the name 'a1'"):
        twice.unpack(normal(2, 1, 4))


# Containers of other libraries -----------------------------------------------------------------------------------------


def case(dims: int, mode: str, channels: int = 2) -> tuple[DWT, torch.Tensor, torch.Tensor, int]:
    level = 1 if dims == 3 else 2
    shape = (channels, *SIZES[dims])
    transform, x = DWT(shape, "db2", level, mode), normal(3, *shape)
    return transform, x, transform(x), level


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("mode", ["periodization", *PADDED])
def test_pywavelets_reads_our_pyramids_and_we_read_its(mode: str, dims: int) -> None:
    transform, x, z, level = case(dims, mode)
    axes: Any = -1 if dims == 1 else tuple(range(-dims, 0))
    decompose, compose = {
        1: (pywt.wavedec, pywt.waverec),
        2: (pywt.wavedec2, pywt.waverec2),
        3: (pywt.wavedecn, pywt.waverecn),
    }[dims]
    np.testing.assert_allclose(compose(transform.to_pywt(z), "db2", mode, axes), x, atol=1e-10)
    torch.testing.assert_close(transform.from_pywt(decompose(x.numpy(), "db2", mode, level, axes)), z, rtol=0, atol=1e-10)
    if dims == 2:  # dictionaries of any number of axes are read too
        container = pywt.wavedecn(x.numpy(), "db2", mode, level, axes)
        torch.testing.assert_close(transform.from_pywt(container), z, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("mode", [*PADDED, "boundary"])
@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
def test_ptwt_reads_our_pyramids_and_we_read_its(mode: str, dims: int) -> None:
    transform, x, z, level = case(dims, mode)
    suffix = "" if dims == 1 else str(dims)
    if mode == "boundary":
        decompose = getattr(ptwt, f"MatrixWavedec{suffix}")("db2", level, orthogonalization="gramschmidt")
        compose = getattr(ptwt, f"MatrixWaverec{suffix}")("db2", orthogonalization="gramschmidt")
    else:
        decompose = lambda x: getattr(ptwt, f"wavedec{suffix}")(x, "db2", mode=mode, level=level)
        compose = lambda c: getattr(ptwt, f"waverec{suffix}")(c, "db2")
    torch.testing.assert_close(transform.from_ptwt(decompose(x)), z, rtol=0, atol=1e-10)
    torch.testing.assert_close(compose(transform.to_ptwt(z)), x, rtol=0, atol=1e-10)


def test_the_order_of_coeffs_to_array_is_as_documented() -> None:
    transform, _, z, _ = case(2, "periodization", channels=1)
    array, _ = pywt.coeffs_to_array(transform.to_pywt(z[:1]), axes=(-2, -1))
    bands = {name: band.numpy() for name, band in transform.unpack(z[:1]).items()}
    np.testing.assert_array_equal(array[..., :4, :6], bands["aa2"])
    np.testing.assert_array_equal(array[..., :8, 12:], bands["ad1"])  # cV: to the right of cA
    np.testing.assert_array_equal(array[..., 8:, :12], bands["da1"])  # cH: below it
    assert not np.array_equal(array[..., 8:, :12], bands["ad1"])  # the control: the two are not the same


def test_stationary_pyramids_and_packet_trees() -> None:
    x = normal(3, 2, 8, 16)
    swt = SWT((2, 8, 16), "db2", 2)
    container = pywt.swt2(x.numpy(), "db2", 2, axes=(-2, -1), norm=True, trim_approx=True)
    torch.testing.assert_close(swt.from_pywt(container), swt(x), rtol=0, atol=1e-10)
    np.testing.assert_allclose(pywt.iswt2(swt.to_pywt(swt(x)), "db2", norm=True, axes=(-2, -1)), x, atol=1e-10)
    wpt = WPT((2, 8, 16), "db2", 2)
    tree = pywt.WaveletPacketND(x.numpy(), "db2", "periodization", maxlevel=2, axes=(-2, -1))
    torch.testing.assert_close(wpt.from_pywt(tree), wpt(x), rtol=0, atol=1e-10)
    np.testing.assert_allclose(wpt.to_pywt(wpt(x)).reconstruct(update=False), x, atol=1e-10)


def test_one_signal_without_batch_and_missing_details() -> None:
    transform = DWT((1, 8), "haar", 2)
    low, _, finest = pywt.wavedec(np.arange(8.0), "haar", "periodization", level=2)
    z = transform.from_pywt([low, None, finest])
    assert torch.equal(transform.unpack(z)["d2"], torch.zeros(1, 1, 2, dtype=torch.double))
    np.testing.assert_allclose(transform.unpack(z)["d1"][0, 0], finest)


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ([np.ones(2), np.ones(2)], "expected an approximation and the details of 2 levels"),
        ([np.ones(2), np.ones(3), np.ones(4)], r"'d2' as a tensor of shape .batch, 1, 2., got .1, 1, 3."),
        ([np.ones(2), {"x": np.ones(2)}, np.ones(4)], "'d2' is missing"),
        ([None, np.ones(2), np.ones(4)], "band a must be an array, got NoneType"),
        (np.ones(8), "expected an approximation"),
        ([np.ones(2), "no", np.ones(4)], "band d2 must be an array, got str"),
    ],
)
def test_other_containers_are_refused(container: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        DWT((1, 8), "haar", 2).from_pywt(container)


def test_values_of_a_result_have_bands_too() -> None:
    att = pb.attribute(lambda x: x.flatten(1).sum(1), torch.ones(2, 1, 8), transform="dwt(haar, level=1)")
    bands = att.transform.unpack(att.values)
    assert {name: tuple(band.shape) for name, band in bands.items()} == {"a1": (2, 1, 4), "d1": (2, 1, 4)}
