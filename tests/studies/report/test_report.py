"""What a report is made of: means and their rows, answers, safe media, and folders that hold something else."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.io import wavfile

from pullback import cli, studies
from pullback.metrics.protocol.conclusion import ROTATION
from pullback.studies.report.encode import coarse, mosaic
from pullback.studies.report.folder import read_run
from pullback.studies.report.numbers import columns, groups, means, table
from pullback.studies.report.report import LIMIT, _best, _safe, _views, write_page
from pullback.studies.report.sections import _levelled, answers, octaves


def scores(units: int, seed: int = 0) -> pd.DataFrame:
    """Shares kept in two domains, two examples a unit, so that units and examples give other intervals."""
    rng, rows = np.random.default_rng(seed), []
    for domain, offset in (("pixel", 0.0), ("dct", 0.5)):
        for example in range(2 * units):
            where = {"run": "r", "data": "d", "model": "m", "method": "gradient", "domain": domain}
            kind = {"family": "own", "budget_kind": "count", "budget": 0.1, "control": "attribution", "metric": "kept_share"}
            number = {"example": f"e{example}", "unit": f"u{example // 2}", "score": offset + rng.uniform()}
            rows.append(where | kind | number | {"file": "results.csv", "row": len(rows)})
    return pd.DataFrame(rows)


def test_means_are_over_units_and_name_their_rows() -> None:
    long = scores(20)
    rows = table(long, columns(long))
    assert [row.where["domain"] for row in rows] == ["pixel", "dct"]
    [mean] = rows[1].cells
    assert mean is not None
    own = long[long["domain"] == "dct"].groupby("unit")["score"].mean()
    half = stats.sem(own) * stats.t.ppf(0.975, 19)
    assert [mean.mean, mean.low, mean.high] == pytest.approx([own.mean(), own.mean() - half, own.mean() + half])
    assert (mean.units, mean.fragment) == (20, "#row=42-81")  # the heading is row 1
    assert long.iloc[list(mean.rows)]["score"].mean() == pytest.approx(mean.mean)


def two_photos(metric: str, shares: dict[str, tuple[float, float]]) -> pd.DataFrame:
    """One number of two examples in each domain."""
    long = scores(1).assign(metric=metric, family="own" if metric == "kept_share" else "away")
    return long.assign(score=[one for pair in shares.values() for one in pair])


def test_a_mean_near_1_of_shares_far_above_and_below_is_not_best() -> None:
    """Lower errors are best, so that something is."""
    numbers = {"pixel": (1.65, 0.40), "dct": (0.9, 0.9)}
    for metric, best in (("kept_share", []), ("selection_error", [1])):
        long = two_photos(metric, numbers)
        shown = columns(long)
        rows = table(long, shown)
        assert [mean.mean for row in rows for mean in row.cells if mean] == pytest.approx([1.025, 0.9])
        assert [place for place, columns_ in enumerate(_best(rows, shown)) if columns_] == best


@pytest.mark.parametrize("control", [True, False])
def test_bold_never_marks_a_control_and_the_answer_says_that_it_does_as_well(control: bool) -> None:
    """With the same numbers in a domain, that domain is bold."""
    long, third = scores(1).assign(metric="selection_error", family="away"), ROTATION if control else "dwt(haar)"
    long = long[long["domain"] == "pixel"].assign(domain=third, score=0.0).pipe(lambda few: pd.concat([long, few]))
    shown = columns(long)
    rows = table(long, shown)
    assert {row.where["domain"] for row, best in zip(rows, _best(rows, shown)) if best} == {"pixel" if control else third}
    found = {"named": None, "leader": "pixel", "checks": [{"label": "pixel − dct", "mean": 0.1, "verdict": "open"}]}
    said = _levelled(found, long)
    assert said.startswith("A random rotation, a control, does as well") == control
    one = section("a", None, ["open"])
    one["conclusion"] = found | {"levelled": said}
    assert answers([one])[0]["text"].startswith("A random rotation") == control


def test_few_units_have_no_interval() -> None:
    assert means(scores(19), ["domain"])["low"].isna().all()
    assert means(scores(20), ["domain"])["low"].notna().all()


def test_a_unit_without_a_mean_is_in_none() -> None:
    """Crops of one photo may have shares of +inf and -inf, where f(x) = f(x₀)."""
    table = pd.DataFrame({"domain": [*"aaaab", "b"], "unit": ["u", "u", "v", "w", None, "x"]})
    found = means(table.assign(score=[np.inf, -np.inf, 2.0, 4.0, 1.0, 2.0]), ["domain"])
    assert found["mean"].tolist() == [3.0, 1.5]
    assert found["units"].tolist() == [2, 2]


def section(label: str, named: str | None, verdicts: list[str], units: int = 24) -> dict[str, object]:
    checks = [{"verdict": verdict, "p_corrected": 0.01} for verdict in verdicts]
    conclusion = {"named": named, "leader": "dct", "reasons": ["its error is too large"], "checks": checks}
    return {
        "conclusion": conclusion,
        "units": units,
        "unit": "image",
        "unit_words": "images",
        "several": "images",
        "label": label,
    }


def test_the_head_answers_once_for_equal_answers() -> None:
    found = answers(
        [section("a", None, ["open", "better"]), section("b", None, ["open", "better"]), section("c", "dct", ["better"])]
    )
    assert [(one["named"], one["labels"]) for one in found] == [(None, ["a", "b"]), ("dct", ["c"])]
    assert "cannot tell it from 1 of the 2 alternatives" in found[0]["text"]
    assert "beats all 1 alternatives" in found[1]["text"]
    [few] = answers([section("a", None, ["open"], units=3)])
    assert few["text"].startswith("3 images are too few for a claim")


def test_only_data_of_pictures_and_sounds_are_held() -> None:
    good = "data:image/webp;base64,AAAA"
    bad = ["https://example.org/a.png", "data:text/html;base64,AAAA", 'data:image/png;base64,AA" onerror="x', "javascript:1"]
    for text in bad:
        assert _safe({"domains": [{"image": text}], "sound": good}) == {"domains": [{"image": ""}], "sound": good}


def test_a_volume_becomes_a_mosaic_and_back() -> None:
    volume = np.random.default_rng(0).uniform(size=(5, 3, 4))
    picture, columns_ = mosaic(volume)
    for i in range(5):
        row, column = divmod(i, columns_)
        assert (picture[3 * row : 3 * row + 3, 4 * column : 4 * column + 4] == volume[i]).all()
    assert coarse(volume, 2).shape == (2, 2, 2)
    assert coarse(np.ones((5, 3, 4)), 2) == pytest.approx(np.ones((2, 2, 2)))


def test_a_report_is_made_again_from_the_folder_alone(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = folders["series"] / "report.html"
    before = page.read_text()
    page.unlink()
    monkeypatch.setattr(sys, "argv", ["pullback", "report", str(folders["series"])])
    assert cli._run() == 0
    assert page.read_text() == before


MODELS_OF_TWO_RATES = """
import torch
from pullback.studies import LoadedModel

def make(rate):
    return LoadedModel(str(rate), torch.nn.Flatten().eval(), classes=("a",) * 64, kind="audio", rate=rate, window=64)

def fast(): return make(16000.0)
def slow(): return make(8000.0)
"""


def test_octaves_have_the_frequencies_of_their_own_model(tmp_path: Path) -> None:
    """Also without pictures; and of models of two rates, not those of the other one."""
    (tmp_path / "models.py").write_text(MODELS_OF_TWO_RATES)
    wavfile.write(tmp_path / "noise.wav", 16000, np.random.default_rng(0).integers(-9999, 9999, 300).astype(np.int16))
    models = [f"{tmp_path / 'models.py'}:{name}" for name in ("fast", "slow")]
    asked = studies.Settings(models, tmp_path / "noise.wav", "gradient", ("dct",), effort="quick", pictures=0)
    found = studies.compare(asked, tmp_path / "out")
    assert [cell["frequencies"]["octave 1"] for cell in found.summary["cells"]] == ["4000–8000 Hz", "2000–4000 Hz"]
    run = read_run(tmp_path / "out", "a", tmp_path)
    legends = [octaves(run, where)["legend"] for where, _ in groups(run.scores)]  # type: ignore[index]
    assert [legend[-1]["text"] for legend in legends] == ["4000–8000 Hz", "2000–4000 Hz"]


def test_a_view_has_the_shares_of_its_own_method(folders: dict[str, Path]) -> None:
    run = read_run(folders["image"], "a", folders["image"])
    found, _ = _views([run], run.scores, "", LIMIT)
    wide = run.wide.set_index(["method", "image", "transform"])["kept10_attribution"]
    shown = {
        (view["group"]["method"], view["name"], each["domain"]): each["selected"][2]["kept"]
        for view in found
        for each in view["domains"]
    }
    assert len(shown) == 24
    assert {key: wide[key] for key in shown} == pytest.approx(shown)


def test_folders_with_something_else_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"holds no summary\.json of pullback"):
        write_page([tmp_path])
    (tmp_path / "summary.json").write_text(json.dumps({"pullback": "0"}))
    (tmp_path / "scores.parquet").write_text("damaged")
    with pytest.raises(ValueError, match="a table that cannot be read"):
        read_run(tmp_path, "a", tmp_path)
    pd.DataFrame({"model": ["m"]}).to_parquet(tmp_path / "scores.parquet")
    with pytest.raises(ValueError, match="lacks the columns"):
        read_run(tmp_path, "a", tmp_path)
    monkeypatch.setattr(sys, "argv", ["pullback", "report", str(tmp_path / "none")])
    assert cli._run() == 2
    assert "no folder" in capsys.readouterr().err
