"""The cheapest tree: against every other one, against the search of packets, and with and without halves in space."""

from collections.abc import Iterator

import pytest
import torch
from support.subjects import normal

import pullback as pb
from pullback.domains import Pairs, best_tiling
from pullback.domains.families import get_family
from pullback.domains.objectives import get_objective
from pullback.transforms import Tiling, Transform, get


def pairs(*shape: int, seed: int = 0) -> Pairs:
    x = normal(6, *shape, seed=seed).cumsum(-1)
    g = 0.5 * x.roll(1, -1) + normal(6, *shape, seed=seed + 50)
    return Pairs(x, g, x, (x * g).flatten(1).sum(1), torch.arange(6))


def cost(data: Pairs, T: Transform, by: str) -> float:
    q = data.values(T).abs().flatten(1) / data.scale[:, None]
    return float(q.sum() if by == "l1" else torch.special.entr(q).sum())


def trees(depths: dict[str, int], space: dict[str, int]) -> Iterator[str]:
    """Every tree with at most so many halves of each axis; halves in space come first."""
    yield "."
    for letter, depth in depths.items():
        if depth:
            left = depths | {letter: depth - 1}
            yield from (letter + one + two for one in trees(left, {}) for two in trees(left, {}))
            if space.get(letter):
                cut = space | {letter: space[letter] - 1}
                yield from (letter.upper() + one + two for one in trees(left, cut) for two in trees(left, cut))


@pytest.mark.parametrize("by", ["entropy", "l1"])
@pytest.mark.parametrize("space", [0, 1])
def test_no_tree_costs_less(by: str, space: int) -> None:
    for shape, depths in (((1, 8), {"i": 2}), ((2, 2, 4), {"i": 1, "j": 1})):
        data = pairs(*shape)
        level = max(depths.values())
        best = best_tiling(data, "db2", level, space, by)
        costs = {tree: cost(data, Tiling(shape, "db2", tree), by) for tree in trees(depths, dict.fromkeys(depths, space))}
        assert len(costs) > 4
        assert cost(data, best, by) == pytest.approx(min(costs.values()))


def test_of_one_axis_it_is_the_best_basis() -> None:
    data = pairs(1, 32)
    for by in ("entropy", "l1"):
        packets = pb.best_basis(data.as_attribution(), by, wavelet="db2", level=3)
        best = best_tiling(data, "db2", 3, 0, by)
        assert cost(data, best, by) == pytest.approx(cost(data, packets, by))
        assert len(best.areas) == len(packets.nodes)


def test_halves_in_space_help_where_the_parts_differ() -> None:
    """A model that reads a frequency in one half only: the other half stays as it is."""
    band = get("wpt(db4, level=3)", (1, 32))
    read = lambda x: band(x[..., 32:])[:, 0, 4:8].pow(2).sum(1)
    data = Pairs.of(pb.attribute(read, normal(20, 1, 64), method="input_x_gradient"))
    cut, whole = (best_tiling(data, "db4", 4, space) for space in (1, 0))
    assert cut.tree.startswith("I.")
    assert cost(data, cut, "entropy") < 0.9 * cost(data, whole, "entropy")


def test_the_band_of_one_axis_that_the_model_reads_is_a_leaf() -> None:
    """The model reads a coefficient that packets of all axes at once do not have."""
    rows = get("tiling(db4, tree=jj..j..)", (1, 8, 16))
    place = int((rows.layout.index.flatten() == 1).nonzero()[13])
    data = Pairs.of(pb.attribute(lambda x: rows(x).flatten(1)[:, place].pow(2), normal(20, 1, 8, 16)))
    found = best_tiling(data, "db4", 3, 0, "l1")
    assert rows.areas[1] in found.areas
    packets = pb.best_basis(data.as_attribution(), "l1", wavelet="db4", level=3)
    assert cost(data, found, "l1") < 0.9 * cost(data, packets, "l1")


def test_the_family_tries_every_kind_of_tree_also_in_opponent_colours() -> None:
    data = pairs(3, 8, 8)
    family = "packets(wavelets=[haar], level=2, before='color(opponent)')"
    made = dict(get_family(family).candidates(data, get_objective("l1")))
    assert [how.split(" by ")[0] for how in made] == ["isotropic"] * 2 + ["anisotropic"] * 2 + ["space_frequency"] * 2
    for T in made.values():
        assert T.spec.startswith("color(opponent")
        assert get(T.spec, (3, 8, 8)).spec == T.spec
        torch.testing.assert_close(data.values(T).flatten(1).sum(1), data.total)
    with pytest.raises(ValueError, match="expected trees in isotropic"):
        get_family("packets(trees=[oak])")
    with pytest.raises(ValueError, match="before must be orthogonal"):
        list(get_family("packets(before='dwt(bior2.2, level=1)')").candidates(data, get_objective("l1")))
