"""Statistics have known answers, keep their promises in seeded simulations, and controls that break these are seen."""

import dataclasses

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from pullback.metrics.statistics import (
    ENOUGH,
    average_ranks,
    contrast,
    detectable_difference,
    false_discovery,
    family,
    holm,
    large_enough,
    mean_interval,
    near_duplicates,
    per_unit,
    sign_flip,
    two_level_interval,
    wilson,
)
from pullback.metrics.statistics.intervals import t_interval


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def coverage(interval, draws: np.ndarray, mean: float) -> float:  # type: ignore[no-untyped-def]
    found = np.array([interval(row) for row in draws])
    return float(((found[:, 1] <= mean) & (found[:, 2] >= mean)).mean())


def bca(values: np.ndarray) -> tuple[float, float, float]:
    """The control: what was used before, which is too narrow for few numbers."""
    found = stats.bootstrap((values,), np.mean, n_resamples=999, rng=rng()).confidence_interval
    return float(values.mean()), found.low, found.high


def test_the_interval_of_a_mean_covers_it_where_a_narrower_one_does_not() -> None:
    draws = rng(1).lognormal(size=(300, 8))
    ours, narrow = (coverage(interval, draws, np.exp(0.5)) for interval in (mean_interval, bca))
    assert ours >= 0.86  # 0.90 in 2,000 repetitions
    assert narrow <= 0.84  # 0.80
    normal = coverage(mean_interval, rng(2).normal(size=(300, 20)), 0)
    assert 0.92 <= normal <= 0.98


def test_an_interval_of_a_mean_depends_on_the_numbers_alone() -> None:
    values = rng(3).lognormal(size=30)
    found = mean_interval(values)
    assert mean_interval(rng(4).permutation(values)) == found
    assert mean_interval([*values, np.nan, np.inf]) == found
    np.testing.assert_allclose(mean_interval(1e300 * values), 1e300 * np.array(found), rtol=1e-12)
    assert np.isfinite(mean_interval([1e307, -1e307] * 9)).all()
    assert mean_interval(values, level=0.99)[2] > found[2] > mean_interval(values, level=0.5)[2] > found[0] > found[1]


def test_few_different_numbers_have_the_interval_of_student() -> None:
    values = [0.0] * 19 + [1.0]
    low, high = stats.t.interval(0.95, 19, loc=0.05, scale=stats.sem(values))
    np.testing.assert_allclose(mean_interval(values), (0.05, low, high), rtol=1e-12)
    assert mean_interval([1.0, 2.0])[1] < -4  # two numbers say little


@pytest.mark.parametrize("values", [[], [np.nan], [np.inf, -np.inf]])
def test_without_numbers_nothing_is_said(values: list[float]) -> None:
    assert np.isnan(mean_interval(values)).all()
    found = contrast(values)
    assert (found.units, found.dropped, found.verdict) == (0, len(values), "open")
    assert np.isnan([found.mean, found.low, found.high, found.p, found.shift, found.superiority, found.detectable]).all()


def test_numbers_of_one_cluster_are_one_unit() -> None:
    photos = rng(5).normal(size=(400, 10))
    crops = np.repeat(photos, 8, axis=1) + 0.1 * rng(6).normal(size=(400, 80))
    label = np.repeat(np.arange(10), 8)
    right = lambda row: mean_interval(row, cluster=label)
    assert coverage(right, crops[:200], 0) >= 0.9
    assert coverage(t_interval_of_95, crops[:200], 0) <= 0.6  # crops taken for units: far too narrow
    assert contrast(crops[0], cluster=label).units == 10
    assert contrast(crops[0]).units == 80
    np.testing.assert_allclose(contrast(crops[0], cluster=label).mean, crops[0].reshape(10, 8).mean(), rtol=1e-12)


def t_interval_of_95(values: np.ndarray) -> tuple[float, float, float]:
    return t_interval(values, 0.95)


def test_clusters_of_one_change_nothing_and_may_have_any_label() -> None:
    values = rng(7).normal(size=24)
    assert contrast(values, cluster=list(range(24))) == contrast(values)
    mixed = per_unit("x", [1, 3, np.nan, 5, np.inf], ["a", "a", "a", 2, ("b", 1)])
    np.testing.assert_array_equal(mixed, [2, 5, np.nan])


def test_sign_flips_equal_those_of_scipy() -> None:
    assert sign_flip([5.0]) == 1
    for seed, units in enumerate((2, 5, 10, 13)):
        values = rng(seed).normal(0.4, 1, units)
        exact = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=10**5, vectorized=True)
        assert sign_flip(values) == pytest.approx(exact.pvalue, abs=1e-12)
    values = rng(8).normal(0.35, 1, 40)
    assert sign_flip(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.01)
    assert sign_flip(values, seed=1) == pytest.approx(sign_flip(values), abs=0.004)


def test_sign_flips_know_neither_order_nor_direction_nor_scale() -> None:
    values = rng(9).normal(0.3, 1, 30)
    for other in (values[::-1], -values, 1e305 * values, 1e-300 * values):
        assert sign_flip(other) == sign_flip(values)
    assert sign_flip(np.zeros(30)) == 1
    assert sign_flip(np.ones(30)) == pytest.approx(1e-5, rel=1e-3)  # the smallest p of drawn patterns, never 0


def test_a_contrast_turned_round_is_its_mirror_image() -> None:
    values = rng(10).normal(0.05, 0.1, 40)
    found, turned = contrast(values), contrast(-values)
    assert (turned.mean, turned.low, turned.high) == pytest.approx((-found.mean, -found.high, -found.low), rel=1e-12)
    assert (turned.p, turned.shift, turned.superiority) == pytest.approx((found.p, -found.shift, 1 - found.superiority))
    assert {found.verdict, turned.verdict} == {"better", "worse"}


def test_an_odd_unit_moves_the_mean_but_not_the_shift() -> None:
    values = np.r_[np.full(29, 0.1) + rng(11).normal(0, 0.01, 29), -1e6]
    found = contrast(values)
    assert found.mean < -1e4
    assert found.shift == pytest.approx(0.1, abs=0.01)
    assert found.verdict == "open"
    pairs = [(a + b) / 2 for i, a in enumerate(values) for b in values[i:]]
    assert found.shift == pytest.approx(np.median(pairs), rel=1e-9)
    assert contrast(rng(12).normal(0.3, 1, 2500)).shift == pytest.approx(0.3, abs=0.06)  # from drawn pairs


def test_ties_count_one_half_as_superiority() -> None:
    assert contrast([1.0, 0.0, 0.0, -1.0, 2.0]).superiority == pytest.approx(0.6)


def test_a_family_without_differences_rarely_has_a_claim_and_without_correction_often() -> None:
    """With so few units all sign patterns are tried: p is exact."""
    draws = rng(13).standard_t(3, size=(400, 8, 10))
    families = [family({str(i): one for i, one in enumerate(draw)}) for draw in draws]
    claims = lambda p: np.mean([any(p(one) <= 0.05 for one in found.values()) for found in families])
    assert claims(lambda one: one.p_corrected) <= 0.075  # 0.05 and its error in 400 families
    assert claims(lambda one: one.p) >= 0.25  # the control: no correction


def test_holm_equals_statsmodels_and_counts_tests_that_failed() -> None:
    p = rng(14).uniform(size=12) ** 3
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], rtol=1e-12)
    np.testing.assert_allclose(holm([0.01, 0.01, 0.5, 0.01]), [0.04, 0.04, 0.5, 0.04], rtol=1e-12)
    assert holm([0.01, np.nan, np.nan])[0] == pytest.approx(0.03)
    assert np.isnan(holm([0.01, np.nan])[1])
    assert np.isnan(false_discovery([0.01, np.nan])[1])
    assert (false_discovery(p) <= holm(p)).all()
    assert holm([]).size == false_discovery([]).size == 0


def test_the_intervals_and_p_of_a_family_are_wider_than_alone() -> None:
    values = rng(15).normal(0.05, 0.1, 30)
    alone = contrast(values)
    among = family({"a": values} | {str(i): rng(i).normal(0, 0.1, 30) for i in range(9)})["a"]
    assert among.p == alone.p
    assert among.p_corrected > alone.p_corrected
    assert among.low < alone.low < alone.high < among.high
    assert among.detectable > alone.detectable
    assert among.comparisons == 10


def test_equal_sides_are_equal_once_there_are_enough_units() -> None:
    draw = lambda units: contrast(rng(16).normal(0, 0.1, units)).verdict
    assert draw(1000) == "equal"
    assert draw(30) == "open"  # the control: too few to tell
    assert contrast(np.zeros(ENOUGH)).verdict == "equal"
    assert contrast(np.zeros(ENOUGH), rope=0).verdict == "equal"
    assert contrast(rng(17).normal(0.01, 0.05, 1000)).verdict == "equal"  # significant, and too small to matter
    assert contrast(rng(17).normal(0.01, 0.05, 1000), rope=0.001).verdict == "better"


def test_a_difference_as_large_as_the_rope_is_rarely_called_equal() -> None:
    template = contrast(np.zeros(400))
    equal = lambda one: (
        dataclasses.replace(template, **dict(zip(("mean", "low", "high"), t_interval(one, 0.95)))).verdict == "equal"
    )
    assert contrast(draw := rng(18).normal(0, 0.05, 400)).verdict == "equal" == template.verdict
    assert equal(draw)
    assert np.mean([equal(one) for one in rng(18).normal(0.02, 0.1, size=(1000, 400))]) <= 0.035
    assert np.mean([equal(one) for one in rng(19).normal(0.0, 0.1, size=(1000, 400))]) >= 0.9


def test_nothing_is_claimed_from_fewer_than_twenty_units() -> None:
    large = rng(20).normal(1, 0.01, ENOUGH)
    assert contrast(large).verdict == "better"
    assert contrast(large[:-1]).verdict == "open"
    assert contrast(np.r_[large[:-1], np.nan]).verdict == "open"
    assert contrast(np.repeat(large[:5], 8), cluster=np.repeat(np.arange(5), 8)).verdict == "open"


@pytest.mark.parametrize("comparisons", [1, 10])
def test_the_detectable_difference_is_found_four_times_in_five(comparisons: int) -> None:
    alpha = 0.05 / comparisons
    shift = detectable_difference(np.r_[np.ones(12), -np.ones(12)], alpha=alpha) * np.sqrt(23 / 24)  # for a true spread of 1
    draws = rng(21).normal(shift, 1, size=(2000, 24))
    assert np.mean(stats.ttest_1samp(draws, 0, axis=1).pvalue <= alpha) == pytest.approx(0.8, abs=0.025)
    found = [sign_flip(one) <= alpha for one in draws[:40]]
    assert np.mean(found) >= 0.65
    half = rng(22).normal(shift / 2, 1, size=(2000, 24))  # the control: half of it is found much less often
    assert np.mean(stats.ttest_1samp(half, 0, axis=1).pvalue <= alpha) < 0.4


def test_the_detectable_difference_equals_that_of_statsmodels() -> None:
    for units in (20, 100):
        values = rng(units).normal(size=units)
        effect = TTestPower().solve_power(nobs=units, alpha=0.05, power=0.8)
        assert detectable_difference(values) == pytest.approx(effect * values.std(ddof=1), rel=1e-4)
    assert detectable_difference(np.zeros(5)) == 0
    assert np.isnan(detectable_difference([1.0]))
    assert detectable_difference([0.0, 1.0], alpha=1e-6) > 1e4


def test_two_models_say_less_about_models_than_ten() -> None:
    draw = lambda models, seed: rng(seed).normal(size=(models, 1)) + 0.5 * rng(seed + 1).normal(size=(models, 30))
    covers = lambda models: coverage(two_level_interval, np.array([draw(models, 2 * i) for i in range(100)]), 0)
    assert covers(3) >= 0.93
    assert covers(10) >= 0.90
    pooled = lambda table: t_interval(table.ravel(), 0.95)  # the control: every number taken for a unit
    assert coverage(pooled, np.array([draw(3, 2 * i) for i in range(100)]), 0) <= 0.4
    widths = [np.ptp(two_level_interval(draw(models, 1))[1:]) for models in (2, 10)]
    assert widths[0] > 3 * widths[1]


def test_two_levels_leave_out_what_is_missing() -> None:
    table = rng(23).normal(size=(4, 25))
    found = two_level_interval(table)
    assert found[0] == pytest.approx(table.mean(), rel=1e-12)
    assert two_level_interval(np.vstack([table, np.full(25, np.nan)])) == found
    for wrong in ([[1.0, 2.0]], np.full((3, 3), np.nan), [[1.0], [2.0]]):
        with pytest.raises(ValueError, match="two models and two examples"):
            two_level_interval(wrong)
    with pytest.raises(ValueError, match="as many numbers in each row"):
        two_level_interval([[1.0, 2.0], [1.0]])


def test_near_duplicates_are_represented_by_their_middle() -> None:
    middle = rng(24).normal(size=200)
    signals = np.array(
        [middle, *(middle + s * rng(25 + i).normal(size=200) for i, s in enumerate((0.2, 0.25))), rng(30).normal(size=200)]
    )
    cosines = np.corrcoef(signals)
    groups = near_duplicates(cosines, ["m", "a", "b", "other"])
    assert groups == (("m", "a", "b"), ("other",))
    order = [3, 2, 1, 0]
    turned = near_duplicates(cosines[np.ix_(order, order)], ["other", "b", "a", "m"])
    assert turned == (("other",), ("m", "b", "a"))  # whatever the order
    assert len(near_duplicates(cosines, ["m", "a", "b", "other"], alike=0.999)) == 4
    assert near_duplicates([], []) == ()
    assert near_duplicates([[1.0]], ["a"]) == (("a",),)
    with pytest.raises(ValueError, match="symmetric"):
        near_duplicates([[1, 0.3], [0.2, 1]], ["a", "b"])
    with pytest.raises(ValueError, match="different names"):
        near_duplicates(cosines, ["m", "m", "b", "other"])
    with pytest.raises(ValueError, match="on the diagonal"):
        near_duplicates(np.zeros((2, 2)), ["a", "b"])
    with pytest.raises(ValueError, match="without NaN"):
        near_duplicates(np.full((2, 2), np.nan), ["a", "b"])


def test_a_chain_of_neighbours_is_no_group() -> None:
    angle = np.arange(12) * 0.25  # each is near the next, the ends are opposite
    cosines = np.cos(angle[:, None] - angle)
    groups = near_duplicates(cosines, [str(i) for i in range(12)])
    assert 4 <= len(groups) <= 8


def test_average_ranks_equal_those_of_scipy() -> None:
    scores = rng(31).normal(size=(15, 4)) + np.arange(4)
    found = average_ranks(np.vstack([scores, [np.nan, 1, 2, 3]]), "abcd")
    statistic, p = stats.friedmanchisquare(*scores.T)
    assert (found.statistic, found.p) == pytest.approx((statistic, p), rel=1e-12)
    assert (found.units, found.dropped, next(iter(found.ranks))) == (15, 1, "d")
    assert sum(found.ranks.values()) == pytest.approx(10)
    assert next(iter(average_ranks(scores, "abcd", higher_is_better=False).ranks)) == "a"
    assert average_ranks(np.ones((5, 3)), "abc").p == 1
    assert np.isnan(average_ranks(np.full((3, 3), np.nan), "abc").p)
    with pytest.raises(ValueError, match="a column for each of 3 names"):
        average_ranks(scores, "abc")


def test_shares_of_a_small_difference_are_dropped_by_a_rule_that_knows_no_map() -> None:
    assert large_enough([5.0, -4.0, 0.2, 0.0, np.inf]).tolist() == [True, True, True, False, False]
    assert large_enough([5.0, -4.0, 0.1, 6.0]).tolist() == [True, True, False, True]
    assert large_enough(np.zeros(3)).tolist() == [False] * 3
    assert large_enough([]).tolist() == []
    assert large_enough([1e-9, 1.0, 2.0], least=0).tolist() == [True] * 3
    with pytest.raises(ValueError, match=r"`least` in \[0, 1\]"):
        large_enough([1.0], least=2)


@pytest.mark.parametrize("values", ["abc", ["1", "2"], np.array(["1"]), 1j * np.ones(3), [1, "2"], {"a": 1}, [10**400]])
def test_what_is_no_number_is_refused(values: object) -> None:
    for function in (mean_interval, contrast, sign_flip, holm, detectable_difference, large_enough):
        with pytest.raises((TypeError, ValueError), match=r"expected .*(number|row)") as caught:
            function(values)  # type: ignore[operator]
        assert len(str(caught.value)) <= 300


def test_wrong_arguments_are_named() -> None:
    for wrong in (np.ones((2, 3)), 3.0):
        with pytest.raises(ValueError, match="one row of numbers"):
            contrast(wrong)
    with pytest.raises(ValueError, match="a cluster for each of 3 values, got 2"):
        contrast([1, 2, 3], cluster=["a", "b"])
    with pytest.raises(ValueError, match="1 of them unknown"):
        contrast([1, 2, 3], cluster=["a", "b", None])
    with pytest.raises(ValueError, match="rope ≥ 0"):
        contrast([1, 2, 3], rope=-0.1)
    with pytest.raises(TypeError, match="family: expected differences by name, a dict, got list"):
        family([[1.0, 2.0]])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"expected 1 to 5,000 comparisons at level 0\.95, got 5,001"):
        contrast([1, 2, 3], comparisons=5001)
    with pytest.raises(ValueError, match=r"p-values in \[0, 1\], got 1.5"):
        holm([0.5, 1.5])
    for function in (contrast, mean_interval, two_level_interval):
        with pytest.raises(ValueError, match="level must be between 0 and 1"):
            function([[1.0, 2.0], [3.0, 4.0]] if function is two_level_interval else [1.0, 2.0], level=95)  # type: ignore[operator]


def test_a_contrast_is_plain_and_frozen() -> None:
    found = contrast(rng().normal(size=25))
    assert all(isinstance(value, int | float) for value in dataclasses.asdict(found).values())
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.mean = 0.0  # type: ignore[misc]


def test_a_thousand_contrasts_are_one_family() -> None:
    draws = rng(40).normal(0, 1, size=(1000, 20))
    draws[0] += 3
    found = family({str(i): one for i, one in enumerate(draws)})
    assert [name for name, one in found.items() if one.verdict != "open"] == ["0"]


def test_wilsons_interval_is_that_of_scipy_and_stays_in_0_and_1() -> None:
    for of in (1, 7, 20):
        for count in range(of + 1):
            expected = stats.binomtest(count, of).proportion_ci(0.9, "wilson")
            low, high = wilson(count, of, 0.9)
            assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
            assert 0 <= low <= count / of <= high <= 1
    assert wilson(2.5, 20)[0] < 2.5 / 20 < wilson(2.5, 20)[1]
    assert np.isnan(wilson(0, 0)).all()
    with pytest.raises(ValueError, match="a count from 0 to 3"):
        wilson(4, 3)
