"""Metrics on cases with known answers, and on cases that must not mislead them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.subjects import linear_net, normal

import pullback as pb
from pullback.metrics import fraction_holding, gini, kept_score, mean_interval


def slow_gini(values: np.ndarray) -> float:
    """Half the mean absolute difference of all pairs over the mean: the textbook definition."""
    v = np.abs(values)
    return float(np.abs(v[:, None] - v[None]).mean() / (2 * v.mean()))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12).filter(lambda v: sum(map(abs, v)) > 1e-3))
def test_gini_is_the_mean_difference(values: list[float]) -> None:
    assert float(gini(torch.tensor([values], dtype=torch.float64))) == pytest.approx(slow_gini(np.array(values)), abs=1e-10)


def test_gini_orders_sparse_above_dense_and_ignores_scale_and_sign() -> None:
    dense, sparse = torch.ones(1, 50), torch.zeros(1, 50)
    sparse[0, 3] = -7
    assert float(gini(dense)) == pytest.approx(0, abs=1e-6)
    assert float(gini(sparse)) == pytest.approx(0.98)
    x = normal(2, 3, 5)
    torch.testing.assert_close(gini(x), gini(-10 * x))
    assert gini(torch.zeros(2, 4)).tolist() == [0, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_map_that_is_not_finite_has_no_sparseness(dtype: torch.dtype) -> None:
    """NaN, not 0, which would say "all equal"; the other maps of the batch keep their values."""
    nan, inf = torch.nan, torch.inf
    maps = [[nan, 1, 2, 3], [1, inf, 0, 0], [-inf, nan, 0, 0], [nan] * 4, [0, 0, 0, 5], [0] * 4]
    values = torch.tensor(maps, dtype=dtype)
    for found, known in ((gini(values), [0.75, 0]), (fraction_holding(values), [0.25, 0])):
        assert found[:4].isnan().all()
        assert found[4:].tolist() == known


def test_maps_whose_sum_overflows_have_the_sparseness_of_smaller_ones() -> None:
    large = torch.tensor([[3e38, 3e38, 3e38, 0.0], [3e38, 1e38, 1e38, 1e38]])
    for metric in (gini, fraction_holding):
        torch.testing.assert_close(metric(large), metric(large / 1e38))


def test_fraction_holding_counts_exactly() -> None:
    values = torch.tensor([[5.0, -3.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    assert fraction_holding(values, 0.5).tolist() == [0.25, 0.5, 0.0]
    assert fraction_holding(values, 0.8).tolist() == [0.5, 1.0, 0.0]
    assert fraction_holding(values, 1.0).tolist() == [1.0, 1.0, 0.0]
    for wrong in (0, 1.1):
        with pytest.raises(ValueError, match="share must lie"):
            fraction_holding(values, wrong)


def test_fraction_holding_survives_rounding() -> None:
    assert float(fraction_holding(torch.full((1, 1000), 0.1), 1.0)) == 1.0


@pytest.mark.parametrize("spec", ["pixel", "dct", "dwt(db2, level=1, mode=reflect)"])
def test_kept_score_of_a_linear_model_is_the_sum_of_the_kept_attributions(spec: str) -> None:
    shape = (1, 10, 8)
    model, x, x0 = linear_net(shape), normal(3, *shape), normal(3, *shape, seed=8)
    att = pb.attribute(model, x, transform=spec, baseline=x0)
    with torch.no_grad():
        start = model(x0)[:, 0]
    for ranking in ("attribution", "coefficient", "random"):
        kept = kept_score(model, att, fractions=(0.1, 0.5), ranking=ranking)
        order = {"attribution": att.values.abs(), "coefficient": att.displacement.abs()}.get(ranking)
        if order is not None:
            count = 8  # 0.1 of 80 samples
            top = order.flatten(1).argsort(dim=1, descending=True)[:, :count]
            torch.testing.assert_close(kept[:, 0], start + att.values.flatten(1).gather(1, top).sum(1), rtol=1e-9, atol=1e-9)
    everything = kept_score(model, att, fractions=(1.0,), ranking="attribution")[:, 0]
    if spec != "dwt(db2, level=1, mode=reflect)":
        torch.testing.assert_close(everything, start + att.score_difference, rtol=1e-9, atol=1e-9)


def test_kept_score_ranks_attribution_above_chance_and_energy() -> None:
    """The score reads only small coefficients: the attribution ranks them first, |coefficient| does not, chance rarely."""
    x = normal(4, 1, 64)
    x[:, :, 32:] *= 0.01
    model = lambda x: 100 * x[:, 0, 32:].abs().sum(1)
    att = pb.attribute(model, x, method="input_x_gradient")
    kept = {
        r: kept_score(model, att, fractions=(0.5,), ranking=r)[:, 0] / att.score_difference
        for r in ("attribution", "coefficient", "random")
    }
    assert float(kept["attribution"].min()) > 0.999
    assert float(kept["coefficient"].max()) < 0.2
    assert 0.2 < float(kept["random"].mean()) < 0.8
    with pytest.raises(ValueError, match="expected ranking in"):
        kept_score(model, att, ranking="best")


def test_the_random_ranking_does_not_depend_on_the_batch() -> None:
    shape = (1, 12)
    model, x = linear_net(shape), normal(3, *shape)
    att = pb.attribute(model, x, transform="dct")
    together = kept_score(model, att, ranking="random", fractions=(0.5,))
    torch.testing.assert_close(kept_score(model, att[1], ranking="random", fractions=(0.5,)), together[1:2])
    assert not torch.allclose(kept_score(model, att, ranking="random", fractions=(0.5,), seed=1), together)


@pytest.mark.parametrize("spec", ["pixel", "dwt(haar, level=1)", "polar"])
@pytest.mark.parametrize("rows", [1, 3, "auto"])
def test_kept_score_is_f_of_the_signal_that_is_kept(spec: str, rows: int | str) -> None:
    x = normal(5, 1, 8, 6).abs().round(decimals=1)  # with ties
    model, fractions = linear_net((1, 8, 6)), (0.05, 0.3, 0.5, 0.9)
    att = pb.attribute(model, x, transform=spec, method="gradient")
    kept = kept_score(model, att, fractions=fractions, batch_size=rows)
    expected = torch.stack([model(att.signal(keep=fraction))[:, 0] for fraction in fractions], 1)
    torch.testing.assert_close(kept, expected, rtol=1e-10, atol=1e-10)


def test_kept_score_runs_convolutions_in_channels_last_where_that_leaves_f_alone() -> None:
    class Net(torch.nn.Module):
        def __init__(self, depends_on_strides: bool) -> None:
            super().__init__()
            self.layer, self.depends_on_strides, self.seen = torch.nn.Conv2d(3, 2, 3), depends_on_strides, set()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen.add(x.is_contiguous())
            out = self.layer(x).flatten(1).sum(1)
            bright = x.abs().sum((1, 2, 3)).sub(9).relu()  # 0 for faint images
            return out + x.stride()[1] * self.depends_on_strides * bright

    x, fractions = normal(4, 3, 6, 6).float(), (0.02, 0.05, *np.linspace(0.1, 0.9, 9))
    for depends_on_strides in (False, True):
        net = Net(depends_on_strides).eval()
        att = pb.attribute(net, x, method="gradient", execution=pb.Execution(memory_format="contiguous"))
        net.seen.clear()
        kept = kept_score(net, att, fractions=fractions)
        assert False in net.seen
        expected = torch.stack([net(att.signal(keep=fraction).contiguous()) for fraction in fractions], 1)
        torch.testing.assert_close(kept, expected.detach(), rtol=1e-5, atol=1e-5)


JUDGED = {
    "random": (
        lambda x: x.abs().sum((1, 2)).sub(5).relu() * (1 + torch.rand(len(x))),
        "two runs on the same input differ",
    ),
    "mixes": (lambda x: x.abs().sum((1, 2)).sub(5).relu() * (1 + x.abs().sum()), "among other rows"),
    "runs on": (lambda x: x.cumsum(0).square().sum((1, 2)), "among other rows"),
}


@pytest.mark.parametrize("wrong", JUDGED)
@pytest.mark.parametrize("examples", [1, 4])
def test_kept_score_refuses_models_that_are_random_or_mix_examples(wrong: str, examples: int) -> None:
    """In any order of the fractions: at the smallest one too little is kept for the fault to show."""
    model, message = JUDGED[wrong]
    att = pb.attribute(linear_net((1, 24)), normal(examples, 1, 24))
    fractions = np.linspace(0.05, 0.9, 18) if examples == 1 else [0.05, 0.2, 0.5, 0.9]
    for order in (fractions, fractions[::-1]):
        with pytest.raises(ValueError, match=message):
            kept_score(model, att, fractions=order)


def test_kept_score_takes_fractions_of_any_kind_and_in_any_order() -> None:
    model = linear_net((1, 24))
    att = pb.attribute(model, normal(2, 1, 24))
    expected = kept_score(model, att, fractions=(0.5, 0.1, 0.5))
    assert expected.is_contiguous()
    torch.testing.assert_close(expected[:, 0], expected[:, 2], rtol=0, atol=0)
    torch.testing.assert_close(expected[:, 1:2], kept_score(model, att, fractions=(0.1,)))
    torch.testing.assert_close(kept_score(model, att, fractions=np.array([0.5, 0.1, 0.5])), expected)
    torch.testing.assert_close(kept_score(model, att, fractions=(f for f in (0.5, 0.1, 0.5))), expected)
    for empty in ((), np.array([]), iter(())):
        with pytest.raises(ValueError, match="at least one fraction"):
            kept_score(model, att, fractions=empty)


@pytest.mark.parametrize(
    ("fractions", "error", "message"),
    [
        (0.1, TypeError, "got 0.1"),
        ("10%", TypeError, "got '10%'"),
        ((0.1, 1.5), ValueError, "got 1.5"),
        ((0,), ValueError, "got 0"),
        ((float("nan"),), ValueError, "got nan"),
        ((None,), TypeError, "got \\(None,\\)"),
    ],
)
def test_wrong_fractions_are_clear_errors(fractions: object, error: type[Exception], message: str) -> None:
    att = pb.attribute(linear_net((1, 6)), normal(2, 1, 6))
    with pytest.raises(error, match=f"kept_score: expected fractions.*{message}"):
        kept_score(linear_net((1, 6)), att, fractions=fractions)  # type: ignore[arg-type]


def test_wrong_arguments_are_named() -> None:
    model = linear_net((1, 6))
    att = pb.attribute(model, normal(2, 1, 6))
    with pytest.raises(TypeError, match="kept_score: expected one Attribution, got list"):
        kept_score(model, [att])  # type: ignore[arg-type]
    for metric in (gini, fraction_holding):
        with pytest.raises(TypeError, match=r"such as att\.values; got Attribution"):
            metric(att)  # type: ignore[arg-type]
    torch.testing.assert_close(kept_score(model, att, fractions=torch.tensor([0.5])), kept_score(model, att, fractions=(0.5,)))


def test_measure_says_how_to_wrap_a_map_and_which_names_are_functions() -> None:
    model, x = linear_net((1, 6)), normal(2, 1, 6)
    att = pb.attribute(model, x)
    for values in (att.values, att.values.numpy()):
        with pytest.raises(TypeError, match=r"measure: .* wrap a map with pb\.Attribution\.from_map\(values, x, target"):
            pb.metrics.measure(model, values, "insertion")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="got list; call it once for each of several"):
        pb.metrics.measure(model, [att], "insertion")  # type: ignore[arg-type]
    for name in ("kept_score", "mean_interval"):
        with pytest.raises(ValueError, match=rf"Unknown metric '{name}': {name} is a function: pb\.metrics\.{name}\(…\)"):
            pb.metrics.measure(model, att, [name])
    with pytest.raises(ValueError, match=r"Unknown metric 'nothing'.*Choices"):  # as before
        pb.metrics.get("nothing")
    assert pb.metrics.get("gini") != pb.metrics.gini  # a metric may have the name of a function


@pytest.mark.parametrize(
    ("made", "other", "message"),
    [
        (0, 1, "explains class 0, and target is 1; pass"),
        (0, [0, 1], "explains class 0, and target is 1 in example 1; pass"),
        ([2, 1], torch.tensor([2, 0]), "explains class 1, and target is 0 in example 1; pass"),
        ([2, 1], 2, "explains class 1, and target is 2 in example 1; pass"),
        (torch.eye(3)[[0, 1]], 0, "explains class 1, and target is 0 in example 1; pass"),
    ],
)
def test_measure_refuses_another_target_than_that_of_the_map(made: object, other: object, message: str) -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 3)).double().eval()
    x = normal(2, 1, 6)
    ours = pb.attribute(net, x, made)  # type: ignore[arg-type]
    for att in (ours, pb.Attribution.from_map(ours.values, x, target=made, model=net)):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=f"measure: the map {message}"):
            pb.metrics.measure(net, att, "insertion", other)
        assert pb.metrics.measure(net, att, "insertion", made)[0].value.isfinite().all()


def test_measure_refuses_another_entry_of_an_output_with_axes() -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 6), torch.nn.Unflatten(1, (3, 2))).double().eval()
    x = normal(2, 1, 6)
    att = pb.attribute(net, x, (2, 1))
    for same in ((2, 1), [(2, 1), (2, 1)], torch.tensor([[2, 1], [2, 1]])):
        pb.metrics.measure(net, att, "insertion", same)
    for other, example in (((2, 0), 0), ([(2, 1), (0, 1)], 1)):
        with pytest.raises(ValueError, match=rf"explains entry \(2, 1\), and target is \(.*\) in example {example}"):
            pb.metrics.measure(net, att, "insertion", other)


def test_measure_accepts_equal_targets_in_other_forms_and_targets_that_it_cannot_compare() -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 3)).double().eval()
    x = normal(2, 1, 6)
    equal = (1, [1, 1], torch.tensor([1, 1]), np.array([1, 1]), torch.tensor(1), torch.eye(3)[[1, 1]])
    unknown = (pb.attribution.targets.predicted(), lambda out: out[:, 2])
    found = []
    for made in (*equal, *unknown):
        att = pb.attribute(net, x, made, method="gradient")  # type: ignore[arg-type]
        for other in (*equal, *unknown):
            (score,) = pb.metrics.measure(net, att, "insertion", other)  # type: ignore[arg-type]
            found += [score.value] if any(made is one for one in equal) and any(other is one for one in equal) else []
    assert len(found) == len(equal) ** 2
    assert all(torch.equal(value, found[0]) for value in found)
    each = pb.attribute(net, x, [0, 1], method="gradient")
    pb.metrics.measure(net, each[1], "gini", 1)  # the settings hold the classes of the whole batch
    pb.metrics.measure(net, pb.Attribution.from_map(each.values, x), "gini", 2)  # it knows no target
    column = torch.nn.Sequential(net, torch.nn.Unflatten(1, (3, 1)))
    pb.metrics.measure(column, pb.attribute(column, x, 2, method="gradient"), "gini", (2, 0))


def test_kept_score_takes_the_targets_and_arguments_that_attribute_takes() -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(24, 5)).double().eval()
    x, shift = normal(3, 1, 24), normal(3, 5, seed=4)
    att = pb.attribute(net, x, pb.attribution.targets.predicted())
    predicted = net(x).argmax(1)
    torch.testing.assert_close(
        kept_score(net, att, pb.attribution.targets.predicted(), fractions=(0.3, 0.9)),
        kept_score(net, att, predicted, fractions=(0.3, 0.9)),
    )
    moved = lambda x, shift: net(x) + shift
    with_shift = kept_score(moved, att, predicted, fractions=(0.3, 0.9), batch_size=1, model_args=(shift,))
    expected = kept_score(net, att, predicted, fractions=(0.3, 0.9)) + shift.gather(1, predicted[:, None])
    torch.testing.assert_close(with_shift, expected)


@pytest.mark.parametrize("level", [0.0, 1.0, 1.5, float("nan")])
def test_a_level_outside_0_to_1_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        mean_interval([1.0, 2.0, 4.0], level=level)


def test_mean_interval_covers_and_handles_small_samples() -> None:
    assert mean_interval([2.0]) == (2.0, 2.0, 2.0)
    assert np.isnan(mean_interval([float("nan")])[0])
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        _, low, high = mean_interval(rng.exponential(size=20), seed=trial)
        hits += low <= 1 <= high
    assert 178 <= hits <= 198  # 95 % for 20 skewed numbers; the interval that was used before had about 92 %
