"""EDF files, and one series of a file that holds several."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pullback import studies
from pullback.studies import KINDS, LoadedModel
from pullback.studies.kinds import Part
from pullback.studies.loaders.data import Photos
from pullback.studies.storage import fingerprint

edfio = pytest.importorskip("edfio", reason="pip install 'pullback[series]'")
SERIES = KINDS["series"]
HEAD = "@problemName Toy\n@univariate false\n@classLabel true a b\n@data\n"


def eeg(path: Path, seconds: int = 8) -> Path:
    """Two channels of 64 Hz, a sine of 10 Hz and its negative, 40 µV; and a temperature once a second."""
    line = 40 * np.sin(2 * np.pi * 10 * np.arange(64 * seconds) / 64)
    one = edfio.EdfSignal
    waves = [one(sign * line, 64, label=f"EEG {name}", physical_dimension="uV") for sign, name in ((1, "O1"), (-1, "O2"))]
    warm = [one(np.linspace(36, 37, seconds), 1, label="Temp", physical_dimension="degC")]
    edfio.Edf(waves + warm, annotations=[edfio.EdfAnnotation(0, None, "eyes closed")]).write(path)
    return path


def refused(path: Path, part: Part | None = None) -> str:
    with pytest.raises(ValueError, match=r".") as found:
        SERIES.read(path, part)
    assert len(str(found.value)) <= 300
    return str(found.value)


def test_edf_names_channels_rate_and_units(tmp_path: Path, toy: Callable[..., LoadedModel]) -> None:
    signal = SERIES.read(eeg(tmp_path / "a.edf"))
    assert (signal.step, signal.unit, signal.origin) == ((1 / 64,), "s", ("EEG O1, uV", "EEG O2, uV"))
    line = 40 * np.sin(2 * np.pi * 10 * np.arange(512) / 64)
    assert np.abs(signal.values[0].numpy() - line).max() < 2e-3  # 16 bits of ±40
    assert np.abs(signal.values[1].numpy() + line).max() < 2e-3
    assert signal.notes == ("1 channels with another rate than 64 Hz left out: Temp",)
    found = studies.explain(
        tmp_path / "a.edf", model=toy("series"), transforms=["dct"], target=1, method="input_x_gradient", out=tmp_path / "out"
    )
    shares = found.shares["dct"]
    assert found.frequencies["dct"][max(shares, key=lambda band: shares[band])] == "8–16 Hz"


def test_a_part_of_edf_is_read_without_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SERIES.read(eeg(tmp_path / "a.edf")).values
    monkeypatch.setattr(edfio.EdfSignal, "data", property(lambda self: pytest.fail("read as a whole")))
    signal = SERIES.read(tmp_path / "a.edf", Part(2.0, 3.0))
    assert np.array_equal(signal.values, whole[:, 128:320])
    assert signal.notes[1:] == ("seconds 2 to 5 of 8",)
    assert "lasts 8 s; that part of it is empty" in refused(tmp_path / "a.edf", Part(9.0))


def test_damaged_edf_is_refused_or_said(tmp_path: Path) -> None:
    data = eeg(tmp_path / "a.edf").read_bytes()
    for name, content in (("empty", b""), ("text", b"no record" * 99), ("cut", data[:700])):
        (tmp_path / f"{name}.edf").write_bytes(content)
        assert f"{name}.edf: no header of EDF that can be read" in refused(tmp_path / f"{name}.edf")
    (tmp_path / "half.edf").write_bytes(data[: len(data) * 2 // 3])
    assert "the file is shorter than its header says" in SERIES.read(tmp_path / "half.edf").notes
    later = data.replace(b"+3\x14\x14\0", b"+9\x14\x14\0")  # the fourth second begins with second 9
    assert later != data
    (tmp_path / "apart.edf").write_bytes(later)
    assert "its parts are apart in time (EDF+D)" in refused(tmp_path / "apart.edf")


def test_one_series_of_several_is_chosen_by_its_number(tmp_path: Path, toy: Callable[..., LoadedModel]) -> None:
    (tmp_path / "a.ts").write_text(f"{HEAD}1,2,3:4,5,6:b\n7,8,9:1,2,3:a\n")
    np.save(tmp_path / "a.npy", np.arange(24.0).reshape(3, 2, 4))
    options = {"model": toy("series"), "transforms": ["dct"], "method": "input_x_gradient", "out": tmp_path / "out"}
    found = studies.explain(f"{tmp_path}/a.ts#1", target=0, **options)
    assert (found.image, found.notes) == ("a.ts#1", ("series 1 of 2 series, of class a",))
    assert found.files == ["a-1-Crow-dct.png", "a-1-Crow-dct-channels.png", "a-1-Crow-dct.json", "a-1-Crow-dct-top10.npy"]
    assert studies.explain(f"{tmp_path}/a.ts", target=0, **options).files[0] == "a-Crow-dct.png"
    assert SERIES.read(tmp_path / "a.npy", Part(case=2)).values.tolist() == [[16, 17, 18, 19], [20, 21, 22, 23]]
    (tmp_path / "a#1.ts").write_text(f"{HEAD}1,1:b\n")
    assert studies.explain(tmp_path / "a#1.ts", target=0, **options).files[0].startswith("a-1-Crow-dct-")
    for name, sentence in (
        ("a.ts#2", r"a\.ts#2: the file holds 2 series, 0 to 1\."),
        ("a.npy#3", r"a\.npy#3: the file holds 3 series, 0 to 2\."),
        ("a.npy", r"got 3 × 2 × 4; a\.npy#0 takes the first of 3\."),
        ("b.ts#1", r"b\.ts#1: no such file"),
    ):
        with pytest.raises(ValueError, match=sentence):
            studies.explain(f"{tmp_path}/{name}", target=0, **options)


def test_a_number_of_a_file_that_holds_one_signal_is_no_file(tmp_path: Path, toy: Callable[..., LoadedModel]) -> None:
    (tmp_path / "a.csv").write_text("1\n2\n3\n4\n")
    with pytest.raises(ValueError, match=r"a\.csv#0: no such file"):
        studies.explain(f"{tmp_path}/a.csv#0", model=toy("series"), out=tmp_path / "out")


def test_every_series_of_a_file_is_an_entry_with_the_class_that_the_file_states(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_text(f"{HEAD}1,2,3:4,5,6:b\n# a comment\n7,8,9:1,2,3:a\n")
    np.save(tmp_path / "b.npy", np.arange(24.0).reshape(3, 2, 4))
    photos = studies.load_photos(tmp_path / "a.ts", kind=SERIES)
    assert [(one.name, one.class_name, one.label) for one in photos.entries] == [("a.ts#0", "b", 1), ("a.ts#1", "a", 0)]
    assert [signal.values[0].tolist() for _, signal in photos] == [[1, 2, 3], [7, 8, 9]]
    assert photos.notes == []  # nothing is read otherwise than it is stored
    assert photos.labelled(3, ("B", "c", "A"))[0].entries[0].label == 0  # by the names of the model's classes
    assert len({fingerprint.content(one) for one in photos.entries}) == 2  # none is a copy of another
    folder = studies.load_photos(tmp_path, kind=SERIES)
    assert [one.name for one in folder.entries] == ["a.ts#0", "a.ts#1", "b.npy#0", "b.npy#1", "b.npy#2"]
    assert [one.name for one in studies.load_photos(tmp_path, 2, SERIES).entries] == ["a.ts#0", "a.ts#1"]
    (only,) = studies.load_photos(f"{tmp_path}/b.npy#2", kind=SERIES).entries
    assert (only.name, only.open().values.tolist()) == ("b.npy#2", [[16, 17, 18, 19], [20, 21, 22, 23]])
    ((name, why),) = skipped(studies.load_photos(f"{tmp_path}/a.ts#2", kind=SERIES))
    assert (name, why) == ("a.ts#2", "a.ts#2: the file holds 2 series, 0 to 1.")


def test_a_class_folder_counts_more_than_the_class_in_a_file(tmp_path: Path) -> None:
    for number, folder in enumerate(("sick", "well")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.ts").write_text(f"{HEAD}1,2,3:4,5,{number}:b\n7,8,9:1,2,{number}:a\n")
    (tmp_path / "well" / "b.ts").write_text("no series")
    photos = studies.load_photos(tmp_path, kind=SERIES)
    assert [(one.name, one.label) for one in photos.entries] == [
        *((f"sick/a.ts#{n}", 0) for n in range(2)),
        *((f"well/a.ts#{n}", 1) for n in range(2)),
        ("well/b.ts", 1),
    ]
    assert skipped(photos) == [("well/b.ts", "b.ts: expected a line @data and series below it.")]


def skipped(photos: Photos) -> list[tuple[str, str]]:
    """What an iteration could not read, with the reasons."""
    assert len(list(photos)) + len(photos.skipped) == len(photos.entries)
    return photos.skipped
