"""Comparisons and explanations with a small model and small pictures."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from support.tiny import PREPARE, settings, tiny
from torch import nn

from pullback import attribute, studies
from pullback.metrics.protocol.admission import Admission
from pullback.metrics.protocol.conclusion import NEUTRAL
from pullback.metrics.protocol.table import COLUMNS
from pullback.metrics.statistics import ENOUGH, family
from pullback.studies.compare import questions
from pullback.studies.compare.answers import DIFFERENCE, Answer, answer
from pullback.studies.compare.grid import DOMAINS
from pullback.studies.compare.sentences import points
from pullback.studies.compare.summary import summarize_scores
from pullback.studies.compare.verdicts import _percent, _weak, findings
from pullback.studies.loaders.models import LoadedModel
from pullback.studies.report import figures


def test_the_seed_fixes_everything_and_batches_change_nothing(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = studies.compare(settings(pictures, pictures=0), tmp_path / "1", model=tiny()).table
    monkeypatch.setattr(sys.modules["pullback.studies.compare.cell"], "BATCH", 9)
    second = studies.compare(settings(pictures, pictures=0, batch_size=2), tmp_path / "2", model=tiny()).table
    names = [
        name
        for name in first
        if pd.api.types.is_float_dtype(first[name]) and not name.startswith(("seconds", "completeness_gap", "relative"))
    ]
    np.testing.assert_allclose(first[names], second[names], rtol=1e-3, atol=1e-5)


def test_report_names_controls_and_intervals_once_there_are_enough_photos(pictures: Path, tmp_path: Path) -> None:
    outcome = studies.compare(settings(pictures, pictures=0), tmp_path / "o", model=tiny())
    sentences = " ".join(outcome.summary["sentences"])
    assert sentences.count("9 images are too few for a claim") == 2
    assert "no domain is claimed" in sentences
    assert "9 units are fewer than 20" in sentences
    assert "between linear domains" in sentences
    copies = [outcome.scores.assign(example=outcome.scores["example"] + str(i)) for i in range(3)]
    sentences = " ".join(summarize_scores(thrice(copies), [], questions.default(), "images")["answer_sentences"])
    assert "ranking by |coefficient|, which never sees the model" in sentences
    assert "3 contrasts with coefficient, 27 images; budgets of equal count; 95 % intervals that hold for all 3" in sentences
    assert "together, p after Holm" in sentences
    assert "too few" not in sentences
    bad = dataclasses.replace(outcome.conclusions[0], admission=Admission(0.1, 0.1, (0.3,) * 5, 0.3, 0.5))
    place = [tuple(outcome.scores[["data", "model", "method"]].iloc[0])]
    found = summarize_scores(thrice(copies), [bad], questions.default(), "images", place)
    assert {one["verdict"] for one in found["answers"] if one["metric"] == "selection_error"} == {"open"}
    assert "selection_error does not vote there" in " ".join(found["answer_sentences"])
    assert {one["verdict"] for one in outcome.summary["answers"]} == {"open"}
    assert outcome.summary["domains"]["pixel"]["gini"]["low"] is None
    shares = figures.octave_shares(outcome.table)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert list(shares.columns) == ["all", "coarser", "octave 2", "octave 1"]


def test_progress_ends_where_it_said_it_would(pictures: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    studies.compare(settings(pictures), tmp_path / "o", lambda done, planned: seen.append((done, planned)), tiny())
    assert seen[-1][0] == seen[-1][1]
    assert len({planned for _, planned in seen}) == 1
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_what_is_explained_is_named_by_photo_class_and_domain(pictures: Path, tmp_path: Path) -> None:
    model = dataclasses.replace(tiny(), classes=("ant", "honey bee", "cat", "dog", "eel"))
    domains = ["dwt(haar, level=2)", "dct"]
    explain = lambda **options: studies.explain(
        pictures / "3.png", model=model, method="gradient", transforms=domains, out=tmp_path, **options
    )
    found = explain(target=1)
    assert (found.image, found.class_name) == ("3.png", "honey bee")
    names = ("dwt-haar-level-2", "dct")
    assert found.files == [f"3-honey-bee-{name}.{end}" for end in ("png", "json") for name in names]
    held = json.loads((tmp_path / "3-honey-bee-dct.json").read_text())
    assert held["domain"] == "dct"
    assert sum(octave["share"] for octave in held["octaves"]) == pytest.approx(1)
    assert sorted(path.name for path in tmp_path.glob("3-*.*")) == sorted(found.files)
    model, domains = tiny(), ["pixel"]
    found = explain(target=1)
    assert (found.class_name, found.files) == ("", ["3-1-pixel.png", "3-1-pixel.json"])


def test_maps_are_drawn_in_domains_of_different_families(pictures: Path, tmp_path: Path) -> None:
    pick = lambda *specs: [spec for spec, _ in figures._pick([(spec, None) for spec in specs])]
    assert pick(*DOMAINS[1:]) == ["dwt(haar, level=3)", "dwt(db4, level=3)", "dct", "dft"]
    assert pick("dwt(haar, level=3)", "dwt(haar, level=5)") == ["dwt(haar, level=3)"]
    assert pick("dwt(haar)", "color(opponent) >> dwt(haar)", "color(opponent) >> dwt(haar, level=2)") == [
        "dwt(haar)",
        "color(opponent) >> dwt(haar)",
    ]
    assert pick("dct", "dft", "hartley", "swt(haar)", "wpt(haar)") == ["dct", "dft", "hartley", "swt(haar)"]


def test_what_holds_a_map_is_counted_in_samples(pictures: Path, tmp_path: Path) -> None:
    """A frame says the same several times over: it needs more numbers for the same, not the same share of more."""
    frame = settings(pictures, transforms=("dwt(haar, level=1)", "swt(haar, level=1)"), limit=3, pictures=0)
    table = studies.compare(frame, tmp_path / "o", model=tiny()).table
    held = table.pivot(index="image", columns="transform", values="samples90")
    counts = table.groupby("transform")["coefficients"].first()
    assert counts["swt(haar, level=1)"] == 4 * counts["dwt(haar, level=1)"]
    assert (held["swt(haar, level=1)"] > 1.5 * held["dwt(haar, level=1)"]).all()


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with pytest.raises(ValueError, match="holds no files"):
        studies.compare(settings(tmp_path / "d"), tmp_path / "o", model=tiny())
    (tmp_path / "d" / "a.jpg").write_text("text")
    with pytest.raises(ValueError, match=r"None of the 1 files .* a\.jpg"):
        studies.compare(settings(tmp_path / "d"), tmp_path / "o", model=tiny())


def test_models_that_are_not_classifiers_are_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a classifier"):
        studies.compare(settings(pictures), tmp_path / "o", model=LoadedModel("flat", nn.Identity(), PREPARE))


def test_pictures_are_drawn_of_photos_that_can_be_read(pictures: Path, tmp_path: Path) -> None:
    for number in (0, 2, 5):
        (pictures / f"{number}.png").write_text("not a picture")
    asked = dataclasses.replace(settings(pictures, transforms=("pixel",)), pictures=5)
    found = studies.compare(asked, tmp_path / "o", model=tiny())
    drawn = sorted(name for name in found.files if name.startswith("top10-"))
    assert drawn == [f"top10-{i:03}-{number}.png" for i, number in enumerate((1, 3, 4, 6, 7))]


def test_more_coefficients_than_samples_are_more_than_100_per_cent(pictures: Path, tmp_path: Path) -> None:
    table = studies.compare(
        settings(pictures, transforms=("pixel", "dct"), limit=2, pictures=0), tmp_path / "o", model=tiny()
    ).table
    table["kept10_attribution"] = table["transform"].map({"pixel": 0.9, "dct": 0.2})
    table["samples90"] = table["transform"].map({"pixel": 0.18, "dct": 1.52})
    assert "number 18 % of the samples in pixel and 152 % in dct." in findings(table)[0]


def test_a_mean_near_100_per_cent_of_photos_far_from_it_is_not_called_best(pictures: Path, tmp_path: Path) -> None:
    table = studies.compare(
        settings(pictures, transforms=("pixel", "dct"), limit=2, pictures=0), tmp_path / "o", model=tiny()
    ).table
    table.loc[table["transform"] == "pixel", "kept10_attribution"] = [1.65, 0.40]
    table.loc[table["transform"] == "dct", "kept10_attribution"] = [0.90, 0.86]
    assert "misses f(x) - f(x₀) by 12 % on average in dct (the least) and by 62 % in pixel (the most)." in findings(table)[0]


def test_a_limit_that_leaves_out_classes_says_so_once(pictures: Path, tmp_path: Path) -> None:
    for name, photos in (("cat", range(4)), ("dog", range(4, 9))):
        (pictures / name).mkdir()
        for number in photos:
            (pictures / f"{number}.png").rename(pictures / name / f"{number}.png")
    (pictures / "dog" / "list.txt").write_text("no picture")
    cut = "the limit of 3 leaves 1 of 2 classes; the others hold 5 images that are not compared"
    asked = dataclasses.replace(settings(pictures, transforms=("pixel",), limit=3), pictures=0)
    notes: list[str] = []
    twice = dataclasses.replace(asked, method=("gradient", "input_x_gradient"))
    found = studies.compare(twice, tmp_path / "1", model=tiny(), note=notes.append)
    assert [note.endswith(f"pictures': {cut}.") for note in notes if " gradients and " not in note] == [True]
    assert notes[1] == "tiny, gradient: at most 1 gradients and 70 forwards for each image; 3 and 210 for 3 images."
    assert all(cell["labels"].endswith(cut) for cell in found.summary["cells"])
    for limit in (5, None):
        whole = dataclasses.replace(asked, limit=limit, method="gradient")
        found = studies.compare(whole, tmp_path / str(limit), model=tiny(), note=notes.append)
        assert "limit" not in found.summary["labels"]
    assert not any(cut in note for note in notes[1:])


def test_percentages_have_two_digits_and_no_power_of_ten() -> None:
    found = [_percent(number) for number in (0.0123, 1.26, 83.3, 202.16, 12345)]
    assert found == ["0.012 %", "1.3 %", "83 %", "202 %", "12,345 %"]


def test_equal_photos_have_no_interval() -> None:
    same, other = pd.Series([0.6] * 21), pd.Series([0.5] * 21)
    found = family({"a": same - other, "b": same + pd.Series(range(21)) / 90 - other})
    assert points(found["a"]) == "+10 points, the same everywhere"
    assert points(found["b"]) == "+21 points, +17 to +25"


def thrice(copies: list[pd.DataFrame]) -> pd.DataFrame:
    """The same examples under further names."""
    return pd.concat(copies, ignore_index=True).assign(unit=lambda table: table["example"])


def table_of(gains: dict[str, float], photos: int = 24, spread: float = 0.1) -> pd.DataFrame:
    """A long table in which the map has a smaller error than its control, by so much on average."""
    rng = np.random.default_rng(0)
    rows = [{"metric": DIFFERENCE, "example": str(i), "score": 5.0} for i in range(photos)]
    fixed = {"metric": "selection_error", "family": NEUTRAL, "budget_kind": "count"}
    for domain, gain in gains.items():
        rng.normal(size=photos)
        for i, more in enumerate(spread * rng.normal(size=photos)):
            for control, score in (("attribution", 0.2), ("coefficient", 0.2 + gain + more)):
                rows.append(fixed | {"domain": domain, "example": str(i), "control": control, "score": score})
    table = pd.DataFrame(rows).reindex(columns=COLUMNS)
    return table.assign(unit=table["example"], budget=0.1)


def answers(table: pd.DataFrame) -> list[Answer]:
    """The answers to the questions of every comparison."""
    return answer(table, questions.default())


def test_a_difference_is_a_finding_only_if_it_survives_the_correction() -> None:
    """The first comparison said "+8 points in dwt(haar, level=5)", with p of 0.01 alone and of 0.07 among ten domains."""
    weak = table_of({"d0": 0.03, **{f"d{i}": 0.0 for i in range(1, 10)}})
    first = answers(weak)[0]
    assert first.contrasts["count"].p < 0.05 < first.p_corrected
    assert first.verdict == "open"
    assert answers(weak[weak["domain"].isin(["d0"]) | weak["domain"].isna()])[0].verdict == "better"  # the control: asked alone
    strong = answers(table_of({"d0": 0.2, **{f"d{i}": 0.0 for i in range(1, 10)}}))
    assert [one.verdict for one in strong[:10]] == ["better", *["open"] * 9]
    assert {one.verdict for one in answers(table_of({"d0": 0.0, "d1": 0.0}, spread=0.001))} == {"equal"}


def test_photos_without_a_difference_are_in_no_contrast() -> None:
    table = table_of({"d0": 0.2, "d1": 0.0}, photos=ENOUGH + 1)
    difference = table["metric"] == DIFFERENCE
    table.loc[difference & (table["example"] == "3"), "score"] = 1e-6
    table.loc[~difference & (table["example"] == "3") & (table["control"] == "attribution"), "score"] = 1e6
    found = answers(table)[0]
    assert (found.contrasts["count"].units, found.verdict) == (ENOUGH, "better")
    table.loc[difference & (table["example"] == "4"), "score"] = np.nan
    assert {one.verdict for one in answers(table)} == {"open"}


def test_the_page_shows_names_as_they_are(pictures: Path, tmp_path: Path) -> None:
    (pictures / "<b>9&.txt").write_text("not a picture")
    model = dataclasses.replace(tiny(), classes=tuple("<i>class</i>" for _ in range(5)))
    studies.compare(settings(pictures, transforms=("pixel", "dct")), tmp_path / "o", model=model)
    text = (tmp_path / "o" / "report.html").read_text()
    assert "&lt;b&gt;9&amp;.txt" in text
    assert "<b>9" not in text
    assert text.startswith("<!doctype html>")
    assert text.count('"heat": "data:image/webp') == 7  # of pixels, and of the six octaves of dct
    assert "&lt;i&gt;class&lt;/i&gt;" in text
    assert "<i>class" not in text


def test_one_evaluation_checks_and_explains_a_picture(pictures: Path, tmp_path: Path) -> None:
    """Beside those of the attribution: f at x and x₀, and one gradient."""
    model = tiny()
    studies.explain(pictures / "3.png", model=model, method="gradient", transforms=["pixel", "dct"], out=tmp_path)
    one = tiny()
    attribute(one.module, torch.zeros(1, 3, 16, 16), 0, method="gradient", transform=["pixel", "dct"])
    assert model.module.rows == one.module.rows + 1


@pytest.mark.filterwarnings("ignore:.*(All-NaN|empty slice):RuntimeWarning")
def test_a_model_whose_score_never_changes_has_a_report(pictures: Path, tmp_path: Path) -> None:
    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1)[:, :3] * 0 + 1

    model = LoadedModel("constant", Constant(), PREPARE)
    outcome = studies.compare(settings(pictures, limit=2), tmp_path / "o", model=model)
    assert outcome.table["kept10_attribution"].isna().all()
    assert "report.html" in outcome.files


def test_a_negative_difference_names_the_classes_of_its_examples() -> None:
    numbers = pd.DataFrame({"image": list("abcd"), "score_difference": [-1.0, -2.0, 3.0, -4.0], "score": [1.0] * 4})
    labels = numbers.assign(label=["clean", "clean", "noisy", "noisy"])
    assert "negative in 3 (all 2 of class clean, 1 of 2 of class noisy):" in _weak(labels, "scans")
    outputs = numbers.assign(label=[0, 0, 1, 1], predicted=[0, 1, 1, 1], predicted_name=["x", "y", "y", "y"])
    assert "(all 2 of class x, 1 of 2 of class y)" in _weak(outputs, "scans")
    assert "negative in 3:" in _weak(numbers.assign(label=None), "scans")  # without labels no class is named
