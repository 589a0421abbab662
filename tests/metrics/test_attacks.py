"""Maps, models and arguments that must not mislead the metrics."""

from dataclasses import replace

import pytest
import torch
from support.metrics import judge, picked, valued
from support.subjects import linear_net, normal, smooth_net

import pullback as pb
from pullback.metrics import Metric, measure
from pullback.metrics.judged import judging

SHAPE = (1, 6, 8)
NET, X = smooth_net(SHAPE), normal(4, *SHAPE)
OWN = ["selection_error", "gain", "insertion", "deletion", "srg", "rate_fidelity", "mu_fidelity", "sensitivity_n", "infidelity"]
CLASSES = ["average_drop", "average_increase", "average_gain", "ff", "fid_in"]


def test_a_map_without_an_order_ranks_at_random_and_not_coarse_first() -> None:
    """By position, a map of zeros would select the approximation, and score as well as the coarse-first control."""
    x = normal(60, 1, 64).cumsum(-1)
    model = lambda x: x.flatten(1).mean(1)
    att = pb.attribute(model, x, method="input_x_gradient", transform="dwt(haar, level=3)")
    with judging(model, valued(att, 0 * att.values), None, 0) as judged:
        blind, again = judged.rank("attribution").flatten(1), judged.rank("random").flatten(1)
    coarse = (blind[:, :8] < 8).double().mean()  # 8 coefficients of 64 are the approximation
    assert 0.06 < float(coarse) < 0.19
    assert len({tuple(row) for row in blind.tolist()}) == 60
    assert not torch.equal(blind, again)


def test_ties_are_broken_inside_a_tie_only_and_alike_in_any_batch() -> None:
    att = pb.attribute(NET, X, 1, transform="dct")
    ties = valued(att, att.values.round(decimals=1))
    with judging(NET, ties, 1, 0) as judged, judging(NET, picked(ties, [2]), 1, 0) as alone:
        rank = judged.rank("attribution")
        assert torch.equal(rank[2], alone.rank("attribution")[0])
    ordered = torch.empty_like(ties.values).flatten(1).scatter_(1, rank.flatten(1).long(), ties.values.abs().flatten(1))
    assert (ordered.diff(dim=1) <= 0).all()


@pytest.mark.parametrize("name", OWN + CLASSES)
def test_one_coefficient_is_a_number_or_none(name: str) -> None:
    model = lambda x: torch.cat([x.flatten(1), 0 * x.flatten(1)], 1)
    att = pb.attribute(model, torch.ones(2, 1, 1).double(), 0)
    value = judge(pb.metrics.get(name), model, att).value
    assert value.isnan().all() if name in ("mu_fidelity", "sensitivity_n") else value.isfinite().all()


@pytest.mark.parametrize("name", [name for name in OWN if name != "rate_fidelity"] + CLASSES)
@pytest.mark.parametrize("domain", ["swt(haar, level=1)", "stft(size=8)", "dtcwt(level=1)", "polar"])
def test_frames_and_coordinates_that_are_not_linear(name: str, domain: str) -> None:
    shape = (1, 16) if domain.startswith("stft") else (1, 4, 6)
    net, x = smooth_net(shape), normal(3, *shape)
    att = pb.attribute(net, x, 1, transform=domain, method="integrated_gradients(steps=8)")
    metric = pb.metrics.get(name)
    value = judge(metric, net, att, 1).value
    assert value.isfinite().all()
    torch.testing.assert_close(judge(metric, net, att[1], 1, batch_size=1).value, value[1:2], rtol=1e-9, atol=1e-9)


def test_budgets_in_bits_are_refused_where_coefficients_have_no_length() -> None:
    att = pb.attribute(NET, X, 1, transform="polar")
    with pytest.raises(ValueError, match="polar is not linear, so its coefficients have no length in bits; budget by count"):
        measure(NET, att, "rate_fidelity", 1)


@pytest.mark.parametrize("name", OWN)
def test_callables_and_models_of_one_output_have_scores(name: str) -> None:
    by_class, difference = 1, lambda out: out[:, 1]
    att = pb.attribute(NET, X, by_class, transform="dct")
    one, other = (judge(pb.metrics.get(name), NET, att, target).value for target in (by_class, difference))
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    single = linear_net(SHAPE)
    assert judge(pb.metrics.get(name), single, pb.attribute(single, X), None).value.isfinite().all()


@pytest.mark.parametrize("name", [*CLASSES, "selection_error(answer=margin)", "insertion(answer=probability)"])
def test_metrics_of_classes_refuse_targets_that_are_none(name: str) -> None:
    att = pb.attribute(NET, X, lambda out: out[:, 1])
    with pytest.raises(ValueError, match="needs a target that is a class"):
        measure(NET, att, name, lambda out: out[:, 1])


@pytest.mark.parametrize("name", [*CLASSES, "selection_error(answer=margin)"])
def test_the_predicted_class_is_a_class(name: str) -> None:
    """`targets.predicted()` and the same classes as a list: never a silent zero."""
    att = pb.attribute(NET, X, pb.attribution.targets.predicted())
    listed = NET(X).argmax(1).tolist()
    one, other = (measure(NET, att, name, target)[0].value for target in (pb.attribution.targets.predicted(), listed))
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_half_precision_models_are_judged_in_single_precision() -> None:
    net, x = smooth_net(SHAPE).half(), X.float()
    att = pb.attribute(net, x, 1, method="input_x_gradient")
    for name in OWN + CLASSES:
        value = judge(pb.metrics.get(name), net, att, 1).value
        assert value.dtype == torch.float32
        assert value.isfinite().all()
    same = valued(att, 0 * att.values + 1)
    assert measure(net, same, "mu_fidelity(subset=5)", 1)[0].value.isnan().all()  # all sums are 5


def test_sums_or_answers_that_differ_by_rounding_have_no_correlation() -> None:
    att = pb.attribute(NET, X, 1)
    assert measure(NET, att, "mu_fidelity(subset=48)", 1)[0].value.isnan().all()  # all coefficients: one set only
    shifted = lambda x: 1e12 + 1e-6 * NET(x)
    att = valued(pb.attribute(NET, X, 1), normal(*X.shape, seed=3))
    assert measure(shifted, att, "mu_fidelity", 1)[0].value.isnan().all()


def test_shares_say_nothing_where_the_displacement_is_zero() -> None:
    """With a covector infidelity is known; without one it is NaN for that example, and for no other."""
    x = X.clone()
    x[1, 0, 2, 3] = 0
    model = linear_net(SHAPE)
    att = pb.attribute(model, x)
    assert float(measure(model, att, "infidelity")[0].value.max()) < 1e-20
    value = measure(model, replace(att, covector=None), "infidelity")[0].value
    assert value.isnan().tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"truth": torch.ones(2, 2)}, r"truth: expected shape \(4, 1, 6, 8\)"),
        ({"truth": "everything"}, "truth: expected a tensor, got str"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        measure(NET, pb.attribute(NET, X, 1), "gain", 1, **options)  # type: ignore[arg-type]


def test_a_ranking_of_another_shape_is_refused() -> None:
    att = pb.attribute(NET, X, 1)
    with (
        judging(NET, att, 1, 0, orders={"mine": torch.ones(2, 2)}) as judged,
        pytest.raises(ValueError, match="the shape of the map"),
    ):
        judged.rank("mine")


WRONG = ["mu_fidelity(subset=0)", "mu_fidelity(subset=1.5)", "mu_fidelity(correlation=kendall)", "mu_fidelity(samples=2)"]
WRONG += ["sensitivity_n(sizes=[])", "infidelity(size=0)", "infidelity(perturbation=salt)", "infidelity(samples=0)"]
WRONG += ["ff(budget=0)", "ff(budget=2)", "ff(by=bytes)", "insertion(answer=logit)", "srg(budgets=[])"]


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_fields_are_one_clear_error(wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong.split("(")[0]) as caught:
        pb.metrics.get(wrong)
    assert len(str(caught.value)) <= 300
    assert isinstance(pb.metrics.get(wrong.split("(")[0]), Metric)
