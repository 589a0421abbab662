"""Filter banks by angles: known wavelets, what every angle keeps, derivatives, and refusals."""

import math

import pytest
import torch
from support.subjects import normal

from pullback.transforms import Lattice, get, lattice_angles


@pytest.mark.parametrize("wavelet", ["haar", "db2", "db3", "db4", "sym5", "coif1", "db6"])
@pytest.mark.parametrize("shape", [(1, 16), (2, 13), (1, 6, 10)])
def test_the_angles_of_a_wavelet_give_its_transform(wavelet: str, shape: tuple[int, ...]) -> None:
    T, known = Lattice(shape, lattice_angles(wavelet), 2), get(f"dwt({wavelet}, level=2)", shape)
    x = normal(2, *shape)
    torch.testing.assert_close(T(x), known(x), rtol=1e-10, atol=1e-10)
    assert torch.equal(T.layout.position, known.layout.position)
    assert T.layout.bands == known.layout.bands


def test_the_angles_of_db2_are_known() -> None:
    """tan θ = tap 0 / tap 1 of the textbook filter (1 + √3, 3 + √3, 3 - √3, 1 - √3) / 4√2."""
    assert lattice_angles("db2") == pytest.approx([math.atan((1 + math.sqrt(3)) / (3 + math.sqrt(3)))], abs=1e-10)
    assert lattice_angles("haar") == []


def test_no_angles_lose_the_vanishing_moment_or_the_length() -> None:
    for seed in range(20):
        free = normal(4, seed=seed) * 2
        low, high = Lattice((1, 64), free, 1).filters[0][0]
        assert float(low.sum()) == pytest.approx(math.sqrt(2), abs=1e-12)
        assert abs(float(high.sum())) < 1e-12
        assert float(low @ low.roll(2)) == pytest.approx(float(low[:2] @ low[-2:]), abs=1e-12)  # orthogonal to its shifts
    assert len(low) == 10


def test_each_axis_and_level_has_its_own_angles() -> None:
    angles = [[lattice_angles("db2"), [0.0]], [[0.0], lattice_angles("db2")]]  # levels, axes; 0 is -haar, with four taps
    T = Lattice((1, 16, 16), angles)
    first = get("along(dwt(db2, level=1), axes=1) >> along(dwt(haar, level=1), axes=2)", (1, 16, 16))
    x = normal(1, 1, 16, 16)
    assert T.level == 2
    torch.testing.assert_close(T.unpack(T(x))["dd1"], -first(x)[..., 8:, 8:], rtol=1e-10, atol=1e-10)


def test_boundary_mode_does_not_join_the_ends() -> None:
    x = torch.zeros(1, 1, 32).double()
    x[..., 0] = 1
    for mode, touched in (("periodization", True), ("boundary", False)):
        d1 = Lattice((1, 32), [0.4, -0.9], 1, mode).unpack(Lattice((1, 32), [0.4, -0.9], 1, mode)(x))["d1"]
        assert bool(d1[..., -1].abs() > 1e-12) is touched


def test_derivatives_in_the_angles_are_those_of_finite_differences() -> None:
    x = normal(1, 1, 12)
    angles = torch.tensor([0.3, -1.2], dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a: Lattice((1, 12), a, 2)(x), (angles,))
    assert torch.autograd.gradcheck(lambda a: Lattice((1, 12), a, 1, "boundary").inverse(x), (angles,))


def test_the_spec_holds_every_digit() -> None:
    T = Lattice((1, 8), normal(1, 2), 1)
    assert torch.equal(get(T.spec, (1, 8)).angles, T.angles)  # type: ignore[attr-defined]


def test_bad_angles_get_one_clear_error() -> None:
    for call, said in (
        (lambda: Lattice((1, 8), ["a"]), "must be finite numbers"),
        (lambda: Lattice((1, 8), [math.nan]), "must be finite numbers"),
        (lambda: Lattice((1, 8), [[0.1], [0.2, 0.3]]), "must be finite numbers"),
        (lambda: Lattice((1, 8), [[0.1], [0.2]], level=3), "angles are given for 2 levels"),
        (lambda: Lattice((1, 8, 8), [[[0.1]]]), "one list for each of 2 signal axes"),
        (lambda: Lattice((1, 8), [0.1] * 16), "at most 15 free angles"),
        (lambda: Lattice((1, 8), [0.1], 4), "level must lie in 0…3"),
        (lambda: lattice_angles("bior2.2"), "expected an orthonormal wavelet"),
    ):
        with pytest.raises((ValueError, TypeError), match=said) as error:
            call()
        assert len(str(error.value)) <= 300
