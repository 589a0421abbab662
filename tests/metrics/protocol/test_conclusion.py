"""Verdicts from given curves."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from pullback.metrics.protocol import Protocol
from pullback.metrics.protocol.admission import DOSES, Admission, admission
from pullback.metrics.protocol.conclusion import (
    BLIND,
    KINDS,
    LEVELLED,
    NEUTRAL,
    ROTATION,
    Conclusion,
    Evidence,
    conclude,
    corrected,
    joined,
)
from pullback.metrics.protocol.errors import Cell
from pullback.metrics.protocol.run import Scored
from pullback.metrics.statistics.intervals import t_interval

GOOD = Admission(0.01, 0.01, (0.1, 0.3, 0.5, 0.7, 0.85), 0.85, 1e-6)
UNITS = 24
T = lambda contrasts: stats.t.isf(0.025 / contrasts, UNITS - 1)  # by which an interval of as many contrasts is widened


def concluded(
    errors: dict[str, float],
    admitted: Admission = GOOD,
    units: int = UNITS,
    kinds: tuple[Any, ...] = KINDS,
    noise: float = 0.02,
    cosine: float = 0.0,
    seed: int = 0,
    **changes: Any,
) -> Conclusion:
    """The conclusion for domains with these mean errors.  changes: {"domain/kind of budget/answer": its error instead}."""
    rng, curves = np.random.default_rng(seed), {}
    spread = rng.normal(0, 0.02, (units, 1))
    for name in errors:
        for control, more in {"attribution": 0.0, "coefficient": 0.2, "coarse_first": 0.4, "random": 0.0}.items():
            for family in ("own", "a", "b", NEUTRAL):
                for by in KINDS:
                    for answer in ("score", "probability"):
                        mean = changes.get(f"{name}/{by}/{answer}", errors[name]) + more
                        mean = 0.85 if control == "random" else mean
                        drawn = rng.normal(0, noise, (units, 2))
                        curves[Cell(name, control, family, by, answer)] = np.stack(2 * [mean + spread + drawn], -1)
    domains = tuple(name for name in errors if name != ROTATION)
    differences = {answer: np.ones(units) for answer in ("score", "probability")}
    evidence = Evidence(curves, differences, domains, ("a", "b", NEUTRAL), kinds, ("score", "probability"), range(units))
    cosines = np.eye(len(domains)) * (1 - cosine) + cosine
    return conclude(evidence, cosines, admitted, "ig", "None")


def test_a_clear_leader_is_named() -> None:
    found = concluded({"a": 0.2, "b": 0.4, ROTATION: 0.45})
    assert found.named == found.leader == "a"
    assert not found.reasons
    assert [(pair.first, pair.second, pair.verdict) for pair in found.pairs] == [("a", "b", "better")]


@pytest.mark.parametrize(
    ("errors", "changes", "why"),
    [
        ({"a": 0.2, "b": 0.205, ROTATION: 0.45}, {}, "equal to b"),
        ({"a": 0.40, "b": 0.6, ROTATION: 0.405}, {}, "equal to a random rotation"),
        ({"a": 0.5, "b": 0.7, ROTATION: 0.8}, {}, "more than half of that of random rankings"),
        ({"a": 0.2, "b": 0.4, ROTATION: 0.9}, {"a/energy/score": 0.5}, "depends on the budget"),
        ({"a": 0.2, "b": 0.4, ROTATION: 0.9}, {"a/energy/score": 0.415}, ""),  # a point and a half count as equal
        ({"a": 0.2, "b": 0.4, ROTATION: 0.9}, {"b/count/probability": 0.1, "b/bits/probability": 0.1}, ""),
        ({"a": 0.2, "b": 0.4, ROTATION: 0.9}, {f"b/{by}/probability": 0.1 for by in KINDS}, "depends on the answer"),
    ],
)
def test_each_guard_keeps_a_domain_from_being_named(errors: dict[str, float], changes: dict[str, float], why: str) -> None:
    found = concluded(errors, **changes)
    assert (found.named is None) == bool(why)
    assert why in " ".join(found.reasons)


def test_domains_that_select_the_same_signal_are_one_where_their_errors_are_equal_too() -> None:
    found = concluded({"a": 0.2, "b": 0.205, "c": 0.3, ROTATION: 0.45}, cosine=0.99)
    assert found.groups == (("a", "b"), ("c",))
    assert {(pair.first, pair.second): pair.verdict for pair in found.pairs}["a", "b"] == "equal"
    assert "c" in found.checks  # its own rival, which no other domain stands for
    same = concluded({"a": 0.2, "b": 0.205, "c": 0.21, ROTATION: 0.45}, cosine=0.99)
    assert len(same.groups) == 1


@pytest.mark.parametrize(("rotation", "named"), [(0.222, None), (0.24, "a")])
def test_a_name_asks_for_a_tenth_less_error_than_a_random_rotation(rotation: float, named: str | None) -> None:
    """Both leads are certain; one of two points of 22 any basis may have over a random one."""
    found = concluded({"a": 0.2, "b": 0.4, ROTATION: rotation}, noise=0.005)
    assert found.checks[f"a {ROTATION}"].verdict == "better"
    assert found.named == named
    assert f"its lead over a {ROTATION} may be below 2 points (" in found.sentence or named


@pytest.mark.parametrize(("error", "named"), [(0.41, "a"), (0.428, None)])
def test_a_name_asks_for_half_of_the_error_of_random_rankings_with_certainty(error: float, named: str | None) -> None:
    found = concluded({"a": error, "b": 0.9, ROTATION: 0.9})
    assert found.named == named
    assert named or found.reasons[0].startswith("its error of 0.42 may be more than half of that of random rankings, 0.85")


def test_the_lead_over_another_domain_may_be_small_if_it_is_certain_and_not_equal() -> None:
    assert concluded({"a": 0.2, "b": 0.225, ROTATION: 0.6}).named == "a"
    assert "equal to b" in concluded({"a": 0.2, "b": 0.21, ROTATION: 0.6}).sentence  # certain too, but within 2 points
    assert "not better than b" in concluded({"a": 0.2, "b": 0.225, ROTATION: 0.6}, noise=0.2).sentence


def test_each_contrast_of_a_name_stands_at_the_level_by_itself() -> None:
    """All of them must hold, so that more of them make a false name no more likely: no interval is widened for their number."""
    errors = {"a": 0.2, **dict.fromkeys("bcdefg", 0.26), ROTATION: 0.6}
    found = concluded(errors, noise=0.18)
    assert found.named == "a"
    wider = [one.mean - (one.mean - one.low) * T(9) / T(1) for one in found.checks.values()]
    assert len(wider) == 9
    assert min(wider) < 0
    assert concluded({**errors, "b": 0.2}, noise=0.18).named is None  # the control: one that does not hold


@pytest.mark.parametrize(("level", "kept"), [(0.95, True), (0.9, False)])
def test_the_level_holds_for_a_leader_that_the_same_numbers_choose(level: float, kept: bool) -> None:
    """Two equal domains: the one with the smaller error is named in 5 % of the runs, by an interval of two sides."""
    drawn = np.random.default_rng(0).normal(0, 1, (4000, UNITS))
    lead = np.sign(drawn.mean(1))[:, None] * drawn
    named = np.mean([t_interval(one, level)[1] > 0 for one in lead])
    assert (named < 0.06) == kept


def test_a_metric_that_fails_does_not_vote() -> None:
    flat = Admission(0.01, 0.01, (0.3, 0.3, 0.3, 0.3, 0.3), 0.85, 0.5)
    assert "does not vote" in concluded({"a": 0.2, "b": 0.4, ROTATION: 0.45}, flat).sentence


def test_equal_domains_are_called_equal() -> None:
    assert concluded({"a": 0.2, "b": 0.2, ROTATION: 0.45}).pairs[0].verdict == "equal"


@pytest.mark.parametrize(("kinds", "provisional"), [(KINDS, False), (("count",), True)])
def test_a_claim_says_which_budgets_and_controls_it_had(kinds: tuple[Any, ...], provisional: bool) -> None:
    """Those of this table have no shuffled model."""
    found = concluded({"a": 0.2, "b": 0.4, ROTATION: 0.45}, kinds=kinds)
    assert f"at budgets of equal {', '.join(kinds)}: " in found.sentence
    assert "its controls (its ranking by |z - z₀|, its coarse-first order)" in found.sentence
    assert "24 units, which could have shown" in found.sentence
    assert ("budgets of equal energy and bits" in found.sentence) == provisional
    assert "provisional, without" in found.sentence
    whole = {**found.checks, BLIND["shuffled_model"]: found.checks["b"]}
    assert ("provisional" in replace(found, checks=whole).sentence) == provisional


def test_names_are_corrected_over_the_cells_of_a_comparison() -> None:
    """Of two cells one name survives with p = .04, and of twenty none; a cell without a conclusion does not count."""
    weak = concluded({"a": 0.2, "b": 0.4, ROTATION: 0.45})
    weak = replace(weak, checks={name: replace(one, p_corrected=0.04) for name, one in weak.checks.items()})
    strong = concluded({"a": 0.2, "b": 0.4, ROTATION: 0.45})
    few = corrected([weak, None, strong])
    assert [one and one.named for one in few] == ["a", None, "a"]
    assert "after Holm over 2 cells" in few[0].sentence  # type: ignore[union-attr]
    many = corrected([weak] * 20)
    assert {one.named for one in many if one} == {None}
    assert "p is 0.8 after Holm over the 20 cells" in many[0].sentence  # type: ignore[union-attr]


def test_conclusions_that_differ_in_the_baseline_are_told_together() -> None:
    one = concluded({"a": 0.2, "b": 0.4, ROTATION: 0.45})
    other = replace(one, baseline="mean")
    assert joined([one, other]) == "ig: a is named with each of the baselines None, mean."
    assert joined([one, replace(other, named=None)]) == "ig: the verdict depends on the baseline (a with None, none with mean)."
    assert "no domain is claimed with each" in joined([replace(one, named=None)] * 2)


@pytest.mark.parametrize(("rotation", "levelled"), [(0.35, True), (0.405, True), (0.6, False)])
def test_a_random_rotation_that_does_as_well_is_said_first(rotation: float, levelled: bool) -> None:
    found = concluded({"a": 0.40, "b": 0.6, ROTATION: rotation}, **{f"b/{by}/score": 0.41 for by in KINDS})
    assert found.named is None
    assert found.levelled == levelled
    first = f"ig: {LEVELLED}; no domain is claimed; a has" if levelled else "ig: no domain is claimed; a has"
    assert found.sentence.startswith(first)


def test_few_units_name_nothing() -> None:
    clear = concluded({"a": 0.2, "b": 0.4, ROTATION: 0.45}, units=12)
    assert clear.reasons == ("12 units are fewer than 20",)  # and not that it is not better, beside a small p
    assert "not better than a" in " ".join(concluded({"a": 0.2, "b": 0.2, ROTATION: 0.45}, units=12).reasons)


@pytest.mark.parametrize(("end", "said"), [(0.85, ""), (0.6, "by chance")])
def test_a_map_of_noise_must_be_as_bad_as_chance(end: float, said: str) -> None:
    rng = np.random.default_rng(0)
    doses = np.linspace(0.2, end, 5) + rng.normal(0, 0.02, (UNITS, 5))
    found = admission(doses, np.full(UNITS, 0.85), doses[:, :2])
    assert said in found.fault
    assert bool(found.fault) == bool(said)


@pytest.mark.parametrize(("rise", "refused"), [(0.06, False), (0.03, True)])
def test_a_metric_that_moves_less_than_its_noise_floor_is_refused(rise: float, refused: bool) -> None:
    """Page's test sees both rises, since they are the same in every unit; a domain's mean is known to ± 0.02."""
    spread = np.random.default_rng(0).normal(0, 0.1, (25, 1))
    doses = 0.8 - rise + rise * np.linspace(0, 1, 5) + spread
    found = admission(doses, np.full(25, 0.8) + spread[:, 0], doses[:, :1])
    assert found.p < 0.05
    assert ("2 standard errors of 0.02" in found.fault) == refused


@pytest.mark.parametrize(("spread", "refused"), [(0.05, False), (6.0, True)])
def test_the_gain_is_admitted_by_the_same_test_with_a_floor_of_its_own(spread: float, refused: bool) -> None:
    """Its doses are those of the error less E of |z|, so that the trend is the same; a noisy E of |z| drowns it."""
    rng, cells = np.random.default_rng(0), {}
    level = {"attribution": 0.2, "random": 0.8, "coefficient": 0.4} | {f"noise {dose}": 0.2 + 0.6 * dose for dose in DOSES}
    for name, mean in level.items():
        own = rng.normal(0, spread if name == "coefficient" else 0.05, (UNITS, 1, 1))
        cells[Cell("a", name, "own", "count")] = np.broadcast_to(mean + own, (UNITS, 1, 2))
    protocol = Protocol(("a",), budgets=(0.1,), kinds=("count",))
    scored = Scored(protocol, (), ("score",), cells, {"score": np.ones(UNITS)}, np.ones((UNITS, 1, 1)))
    error, gain = scored.admission(range(UNITS)), scored.admission(range(UNITS), "coefficient")
    assert not error.fault
    assert gain.p == error.p
    assert bool(gain.fault) == refused
