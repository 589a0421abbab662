"""The study of volumes: models with a known answer, resuming, files, refusals and the command."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from support.command_line import fails

from pullback.core.progress import Interrupted
from pullback.studies import VolumeSettings
from pullback.studies.volume import run
from pullback.studies.volume.claims import APART, COARSE, FEW, FINE, answers
from pullback.studies.volume.maps import ATTRIBUTION, CELLS, COEFFICIENT, PERMUTED, SHUFFLED
from pullback.studies.volume.run import Volume, volume
from pullback.studies.zoo import brains

from .toys import balls

COUNT, HAAR = 20, "dwt(haar, level=2)"


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return balls(COUNT, tmp_path_factory.mktemp("toys"))


def settings(toys: tuple[str, str], **changes: Any) -> VolumeSettings:
    """Both models on the balls, with one method that needs one gradient."""
    models, data = toys
    own: dict[str, Any] = {"models": (f"{models}:shell", f"{models}:centre"), "data": data, "methods": "gradient"}
    return VolumeSettings(**own | {"transforms": HAAR, "pictures": 1} | changes)


@pytest.fixture(scope="module")
def found(toys: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Volume:
    return volume(settings(toys), tmp_path_factory.mktemp("out"))


def fractions(found: Volume, model: str, scale: str) -> pd.Series:
    rows = found.means[found.means["model"].str.endswith(model) & (found.means["map"] == CELLS)]
    return rows[rows["scale"] == scale].set_index("control")["mean"]


def test_a_model_that_reads_a_shell_is_found_and_the_shuffled_control_is_not(found: Volume) -> None:
    shell, centre = fractions(found, "shell", "octave 1"), fractions(found, "centre", "octave 1")
    assert shell[ATTRIBUTION] > 0.85
    assert centre[ATTRIBUTION] < 0.05
    for control in (SHUFFLED, PERMUTED):
        assert abs(shell[control] - centre[control]) < 0.1
        assert 0.4 < shell[control] < 0.8
    assert shell[COEFFICIENT] == pytest.approx(centre[COEFFICIENT])


def test_the_declared_questions_are_answered_for_what_is_known(found: Volume) -> None:
    said = answers(found.contrasts)
    own = (
        said[said["map"] == CELLS].assign(model=said["model"].str.rpartition(":")[2]).set_index(["model", "question"])["answer"]
    )
    assert own["shell", FINE] == "the opposite is shown"
    assert own["shell", COARSE] == "not shown"  # as |coefficient| is at the edge by itself
    rows = found.contrasts[(found.contrasts["map"] == CELLS) & (found.contrasts["question"] == COARSE)]
    shell = rows[rows["model"].str.endswith("shell")].set_index("against")["verdict"]
    assert shell.to_dict() == {SHUFFLED: "better", COEFFICIENT: "worse", PERMUTED: "better"}
    assert own["centre", COARSE] == "the opposite is shown"
    assert own["centre", FINE] == "shown"
    # A shell that all scales read is no nearer to the edge in coarse ones.
    assert own["shell", APART] != "shown"


def test_every_control_must_agree_and_few_volumes_say_nothing(toys: tuple[str, str], tmp_path: Path) -> None:
    few = volume(settings(toys, models=f"{toys[0]}:shell", limit=3, tested=0, pictures=0), tmp_path)
    assert set(few.contrasts["verdict"]) == {"open"}
    assert set(answers(few.contrasts)["answer"]) == {FEW}
    assert few.means["low"].isna().all()


def test_the_files_hold_what_they_say(found: Volume) -> None:
    assert all((found.out / name).stat().st_size for name in found.files)
    long = pd.read_parquet(found.out / "profiles.parquet")
    assert long.equals(found.table)
    scores = pd.read_parquet(found.out / "scores.parquet")
    assert scores["score"].tolist() == found.table["edge_fraction"].dropna().tolist()
    assert "edge_fraction(map=cells, scale=octave 1)" in set(scores["metric"])
    shares = long.filter(like="bin ").sum(axis=1)
    assert np.allclose(shares[shares > 0], 1)
    assert set(long["example"]) == {f"test/{number:05}" for number in range(COUNT)}
    assert json.loads((found.out / "summary.json").read_text())["findings"] == found.summary["findings"]
    for accuracy in found.summary["accuracies"]:
        assert (accuracy["accuracy"], accuracy["of"], accuracy["chance"]) == (1.0, COUNT, 1.0)
    report = (found.out / "report.html").read_text()
    assert all(name in report for name in found.files if name.endswith(".png"))
    distance = nibabel.load(found.out / next(name for name in found.files if name.endswith("-distance.nii.gz")))
    values = np.asarray(distance.dataobj)
    assert values.shape == (16, 16, 16)
    assert values[8, 8, 8] < -4
    assert values[0, 0, 0] > 4


def test_an_interrupted_run_continues_with_the_same_files(
    toys: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = settings(toys, models=f"{toys[0]}:centre", limit=4, tested=4)
    whole, measured, calls = volume(one, tmp_path / "whole"), run.measured, list[str]()

    def stops(subject: Any, photo: Any, signal: Any) -> Any:
        calls.append(photo.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measured(subject, photo, signal)

    monkeypatch.setattr(run, "measured", stops)
    with pytest.raises(Interrupted) as stopped:
        volume(one, tmp_path / "parts")
    assert (stopped.value.done, stopped.value.planned) == (2, 4)
    again = volume(one, tmp_path / "parts")
    assert len(calls) == 1 + 4
    for name in whole.files:
        if not name.endswith((".json", ".html")):  # which hold seconds
            assert (tmp_path / "parts" / name).read_bytes() == (whole.out / name).read_bytes(), name
    assert again.summary["findings"] == whole.summary["findings"]


def test_a_folder_of_volumes_and_volumes_without_an_object(toys: tuple[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "volumes"
    folder.mkdir()
    ball = np.zeros((16, 16, 16), np.float32)
    ball[4:12, 4:12, 4:12] = 1
    np.save(folder / "ball.npy", ball)
    np.save(folder / "empty.npy", 0 * ball)
    said: list[str] = []
    one = settings(toys, models=f"{toys[0]}:shell", data=str(folder), border=0.5, pictures=2)
    found = volume(one, tmp_path / "out", note=said.append)
    assert found.summary["left_out"][0]["name"] == "empty.npy"
    assert "no voxels are inside" in said[0]
    assert not found.summary["accuracies"][0]["of"]
    with pytest.raises(ValueError, match=r"no volume of .* has an object with a surface; choose --border"):
        volume(dataclasses.replace(one, border=5.0), tmp_path / "other")


def test_wrong_settings_and_models_are_refused(toys: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one data set, or one for each; got 1 models and 2 data sets"):
        VolumeSettings(models="a", data=("b", "c"))
    with pytest.raises(ValueError, match="got 0 models and 1 data sets"):
        VolumeSettings(data="digits3d")
    with pytest.raises(ValueError, match="mnist-lenet takes images; expected a model of volumes"):
        volume(VolumeSettings(models="mnist-lenet", data="digits3d"), tmp_path)
    with pytest.raises(ValueError, match="choose a wavelet"):
        volume(settings(toys, transforms="dct", limit=1), tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_file_of_weights_with_a_named_output_and_a_further_input(
    toys: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same numbers as of the model that the file of weights is of."""
    namespace: dict[str, Any] = {}
    exec(Path(toys[0]).read_text(), namespace)
    torch.save(namespace["named"]().state_dict(), tmp_path / "weights.pt")
    few = ("--method", "gradient", "--transform", HAAR, "--limit", "2", "--tested", "2", "--pictures", "0", "--data", toys[1])
    how = ("--arch", f"{toys[0]}:named", "--output", "scores", "--input", "gain=1.0", "--out", str(tmp_path / "file"))
    assert fails(monkeypatch, "study", "volume", "--model", str(tmp_path / "weights.pt"), *few, *how) == 0
    assert fails(monkeypatch, "study", "volume", "--model", f"{toys[0]}:shell", *few, "--out", str(tmp_path / "whole")) == 0
    one, other = (pd.read_parquet(tmp_path / name / "scores.parquet") for name in ("file", "whole"))
    pd.testing.assert_frame_equal(one.drop(columns="model"), other.drop(columns="model"))


def test_the_command_prints_the_findings(
    toys: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ("--model", f"{toys[0]}:shell", "--data", toys[1], "--method", "gradient", "--transform", HAAR)
    options = (*model, "--limit", "2", "--tested", "2", "--pictures", "0", "--quick", "--out", str(tmp_path))
    assert fails(monkeypatch, "study", "volume", *options) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Too few volumes for a verdict" in printed
    assert "results.csv" in printed


def test_no_network_is_trained_for_data_that_are_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(*_: str) -> Path:
        raise ImportError("nilearn is missing: pip install nilearn.")

    loaded: list[str] = []
    monkeypatch.setattr(brains, "package_folder", missing)
    brains.mni152.cache_clear()
    monkeypatch.setattr(VolumeSettings, "load", lambda self, model: loaded.append(model))
    with pytest.raises(ImportError, match="is missing"):
        volume(models="brain-regions-net", data="brain-regions", out=tmp_path / "o")
    assert loaded == []
