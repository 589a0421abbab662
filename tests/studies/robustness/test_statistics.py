"""Contrasts, correlations and areas: closed forms, other libraries, and controls that must not come out as findings."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from pullback.studies.robustness import statistics
from pullback.studies.robustness.net import Net
from pullback.studies.robustness.settings import Settings
from pullback.studies.robustness.tables import behaviour, results
from pullback.studies.robustness.verdicts import OWN, claims, sentences, sign

EXAMPLES, LEVELS = 200, (0.1, 0.4)
OCTAVES = ["coarser", "octave 3", "octave 2", "octave 1"]


def net(name: str, finest: float, survives: str = "chance", robust: float = 0.5, seed: int = 0) -> Net:
    """A net of made-up numbers: spectra around `finest`; answers survive filters by chance, or as "mean" or "margin" say."""
    rng = np.random.default_rng(seed)
    fine = (finest + 0.05 * rng.normal(size=EXAMPLES)).clip(0.01, 0.9)
    rest = rng.dirichlet((5, 5, 5), EXAMPLES) * (1 - fine)[:, None]
    spectra = {each: np.column_stack([rest, fine]) for each in OWN}
    spectra |= {"coefficients": rng.dirichlet((5, 5, 5, 5), EXAMPLES)}
    margin = rng.random(EXAMPLES)
    chance = {"chance": rng.random(EXAMPLES), "mean": 1 - fine, "margin": margin}[survives]
    truth = np.zeros(EXAMPLES, dtype=int)
    lost = (chance < np.median(chance)).astype(int)
    predicted = {"clean": truth} | {f"{kind} {octave}": lost for octave in (1, 2, 3) for kind in ("low", "high")}
    predicted |= {f"noise {octave} {level:g}": lost for octave in (1, 2, 3, 4) for level in LEVELS}
    predicted |= {"attack 0.1": (rng.random(EXAMPLES) > robust).astype(int)}
    about = (
        name,
        Settings().group(name),
        "data",
        "dwt(haar, level=3)",
        10,
        (28, 28),
        [f"{i}" for i in range(EXAMPLES)],
        OCTAVES,
    )
    return Net(*about, spectra, predicted, truth, margin, np.zeros((0, 113)))


SETTINGS = Settings(attacks=(0.1,), levels=LEVELS)


def test_areas_and_their_variances_are_those_of_other_formulas() -> None:
    rng = np.random.default_rng(0)
    outcome = rng.random(150) < 0.4
    score = np.round(rng.normal(size=150) + outcome, 1)  # with ties
    area, influence = statistics.roc(score, outcome)
    assert abs(area - roc_auc_score(outcome, score)) < 1e-12
    drawn = [rng.integers(0, 150, 150) for _ in range(2_000)]
    spread = np.std([roc_auc_score(outcome[rows], score[rows]) for rows in drawn])
    assert abs(math.sqrt(np.mean(influence**2) / 150) / spread - 1) < 0.1


def test_intervals_of_areas_hold_at_their_level() -> None:
    rng = np.random.default_rng(1)
    truth = stats.norm.cdf(1 / math.sqrt(2))  # scores of two normal laws, one standard deviation apart
    held = 0
    for _ in range(400):
        outcome = rng.random(200) < 0.3
        _, low, high = statistics.mean_area([statistics.roc(rng.normal(size=200) + outcome, outcome)], 0.9)
        held += low < truth < high
    assert abs(held / 400 - 0.9) < 0.05


def test_contrasts_of_groups_hold_together_and_are_near_those_of_dunnett() -> None:
    rng = np.random.default_rng(5)
    missed = 0
    for _ in range(500):
        groups = list(rng.normal(size=(4, 3)))
        missed += any(low > 0 or high < 0 for _, low, high in statistics.against_first(groups, 0.9))
    assert missed <= 65  # 10 % of 500 are 50; Bonferroni's correction is a little too wide
    groups = list(rng.normal(size=(4, 5)))
    known = stats.dunnett(*groups[1:], control=groups[0], rng=np.random.default_rng(0)).confidence_interval(0.95)
    for (_, low, high), one, other in zip(statistics.against_first(groups, 0.95), known.low, known.high):
        assert 1 <= (high - low) / (other - one) < 1.1


def test_a_correlation_of_noise_does_not_exceed_shuffled_pairings_too_often() -> None:
    rng = np.random.default_rng(2)
    extremes = [rng.normal(size=(6, 3)) for _ in range(40)], [rng.normal(size=(6, 4)) for _ in range(40)]
    found = 0
    for one, other in zip(*extremes):
        most = max(abs(np.corrcoef(a, b)[0, 1]) for a in one.T for b in other.T)
        found += most > statistics.shuffled_extreme(one, other)
    assert found <= 6  # 5 % of 40 are 2
    same = rng.normal(size=(6, 3))
    assert statistics.shuffled_extreme(same, same) < 1
    assert statistics.shuffled_extreme(same[:4], same[:4]) > 0.99  # of four models only the best of 24 pairings could


def test_a_constant_or_a_few_models_have_no_correlation() -> None:
    assert all(map(math.isnan, statistics.correlation(np.ones(5), np.arange(5.0), 0.95)))
    value, low, high = statistics.correlation(np.arange(3.0), np.array([0.0, 2.0, 1.0]), 0.95)
    assert (round(value, 2), math.isnan(low), math.isnan(high)) == (0.5, True, True)


@pytest.mark.parametrize("thresholds", [[0.1, 0.05, 0.1, 0.4], [0.4, 0.1, 0.1, math.inf]])
def test_a_critical_band_is_where_the_thresholds_are_lowest(thresholds: list[float]) -> None:
    middle, width, error = statistics.critical_band(np.arange(1.0, 5.0), np.array(thresholds))
    assert abs(middle - 1 - int(np.argmin(thresholds))) < 0.7
    assert 0 < width < 6
    assert error < 0.1


def test_a_band_is_unknown_where_thresholds_are() -> None:
    outside = [0.1, 0.2, 0.3, math.inf]  # the finest octave is the weakest: a peak beyond it would fit as well
    for thresholds in ([math.inf] * 4, [0.1, 0.2, 0.3], [0.1, math.nan, 0.2, 0.3], outside):
        assert math.isnan(statistics.critical_band(np.arange(1.0, 1 + len(thresholds)), np.array(thresholds))[0])


def test_a_threshold_is_interpolated_between_levels() -> None:
    one = net("a", 0.2)
    object.__setattr__(one, "classes", 2)
    for wrong, expected in (((0.25, 0.25), 0.1), ((0.0, 0.5), 0.2), ((0.5, 0.5), 0.05), ((0.0, 0.2), math.inf)):
        for level, share in zip(LEVELS, wrong):
            one.predicted[f"noise 1 {level:g}"] = (np.arange(EXAMPLES) < share * EXAMPLES).astype(int)
        assert one.threshold(1, LEVELS) == pytest.approx(expected), wrong
    one.predicted["clean"] = 1 - one.truth
    assert math.isnan(one.threshold(1, LEVELS))
    assert behaviour(one, SETTINGS)["threshold of the finest noise"] == math.log2(0.05)


def test_repeated_trainings_are_compared_over_models_and_single_ones_over_examples() -> None:
    nets = [net(f"{group}-seed{seed}", finest, seed=seed) for group, finest in (("a", 0.3), ("b", 0.2)) for seed in range(3)]
    found = claims(nets, SETTINGS).query("question == 'finest'")
    assert set(found["units"]) == {"models"}
    assert all(sign(row) < 0 for _, row in found.iterrows())
    single = claims(nets[::3], SETTINGS).query("question == 'finest'")
    assert set(single["units"]) == {"examples"}
    assert all(sign(row) < 0 for _, row in single.iterrows())
    alike = [net(f"{group}-seed{seed}", 0.25, seed=10 * seed + len(group)) for group in ("a", "bb") for seed in range(3)]
    assert not any(sign(row) for _, row in claims(alike, SETTINGS).query("question == 'finest'").iterrows())


def test_four_groups_cannot_show_a_correlation_however_strong_and_many_models_can() -> None:
    finest = (0.3, 0.25, 0.2, 0.15)
    four = [net(f"g{i}", share, robust=1 - 3 * share, seed=i) for i, share in enumerate(finest)]
    rows = claims(four, SETTINGS).query("question == 'models'")
    assert rows["value"].abs().max() > 0.9
    assert not any(sign(row) for _, row in rows.iterrows())
    many = [net(f"g{i}", 0.1 + 0.02 * i, robust=0.9 - 0.06 * i, seed=i) for i in range(12)]
    rows = claims(many, SETTINGS).query("question == 'models' and condition == 'accuracy under attacks'")
    assert all(sign(row) < 0 for _, row in rows.iterrows())


@pytest.mark.parametrize("survives", ["chance", "mean", "margin"])
def test_a_score_beats_its_controls_only_where_answers_depend_on_it(survives: str) -> None:
    """Lower shares of fine scales survive a low-pass filter, by the way the answers were made."""
    found = claims([net("a", 0.3, survives)], SETTINGS).query("question == 'examples' and condition == 'low-pass'")
    area = {row["name"]: row for _, row in found[found["against"].isna()].iterrows()}
    gains = {
        row["against"]: sign(row) for _, row in found[found["name"] == "mean"].iterrows() if isinstance(row["against"], str)
    }
    assert area["shuffled"]["low"] < 0.5 < area["shuffled"]["high"]
    assert (
        gains
        == {
            "chance": {"coefficients": 0, "margin": 0},
            "mean": {"coefficients": 1, "margin": 1},
            "margin": {"coefficients": 0, "margin": -1},
        }[survives]
    )


def test_sentences_name_directions_and_what_was_corrected() -> None:
    nets = [net(f"{group}-seed{seed}", finest, seed=seed) for group, finest in (("a", 0.3), ("b", 0.2)) for seed in range(3)]
    table, found = results(nets, SETTINGS), claims(nets, SETTINGS)
    said = " ".join(sentences("data", table, found))
    assert "smaller for b" in said
    assert "over 6 models" in said
    assert "98.75 %" in said  # 95 % over four definitions
    assert len(table[table["model"] == ""]) * 3 == len(table[table["model"] != ""])
