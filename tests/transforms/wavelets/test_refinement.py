"""A deeper pyramid or tree goes on from a coarser one, and from nothing else."""

import pytest
import torch
from support.subjects import normal

from pullback.transforms import Transform, get


@pytest.mark.parametrize(
    ("shape", "coarse", "fine"),
    [
        ((2, 40), "dwt(db2, level=1)", "dwt(db2, level=3)"),
        ((1, 28, 28), "dwt(db4, level=2)", "dwt(db4, level=5)"),
        ((3, 13, 10), "dwt(sym3, level=0)", "dwt(sym3, level=2)"),
        ((1, 16, 24), "dwt(db2, level=1, mode=boundary)", "dwt(db2, level=2, mode=boundary)"),
        ((1, 130), "dwt(db3, level=2, mode=zero)", "dwt(db3, level=3, mode=zero)"),
        ((1, 8, 12), "dwt(haar, level=2)", "dwt(haar, level=2)"),
        ((2, 12, 9), "wpt(db2, level=1)", "wpt(db2, level=3)"),
        ((1, 32), "wpt(haar, nodes=a+da+dd)", "wpt(haar, nodes=aa+ad+daa+dad+dd)"),
    ],
)
def test_it_goes_on_from_the_coarser_one(shape: tuple[int, ...], coarse: str, fine: str) -> None:
    first, last, x = get(coarse, shape), get(fine, shape), normal(3, *shape).double()
    way = last.refinement(first)
    assert way is not None
    torch.testing.assert_close(way(first(x)), last(x))


@pytest.mark.parametrize(
    ("other", "fine"),
    [
        ("dwt(db2, level=3)", "dwt(db2, level=2)"),
        ("dwt(db3, level=1)", "dwt(db2, level=2)"),
        ("dwt(db2, level=1, mode=boundary)", "dwt(db2, level=2)"),
        ("wpt(db2, level=1)", "dwt(db2, level=2)"),
        ("wpt(db3, level=1)", "wpt(db2, level=2)"),
        ("wpt(db2, level=2)", "wpt(db2, nodes=aa+ad+d)"),
        ("dct", "dwt(db2, level=2)"),
        ("dct", "dct"),
    ],
)
def test_from_another_one_there_is_no_way(other: str, fine: str) -> None:
    made: list[Transform] = [get(spec, (1, 32)) for spec in (other, fine)]
    assert made[1].refinement(made[0]) is None
    assert get(fine, (1, 32)).refinement(get(fine, (1, 64))) is None
