"""The page of comparisons concludes from stored runs by the rules of today."""

import json
from typing import Any

import pytest

from benchmarks.results.stored import ROOT
from benchmarks.scripts.comparisons_page import STORED, VERDICTS, closing, conclusions, left_out, recounted


@pytest.fixture
def photos() -> dict[str, Any]:
    """The stored run on photos, in which two methods are refused."""
    found: dict[str, Any] = json.loads((ROOT / STORED / "efficientnet.json").read_text(encoding="utf-8"))
    return found


def test_contrasts_of_refused_methods_are_counted_as_open(photos: dict[str, Any]) -> None:
    known = conclusions(photos)
    counts = recounted(photos, known).set_index(["question", "method"])
    stored = [row for row in photos["counts"] if row["question"] == "Method against method"]
    assert stored[0]["better"] == 19
    assert (counts[VERDICTS].sum(axis=1) == [sum(row[name] for name in VERDICTS) for row in photos["counts"]]).all()
    refused = {one.method for one in known if one and one.admission.fault}
    assert refused == {"smoothgrad", "mask(steps=30)"}
    touched = counts[[method in {*refused, ""} for _, method in counts.index]]
    assert (touched["open"] == touched[VERDICTS].sum(axis=1)).all()  # every stored claim between methods has one of these
    assert {row["method"]: row["equal"] for row in photos["counts"]}["shapley(by=band, exact=false, pairs=4)"] == (
        counts.xs("shapley(by=band, exact=false, pairs=4)", level="method")["equal"].iloc[-1]
    )


def test_admitted_methods_keep_their_claims(photos: dict[str, Any]) -> None:
    for one in photos["conclusions"]:
        one["admission"] |= {"p": 1e-9, "doses": [0.2, 0.4, 0.6, 0.8, 1.884], "noise": 0.01}
    assert recounted(photos, conclusions(photos)).to_dict("records") == photos["counts"]


def test_what_a_run_leaves_out_and_what_cannot_be_concluded_is_said(photos: dict[str, Any]) -> None:
    assert "budgets of equal energy and bits; the control by a shuffled model" in left_out(photos)
    said = closing([photos])
    assert "In 0 of 4 cells" in said
    assert "In 2 the metric does not vote: efficientnet-lite0, smoothgrad; efficientnet-lite0, mask." in said
    assert "Nothing of `efficientnet-lite0` at `--effort quick` can be more than provisional" in said


def test_cells_of_two_runs_are_said_to_be_counted_twice(photos: dict[str, Any]) -> None:
    assert "counted in each: efficientnet-lite0, integrated gradients; " in closing([photos, photos])
    assert "counted in each" not in closing([photos])
