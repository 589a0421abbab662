"""Selections of coefficients, and the errors of keeping and removing them."""

import pytest
import torch
from support.subjects import linear_net, normal

import pullback as pb
from pullback.attribution.result import keep_only
from pullback.core.tensors import ranks
from pullback.metrics import Selection, measure
from pullback.metrics.judged import judging
from pullback.metrics.selection import counts, order

SHAPE = (1, 10, 8)


@pytest.mark.parametrize("spec", ["pixel", "dct", "dwt(haar, level=1)"])
@pytest.mark.parametrize("by", ["count", "energy"])
def test_errors_of_a_linear_model_follow_from_the_sums_of_its_map(spec: str, by: str) -> None:
    """f(x_S) - f(x₀) = Σ_S a and f(x without S) - f(x₀) = Σ a - Σ_S a, so both halves are |Σ a - Σ_S a| / |Σ a|."""
    model, x, x0 = linear_net(SHAPE), normal(3, *SHAPE), normal(3, *SHAPE, seed=8)
    att = pb.attribute(model, x, transform=spec, baseline=x0)
    (found,) = measure(model, att, f"selection_error(budgets=[0.1, 0.5], by={by})")
    total = att.values.flatten(1).sum(1)
    for place, budget in enumerate((0.1, 0.5)):
        rank = ranks(att.values.abs())
        kept = (att.values * (rank < counts(att, rank, budget, by).reshape(-1, *[1] * (rank.ndim - 1)))).flatten(1).sum(1)
        torch.testing.assert_close(found.curve[:, place], ((total - kept) / total).abs(), rtol=1e-10, atol=1e-10)


def test_a_gain_is_zero_where_the_map_ranks_as_the_coefficients_do() -> None:
    model, x = lambda x: x.abs().flatten(1).sum(1), normal(2, *SHAPE)
    att = pb.attribute(model, x, method="input_x_gradient")
    assert measure(model, att, "gain")[0].value.abs().max() < 1e-12
    weighted = lambda x: (x * torch.linspace(-1, 2, 8, dtype=x.dtype)).abs().flatten(1).sum(1)
    assert measure(weighted, pb.attribute(weighted, x, method="input_x_gradient"), "gain")[0].value.min() > 0.01


@pytest.mark.parametrize("spec", ["pixel", "dct", "dwt(haar, level=1)"])
def test_gains_of_a_linear_model_are_differences_of_its_sums(spec: str) -> None:
    """|Σ a outside the largest |z - z₀|| less |Σ a outside the largest |a||, over |Σ a|; a map of other numbers gains less."""
    model, x, x0 = linear_net(SHAPE), normal(3, *SHAPE), normal(3, *SHAPE, seed=8)
    att = pb.attribute(model, x, transform=spec, baseline=x0)
    (found,) = measure(model, att, "gain(budgets=[0.1, 0.5])")
    total = att.values.flatten(1).sum(1)
    for place, budget in enumerate((0.1, 0.5)):
        outside = [(att.values * ~keep(size, budget)).flatten(1).sum(1) for size in (att.displacement.abs(), att.values.abs())]
        expected = (outside[0].abs() - outside[1].abs()) / total.abs()
        torch.testing.assert_close(found.curve[:, place], expected, rtol=1e-10, atol=1e-10)
        assert expected.abs().min() > 1e-3


def keep(size: torch.Tensor, budget: float) -> torch.Tensor:
    """The largest entries of each row, as many as a share of the samples."""
    order = size.flatten(1).argsort(dim=1, descending=True, stable=True)
    kept = torch.zeros_like(size.flatten(1), dtype=torch.bool)
    return kept.scatter_(1, order[:, : round(budget * 80)], True).reshape(size.shape)


def test_each_selection_is_evaluated_once() -> None:
    model, x = linear_net(SHAPE), normal(2, *SHAPE)
    att = pb.attribute(model, x)
    with judging(model, att, None, 4) as judged:
        before = judged.engine.count.forward
        first = judged.answers([Selection(budget=0.1), Selection(budget=0.1, removed=True), Selection(budget=0.1)])
        assert judged.engine.count.forward - before == 2 * len(x)
        again = judged.answers([Selection(budget=0.1)])
        assert judged.engine.count.forward - before == 2 * len(x)
        assert torch.equal(first.score[2], again.score[0])


@pytest.mark.parametrize("spec", ["dct", "swt(haar, level=1)", "dwt(db2, level=1, mode=reflect)"])
def test_an_energy_budget_buys_the_fewest_coefficients_whose_signal_has_it(spec: str) -> None:
    x = normal(2, 1, 24)
    att = pb.attribute(lambda x: x.flatten(1).sum(1), x, transform=spec)
    rank = ranks(order(att, "coefficient", 0))
    found = counts(att, rank, 0.6, "energy")
    for i, count in enumerate(found.tolist()):
        energy = [float(keep_only(att[i], rank[i : i + 1] < n).square().sum()) for n in (count - 1, count)]
        assert energy[0] < 0.6 * float(x[i].square().sum()) <= energy[1] + 1e-9


def test_controls_rank_by_what_they_say() -> None:
    x = normal(2, 1, 40)
    att = pb.attribute(lambda x: x.flatten(1).sum(1), x, transform="dct")
    coarse = ranks(order(att, "coarse_first", 0))
    assert coarse[0, 0].tolist() == list(range(40))  # one frequency after another
    tenth = ranks(order(att, "random_in_quantile", 0)) // 4
    assert torch.equal(tenth, ranks(att.displacement.abs()) // 4)  # of equal size, in tenths
    assert not torch.equal(order(att, "random", 0), order(att, "random", 1))


@pytest.mark.parametrize(
    "wrong", ["selection_error(budgets=[])", "gain(budgets=[0, 1])", "gain(budgets=[a])", "gain(by=bytes)"]
)
def test_wrong_budgets_are_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        pb.metrics.get(wrong)
