"""The study on a user's own models: its files, its numbers, and the same files after an interruption."""

import json
import wave
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from support.command_line import fails
from support.zoo import installed

from pullback import studies
from pullback.core.progress import Interrupted
from pullback.studies import RobustnessSettings as Settings
from pullback.studies.robustness import figures
from pullback.studies.zoo import MODELS

TOYS = Path(__file__).with_name("toys.py")
FEW = {"attacks": (0.02, 0.1), "levels": (0.1, 0.4), "steps": 2, "heat": 5}
DATA_FILES = ("results.csv", "claims.csv", "spectra.csv.gz", "answers.csv.gz")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of 16 × 16 in folders of three classes, between smooth and rough."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(63):
        folder = root / "abc"[number % 3]
        folder.mkdir(exist_ok=True)
        values = 128 + rng.normal(0, 2 + number, (16, 16, 3)) + 60 * np.sin(np.arange(16) / 2 + number)[:, None, None]
        Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(folder / f"{number:02}.png")
    return root


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figures, which take most of the time."""
    monkeypatch.setattr(figures, "drawn", lambda *_: [])


def settings(photos: Path, *names: str, **more: object) -> Settings:
    models = tuple(f"{TOYS}:{name}" for name in names or ("image", "other"))
    return Settings(models, (str(photos),), **(FEW | more))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> studies.Robustness:
    return studies.robustness(settings(photos), tmp_path_factory.mktemp("out") / "whole")


def test_every_file_is_written_and_named(whole: studies.Robustness) -> None:
    assert all((whole.out / name).stat().st_size for name in whole.files)
    assert {"paper.png", "report.html", *DATA_FILES} < set(whole.files)
    page = (whole.out / "report.html").read_text()
    pictures = [name for name in whole.files if name.endswith(".png")]
    assert page.count('src="data:image/webp') == len(pictures)
    assert all(f'href="./{name}"' in page for name in pictures)
    assert "claims.csv#row=2" in page
    assert json.loads((whole.out / "summary.json").read_text())["state"] == "finished"


def test_the_tables_say_what_the_examples_say(whole: studies.Robustness) -> None:
    spectra, answers = (pd.read_csv(whole.out / f"{name}.csv.gz") for name in ("spectra", "answers"))
    shares = whole.table[(whole.table["quantity"] == "share") & (whole.table["model"] != "")]
    means = spectra.groupby(["model", "definition", "octave"])["share"].mean()
    assert len(shares) == len(means) == 2 * 5 * 4
    for _, row in shares.iterrows():
        assert abs(row["value"] - means[row["model"], row["name"], row["band"]]) < 1e-10
    total = shares.groupby(["model", "name"])["value"].sum()
    assert (total - 1).abs().max() < 1e-10
    right = (answers["answer"] == answers["truth"]).groupby([answers["model"], answers["condition"]]).mean()
    accuracy = whole.table[(whole.table["quantity"] == "accuracy") & (whole.table["model"] != "")]
    assert all(abs(row["value"] - right[row["model"], row["name"]]) < 1e-10 for _, row in accuracy.iterrows())
    assert answers["truth"].nunique() == 3  # the class folders are the labels


def test_a_model_that_weighs_fine_differences_more_has_a_larger_finest_share(whole: studies.Robustness) -> None:
    rows = whole.claims[(whole.claims["question"] == "finest") & (whole.claims["name"] == "mean")]
    assert (rows["high"] < 0).all()  # `other` against `image`


@pytest.mark.parametrize(("after", "stored"), [(1, 0), (1_700, 1), (3_500, 3)])
def test_an_interrupted_study_goes_on_and_writes_the_same_files(
    after: int, stored: int, photos: Path, whole: studies.Robustness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [name for name in whole.files if name.endswith(".png")]
    if stored != 1:  # once is enough: the drawings take most of the time
        monkeypatch.setattr(figures, "drawn", lambda *_: pictures)

    def stop(done: int, planned: int) -> None:
        if done > after:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as stopped:
        studies.robustness(settings(photos), tmp_path / "cut", stop)
    assert stopped.value.done == stored
    assert not (tmp_path / "cut" / "results.csv").exists()
    done: list[tuple[int, int]] = []
    found = studies.robustness(settings(photos), tmp_path / "cut", lambda *now: done.append(now))
    assert done == sorted(done)
    assert done[-1][0] == done[-1][1]
    assert found.files == whole.files
    for name in (*DATA_FILES, *(pictures if stored == 1 else ())):
        assert (found.out / name).read_bytes() == (whole.out / name).read_bytes(), name


@pytest.mark.usefixtures("undrawn")
def test_numbers_do_not_depend_on_which_other_examples_there_are(
    photos: Path, tmp_path: Path, whole: studies.Robustness
) -> None:
    part = studies.robustness(settings(photos, "image", limit=5), tmp_path / "few")
    for name, value in (("spectra", "importance"), ("answers", "answer")):
        keys = ["model", "example", *({"spectra": ["definition", "octave"], "answers": ["condition"]}[name])]
        few, all_ = (pd.read_csv(one.out / f"{name}.csv.gz").set_index(keys)[value] for one in (part, whole))
        assert np.allclose(few, all_.loc[few.index], rtol=1e-6)


@pytest.mark.usefixtures("undrawn")
def test_other_settings_are_refused_and_a_larger_limit_is_not(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    studies.robustness(settings(photos, "image", limit=3, heat=0), out)
    with pytest.raises(ValueError, match=r"with other settings \(seed: '0', now '1'\)") as refused:
        studies.robustness(settings(photos, "image", limit=3, heat=0, seed=1), out)
    assert len(str(refused.value)) <= 300
    assert studies.robustness(settings(photos, "image", limit=4, heat=0), out).table["n"].max() == 4


def test_a_model_that_returns_nan_is_named(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken: the model returns NaN or infinity for example 0"):
        studies.robustness(settings(photos, "broken", limit=2), tmp_path / "o")


@pytest.mark.usefixtures("undrawn")
def test_a_program_that_takes_one_picture_at_a_time_runs(photos: Path, model_files: Path) -> None:
    few = {"limit": 3, "size": 32, "heat": 1, "steps": 1, "attacks": (0.1,), "levels": (0.1,)}
    found = studies.robustness(models=["one.pt2"], data=str(photos), out=model_files / "o", **few)
    assert found.table["n"].max() == 3


@pytest.mark.usefixtures("undrawn")
def test_the_user_s_model_stays_as_it_was(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 4))
    before, random = [each.clone() for each in line.parameters()], torch.get_rng_state()
    monkeypatch.setattr(torch.nn, "made_here", lambda: line, raising=False)
    studies.robustness(models="torch.nn:made_here", data=photos, limit=3, size=8, out=tmp_path / "o", **FEW)
    assert all(torch.equal(now, then) for now, then in zip(line.parameters(), before, strict=True))
    assert all(each.grad is None and each.requires_grad for each in line.parameters())
    assert torch.equal(random, torch.get_rng_state())


def signals(kind: str, folder: Path) -> None:
    rng = np.random.default_rng(1)
    for number in range(4):
        shape = {"series": (2, 64), "volume": (8, 8, 8), "audio": (256,)}[kind]
        values = rng.normal(size=shape).astype(np.float32)
        if kind == "audio":
            values = values[: 200 + 20 * (number // 2)]  # recordings of two lengths
            with wave.open(str(folder / f"{number}.wav"), "wb") as file:
                file.setparams((1, 2, 8_000, 0, "NONE", "NONE"))
                file.writeframes((3000 * values).astype("<i2").tobytes())
        else:
            np.save(folder / f"{number}.npy", values)


@pytest.mark.parametrize("kind", ["series", "volume", "audio"])
def test_a_user_s_model_of_any_kind_runs(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "audio":  # drawn as a series is
        monkeypatch.setattr(figures, "drawn", lambda *_: [])
    (tmp_path / "data").mkdir()
    signals(kind, tmp_path / "data")
    found = studies.robustness(settings(tmp_path / "data", kind), tmp_path / "out")
    assert found.table["n"].max() == 4
    assert (
        found.table.query("quantity == 'accuracy' and name == 'clean'")["value"].eq(1).all()
    )  # without labels, its own answers
    assert found.summary["domain"][str(tmp_path / "data")].startswith("dwt(haar, level=")
    assert found.table["quantity"].eq("heat").any() == (kind != "audio")  # waves of another length are other waves


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "integrated_gradients"}, "gives values of the kind share"),
        ({"attacks": (0.1, 0.05)}, "attacks must be positive numbers that grow"),
        ({"levels": ()}, "levels must be positive numbers that grow"),
        ({"transform": "pixel"}, "choose one with octaves"),
        ({"models": (f"{TOYS}:single",), "size": 16}, "expected a classifier with two outputs or more"),
        ({"models": (f"{TOYS}:image",) * 2}, "expected different models"),
        ({"data": ("a", "b", "c")}, "expected one data set, or one for each of 2 models, got 3"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, object], words: str, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        studies.robustness(
            **({"models": settings(photos).models, "data": (str(photos),)} | changes), limit=2, out=tmp_path / "o"
        )
    assert len(str(caught.value)) <= 300
    assert not (tmp_path / "o").exists()


@pytest.mark.usefixtures("undrawn")
def test_the_command_runs_quickly_and_says_what_is_wrong(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["study", "robustness", "--model", f"{TOYS}:image", "--data", str(photos), "--out", str(tmp_path / "o")]
    assert fails(monkeypatch, *asked, "--quick", "--limit", "8") == 0
    said = capsys.readouterr()
    assert "right answers, %" in said.out
    assert "report.html" in said.out
    assert fails(monkeypatch, *asked, "--method", "input_x_gradient") == 2
    assert "not ∂f/∂z" in capsys.readouterr().err
    assert fails(monkeypatch, "study", "--help") == 0
    assert "robustness" in capsys.readouterr().out


@pytest.mark.usefixtures("undrawn")
def test_the_quick_study_of_packaged_models_shows_that_the_robust_one_reads_finer_scales(tmp_path: Path) -> None:
    installed(MODELS["mnist-lenet"])
    found = installed(lambda: studies.robustness(Settings().quick, tmp_path / "o"))
    rows = found.claims[(found.claims["question"] == "finest") & (found.claims["name"] == "mean")]
    assert (rows["low"] > 0).all()  # against the direction of the paper's figure
    right = found.table[(found.table["name"] == "attack 0.1") & (found.table["model"] == "")].set_index("group")["value"]
    assert right["mnist-lenet-robust"] > right["mnist-lenet"]


def test_without_models_the_paper_s_experiment_is_asked_for() -> None:
    pairs = Settings().pairs
    assert len(pairs) == 14
    assert {data for _, data in pairs} == {"fashion-mnist", "digits"}
    assert [name for name, _ in Settings().quick.pairs] == ["mnist-lenet", "mnist-lenet-robust"]
    assert {Settings().group(name) for name, _ in pairs[:12]} == {f"fashion-{name}" for name in ("erm", "pgd", "fast", "free")}
