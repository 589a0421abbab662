"""Comparisons of several models, data sets, methods and baselines: the long table, declared questions, two runs."""

import dataclasses
import html
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.tiny import settings, tiny

import pullback as pb
from pullback import studies
from pullback.core.progress import Interrupted
from pullback.metrics import measure
from pullback.metrics.protocol.conclusion import NEUTRAL, ROTATION
from pullback.metrics.protocol.table import COLUMNS
from pullback.studies.compare import scores
from pullback.studies.compare.questions import Question
from pullback.studies.compare.settings import EFFORTS
from pullback.studies.compare.units import units_of

TWO = ("input_x_gradient", "integrated_gradients(steps=3, rule=gauss_legendre)")
DOMAINS = ("pixel", "dwt(haar, level=2)")


def asked(folder: Path, **changes: Any) -> studies.Settings:
    """Two domains, and no pictures."""
    return dataclasses.replace(settings(folder), **{"pictures": 0, "transforms": DOMAINS} | changes)


def several(pictures: Path, **changes: Any) -> studies.Settings:
    return asked(pictures, method=TWO, baseline=("zero", "mean"), limit=3, **changes)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory, pictures_once: Path) -> studies.Comparison:
    """Two methods and two baselines on three pictures."""
    return studies.compare(several(pictures_once), tmp_path_factory.mktemp("grid") / "o", model=tiny())


@pytest.fixture(scope="module")
def pictures_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for number in range(4):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def test_every_cell_is_in_both_tables(grid: studies.Comparison) -> None:
    labels = {*TWO, *(f"{method}, baseline=mean" for method in TWO)}
    assert set(grid.table["method"]) == set(grid.scores["method"]) == labels
    assert len(grid.table) == 4 * 3 * 2
    assert len(grid.conclusions) == len(grid.summary["cells"]) == 4
    stored = scores.read(grid.out)
    pd.testing.assert_frame_equal(stored[list(COLUMNS)], grid.scores, check_dtype=False)
    about = json.loads((grid.out / scores.SCHEMA).read_text())
    assert list(about["columns"]) == list(COLUMNS)
    assert about["rows"] == len(stored)
    assert set(stored["family"]) == {"own", "away", NEUTRAL, ""}
    assert {"selection_error", "gain", "kept_share", "removed_share", "score_difference"} <= set(stored["metric"])
    assert ROTATION in set(stored["domain"])


def test_cells_that_differ_in_the_baseline_are_named_and_told_together(grid: studies.Comparison) -> None:
    said = grid.summary["conclusion_sentences"]
    assert [sentence.partition(": ")[0] for sentence in said] == [
        start for method in TWO for start in (method, f"baseline=zero, {method}", f"baseline=mean, {method}")
    ]
    assert said[0].endswith("no domain is claimed with each of the baselines zero, mean.")


def test_scores_are_those_of_the_metric(grid: studies.Comparison, pictures_once: Path) -> None:
    """Of a tensor, without folders: the same selection, so the same share of f(x) - f(x₀)."""
    model = tiny()
    x = pb.studies.load_photos(str(pictures_once), 3)
    (first, image), *_ = list(x)
    values = model.prepare(image)[None]
    target = int(model.module(values).argmax(1))
    att = pb.attribute(model.module, values, target, method=TWO[0], transform=DOMAINS[1])
    (found,) = measure(model.module, att, "selection_error(budgets=[0.1])", target)
    chosen = grid.scores.query(
        "metric == 'kept_share' and control == 'attribution' and budget == 0.1 and budget_kind == 'count'"
    )
    own = chosen[(chosen["method"] == TWO[0]) & (chosen["domain"] == DOMAINS[1]) & (chosen["example"] == first.name)]
    assert len(own) == 1
    assert abs(own["score"].item() - 1) == pytest.approx(float(found.details["kept"][0, 0]), rel=1e-3)
    wide = grid.table.query("transform == @DOMAINS[1] and image == @first.name and method == @TWO[0]")
    assert wide["kept10_attribution"].item() == pytest.approx(own["score"].item(), rel=1e-6)


@pytest.mark.usefixtures("overview")
def test_pictures_of_cells_lie_in_folders_of_their_own(pictures_once: Path, tmp_path: Path) -> None:
    chosen = dataclasses.replace(several(pictures_once), baseline=("zero",), pictures=1)
    found = studies.compare(chosen, tmp_path / "o", model=tiny())
    drawn = [name for name in found.files if name.endswith(".png")]
    assert {name.partition("/")[0] for name in drawn} == {"cell-1", "cell-2"}
    assert all((tmp_path / "o" / name).is_file() for name in drawn)
    page = (tmp_path / "o" / "report.html").read_text()
    assert all(f"cell-{number}/octaves.png" in page for number in (1, 2))


def test_an_interrupted_cell_continues_where_it_stopped(pictures_once: Path, tmp_path: Path) -> None:
    chosen = dataclasses.replace(several(pictures_once), baseline=("zero",))
    whole = tiny()
    fresh = studies.compare(chosen, tmp_path / "whole", model=whole)
    with pytest.raises(Interrupted) as stopped:
        studies.compare(chosen, tmp_path / "cut", model=tiny(stop_after=whole.module.rows // 2))
    assert (stopped.value.done, stopped.value.planned) == (3, 6)
    rest = tiny()
    found = studies.compare(chosen, tmp_path / "cut", model=rest)
    assert rest.module.rows < 0.8 * whole.module.rows
    pd.testing.assert_frame_equal(found.scores, fresh.scores)


def test_questions_are_declared_before_scoring_and_cannot_change(pictures_once: Path, tmp_path: Path) -> None:
    (tmp_path / "q.toml").write_text('[[question]]\nname = "wavelets"\nsecond = "pixel"\nfamily = "neutral rotation"\n')
    chosen, declared = asked(pictures_once, limit=2), studies.read_questions(tmp_path / "q.toml")
    found = studies.compare(chosen, tmp_path / "o", model=tiny(), questions=declared)
    assert {one["question"] for one in found.summary["answers"]} == {"wavelets"}
    assert json.loads((tmp_path / "o" / "questions.json").read_text())["sha256"] == found.summary["questions"]
    with pytest.raises(ValueError, match="declares other questions"):
        studies.compare(chosen, tmp_path / "o", model=tiny())
    interrupted = tmp_path / "cut"
    with pytest.raises(Interrupted):
        studies.compare(chosen, interrupted, model=tiny(stop_after=20), questions=declared)
    assert (interrupted / "questions.json").is_file()


def test_two_runs_are_compared_photo_by_photo(pictures_once: Path, tmp_path: Path) -> None:
    chosen = asked(pictures_once, limit=3)
    first = studies.compare(chosen, tmp_path / "1", model=tiny())
    again = studies.compare(chosen, tmp_path / "2", model=tiny(), before=tmp_path / "1")
    assert [row["mean"] for row in again.summary["earlier"]] == [0.0] * len(again.summary["earlier"])
    assert {row["domain"] for row in again.summary["earlier"]} == {*DOMAINS, ROTATION}
    assert "Against the run in" in again.summary["sentences"][-1]
    (tmp_path / "3").mkdir()
    changed = first.scores.assign(score=first.scores["score"] + 0.25 * (first.scores["metric"] == "selection_error"))
    scores.write(changed, tmp_path / "3")
    shutil.copytree(tmp_path / "1", tmp_path / "4")  # whose photos are not measured again
    worse = studies.compare(chosen, tmp_path / "4", model=tiny(), before=tmp_path / "3")
    assert [row["mean"] for row in worse.summary["earlier"]] == pytest.approx([0.25] * 3)
    with pytest.raises(ValueError, match=r"holds no scores\.parquet"):
        studies.compare(chosen, tmp_path / "5", model=tiny(), before=tmp_path)
    assert not (tmp_path / "5").exists()
    scores.write(first.scores.assign(example="other"), tmp_path / "3")
    with pytest.raises(ValueError, match="no example, domain and budget"):
        studies.compare(chosen, tmp_path / "4", model=tiny(), before=tmp_path / "3")


def test_copies_count_once(pictures_once: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(pictures_once, tmp_path / "copies")
    shutil.copy(folder / "0.png", folder / "0 again.png")
    found = studies.compare(asked(folder), tmp_path / "o", model=tiny())
    assert found.scores["example"].nunique() == 4
    assert found.table["image"].nunique() == 5


@pytest.mark.parametrize(
    "changes", [{"effort": "hard"}, {"method": ()}, {"baseline": ("nothing",)}, {"method": ("no_method",)}]
)
def test_wrong_settings_are_refused(pictures_once: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"expected|Unknown"):
        studies.compare(settings(pictures_once, **changes), tmp_path / "o", model=tiny())
    assert not (tmp_path / "o" / "results.csv").exists()


def test_a_notebook_shows_the_sentences(grid: studies.Comparison) -> None:
    shown = html.unescape(grid._repr_html_())
    assert "are too few for a claim; at least" in shown
    assert all(name in shown for name in (*TWO, *DOMAINS))


def test_photos_of_one_group_are_one_unit_of_all_statistics(pictures_once: Path, tmp_path: Path) -> None:
    """By a pattern and by a file: examples stay as they are, and contrasts count groups."""
    chosen = asked(pictures_once)
    with pytest.raises(ValueError, match="matches none of 4 examples"):
        studies.compare(dataclasses.replace(chosen, groups="x(.+)"), tmp_path / "o", model=tiny())
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("example,group\n" + "".join(f"{number}.png,{number // 2}\n" for number in range(4)))
    found = studies.compare(dataclasses.replace(chosen, groups=str(pairs)), tmp_path / "1", model=tiny())
    assert found.scores["example"].nunique() == 4
    assert set(found.scores["unit"]) == set(found.table["unit"]) == {"0", "1"}
    assert {one["units"] for one in found.summary["answers"]} == {2}
    assert {check.units for check in found.conclusions[0].checks.values()} == {2}
    assert "2 groups of images" in " ".join(found.summary["answer_sentences"])
    alone = studies.compare(asked(pictures_once), tmp_path / "2", model=tiny())
    assert {one["units"] for one in alone.summary["answers"]} == {4}
    pd.testing.assert_series_equal(alone.scores["score"], found.scores["score"])


@pytest.mark.parametrize(
    ("groups", "match"),
    [
        ("(", "regular expression"),
        (".+", "no group in parentheses"),
        ("none.csv", "no file"),
        ("some.csv", "names no group of 1"),
    ],
)
def test_groups_that_do_not_fit_are_refused(groups: str, match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some.csv").write_text("example,group\na,1\n")
    with pytest.raises(ValueError, match=match) as caught:
        units_of(["a", "b"], groups)
    assert len(str(caught.value)) <= 300


def test_what_cannot_rank_domains_is_said_once_for_each_cell(grid: studies.Comparison, pictures_once: Path) -> None:
    """Infidelity of the pixel map: a row for each photo, without a domain, and one sentence; in no column of the wide table."""
    rows = grid.scores[grid.scores["metric"].str.startswith("infidelity")]
    assert set(rows["domain"]) == set(rows["family"]) == {""}
    assert len(rows) == 2 * 4 * 3
    said = [one for one in grid.summary["sentences"] if "Equal in all orthonormal domains" in one]
    assert len(said) == 4
    assert all("of the map in pixel, means over 3 images" in one for one in said)
    assert not [name for name in grid.table if "infidelity" in name]
    model = tiny()
    image = next(iter(pb.studies.load_photos(str(pictures_once), 1)))[1]
    x = model.prepare(image)[None]
    target = int(model.module(x).argmax(1))
    for domain in DOMAINS:  # orthonormal, so that another one would give the same number
        att = pb.attribute(model.module, x, target, method=TWO[0], transform=domain)
        (found,) = measure(model.module, att, "infidelity(samples=20)", target)
        own = rows[(rows["metric"] == "infidelity") & (rows["method"] == TWO[0]) & (rows["example"] == "0.png")]
        assert own["score"].item() == pytest.approx(float(found.value), rel=1e-3)
    with pytest.raises(ValueError, match="cannot rank domains"):
        Question("q", metric="infidelity")


def test_full_effort_asks_the_oracle_and_the_sensitivity_of_maps(
    pictures_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EFFORTS["full"], "oracle", 1)
    monkeypatch.setitem(EFFORTS["full"], "budgets", (0.01, 0.05, 0.1))
    found = studies.compare(asked(pictures_once, effort="full", limit=2), tmp_path / "o", model=tiny())
    oracle = found.scores[found.scores["control"] == "oracle"]
    assert set(oracle["example"]) == {"0.png"}
    assert set(oracle["domain"]) == {*DOMAINS, ROTATION}
    assert found.scores.query("metric == 'max_sensitivity'")["score"].between(0, 10).sum() == 2
    assert "max-sensitivity" in " ".join(found.summary["sentences"])
