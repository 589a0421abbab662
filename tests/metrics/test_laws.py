"""Laws of metrics, on every example of every registered metric; each with a metric that breaks it."""

import copy
from dataclasses import dataclass, replace

import pytest
import torch
from support.metrics import METRICS, SELECTED, KnownShares, anti, given, judge, perfect, picked, random_map, valued
from support.subjects import normal, smooth_net

import pullback as pb
from pullback.metrics import Invariance, Judged, Metric, Needs, Scores
from pullback.metrics.judged import judging
from pullback.transforms.layout import plain_layout

SHAPE, EXAMPLES = (1, 6, 8), 8
NET, X = smooth_net(SHAPE), normal(EXAMPLES, *SHAPE)
ROTATION = torch.linalg.qr(normal(48, 48, seed=5)).Q
DOMAINS = {
    Invariance.ORTHONORMAL: {"dct": "dct", "dwt": "dwt(haar, level=1)", "rotated": pb.transforms.Linear(SHAPE, ROTATION)},
    Invariance.LINEAR: {
        "scaled": pb.transforms.Linear(SHAPE, torch.diag(torch.linspace(0.5, 3, 48).double()) @ ROTATION),
        "biorthogonal": "dwt(bior2.2, level=1, mode=periodization)",  # with bands, which a matrix does not have
    },
}
MODEL = KnownShares()
every = pytest.mark.parametrize("metric", METRICS, ids=repr)


@pytest.fixture(scope="module")
def maps() -> dict[str, pb.Attribution]:
    """Integrated gradients in pixels and in every domain."""
    named = {"pixel": "pixel"} | {name: domain for domains in DOMAINS.values() for name, domain in domains.items()}
    return dict(zip(named, pb.attribute(NET, X, 1, transform=list(named.values()), method="integrated_gradients(steps=16)")))


# Invariance ----------------------------------------------------------------------------------------------------------------


def changed_by(metric: Metric, maps: dict[str, pb.Attribution]) -> dict[Invariance, float]:
    """The largest relative change of the metric between pixels and domains of each kind.

    Metrics of bands have no number in domains without bands: these are left out, and DCT stands for pixels.
    """
    found = {name: value for name, att in maps.items() if not (value := judge(metric, NET, att, 1).value).isnan().any()}
    first = next(name for name in ("pixel", "dct") if name in found)
    size = found[first].abs().amax().clamp(min=1e-3)
    moved = lambda name: float(((found[name] - found[first]).abs() / size).amax())
    return {level: max(map(moved, domains.keys() & found.keys())) for level, domains in DOMAINS.items()}


def check_invariance(metric: Metric, maps: dict[str, pb.Attribution]) -> None:
    for level, change in changed_by(metric, maps).items():
        if metric.invariant >= level:
            assert change < 1e-10, f"{metric}: claims {metric.invariant.name} and moves by {change:.1e} at {level.name}"
        else:
            assert change > 1e-6, f"{metric}: claims {metric.invariant.name} and does not move at {level.name}"


@every
def test_a_metric_is_invariant_under_what_it_claims_and_nothing_more(metric: Metric, maps: dict[str, pb.Attribution]) -> None:
    check_invariance(metric, maps)


@dataclass(frozen=True)
class Size(Metric):
    """Σ a²: moves between domains. Control."""

    formula, source, better, chance = "Σ a²", "control", "higher", 1.0

    def cost(self, attribution: pb.Attribution) -> int:
        return 0

    def measure(self, judged: Judged) -> Scores:
        return Scores(judged.attribution.values.flatten(1).square().sum(1))


class ClaimsMuch(Size):
    """Control."""

    invariant = Invariance.ORTHONORMAL


class ClaimsLittle(Size):
    """Σ a of shares: equal in all linear domains. Control."""

    def measure(self, judged: Judged) -> Scores:
        return Scores(judged.attribution.values.flatten(1).sum(1))


@pytest.mark.parametrize("metric", [ClaimsMuch(), ClaimsLittle()], ids=["much", "little"])
def test_a_wrong_claim_of_invariance_is_caught(metric: Metric, maps: dict[str, pb.Attribution]) -> None:
    with pytest.raises(AssertionError, match="claims"):
        check_invariance(metric, maps)


# What is needed ------------------------------------------------------------------------------------------------------------


def turned(att: pb.Attribution) -> pb.Attribution:
    """The map with the sign of every second value turned."""
    signs = 1 - 2 * (torch.arange(att.values[0].numel()) % 2).reshape(att.values.shape[1:])
    return valued(att, att.values * signs)


def ungrouped(att: pb.Attribution) -> pb.Attribution:
    """The same map in the same domain, whose bands are one."""
    transform = copy.copy(att.transform)
    transform.layout = plain_layout(transform.layout.shape, len(transform.shape) - 1)
    return replace(att, transform=transform)


def check_needs(metric: Metric, need: Needs, att: pb.Attribution, other: pb.Attribution) -> None:
    """A metric moves if, and only if, it says that it needs what is missing in the other map.  Both have the same truth."""
    options = given(metric, att)
    first, second = (judge(metric, NET, one, 1, **options).value for one in (att, other))
    same = torch.allclose(first, second, rtol=1e-9, atol=1e-9, equal_nan=True)
    assert same != (need in metric.needs), (
        f"{metric}: needs {metric.needs}, and {need} {'does not matter' if same else 'matters'}"
    )


@pytest.mark.parametrize("metric", SELECTED, ids=repr)
def test_signs_and_bands_matter_to_metrics_that_need_them_and_to_no_others(
    metric: Metric, maps: dict[str, pb.Attribution]
) -> None:
    att = valued(maps["dwt"], maps["dwt"].values)
    check_needs(metric, Needs.SIGNED, att, turned(att))
    if getattr(metric, "by", "") != "bits":  # the code of a signal is one for each band
        check_needs(metric, Needs.GROUPS, att, ungrouped(att))


def test_a_need_that_is_not_said_is_caught(maps: dict[str, pb.Attribution]) -> None:
    class Total(Size):
        def measure(self, judged: Judged) -> Scores:
            return Scores(judged.attribution.values.flatten(1).sum(1))

    class Signed(Size):
        needs = Needs.SIGNED

    att = valued(maps["dwt"], maps["dwt"].values)
    for wrong in (Total(), Signed()):
        with pytest.raises(AssertionError, match="matter"):
            check_needs(wrong, Needs.SIGNED, att, turned(att))


# Orientation and chance ----------------------------------------------------------------------------------------------------


def goodness(metric: Metric) -> tuple[float, float, float]:
    """The mean of the perfect map, of 20 random ones and of the anti map, the larger the better."""
    att, sign = perfect(MODEL, 12), -1 if metric.better == "lower" else 1
    truth = {"truth": att.values.abs() > 0.5}
    mean = lambda one: sign * float(judge(metric, MODEL, one, **truth).value.nanmean())
    return mean(att), sum(mean(random_map(att, seed)) for seed in range(20)) / 20, mean(anti(metric, att))


def check_orientation(metric: Metric) -> None:
    best, random, worst = goodness(metric)
    assert best > random >= worst, f"{metric}: perfect {best:.3g}, random {random:.3g}, anti {worst:.3g}"
    assert best > worst + 0.1


@pytest.mark.parametrize("metric", [each for each in SELECTED if each.better != "neither"], ids=repr)
def test_a_perfect_map_is_better_than_random_ones_and_these_than_the_anti_map(metric: Metric) -> None:
    if metric.name == "octave_distance":
        pytest.skip("of octaves, which a map may have without having the coefficients")
    check_orientation(metric)


def test_a_wrong_orientation_is_caught() -> None:
    class Upside(type(pb.metrics.get("selection_error"))):  # type: ignore[misc]
        better = "higher"

    with pytest.raises(AssertionError, match="perfect"):
        check_orientation(Upside())


def check_chance(metric: Metric) -> None:
    """The mean over 24 random maps of each of 12 examples, maps being the unit."""
    att = perfect(MODEL, 12)
    options = {"truth": att.values.abs() > 0.5}
    found = torch.stack([judge(metric, MODEL, random_map(att, seed), **options).value for seed in range(24)])
    error = found.mean(1).std() / len(found) ** 0.5
    distance = abs(float(found.mean()) - metric.chance)  # type: ignore[operator]
    assert distance < 4 * float(error), (
        f"{metric}: chance {metric.chance}, found {float(found.mean()):.3g} ± {float(error):.2g}"
    )


@pytest.mark.parametrize("metric", [each for each in SELECTED if each.chance is not None], ids=repr)
def test_random_maps_reach_the_declared_chance(metric: Metric) -> None:
    check_chance(metric)


def test_a_wrong_chance_level_is_caught() -> None:
    class Wrong(type(pb.metrics.get("mu_fidelity"))):  # type: ignore[misc]
        chance = 0.2

    with pytest.raises(AssertionError, match="chance"):
        check_chance(Wrong())


# The same numbers in any batch, and the announced cost -----------------------------------------------------------------------


def check_independence(metric: Metric, att: pb.Attribution) -> None:
    whole = judge(metric, NET, att, 1).value
    index = [5, 2, 2, 0]
    for other in (
        judge(metric, NET, att, 1, batch_size=3).value[index],
        judge(metric, NET, picked(att, index), 1).value,
        torch.cat([judge(metric, NET, att[i], 1, batch_size=1).value for i in index]),
    ):
        torch.testing.assert_close(other, whole[index], rtol=1e-9, atol=1e-9, equal_nan=True)


@every
def test_batch_size_order_and_duplicates_do_not_matter(metric: Metric, maps: dict[str, pb.Attribution]) -> None:
    check_independence(metric, maps["dct"])


def test_a_metric_that_looks_at_the_batch_is_caught(maps: dict[str, pb.Attribution]) -> None:
    class Normalised(Size):
        def measure(self, judged: Judged) -> Scores:
            value = super().measure(judged).value
            return Scores(value / value.amax())

    with pytest.raises(AssertionError):
        check_independence(Normalised(), maps["pixel"])


def check_cost(metric: Metric, att: pb.Attribution) -> int:
    """The evaluations that a metric asks of the open model, which must not exceed what it announces."""
    with judging(NET, att, 1, 0) as judged:
        vars(judged).update(given(metric, att), explain=pb.metrics.explainer_of(att))
        before = judged.engine.count.forward + judged.engine.count.gradient
        metric.measure(judged)
        spent = judged.engine.count.forward + judged.engine.count.gradient - before
    assert spent <= metric.cost(att) * len(att), f"{metric}: announces {metric.cost(att)}, spends {spent / len(att)}"
    return spent


@every
def test_no_more_evaluations_than_announced(metric: Metric, maps: dict[str, pb.Attribution]) -> None:
    check_cost(metric, maps["pixel"])


def test_an_announcement_that_is_too_small_is_caught(maps: dict[str, pb.Attribution]) -> None:
    class Cheap(type(pb.metrics.get("selection_error"))):  # type: ignore[misc]
        def cost(self, attribution: pb.Attribution) -> int:
            return 1

    with pytest.raises(AssertionError, match="announces"):
        check_cost(Cheap(), maps["pixel"])


def test_metrics_of_one_map_share_their_evaluations(maps: dict[str, pb.Attribution]) -> None:
    with judging(NET, maps["pixel"], 1, 0) as judged:
        before = judged.engine.count.forward
        for spec in ("selection_error", "insertion(budgets=[0.1, 0.5])", "rate_fidelity(by=count)", "mu_fidelity", "ff"):
            pb.metrics.get(spec).measure(judged)
        middle = judged.engine.count.forward
        for spec in ("selection_error", "average_drop", "fid_in", "mu_fidelity(correlation=spearman)"):
            pb.metrics.get(spec).measure(judged)
        assert middle > before
        assert judged.engine.count.forward == middle


# Where nothing is defined ----------------------------------------------------------------------------------------------------

DEFINED = {"infidelity"}  # a constant model has the gradient zero, which foretells it exactly


@every
def test_a_constant_model_has_no_number(metric: Metric) -> None:
    model = smooth_net((1, 48), classes=2)
    model[-1].weight.data.zero_()
    att = pb.attribute(model, X.flatten(2), 0, method="input_x_gradient", transform="dct")
    value = judge(metric, model, att).value
    defined = metric.name in DEFINED and not getattr(metric, "scaled", False)
    assert (value.isfinite() if defined else value.isnan()).all()


@every
def test_a_map_that_holds_nan_has_no_number_and_the_others_keep_theirs(metric: Metric, maps: dict[str, pb.Attribution]) -> None:
    att = picked(maps["pixel"], [0, 1, 2])
    expected = judge(metric, NET, att, 1).value
    options = {"truth": att.values.abs() > 1e-2}
    expected = judge(metric, NET, att, 1, **options).value
    att.values[1, 0, 0, 0] = torch.nan
    found = judge(metric, NET, att, 1, **options).value
    assert found[1].isnan()
    torch.testing.assert_close(found[[0, 2]], expected[[0, 2]], rtol=1e-9, atol=1e-9, equal_nan=True)
