"""`compare` on folders of recordings, volumes and series, in the domains of the kind."""

import re
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import soundfile

from pullback import studies
from pullback.studies import LoadedModel
from pullback.studies.report.views import KEPT

Toy, Write = Callable[..., LoadedModel], Callable[..., Path]


def run(data: Path, out: Path, model: LoadedModel, **changes: object) -> studies.Comparison:
    options: dict[str, object] = {"method": "input_x_gradient", "pictures": 1, "effort": "quick"} | changes
    settings = studies.Settings(data=data, **options)  # type: ignore[arg-type]
    return studies.compare(settings, out, model=model)


@pytest.mark.usefixtures("overview")
def test_recordings_of_several_lengths_and_rates(tone: Write, toy: Toy, tmp_path: Path) -> None:
    for name in ("Caw", "Crow"):
        (tmp_path / "data" / name).mkdir(parents=True)
        tone(f"data/{name}/1.wav", hertz=3000)
        tone(f"data/{name}/2.wav", rate=22_050, seconds=0.2, channels=2)
    (tmp_path / "data" / "Crow" / "3.wav").write_text("no sound")
    model = toy("audio", rate=16_000.0)
    found = run(tmp_path / "data", tmp_path / "out", model, transforms=("dct", "stft"))
    assert found.table["image"].unique().tolist() == ["Caw/1.wav", "Caw/2.wav", "Crow/1.wav", "Crow/2.wav"]
    assert found.summary["labels"] == "the names of the model's classes"
    notes = {(entry["file"], entry["note"]) for entry in found.summary["notes"]}
    assert notes == {
        (f"{name}/2.wav", text)
        for name in ("Caw", "Crow")
        for text in ("mean of 2 channels", "resampled from 22050 to 16000 Hz")
    }
    assert [entry["file"] for entry in found.summary["skipped"]] == ["Crow/3.wav"]
    assert {"stft-000-1.png", "top10-000-1.png", "octaves.png"} <= set(found.files)
    assert {"input-000-1.wav", "top10-stft-000-1.wav", "top10-dct-000-1.wav"} == {
        name for name in found.files if ".wav" in name
    }
    heard, rate = soundfile.read(tmp_path / "out" / "input-000-1.wav")
    assert (rate, len(heard)) == (16_000, 4_000)
    assert np.abs(np.fft.rfft(heard)).argmax() / len(heard) * rate == pytest.approx(3000)
    report = (tmp_path / "out" / "report.html").read_text()
    assert "<p>4 recordings. " in report
    assert len(re.findall(r'"sound": ?"data:audio/wav;base64,\w', report)) == 1 + 2 * len(
        KEPT
    )  # the input, and what is selected
    assert 'href="./top10-stft-000-1.wav"' in report
    assert all((tmp_path / "out" / name).is_file() for name in found.files)
    alone = run(tmp_path / "data" / "Caw" / "2.wav", tmp_path / "alone", model, transforms=("dct",))
    same = found.table.query("image == 'Caw/2.wav' and transform == 'dct'")
    assert alone.table["gini"].item() == pytest.approx(same["gini"].item())


@pytest.mark.usefixtures("overview")
def test_volumes_in_folders_of_classes(toy: Toy, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("Caw", "Crow"):
        (tmp_path / "data" / name).mkdir(parents=True)
        nibabel.save(
            nibabel.Nifti1Image(rng.normal(size=(12, 12, 8)).astype(np.float32), np.eye(4)),
            tmp_path / "data" / name / "a.nii.gz",
        )
    found = run(tmp_path / "data", tmp_path / "out", toy("volume"), transforms=("pixel", "dwt(haar, level=2)", "dct"))
    assert found.table["label"].tolist() == [1] * 3 + [0] * 3
    assert {"dct-000-a.nii.png", "dct-000-a.nii-projections.png"} <= set(found.files)


def test_own_results_are_no_data_of_the_next_run(tone: Write, toy: Toy, tmp_path: Path) -> None:
    """Sounds and tables that a comparison wrote into the folder of its data are left out, with the reason."""
    tone("1.wav")
    np.savetxt(tmp_path / "walk.csv", np.random.default_rng(0).normal(size=(40, 2)), delimiter=",")
    for kind, name, pictures in (("audio", "1.wav", 1), ("series", "walk.csv", 0)):
        found = [run(tmp_path, tmp_path / kind, toy(kind), transforms=("dct",), pictures=pictures) for _ in range(2)]
        assert [one.table["image"].unique().tolist() for one in found] == [[name]] * 2
    left = {entry["file"]: entry["reason"] for entry in found[-1].summary["skipped"]}
    assert left["audio/results.csv"] == left["audio/input-000-1.wav"] == "a file that pullback wrote"


@pytest.mark.usefixtures("overview")
def test_a_score_that_never_changes_is_drawn_without_a_warning(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    np.save(tmp_path / "photos" / "none.npy", np.zeros((1, 64)))
    found = run(tmp_path / "photos", tmp_path / "out", toy("series"), transforms=("dct",), pictures=0)
    assert found.table["kept5_attribution"].isna().all()
    assert "<p>1 series. " in (tmp_path / "out" / "report.html").read_text()


def test_series_of_one_file(toy: Toy, tmp_path: Path) -> None:
    np.save(tmp_path / "walk.npy", np.random.default_rng(0).normal(size=(3, 128)))
    model = toy("series")
    found = run(tmp_path / "walk.npy", tmp_path / "out", model, pictures=0)
    assert found.table["transform"].tolist() == list(model.signals.domains((3, 128)))
    assert found.table["converged"].isna().all()


def test_a_folder_without_such_files_is_an_error_that_names_the_kind(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("text")
    with pytest.raises(ValueError, match=r"None of the 1 files .* is a readable recording; the first: a\.txt"):
        run(tmp_path / "data", tmp_path / "out", toy("audio"))
