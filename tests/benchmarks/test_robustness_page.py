"""The stored result of the robustness study: what its networks are, and what the page says of them."""

import json

import pandas as pd
import pytest
from support import ROOT

from benchmarks.scripts import robustness_page
from benchmarks.scripts.tables import NothingStored
from pullback.studies.robustness import figures
from pullback.studies.robustness.verdicts import sign
from pullback.studies.zoo.fashion_mnist import FASHION_NETS

FOLDER = ROOT / robustness_page.FOLDER


@pytest.fixture(scope="module")
def right() -> pd.DataFrame:
    """Right answers of every network (rows) under every condition (columns)."""
    found = pd.read_csv(FOLDER / "results.csv")
    rows = found[(found["quantity"] == "accuracy") & found["model"].notna()]
    return rows.pivot_table(index="model", columns="name", values="value")


def test_networks_trained_against_attacks_withstand_them_and_pay_for_it(right: pd.DataFrame) -> None:
    usual = right.loc[[name for name in FASHION_NETS if "erm" in name]]
    robust = right.loc[[name for name in FASHION_NETS if "erm" not in name]]
    assert (len(usual), len(robust)) == (3, 9)
    assert robust["attack 0.1"].min() > usual["attack 0.1"].max() + 0.5
    assert usual["clean"].min() > robust["clean"].max()
    assert right.loc["mnist-lenet-robust", "attack 0.2"] > right.loc["mnist-lenet", "attack 0.2"] + 0.5


def test_no_network_was_left_out_and_nothing_was_resumed() -> None:
    about = json.loads((FOLDER / "summary.json").read_text())
    assert about["models"] == 14
    assert about["pieces"]["all"] == about["pieces"]["of_this_run"]
    assert about["examples"] == {"fashion-mnist": 500, "digits": 500}
    assert set(json.loads((FOLDER / "training.json").read_text())) == set(FASHION_NETS)


def test_shuffled_outcomes_are_no_finding_and_every_interval_holds_its_value() -> None:
    claims = pd.read_csv(FOLDER / "claims.csv")
    shuffled = claims[claims["name"] == "shuffled"]
    assert ((shuffled["low"] < 0.5) & (shuffled["high"] > 0.5)).all()
    known = claims.dropna(subset=["low"])
    assert ((known["low"] <= known["value"]) & (known["value"] <= known["high"])).all()
    assert not any(sign(row) for _, row in claims[claims["units"] == "groups"].iterrows())  # four trainings cannot show it


def test_a_tie_is_no_finding_and_no_definition_is_the_papers_with_the_papers_method() -> None:
    """The correlation of the largest |r| ties with its shuffled pairings but for rounding."""
    claims = pd.read_csv(FOLDER / "other-claims.csv")
    groups = claims[(claims["question"] == "models") & (claims["units"] == "groups")]
    assert abs(groups["value"].abs().max() - groups["limit"].iloc[0]) < 1e-9
    assert not any(sign(row) for _, row in groups.iterrows())
    said = json.loads((FOLDER / "other-summary.json").read_text())["findings"]
    assert any(f"0 of {len(groups)} correlations" in sentence for sentence in said)
    found, text = pd.read_csv(FOLDER / "other-results.csv"), robustness_page.section(ROOT)
    lines = robustness_page._definitions(found.fillna({"model": "", "band": "", "name": ""}), claims)
    assert robustness_page._which(lines, "this method").endswith("and both hold by none.")
    assert "and both hold by none." in text
    assert "With one gradient" in text


def test_a_star_is_for_groups_only() -> None:
    claims = pd.read_csv(FOLDER / "claims.csv")
    models = claims[(claims["question"] == "models") & (claims["units"] == "models")]
    assert any(sign(row) for _, row in models.iterrows())  # these would have had stars
    assert not any(figures.star(row) for _, row in models.iterrows())
    assert figures.star({"units": "groups", "value": 0.9, "low": 0.5, "high": 1.0, "limit": 0.8}) == "*"


def test_a_page_without_results_says_so(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NothingStored):
        robustness_page.section(tmp_path)


def test_a_resumed_run_is_not_stored(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "summary.json").write_text(json.dumps({"pieces": {"all": 4, "of_this_run": 3}}))
    with pytest.raises(ValueError, match="3 of 4 pieces"):
        robustness_page.store(tmp_path, tmp_path)
