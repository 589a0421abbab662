"""Trees that halve one axis, in frequency or in space: known transforms as special cases, places, and refusals."""

import itertools

import pytest
import torch
from support.subjects import normal

from pullback.transforms import Tiling, get
from pullback.transforms.wavelets.tiling import Side


def test_splitting_all_axes_in_turn_is_the_packet_transform() -> None:
    x = normal(2, 1, 12, 16)
    leaf = "ij..j.."  # one level of both axes
    T = Tiling((1, 12, 16), "db2", f"ij{leaf}{leaf}j{leaf}{leaf}")
    packets = get("wpt(db2, level=2, order=natural)", (1, 12, 16))
    torch.testing.assert_close(T(x), packets(x), rtol=1e-10, atol=1e-12)
    assert torch.equal(T.layout.position, packets.layout.position)
    assert torch.equal(T.layout.frequency, packets.layout.frequency)
    same = lambda layout: [(band.scale, band.orientation, band.low, band.high) for band in layout.bands]
    assert same(T.layout) == same(packets.layout)


def test_an_axis_alone_is_the_transform_along_it() -> None:
    x, shape = normal(2, 2, 12, 9), (2, 12, 9)
    T = Tiling(shape, "db2", "ii..i..")
    along = get("along(wpt(db2, level=2, order=natural), axes=1)", shape)
    torch.testing.assert_close(T(x).flatten(1), along(x).flatten(1), rtol=1e-10, atol=1e-12)


def test_the_order_of_axes_does_not_matter() -> None:
    x, shape = normal(1, 1, 8, 8), (1, 8, 8)
    one, two = (Tiling(shape, "db4", tree)(x).flatten() for tree in ("ij..j..", "ji..i.."))
    torch.testing.assert_close(one.unflatten(0, (2, 2, 16)), two.unflatten(0, (2, 2, 16)).transpose(0, 1), rtol=0, atol=1e-12)
    areas = [set(Tiling(shape, "db4", tree).areas) for tree in ("ij..j..", "ji..i..")]
    assert areas[0] == areas[1]


def test_halves_in_space_are_transformed_by_themselves() -> None:
    x, T = normal(2, 1, 20), Tiling((1, 20), "db2", "Ii..ii...")
    parts = [Tiling((1, 10), "db2", tree)(half) for tree, half in zip(("i..", "ii..."), x.split(10, -1))]
    torch.testing.assert_close(T(x), torch.cat(parts, -1), rtol=0, atol=0)
    assert T.layout.position[0, 0, 10:].min() >= 10 > T.layout.position[0, 0, :10].max()
    assert T.areas[0] == (Side(0, 5, 1, 0, 10),)
    assert T.areas[2] == (Side(10, 3, 2, 0, 10),)
    assert [band.name for band in T.layout.bands] == ["I1ia", "I1id", "I2iaia", "I2iaid", "I2id"]


@pytest.mark.parametrize("shape", [(1, 13), (2, 7), (1, 7, 9), (1, 5, 6, 7)])
@pytest.mark.parametrize("wavelet", ["haar", "db4"])
def test_every_tree_is_orthonormal_for_every_size(shape: tuple[int, ...], wavelet: str) -> None:
    letters = "ijk"[: len(shape) - 1]
    for one, two in itertools.product([*letters, *letters.upper()], repeat=2):
        T, x = Tiling(shape, wavelet, f"{one}{two}..."), normal(2, *shape)
        torch.testing.assert_close(T(x).flatten(1).norm(dim=1), x.flatten(1).norm(dim=1), rtol=1e-10, atol=0)
        torch.testing.assert_close(T.inverse(T(x)), x, rtol=0, atol=1e-10)
        assert get(T.spec, shape).spec == T.spec


def test_a_tree_that_is_none_gets_one_clear_error() -> None:
    for tree, said in (
        ("ii..", "ends before"),
        ("i...", "goes on with"),
        ("k..", "has 'k'"),
        ("iiii.....", "halves a single sample along i"),
        ("", "ends before"),
        (3, "must be a text"),
    ):
        with pytest.raises((ValueError, TypeError), match=said) as error:
            Tiling((1, 4, 8), "haar", tree)  # type: ignore[arg-type]
        assert len(str(error.value)) <= 300
    with pytest.raises(ValueError, match="must be orthonormal"):
        Tiling((1, 8), "bior2.2", "i..")
