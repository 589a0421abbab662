"""Packets, undecimated, dual-tree and boundary wavelets against PyWavelets, ptwt and their definitions."""

import itertools
import math
import warnings

import numpy as np
import ptwt
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.compare import no_faults, same
from support.subjects import normal

from pullback.attribution import Gradient, InputXGradient, IntegratedGradients, SmoothGrad
from pullback.transforms import DTCWT, SWT, WPT, TransformClaim, get, names
from pullback.transforms.wavelets import packing
from pullback.transforms.wavelets.dualtree import QSHIFT, qshift

WAVELETS = ("haar", "db4", "sym5", "bior2.2", "rbio3.1", "coif2")
LINEAR_IN_GRADIENTS = (Gradient, InputXGradient, SmoothGrad, IntegratedGradients)
ORDERS = {"frequency": "freq", "natural": "natural"}


# Packets ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("wavelet", WAVELETS)
def test_wpt_is_that_of_pywavelets(wavelet: str, order: str) -> None:
    x = normal(2, 3, 64)
    packet = pywt.WaveletPacket(x.numpy(), wavelet, mode="periodization", maxlevel=3, axis=-1)
    nodes = packet.get_level(3, order=ORDERS[order])
    transform = WPT((3, 64), wavelet, level=3, order=order)
    same(transform(x), np.concatenate([node.data for node in nodes], -1))
    assert [band.name for band in transform.layout.bands] == [node.path for node in nodes]


@pytest.mark.parametrize("wavelet", WAVELETS)
def test_wpt_is_that_of_pywavelets_in_two_axes(wavelet: str) -> None:
    x = normal(2, 1, 24, 16)
    packet = pywt.WaveletPacket2D(x.numpy(), wavelet, mode="periodization", maxlevel=2, axes=(-2, -1))
    data = [node.data.reshape(2, 1, -1) for row in packet.get_level(2, order="freq") for node in row]
    same(WPT((1, 24, 16), wavelet, level=2)(x), np.concatenate(data, -1))


def test_wpt_is_that_of_pywavelets_in_three_axes() -> None:
    x = normal(1, 1, 8, 4, 12)
    packet = pywt.WaveletPacketND(x.numpy(), "db2", mode="periodization", maxlevel=2, axes=(-3, -2, -1))
    transform = WPT((1, 8, 4, 12), "db2", level=2, order="natural")
    same(transform(x), np.concatenate([packet[path].data.reshape(1, 1, -1) for path in transform.nodes], -1))


def test_wpt_along_the_pyramid_is_the_dwt_with_its_bands() -> None:
    shape = (2, 12, 10)
    pyramid = get("dwt(db3, level=2)", shape)
    tree = WPT(shape, "db3", nodes="aaaa+aaad+aada+aadd+ad+da+dd", order="natural")
    same(tree(normal(2, *shape)), pyramid(normal(2, *shape)))
    what = lambda t: [(b.scale, b.orientation, b.low, b.high, b.octave) for b in t.layout.bands]
    assert what(tree) == what(pyramid)
    for name in ("frequency", "position", "index"):
        same(getattr(tree.layout, name), getattr(pyramid.layout, name))


@pytest.mark.parametrize("order", ORDERS)
def test_wpt_frequency_is_where_the_spectrum_is(order: str) -> None:
    """A sinusoid at a band's centre puts most of its energy there, whatever the path's Gray code."""
    transform = WPT((1, 256), "db10", level=3, order=order)
    for number, band in enumerate(transform.layout.bands):
        centre = float(transform.layout.frequency[0][transform.layout.index == number][0])
        assert band.low < centre < band.high
        wave = torch.cos(2 * math.pi * centre * torch.arange(256, dtype=torch.float64))[None, None]
        energy = transform.layout.sum(transform(wave) ** 2)[0]
        assert int(energy.argmax()) == number
        assert float(energy[number] / energy.sum()) > 0.8
    lows = [band.low for band in transform.layout.bands]
    assert (lows == sorted(lows)) == (order == "frequency")


def test_packet_octaves_are_dyadic() -> None:
    layout = WPT((1, 32), "haar", level=4).layout
    assert [band.octave for band in layout.bands] == [
        "coarser",
        "octave 4",
        *["octave 3"] * 2,
        *["octave 2"] * 4,
        *["octave 1"] * 8,
    ]
    assert [band.scale for band in layout.bands] == [5, 4, *[3] * 2, *[2] * 4, *[1] * 8]


@st.composite
def trees(draw: st.DrawFn, dims: int, level: int) -> list[str]:
    """The leaves of any admissible tree."""
    keys = ["".join(key) for key in itertools.product("ad", repeat=dims)]
    leaves = [""]
    for depth in range(level):
        split = [path for path in leaves if len(path) == depth * dims and draw(st.booleans())]
        leaves = [path for path in leaves if path not in split] + [path + key for path in split for key in keys]
    return draw(st.permutations(leaves))


@given(st.data(), st.integers(1, 33), st.sampled_from(WAVELETS), st.sampled_from(sorted(ORDERS)))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_wpt_of_any_tree_and_size_keeps_its_claims(data: st.DataObject, n: int, wavelet: str, order: str) -> None:
    transform = WPT((1, n), wavelet, nodes=data.draw(trees(1, int(math.log2(n)))), order=order)
    no_faults(transform)
    again = get(transform.spec, transform.shape)
    assert again.spec == transform.spec
    same(again(normal(2, 1, n)), transform(normal(2, 1, n)))
    assert TransformClaim.ORTHOGONAL in transform.claims or wavelet in ("bior2.2", "rbio3.1")


@given(st.data(), st.lists(st.integers(1, 9), min_size=2, max_size=3), st.sampled_from(["haar", "db2", "bior2.2"]))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_wpt_in_more_axes(data: st.DataObject, sizes: list[int], wavelet: str) -> None:
    level = min(2, int(math.log2(max(sizes))))
    no_faults(WPT((2, *sizes), wavelet, nodes=data.draw(trees(len(sizes), level))))


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ("a", "'d' is missing"),
        ("aa+ad", "'d' is missing"),
        ("a+d+dd", "'d' is given beside its own children|'da' is missing"),
        ("a+d+d", "'d' is given twice"),
        ("a+x", "letters a and d"),
        ([], "nodes must be paths"),
        ([1], "nodes must be paths"),
        (7, "nodes must be paths"),
        ("root+a+d", "'root' is given beside"),
    ],
)
def test_nodes_that_are_not_a_tree_are_refused(nodes: object, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        WPT((1, 16), nodes=nodes)  # type: ignore[arg-type]


def test_wpt_refuses() -> None:
    with pytest.raises(ValueError, match="letters a and d for each level, such as 'ddaa'; got 'a'"):
        WPT((1, 8, 8), nodes="a+d")
    with pytest.raises(ValueError, match=r"level must lie in 0…4"):
        WPT((1, 16), level=5)
    with pytest.raises(ValueError, match=r"level must lie in 0…1"):
        WPT((1, 3), nodes="aa+ad+d")
    with pytest.raises(ValueError, match="not a discrete wavelet"):
        WPT((1, 16), "db99")
    with pytest.raises(ValueError, match="expected order in frequency, natural"):
        WPT((1, 16), order="gray")
    with pytest.raises(ValueError, match="got both"):
        WPT((1, 16), level=1, nodes="a+d")
    with pytest.raises(ValueError, match="1 or 2 or 3 signal axes"):
        WPT((1, 2, 2, 2, 2))


# Undecimated --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wavelet", WAVELETS)
def test_swt_is_that_of_pywavelets(wavelet: str) -> None:
    x = normal(2, 1, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that energy is not kept where the wavelet is not orthogonal
        expected = pywt.swt(x.numpy(), wavelet, level=3, norm=True, trim_approx=True, axis=-1)
    same(SWT((1, 32), wavelet, level=3)(x), np.concatenate(expected, -1))


@pytest.mark.parametrize("shape", [(1, 16, 8), (1, 8, 4, 8)])
def test_swt_is_that_of_pywavelets_in_more_axes(shape: tuple[int, ...]) -> None:
    x = normal(2, *shape)
    axes = tuple(range(2, x.ndim))
    low, *steps = pywt.swtn(x.numpy(), "db2", 2, norm=True, trim_approx=True, axes=axes)
    bands = [low, *(step[key] for step in steps for key in sorted(step))]
    same(SWT(shape, "db2", level=2)(x), np.concatenate([band.reshape(2, 1, -1) for band in bands], -1))


@given(
    st.lists(st.integers(1, 33), min_size=1, max_size=1) | st.lists(st.integers(1, 9), min_size=2, max_size=3),
    st.sampled_from([*WAVELETS, "dmey", "sym20"]),
    st.integers(0, 5),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_swt_of_any_size_keeps_its_claims(sizes: list[int], wavelet: str, level: int) -> None:
    no_faults(SWT((1, *sizes), wavelet, level=min(level, int(math.log2(max(sizes))))))


def test_swt_of_a_shift_is_the_shift_of_the_swt() -> None:
    transform = SWT((1, 15), "db3", level=3)
    x = normal(1, 1, 15)
    bands, shifted = (transform(part).unflatten(-1, (4, 15)) for part in (x, x.roll(4, -1)))
    same(shifted, bands.roll(4, -1))
    assert transform.layout.position.max() < 15


# Dual tree ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taps", QSHIFT)
def test_qshift_filters_are_orthonormal_and_as_published(taps: int) -> None:
    h = qshift(taps)
    assert np.abs(h - QSHIFT[taps]).max() < 2e-7
    products = np.correlate(h, h, "full")[taps - 1 :: 2]
    np.testing.assert_allclose(products, np.eye(1, taps // 2)[0], atol=1e-15)
    assert abs(h @ (-1.0) ** np.arange(taps)) < 1e-15


def by_definition(x: np.ndarray, transform: DTCWT) -> np.ndarray:
    """One axis, even sizes: Σ_m h[m] x[2k + m + 1 - L/2] twice, by a double loop, tree b one sample late at level 1."""

    def split(x: np.ndarray, filters: list[np.ndarray], late: int) -> list[np.ndarray]:
        n, taps = len(x), len(filters[0])
        return [
            np.array([sum(h[m] * x[(2 * k + m + 1 - taps // 2 + late) % n] for m in range(taps)) for k in range(n // 2)])
            for h in filters
        ]

    trees = []
    first, h = pywt.Wavelet("sym5"), qshift(14)
    for late, lowpass in enumerate((h, h[::-1])):
        signs = (-1.0) ** np.arange(len(h))
        low, detail = split(x, [np.array(first.rec_lo), np.array(first.rec_hi)], late)
        details = [detail]
        for _ in range(1, transform.level):
            low, detail = split(low, [lowpass, signs * lowpass[::-1]], 0)
            details = [detail, *details]
        trees.append([low, *details])
    return np.concatenate([part for pair in zip(*trees) for part in pair]) / 2**0.5


def test_dtcwt_is_its_definition() -> None:
    x = normal(1, 1, 32)
    transform = DTCWT((1, 32), level=3)
    same(transform(x)[0, 0], by_definition(x[0, 0].numpy(), transform))


@given(
    st.lists(st.integers(1, 33), min_size=1, max_size=1) | st.lists(st.integers(1, 12), min_size=2, max_size=2),
    st.sampled_from([10, 14]),
    st.sampled_from(["sym5", "haar", "db4"]),
    st.integers(0, 5),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_dtcwt_of_any_size_keeps_its_claims(sizes: list[int], taps: int, first: str, level: int) -> None:
    no_faults(DTCWT((1, *sizes), taps, min(level, int(math.log2(max(sizes)))), first))


def atom(transform: DTCWT, band: int) -> tuple[torch.Tensor, torch.Tensor]:
    """T⁻¹ of one complex coefficient in the middle of a band, (*spatial), and the place that the layout gives it."""
    real, imaginary = (transform.layout.index[0] == band).nonzero()[:, 0].chunk(2)
    position = transform.layout.position[:, 0, real]
    middle = int((position - torch.tensor(transform.shape[1:])[:, None] / 2).norm(dim=0).argmin())
    z = torch.zeros(2, *transform.layout.shape, dtype=torch.float64)
    z[0, 0, real[middle]] = z[1, 0, imaginary[middle]] = 1
    return torch.complex(*transform.inverse(z)[:, 0]), position[:, middle]


@pytest.mark.parametrize(("taps", "limit"), [(10, 0.01), (14, 0.001)])
def test_dtcwt_atoms_are_nearly_analytic(taps: int, limit: float) -> None:
    """Energy at negative frequencies: under `limit` from level 2, 0.2 at level 1, and half for a real wavelet."""
    transform = DTCWT((1, 512), taps, level=5)
    for number, band in enumerate(transform.layout.bands[1:], 1):
        wavelet, position = atom(transform, number)
        spectrum = torch.fft.fft(wavelet).abs() ** 2
        assert float(spectrum[257:].sum() / spectrum.sum()) < (limit if band.scale > 1 else 0.2), band
        real = torch.fft.fft(wavelet.real).abs() ** 2
        assert float(real[257:].sum() / real.sum()) == pytest.approx(0.5, abs=0.01)
        energy = wavelet.abs() ** 2
        assert float((energy * torch.arange(512)).sum() / energy.sum()) == pytest.approx(float(position), abs=1)


def test_dtcwt_magnitudes_hardly_move_with_the_signal() -> None:
    """How much the energy of a level changes over all shifts of a step, against the plain dwt."""
    step = (torch.arange(256) >= 128).double() * (torch.arange(256) < 200)
    shifts = torch.stack([step.roll(s) for s in range(16)])[:, None]

    def variation(spec: str) -> torch.Tensor:
        transform = get(spec, (1, 256))
        energy = transform.layout.sum(transform(shifts) ** 2)[:, 1:]
        return (energy.amax(0) - energy.amin(0)) / energy.mean(0)

    dual, plain = variation("dtcwt(level=4)"), variation("dwt(sym5, level=4)")
    assert float(dual[:3].max()) < 0.1, dual
    assert float((dual / plain)[:3].max()) < 0.15, (dual, plain)


@pytest.mark.parametrize("angle", [15, 45, 75, -15, -45, -75])
def test_dtcwt_orientations(angle: int) -> None:
    """The band of that name holds most of the energy of stripes that rise by `angle`, counter-clockwise, from the rows."""
    transform = DTCWT((1, 64, 64), level=3)
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    turn = math.radians(angle)
    across = columns * math.sin(turn) + rows * math.cos(turn)  # rows point down
    across = across / max(abs(math.sin(turn)), abs(math.cos(turn)))  # in the middle of octave 2 along one axis at least
    window = torch.hann_window(64, periodic=False)
    stripes = (torch.cos(2 * math.pi * 0.1875 * across) * window * window[:, None]).double()[None, None]
    energy = transform.layout.group("orientation").sum(transform(stripes) ** 2)[0]
    names = [band.name for band in transform.layout.group("orientation").bands]
    assert names[int(energy.argmax())] == f"{angle:+d}", dict(zip(names, energy.tolist()))
    assert float(energy.max() / energy.sum()) > 0.75  # the lowpass pair is not one-sided near 0: the rest is mostly -angle


def test_dtcwt_complex_bands_hold_all_details() -> None:
    transform = DTCWT((2, 12, 10), level=2)
    z = transform(normal(3, 2, 12, 10))
    bands = transform.complex(z)
    assert list(bands) == [band.name for band in transform.layout.bands[1:]]
    energy = torch.stack([(band.abs() ** 2).flatten(1).sum(1) for band in bands.values()], 1)
    same(energy, transform.layout.sum(z**2)[:, 1:])


def test_dtcwt_refuses() -> None:
    with pytest.raises(ValueError, match="expected taps in 10, 14"):
        DTCWT((1, 16), taps=12)
    with pytest.raises(ValueError, match="first must be an orthonormal wavelet"):
        DTCWT((1, 16), first="bior2.2")
    with pytest.raises(ValueError, match="level must lie in"):
        DTCWT((1, 16), level=9)
    with pytest.raises(ValueError, match="1 or 2 signal axes"):
        DTCWT((1, 4, 4, 4))


# Boundary -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wavelet", ["haar", "db2", "db4", "sym4", "coif1"])
@pytest.mark.parametrize("n", [16, 64, 160])
def test_boundary_dwt_is_the_matrix_transform_of_ptwt(wavelet: str, n: int) -> None:
    x = normal(2, 1, n)
    level = get(f"dwt({wavelet}, mode=boundary)", (1, n)).level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch: sparse tensors are in beta
        expected = torch.cat(ptwt.MatrixWavedec(wavelet, level, orthogonalization="gramschmidt")(x), -1)
    same(get(f"dwt({wavelet}, level={level}, mode=boundary)", (1, n))(x), expected)


@given(st.sampled_from(["db2", "db3", "sym4", "db10", "db38", "coif17"]), st.integers(0, 20), st.integers(1, 3))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_boundary_dwt_is_orthonormal_for_every_even_size_and_filter(wavelet: str, more: int, level: int) -> None:
    taps = pywt.Wavelet(wavelet).dec_len
    transform = get(f"dwt({wavelet}, level={level}, mode=boundary)", (1, (taps + 2 * more) * 2 ** (level - 1)))
    assert transform.claims == TransformClaim.ORTHOGONAL
    no_faults(transform)


@pytest.mark.parametrize(("wavelet", "level", "shape"), [("db3", 3, (1, 80)), ("db10", 3, (1, 80)), ("sym4", 2, (1, 48, 32))])
def test_boundary_dwt_states_a_frequency_where_its_atoms_are_those_of_the_wavelet(
    wavelet: str, level: int, shape: tuple[int, ...]
) -> None:
    """Atoms of replaced filters differ from the periodic ones and are not band-pass, so they have no frequency."""
    boundary, periodic = (get(f"dwt({wavelet}, level={level}, mode={mode})", shape) for mode in ("boundary", "periodization"))
    units = torch.eye(math.prod(shape), dtype=torch.float64)[:, None]
    same = (boundary.inverse(units) - periodic.inverse(units)).abs().flatten(1).amax(1) < 1e-12
    known = boundary.layout.frequency.isfinite().all(0)[0]
    assert torch.equal(known, same)
    torch.testing.assert_close(boundary.layout.frequency[:, :, known], periodic.layout.frequency[:, :, known])


def test_boundary_dwt_does_not_join_the_ends() -> None:
    """A spike at one end leaves the other end's coefficients at 0; with periodization it does not."""
    x = torch.zeros(1, 1, 32, dtype=torch.float64)
    x[..., 0] = 1
    reaches = {
        mode: bool(get(f"dwt(db3, level=1, mode={mode})", (1, 32))(x)[..., 12:16].abs().max() > 1e-8)
        for mode in ("boundary", "periodization")
    }
    assert reaches == {"boundary": False, "periodization": True}


@pytest.mark.parametrize(
    ("spec", "shape", "message"),
    [
        ("dwt(db2, level=1, mode=boundary)", (1, 15), "level must lie in 0…0 for .*15.*even sizes of at least 4 samples"),
        ("dwt(db2, level=1, mode=boundary)", (1, 16, 9), "even sizes of at least 4"),
        ("dwt(db4, level=1, mode=boundary)", (1, 6), "even sizes of at least 8"),
        ("dwt(db2, level=3, mode=boundary)", (1, 12), r"level must lie in 0…2"),
        ("dwt(bior2.2, mode=boundary)", (1, 16), "needs an orthonormal wavelet"),
        ("dwt(dmey, mode=boundary)", (1, 128), "needs an orthonormal wavelet"),
    ],
)
def test_boundary_dwt_refuses(spec: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get(spec, shape)


# Signals shorter than the filters -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(2, 12))
@pytest.mark.parametrize("wavelet", ["bior2.2", "rbio3.1", "bior4.4"])
def test_biorthogonal_wavelets_claim_isometry_where_their_taps_fold_to_one(wavelet: str, n: int) -> None:
    for level in range(1, int(math.log2(n)) + 1):
        for name in ("wpt", "swt", "dwt"):
            no_faults(get(f"{name}({wavelet}, level={level})", (1, n)))
    assert (TransformClaim.ISOMETRIC in get(f"wpt({wavelet}, level=1)", (1, n)).claims) == (n < 4)


# All ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wpt", "swt", "dtcwt", "dwt"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 3), (1, 16), (1, 17), (1, 16, 16), (1, 1, 5)])
def test_defaults_adapt_to_the_shape(name: str, shape: tuple[int, ...]) -> None:
    assert name in names()
    if max(shape[1:]) > 1:
        no_faults(get(name, shape))
        return
    with pytest.warns(UserWarning, match="level 0, the signal itself, is the deepest"):
        no_faults(get(name, shape))


def test_level_zero_of_any_wavelet_is_orthonormal() -> None:
    for spec in ("wpt(bior2.2, level=0)", "swt(bior2.2, level=0)", "dwt(bior2.2, level=0)"):
        no_faults(get(spec, (1, 8)))
        assert get(spec, (1, 8)).claims == TransformClaim.ORTHOGONAL


def test_transposes_agree_with_automatic_differentiation() -> None:
    for spec in (
        "wpt(bior4.4, level=2)",
        "swt(bior4.4, level=2)",
        "swt(dmey, level=1)",
        "dtcwt(level=2)",
        "dwt(sym4, level=1, mode=boundary)",
    ):
        transform = get(spec, (1, 14))
        z = normal(2, *transform.layout.shape).requires_grad_()
        (expected,) = torch.autograd.grad(transform.inverse(z), z, normal(2, 1, 14))
        same(transform.adjoint(normal(2, 1, 14)), expected)


@pytest.mark.parametrize("spec", ["swt(db2, level=2)", "dtcwt(level=2)"])
def test_blocks_of_examples_change_nothing(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    transform = get(spec, (1, 20))
    operations = [(transform, (1, 20)), (transform.inverse, transform.layout.shape), (transform.adjoint, (1, 20))]
    whole = [f(normal(5, *shape)) for f, shape in operations]
    monkeypatch.setattr(packing, "_BLOCK", {"cpu": 2 * 20})
    for (f, shape), before in zip(operations, whole):
        torch.testing.assert_close(f(normal(5, *shape)), before, rtol=1e-13, atol=1e-13)
