"""Domains that are judged on other models: folds, other shapes, and pairs that do not exist."""

import pytest
from support.subjects import normal
from torch import Tensor

from pullback.domains import Streams, fit_domain, for_shape, transfer, transfer_matrix
from pullback.transforms import BlockLinear, SubbandLinear, get

SHAPE = (1, 16)
WAVE, PACKET = get("dct", SHAPE), get("wpt(haar, level=2)", SHAPE)


def low(x: Tensor) -> Tensor:
    return WAVE(x)[:, 0, 1:3].pow(2).sum(1)


def band(x: Tensor) -> Tensor:
    return PACKET(x)[:, 0, 4:8].pow(2).sum(1)


def test_a_domain_is_best_on_the_model_that_it_was_fitted_to() -> None:
    made = {name: Streams.of(f, normal(40, *SHAPE), method="input_x_gradient") for name, f in (("low", low), ("band", band))}
    specs = ["dct", "wpt(haar, level=2)"]
    found = {name: fit_domain(one, specs, "selection", folds=4) for name, one in made.items()}
    table = transfer(found, made)
    assert len(table) == 2 * 2 * 40
    matrix = transfer_matrix(table).set_index(["fitted_on", "judged_on"])
    for name, other in (("low", "band"), ("band", "low")):
        assert matrix.loc[(name, name), "over_own"] == 0
        assert matrix.loc[(other, name), "low_own"] > 0
        own = table[(table["fitted_on"] == name) & (table["judged_on"] == name)].sort_values("example")
        assert own["error"].to_numpy() == pytest.approx(found[name].judged["fitted"].to_numpy())  # fold by fold
        assert own["twin"].to_numpy() == pytest.approx(found[name].judged["twin"].to_numpy())


def test_domains_move_to_other_shapes_where_they_exist() -> None:
    blocks = BlockLinear.identity((1, 8, 8), [4, 2], True)
    assert for_shape(blocks, (1, 16, 4)).shape == (1, 16, 4)
    assert for_shape(SubbandLinear.identity((1, 8, 8), "dwt(haar, level=1)"), (1, 4, 4)).shape == (1, 4, 4)
    assert for_shape(get("lattice(angles=[0.3], level=2)", (1, 8)), (3, 8, 8)).shape == (3, 8, 8)
    for other in ((1, 8), (2, 8, 8), (1, 9, 8)):
        with pytest.raises(ValueError, match="block"):
            for_shape(blocks, other)
    made = {
        "series": Streams.of(low, normal(9, *SHAPE)),
        "image": Streams.of(lambda x: x.flatten(1).sum(1), normal(9, 1, 4, 4)),
    }
    found = {name: fit_domain(one, "block_klt(block=4)", folds=3) for name, one in made.items()}
    pairs = {tuple(pair) for pair in transfer(found, made)[["fitted_on", "judged_on"]].to_numpy().tolist()}
    assert pairs == {("series", "series"), ("image", "image")}


def test_results_of_different_folds_are_refused() -> None:
    made = {name: Streams.of(f, normal(12, *SHAPE)) for name, f in (("low", low), ("band", band))}
    found = {name: fit_domain(one, ["dct"], folds=3 + number) for number, (name, one) in enumerate(made.items())}
    with pytest.raises(ValueError, match="one number of folds"):
        transfer(found, made)
    with pytest.raises(ValueError, match="cannot be called own"):
        transfer({"own": found["low"]}, {"own": made["low"]})
