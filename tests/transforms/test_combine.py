"""Combinators: along axes, per axis, within a part, inverted, one after another; and specs within specs."""

import pytest
import scipy.fft
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.subjects import normal

import pullback as pb
from pullback.transforms import Transform, TransformClaim, get, inverse_of

LINEAR = ["dct", "dft", "dwt(bior2.2, level=1)", "dwt(db2, level=1, mode=symmetric)", "pixel"]


def faults(transform: Transform) -> tuple[object, ...]:
    return pb.axioms.check_transform(transform).faults


@given(st.lists(st.integers(1, 6), min_size=2, max_size=4), st.data())
@settings(max_examples=15, deadline=None, derandomize=True)
def test_along_any_axes_of_any_shape(sizes: list[int], data: st.DataObject) -> None:
    shape = tuple(sizes)
    axes = data.draw(st.permutations(range(len(shape))).map(lambda p: p[: data.draw(st.integers(1, len(p)))][:3]))
    spec = data.draw(st.sampled_from(["dct", "dft", "dwt(haar, level=0)", "pixel"]))
    transform = get(f"along({spec}, axes={list(axes)})", shape)
    assert not faults(transform)
    x = normal(2, *shape)
    if spec == "dct":
        expected = scipy.fft.dctn(x.numpy(), axes=[a + 1 for a in axes], norm="ortho")
        torch.testing.assert_close(transform(x), torch.as_tensor(expected), rtol=1e-10, atol=1e-10)


def test_along_packs_pyramids_behind_the_other_axes() -> None:
    x = normal(2, 3, 8, 5, 6)
    transform = get("along(dwt(haar, level=1), axes=[1, 3])", x.shape[1:])
    assert transform.layout.shape == (3, 5, 48)
    alone = get("dwt(haar, level=1)", (1, 8, 6))
    torch.testing.assert_close(transform(x)[:, 2, 4], alone(x[:, 2:3, :, 4])[:, 0])
    at = transform.layout.position[:, 2, 4, 7].tolist()
    own = alone.layout.position[:, 0, 7].tolist()
    assert at == [own[0], 4.0, own[1]]
    assert transform.layout.frequency[1].isnan().all()


def test_the_order_of_axes_matters_to_the_inner_transform() -> None:
    x = normal(1, 2, 3, 4)
    one, other = (get(f"along(dwt(haar, level=1), axes={axes})", x.shape[1:]) for axes in ([1, 2], [2, 1]))
    assert one.inner.shape == (1, 3, 4)  # type: ignore[attr-defined]
    assert other.inner.shape == (1, 4, 3)  # type: ignore[attr-defined]
    assert not torch.allclose(one(x), other(x))


def test_per_axis_is_a_dct_over_channels_and_a_wavelet_over_time() -> None:
    x = normal(2, 4, 16)
    transform = get("per_axis(dct, dwt(db2, level=2))", (4, 16))
    over_channels = torch.as_tensor(scipy.fft.dct(x.numpy(), axis=1, norm="ortho"))
    torch.testing.assert_close(transform(x), get("dwt(db2, level=2)", (4, 16))(over_channels))
    assert transform.claims == TransformClaim.ORTHOGONAL
    names = {band.name: band for band in transform.layout.bands}
    assert len(names) == 4 * 3
    assert names["d1 × d2"].scale == 2  # that of the time axis
    column = transform.layout.index[:, 0]
    assert [transform.layout.bands[i].name for i in column.tolist()] == ["a3 × a2", "d3 × a2", "d2 × a2", "d1 × a2"]


def test_the_bands_of_per_axis_are_the_products_of_those_of_the_axes() -> None:
    transform = get("per_axis(none, dct, dwt(haar, level=1))", (2, 5, 6))
    rows, columns = get("dct", (1, 5)).layout, get("dwt(haar, level=1)", (1, 6)).layout
    for i in range(5):
        for j in range(6):
            expected = f"{rows.bands[rows.index[0, i]].name} × {columns.bands[columns.index[0, j]].name}"
            assert transform.layout.bands[int(transform.layout.index[1, i, j])].name == expected
    torch.testing.assert_close(transform.layout.frequency[0, 0, :, 0], rows.frequency[0, 0])
    torch.testing.assert_close(transform.layout.frequency[1, 0, 0], columns.frequency[0, 0])


@pytest.mark.parametrize("spec", LINEAR)
@pytest.mark.parametrize("crop", ["[[1, 6], none]", "[[0, 7], [2, 7]]", "none"])
def test_restrict_transforms_the_part_and_passes_the_rest(spec: str, crop: str) -> None:
    x = normal(2, 3, 7, 7)
    transform = get(f"restrict({spec}, crop={crop.replace('none', 'None')}, channels=[0, 2])", (3, 7, 7))
    assert not faults(transform)
    start, stop = {"[": (1, 6), "n": (0, 7)}[crop[0]] if crop[2:3] != "0" else (0, 7)
    left, right = (2, 7) if "2, 7" in crop else (0, 7)
    part = x[:, [0, 2], start:stop, left:right]
    z = transform(x)
    inner = get(spec, tuple(part.shape[1:]))
    torch.testing.assert_close(z[:, 0, : inner.layout.index.numel()], inner(part).flatten(1))
    rest = torch.ones(3, 7, 7, dtype=torch.bool)
    rest[[0, 2], start:stop, left:right] = False
    assert torch.equal(z[:, 0, inner.layout.index.numel() :], x[:, rest])
    assert transform.layout.bands[-1].name == "rest"
    assert int(transform.layout.sizes[-1]) == int(rest.sum())
    places = transform.layout.position[:, 0, inner.layout.index.numel() :]
    assert torch.equal(places.long(), rest.nonzero().T[1:])


def test_the_rest_of_a_restriction_moves_with_the_crop() -> None:
    layout = get("restrict(dwt(haar, level=1), crop=[[4, 8]])", (1, 8)).layout
    assert layout.position[0, 0, :4].tolist() == [4.5, 6.5, 4.5, 6.5]


@pytest.mark.parametrize("spec", [*LINEAR, "along(dct, axes=0)", "polar"])
def test_the_inverse_of_the_inverse(spec: str) -> None:
    transform = get(spec, (2, 6))
    x, z = normal(2, 2, 6), normal(2, *transform.layout.shape)
    inverse = inverse_of(transform)
    assert torch.equal(inverse(z), transform.inverse(z))
    assert torch.equal(inverse_of(inverse)(x), transform(x))
    assert not faults(inverse)
    assert (TransformClaim.SURJECTIVE in inverse.claims) == (TransformClaim.RECONSTRUCTS in transform.claims)


def test_the_inverse_of_a_parseval_frame_is_not_isometric() -> None:
    frame = get("dwt(db2, level=1, mode=zero)", (1, 9))
    assert TransformClaim.PARSEVAL in frame.claims
    assert TransformClaim.ISOMETRIC not in inverse_of(frame).claims
    assert not faults(inverse_of(frame))


def test_shift_builds_a_composition() -> None:
    first, second = get("color(opponent)", (3, 8)), get("dwt(db2, level=1)", (3, 8))
    both = first >> second
    x = normal(2, 3, 8)
    assert torch.equal(both(x), second(first(x)))
    assert both.spec == "color(opponent) >> dwt(db2, level=1, mode=periodization)"
    with pytest.raises(TypeError, match="unsupported operand"):
        first >> "dct"  # type: ignore[operator]
    with pytest.raises(ValueError, match="takes signals of shape"):
        second >> get("dct", (3, 9))


def test_redundancy_counts_coefficients_per_sample() -> None:
    assert get("dct", (2, 9)).redundancy == 1
    assert get("along(dwt(db2, level=1, mode=zero), axes=1)", (2, 9)).redundancy == pytest.approx(12 / 9)
    assert get("restrict(dwt(db2, level=1, mode=zero), crop=[[0, 5]])", (1, 9)).redundancy == pytest.approx(12 / 9)


@pytest.mark.parametrize(
    "spec",
    [
        "along(dwt(db2, level=1) >> dct, axes=1)",
        "along('dwt(db2, level=1)', axes=1) >> along(dct, axes=0)",
        "restrict(along(restrict(dct, crop=[[0, 4]]), axes=1), crop=[[1, 7]])",
        "per_axis(none, restrict(dct, crop=[[2, 6]]) >> dwt(haar, level=1))",
        "along(\"restrict('dct', crop=[[0, 4]])\", axes=1)",
    ],
)
def test_specs_within_specs_build_the_same_again(spec: str) -> None:
    transform = get(spec, (2, 8))
    again = get(transform.spec, (2, 8))
    x = normal(2, 2, 8)
    assert again.spec == transform.spec
    assert torch.equal(again(x), transform(x))


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("along(dct, axes=2)", ValueError, "0…1"),
        ("along(dct, axes=[1, 1])", ValueError, "distinct"),
        ("along(dct, axes=[])", ValueError, "distinct"),
        ("along(dct, axes=time)", TypeError, "whole number or a list"),
        ("along(dct, axes=true)", TypeError, "whole number or a list"),
        ("along(dctt, axes=1)", ValueError, "Did you mean 'dct'"),
        ("along(dct(2, 7), axes=1)", ValueError, "too many positional"),
        ("per_axis(dct)", ValueError, "each of the 2 axes"),
        ("restrict(dct, crop=[[2, 9]])", ValueError, "stop ≤ 8"),
        ("restrict(dct, crop=[[4, 4]])", ValueError, "start < stop"),
        ("restrict(dct, crop=[[0, 1], [0, 1]])", ValueError, "1 signal axes"),
        ("restrict(dct, channels=[2])", ValueError, "in 0…1"),
        ("restrict(dct, channels=[1, 0])", ValueError, "rising"),
        ("restrict(dct, channels=[])", ValueError, "rising"),
        ("inverse_of(dwt(db2, level=1, mode=zero))", ValueError, "shape of its signals"),
    ],
)
def test_wrong_specs_are_refused(spec: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        get(spec, (2, 8))


def test_a_ready_transform_must_fit_the_part() -> None:
    inner = get("dct", (1, 4))
    assert pb.transforms.Restrict((1, 8), inner, [[2, 6]]).inner is inner
    with pytest.raises(ValueError, match="build it anew"):
        pb.transforms.Restrict((1, 8), inner, [[2, 7]])
    with pytest.raises(TypeError, match="inverse_of: expected a Transform"):
        inverse_of("dct")  # type: ignore[arg-type]
