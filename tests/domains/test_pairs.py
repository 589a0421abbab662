"""Both ends of all pairs in a domain are what the transform gives, whatever was asked for before."""

import pytest
import torch
from support.subjects import normal

from pullback.domains import Pairs
from pullback.domains import pairs as room
from pullback.domains.families import Menu
from pullback.domains.objectives import get_objective
from pullback.transforms import get

SHAPE = (1, 16, 16)
SPECS = ["dwt(db2, level=1)", "dwt(db2, level=3)", "dwt(db2, level=2)", "dct", "wpt(haar, level=1)", "wpt(haar, level=2)"]
SPECS += ["dwt(bior2.2, level=1)", "dwt(db2, level=2)", "swt(haar, level=1)", "dwt(db2, level=3)"]


def pairs(count: int = 5) -> Pairs:
    x, g = normal(count, *SHAPE), normal(count, *SHAPE, seed=1)
    return Pairs(x, g, x, torch.ones(count), torch.arange(count))


@pytest.mark.parametrize("small", [0, 2**17])
@pytest.mark.parametrize("blind", [False, True])
def test_both_ends_are_those_of_the_transform(small: int, blind: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_SMALL", small)
    data = pairs().without_model() if blind else pairs()
    for spec in SPECS:
        T = get(spec, SHAPE)
        z, g = data.moved_by(T)
        torch.testing.assert_close(z, T(data.displacement))
        torch.testing.assert_close(g, z if blind else T.adjoint(data.covector))


def test_costs_do_not_depend_on_what_was_asked_before_or_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = SPECS[:6]
    alone = {spec: get_objective("selection").costs(get(spec, SHAPE), pairs()) for spec in specs}
    monkeypatch.setattr(room, "_BLOCK", 2 * 256)
    data = pairs()
    assert [len(part) for part in data.blocks] == [2, 2, 1]
    for spec in (*specs, *specs[::-1]):
        torch.testing.assert_close(get_objective("selection").costs(get(spec, SHAPE), data), alone[spec])


def test_all_searches_share_the_transforms_of_a_menu() -> None:
    menu = Menu(("dct", "pixel")).prepared(SHAPE)
    first, second = ([T for _, T in menu.candidates(pairs(), get_objective("l1"))] for _ in range(2))
    assert [T.spec for T in first] == ["dct", "pixel"]
    assert all(one is other for one, other in zip(first, second))
