"""The study: every kind of signal, equal files after an interruption, tables, words and the command."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import minimal_toys as toys
from support.command_line import fails

from pullback.metrics.statistics import wilson
from pullback.studies import MinimalSettings, minimal
from pullback.studies.minimal import report, run
from pullback.studies.minimal.images import CONTROLS, EQUAL, HARD, IMAGES, NEAR, OWN, PHOTO, SOFT, VERSIONS
from pullback.studies.minimal.run import Minimal
from pullback.studies.minimal.tables import RIVAL, Tables, averages, median_interval, paired
from pullback.studies.minimal.words import change_contrasts, limit_contrasts, lost, sentences, summarized, verdict
from pullback.studies.report.report import write_page

FEW: dict[str, Any] = {"prices": (1.0, 10.0), "steps": 4, "continuation": None, "method": "input_x_gradient", "pictures": 1}
TABLES = {"scores.parquet", "results.csv", "limits.csv", "changed.csv", "summary.json", "report.html"}
FIGURES = {"paper.png", "front.png", "limits.png", "changed.png"}


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figures about all signals, which take longer than these models."""
    monkeypatch.setattr(report, "overview", lambda *tables: [])


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Minimal:
    """Two pictures in two domains."""
    folder = tmp_path_factory.mktemp("minimal")
    data = toys.write("image", folder / "pictures", 2)
    named = {"models": "toy", "data": str(data), "transforms": ("pixel", "dwt(haar, level=2)")}
    return minimal(out=folder / "out", loaded={"toy": toys.image()}, **named, **FEW)


def test_all_files_are_written_and_agree(found: Minimal) -> None:
    grids = {f"toy-{name}-000-0.png" for name in ("pixel", "dwt-haar-level-2-mode-periodizat")}
    assert set(found.files) == TABLES | FIGURES | grids
    assert all((found.out / name).stat().st_size for name in found.files)
    stored = json.loads((found.out / "summary.json").read_text())
    assert stored["findings"] == found.summary["findings"]
    assert stored["state"] == "finished"
    assert pd.read_csv(found.out / "limits.csv").shape == found.limits.shape
    assert len(pd.read_parquet(found.out / "scores.parquet")) == len(found.scores)


def test_the_report_of_the_folder_has_the_pareto_fronts(found: Minimal, tmp_path: Path) -> None:
    """No point of a front is beaten in sparsity and probability by another one, and each other point is."""
    assert [one["title"].rpartition(", ")[0] for one in found.summary["fronts"]] != []
    for one in found.summary["fronts"]:
        assert one["points"]
        for point in one["points"]:
            others = [(other["x"], other["y"]) for other in one["points"]]
            beaten = any(x >= point["x"] and y >= point["y"] and (x, y) != (point["x"], point["y"]) for x, y in others)
            assert point["front"] != beaten
    [page] = write_page([found.out], tmp_path / "page.html")
    text = page.read_text()
    assert "Pareto fronts" in text
    assert "probability of the class (mean)" in text


def test_the_long_table_holds_every_number_once(found: Minimal) -> None:
    scores = found.scores
    keys = ["domain", "control", "metric", "example", "price"]
    assert not scores.duplicated(keys).any()
    kept = scores[(scores["metric"] == "kept") & scores["price"].notna()]
    assert len(kept) == 2 * len(IMAGES) * 2 * 2
    assert {*IMAGES, PHOTO, NEAR, EQUAL, RIVAL} <= set(scores["control"]) <= {*IMAGES, *VERSIONS, RIVAL}
    equal = kept.groupby(["domain", "example", "price"])["budget"].nunique()
    assert (equal == 1).all()
    assert set(scores.loc[scores["control"] == "attribution", "method"]) == {"input_x_gradient"}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("kind", ["image", "series", "audio", "volume"])
def test_a_model_of_every_kind_runs_by_its_name(kind: str, tmp_path: Path) -> None:
    data = toys.write(kind, tmp_path / "data", 1)
    one = minimal(out=tmp_path / "out", models=f"support.minimal_toys:{kind}", data=data, seconds=0.1, **FEW)
    assert one.front["signals"].tolist() == [1] * len(one.front)
    domain = one.front["domain"].unique().tolist()
    assert domain == ["dwt(haar, level=3)"] or (kind != "image" and len(domain) == 1)
    assert one.summary["cost"]["gradients"] == 4 * 2 + 4
    assert one.scores["budget"].between(0, 1).all()


def contents(out: Path) -> dict[str, bytes]:
    """Every file of a run; of the summary, what does not depend on the clock."""
    files = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file() and path.name != "report.html"}
    summary = json.loads(files["summary.json"])
    files["summary.json"] = json.dumps([summary["findings"], summary["limits"], summary["files"]]).encode()
    return files


def test_an_interrupted_study_resumes_with_the_same_files(found: Minimal, tmp_path: Path) -> None:
    named = {name: found.summary["settings"][name] for name in ("models", "data", "transforms")}
    for rows in (1, 220, 520):  # forwards before the interruption: at once, in the first signal, and in a later one
        with pytest.raises(KeyboardInterrupt):
            minimal(out=tmp_path, loaded={"toy": toys.image(rows)}, **named, **FEW)
        assert json.loads((tmp_path / "summary.json").read_text())["state"] == "interrupted"
    again = minimal(out=tmp_path, loaded={"toy": toys.image()}, **named, **FEW)
    assert contents(tmp_path) == contents(found.out)
    assert 0 < again.summary["cost"]["reused"] < 4


@pytest.mark.usefixtures("undrawn")
def test_a_finished_study_runs_no_model_again(found: Minimal, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError("it ran again")

    monkeypatch.setattr(run, "measured", refuse)
    named = {name: found.summary["settings"][name] for name in ("models", "data", "transforms")}
    again = minimal(out=found.out, loaded={"toy": toys.image()}, **named, **FEW)
    assert again.scores.equals(found.scores)
    assert again.summary["cost"]["reused"] == 4
    with pytest.raises(AssertionError, match="ran again"):
        minimal(out=found.out, loaded={"toy": toys.image()}, **named, **FEW | {"steps": 5})


def record(
    example: str, kept: dict[str, list[bool]], sparsity: tuple[float, ...] = (0.5, 0.9), empty: int = 1
) -> dict[str, Any]:
    """A record in which these images are seen as class 0 at these sparsities."""
    rows = [
        {"image": image, "place": place, "alpha": 1.0, "count": 1, "sparsity": sparsity[place], "logit": 1.0}
        | {"probability": 0.5, "predicted": 0 if seen else 2, "nonzero": round(100 * (1 - sparsity[place]))}
        for image, own in kept.items()
        for place, seen in enumerate(own)
    ]
    ladder = [
        {name: row[name] for name in ("image", "count", "sparsity", "predicted")} for row in rows if row["image"] in CONTROLS
    ]
    changed = [
        {"image": image, "sparsity": 0.5, "change": change, "predicted": 0 if image == PHOTO else 1, "probability": 0.5}
        for image in VERSIONS
        for change in ("unchanged", "shifted 1/16", "shuffled 2 per axis")
    ]
    rival = {"class": 2, "place": 1, "alpha": 1.0, "sparsity": 0.5, "logit": 0.0, "predicted": 2, "probability": 0.4}
    about = {"data": "d", "model": "m", "domain": "pixel", "example": example, "unit": example, "target": 0, "classes": 4}
    about |= {
        "coefficients": 100,
        "ladder": ladder,
        "logit": 2.0,
        "probability": 0.9,
        "empty": {"logit": 0.0, "predicted": empty},
    }
    return about | {"rows": rows, "changed": changed, "rival": rival | {"before": {"probability": 0.1}}}


def tables(*records: dict[str, Any]) -> Tables:
    return Tables.of(records, MinimalSettings(models="m", prices=(1.0, 2.0)))


EVERY = {key: [True, True] for key in IMAGES}


def test_the_limit_is_where_the_class_is_lost_for_the_first_time() -> None:
    kept = {**EVERY, HARD: [True, False], "attribution": [False, True], "random": [False, False]}
    limits = tables(record("a", kept)).limits.set_index("image")
    columns = ["kept_until", "lost_at", "kept_last"]
    assert limits.loc[SOFT, ["kept_until", "kept_last"]].tolist() == [0.9, 0.9]
    assert np.isnan(limits.loc[SOFT, "lost_at"])  # it is not lost at any price
    assert limits.loc[HARD, columns].tolist() == [0.5, 0.9, 0.5]
    assert limits.loc["attribution", columns].tolist() == [0.0, 0.5, 0.9]
    assert limits.loc["random", columns].tolist() == [0.0, 0.5, 0.0]


def test_the_limit_of_a_control_is_that_of_its_own_ladder() -> None:
    one = record("a", {**EVERY, "random": [False, False]})
    own = [{"image": "random", "count": k, "sparsity": 1 - k / 100, "predicted": 0 if k > 50 else 2} for k in (90, 60, 30)]
    one["ladder"] = [row for row in one["ladder"] if row["image"] != "random"] + own
    limits = tables(one).limits.set_index("image")
    assert limits.loc["random", ["kept_until", "lost_at"]].tolist() == pytest.approx([0.4, 0.7])


def test_who_loses_the_class_is_counted_apart_from_who_never_does() -> None:
    kept = [EVERY, {**EVERY, SOFT: [True, False]}, {key: [True, False] for key in EVERY}]
    ends = [(0.5, 0.9), (0.5, 0.9), (0.5, 1.0)]
    found = summarized(tables(*(record(str(i), one, end) for i, (one, end) in enumerate(zip(kept, ends)))))
    row = next(row for row in found["limits"] if row["image"] == SOFT)
    assert [row[name] for name in ("unlost", "lost", "emptied")] == [1, 1, 1]
    assert row["lost_at"]["median"] == 0.9
    assert lost(row, "price") == "of 3, 1 lose it at no price, 1 only where nothing is left, 1 at 90 % (90–90 %)"


def test_shares_have_intervals_within_0_and_1() -> None:
    rows = pd.DataFrame({"key": "k", "unit": [str(i) for i in range(20)], "kept": [1.0] * 19 + [0.0], "logit": [1.0] * 20})
    line = averages(rows, ["key"], ["kept", "logit"]).iloc[0]
    assert [line["kept low"], line["kept high"]] == pytest.approx(list(wilson(19, 20)))
    assert 0.7 < line["kept low"] < line["kept"] == 0.95 < line["kept high"] < 1


def test_a_class_that_an_empty_signal_has_counts_in_no_limit() -> None:
    both = tables(record("a", EVERY), record("b", EVERY, empty=0))
    assert set(both.limits["example"]) == {"a"}
    alone = tables(record("b", EVERY, empty=0))
    assert any("in the empty signal too" in one for one in sentences(alone, summarized(alone)))


def test_classes_that_are_kept_are_counted() -> None:
    kept = [{**EVERY, "random": [True, False]}, {**EVERY, "random": [False, False]}]
    front = tables(*(record(str(place), one) for place, one in enumerate(kept))).front.set_index(["image", "price"])
    assert front.loc["random", "kept"].tolist() == [0.5, 0.0]
    assert front.loc[SOFT, "kept"].tolist() == [1.0, 1.0]
    assert front.loc[PHOTO, "sparsity"].tolist() == [0.0]


def test_contrasts_are_positive_where_the_minimal_image_needs_fewer() -> None:
    rng = np.random.default_rng(0)
    draw = lambda: (0.5, float(rng.uniform(0.9, 0.99)))
    records = [record(str(place), {**EVERY, "random": [False, False]}, draw()) for place in range(24)]
    found = {row["other"]: row for row in limit_contrasts(tables(*records).limits)}
    assert found["random"]["verdict"] == "better"
    assert found["random"]["mean"] > np.log2(10)
    assert found["coefficient"]["verdict"] == "equal"
    assert set(found) == {HARD, *CONTROLS}
    assert found["random"]["comparisons"] == len(found)


def test_chance_after_changes_is_counted_from_other_signals() -> None:
    other = record("b", EVERY)
    changed = tables(record("a", EVERY), other | {"target": 1}).changed.set_index(["image", "change"])
    assert set(changed["chance"]) == {0.25}
    # a: class 0, seen as 1 when changed; b: class 1, seen as 1. Of the two pairs, b is seen as ... and a as b's class.
    assert changed.loc[(OWN, "shuffled 2 per axis"), "of_others"] == 0.5
    assert changed.loc[(OWN, "shuffled 2 per axis"), "kept"] == 0.5
    assert changed.loc[(PHOTO, "shuffled 2 per axis"), "of_others"] == 0.5


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (("worse", "worse", "open"), "cannot be tested"),
        (("open", "worse", "open"), "does not hold: it depends on the arrangement"),
        (("open", "worse", "worse"), "not confirmed, nor is its opposite"),
        (("equal", "equal", "worse"), "holds so far"),
        (("equal", "better", "open"), "is not shown"),
        (
            ("open", "open", "worse"),
            "is open; differences found with 80 % power, in points: harmless 30, arrangement 30, parts 30",
        ),
        (("open",), "not tested"),
    ],
)
def test_the_verdict_on_texture(verdicts: tuple[str, ...], said: str) -> None:
    groups = zip(("harmless", "arrangement", "parts"), verdicts)
    assert said in verdict([{"group": group, "verdict": one, "detectable": 0.3} for group, one in groups])


def test_only_what_was_declared_is_compared() -> None:
    records = [record(str(place), EVERY) for place in range(24)]
    rows = {(row["image"], row["group"]): row for row in change_contrasts(tables(*records).changed_rows)}
    assert set(rows) == {(image, group) for image in (NEAR, OWN) for group in ("harmless", "arrangement")}
    assert {row["comparisons"] for row in rows.values()} == {4}
    assert rows[OWN, "harmless"]["verdict"] == "worse"  # the photo keeps its class, the minimal image does not
    assert rows[OWN, "arrangement"]["mean"] == -1.0


def test_copies_of_a_signal_are_one_unit() -> None:
    rows = pd.DataFrame({"key": "k", "unit": ["a", "a", "b"], "value": [1.0, 3.0, 5.0]})
    line = averages(rows, ["key"], ["value"]).iloc[0]
    assert line["signals"] == 2
    assert line["value"] == 3.5
    both = pd.concat([rows.assign(side=side, example=["1", "2", "3"]) for side in "xy"])
    assert paired(both, "value", both["side"] == "x", both["side"] == "y").tolist() == [0.0, 0.0]


def test_the_interval_of_a_median_lies_in_the_data() -> None:
    assert median_interval([1.0, 2.0, 3.0]) == {"median": 2.0, "low": 1.0, "high": 3.0}
    assert median_interval([0.5] * 30) == {"median": 0.5, "low": 0.5, "high": 0.5}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prices": (2.0, 1.0)}, "prices must be positive numbers that grow"),
        ({"alphas": (0.0,)}, "alphas must be positive"),
        ({"models": ()}, "at least one model"),
        ({"models": ("a", "a")}, "each once"),
        ({"models": ("a", "b", "c"), "data": ("x", "y")}, "one for each of 3 models"),
        ({"steps": 0}, "steps"),
        ({"method": "no_such"}, "no_such"),
        ({"seconds": 0.0}, "seconds must be positive"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        MinimalSettings(**options)
    assert len(str(caught.value)) <= 300


def test_data_without_signals_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text("no numbers")
    with pytest.raises(ValueError, match="none of the files"):
        minimal(out=tmp_path / "out", models="toy", data=tmp_path, loaded={"toy": toys.series()}, **FEW)
    assert not (tmp_path / "out").exists()


def test_quick_takes_a_small_model_unless_one_is_named() -> None:
    assert MinimalSettings().quick.pairs == [("mnist-lenet", "digits")]
    assert MinimalSettings(models="net:make").quick.pairs == [("net:make", "imagenet-sample")]
    assert MinimalSettings(limit=2).quick.limit == 2


def test_the_command_passes_its_options_and_prints_what_was_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], found: Minimal
) -> None:
    asked: list[MinimalSettings] = []
    monkeypatch.setattr("pullback.studies.minimal", lambda settings, out, progress, note: asked.append(settings) or found)
    options = ["--model", "net:make", "--data", "photos", "--alphas", "1e-5", "--alphas", "1e-3", "--steps", "500"]
    assert fails(monkeypatch, "study", "minimal", *options, "--continuation", "0", "--out", str(found.out)) == 0
    assert asked[0].alphas == (1e-5, 1e-3)
    assert asked[0].steps == 500
    assert asked[0].continuation is None
    printed = " ".join(capsys.readouterr().out.split())
    assert "Sparsity: median and 95 % interval" in printed
    assert "toy on" in printed
    assert "report.html" in printed
