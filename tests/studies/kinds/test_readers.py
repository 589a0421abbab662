"""What is read from files of each kind, and one sentence for what cannot be read."""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import soundfile
import torch
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from pullback.studies import KINDS, LoadedModel
from pullback.studies.kinds import Kind, Part
from pullback.studies.kinds.audio import LONGEST, sound
from pullback.studies.kinds.volume import nifti_bytes

AUDIO, VOLUME, SERIES = (KINDS[name] for name in ("audio", "volume", "series"))


def refused(kind: Kind, path: Path, part: Part | None = None) -> str:
    with pytest.raises(ValueError, match=r".") as found:
        kind.read(path, part)
    text = str(found.value)
    assert "\n" not in text
    assert len(text) <= 300
    return text


# Recordings --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_sound_of_every_format_is_read_at_its_rate(suffix: str, tmp_path: Path) -> None:
    line = 0.5 * np.sin(2 * np.pi * 440 * np.arange(22_050) / 22_050)
    soundfile.write(tmp_path / f"a.{suffix}", line, 22_050)
    signal = AUDIO.read(tmp_path / f"a.{suffix}")
    assert signal.step == (1 / 22_050,)
    assert (signal.unit, signal.notes, signal.values.dtype) == ("s", (), torch.float32)
    assert signal.values.shape[1] == pytest.approx(22_050, abs=2_304)  # MP3 holds whole frames
    spectrum = np.abs(np.fft.rfft(signal.values[0].numpy()))
    assert spectrum.argmax() / signal.values.shape[1] * 22_050 == pytest.approx(440, abs=2)


def test_channels_are_mixed_down_and_the_rate_is_changed_and_said(
    tone: Callable[..., Path], toy: Callable[..., LoadedModel]
) -> None:
    signal = AUDIO.read(tone(rate=44_100, channels=2))
    assert signal.notes == ("mean of 2 channels",)
    fitted = toy("audio", rate=16_000.0).fitted(signal)
    assert fitted.notes == ("mean of 2 channels", "resampled from 44100 to 16000 Hz")
    assert fitted.step == (1 / 16_000,)
    times = np.arange(4_000) / 16_000
    wanted = 16_000 / 2**15 * np.sin(2 * np.pi * 1000 * times)
    assert np.abs(fitted.values[0].numpy() - wanted)[100:-100].max() < 2e-3


def test_a_clip_shorter_than_the_window_is_padded_and_that_is_said(
    tone: Callable[..., Path], toy: Callable[..., LoadedModel]
) -> None:
    fitted = toy("audio", window=5_000).fitted(AUDIO.read(tone(seconds=0.25)))
    assert fitted.values.shape == (1, 5_000)
    own, padded = fitted.notes
    assert own.startswith("goes to the model at its own 16000 Hz, as the model names no rate; say the model's with --rate")
    assert padded == "1000 zeros added at the end, as the model takes 5000 samples"


def test_a_long_recording_is_read_in_part_and_never_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rate, hours = 100, 3
    soundfile.write(
        tmp_path / "long.wav", np.sin(np.arange(hours * 3600 * rate) / 9).astype(np.float32), rate, subtype="PCM_16"
    )
    asked: list[int] = []
    own = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda file, frames, **how: asked.append(frames) or own(file, frames, **how)
    )
    signal = AUDIO.read(tmp_path / "long.wav")
    assert signal.values.shape == (1, LONGEST * rate)
    assert signal.notes == ("seconds 0 to 60 of 10800; --start and --seconds take others",)
    part = AUDIO.read(tmp_path / "long.wav", Part(3600.0, 2.0))
    assert np.abs(part.values[0].numpy() - np.sin(np.arange(3600 * rate, 3602 * rate) / 9)).max() < 1e-4
    assert asked == [LONGEST * rate, 2 * rate]
    assert "lasts 10800 s; it has no sound from second 20000 on" in refused(AUDIO, tmp_path / "long.wav", Part(20_000.0))


def test_unusual_levels_are_named(tmp_path: Path) -> None:
    wave = np.sin(np.arange(4000) / 5)
    for level, note in ((0, "silence"), (1e-4, "very quiet: its loudest sample is -80 dB"), (1.5, "clipped"), (0.9, "")):
        soundfile.write(tmp_path / "a.wav", (level * wave).clip(-1, 1), 8000, subtype="PCM_24")
        assert " ".join(AUDIO.read(tmp_path / "a.wav").notes).startswith(note)
        assert bool(AUDIO.read(tmp_path / "a.wav").notes) == bool(note)


def test_sound_that_cannot_be_used_is_refused(tmp_path: Path, tone: Callable[..., Path]) -> None:
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan, 0.1]), 8000, subtype="FLOAT")
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 8000)
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "empty.mp3").write_bytes(b"")
    assert "nan.wav: holds NaN or infinity" in refused(AUDIO, tmp_path / "nan.wav")
    assert "none.wav: holds no values" in refused(AUDIO, tmp_path / "none.wav")
    assert "text.wav: no sound that can be read" in refused(AUDIO, tmp_path / "text.wav")
    assert "empty.mp3: no sound that can be read" in refused(AUDIO, tmp_path / "empty.mp3")
    assert "expected a file with sound" in refused(AUDIO, tmp_path)


def test_written_sound_is_what_was_read(tone: Callable[..., Path], tmp_path: Path) -> None:
    signal = AUDIO.read(tone())
    (tmp_path / "again.wav").write_bytes(sound(signal.values, signal.step[0]))
    again = AUDIO.read(tmp_path / "again.wav")
    assert (again.values - signal.values).abs().max() < 1e-4
    assert again.step == signal.step
    (tmp_path / "loud.wav").write_bytes(sound(4 * signal.values, signal.step[0]))
    assert AUDIO.read(tmp_path / "loud.wav").values.abs().max() <= 1


# Volumes -----------------------------------------------------------------------------------------------------------------

AFFINE = np.array([[0, 0, -2.5, 10], [1.5, 0, 0, -20], [0, 0.75, 0, 5], [0, 0, 0, 1]])


def ramp(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_nifti_keeps_affine_and_spacing_also_when_it_is_written(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(ramp(4, 5, 6), AFFINE), tmp_path / "a.nii.gz")
    signal = VOLUME.read(tmp_path / "a.nii.gz")
    assert torch.equal(signal.values, torch.from_numpy(ramp(4, 5, 6))[None])
    assert (signal.step, signal.unit, signal.notes) == ((1.5, 0.75, 2.5), "mm", ())
    (tmp_path / "map.nii.gz").write_bytes(nifti_bytes(signal.values, signal))
    again = VOLUME.read(tmp_path / "map.nii.gz")
    assert np.array_equal(again.origin, AFFINE)
    assert torch.equal(again.values, signal.values)
    assert again.step == signal.step


def test_a_fourth_axis_is_channels_and_nan_is_said(tmp_path: Path) -> None:
    values = ramp(3, 4, 5, 2)
    values[0, 0, 0, 0] = np.nan
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii")
    signal = VOLUME.read(tmp_path / "a.nii")
    assert signal.values.shape == (2, 3, 4, 5)
    assert signal.values[0, 0, 0, 0] == 0
    assert signal.notes == ("its fourth axis read as 2 channels", "1 voxels are NaN or infinite, and read as 0")


def test_metres_and_micrometres_are_millimetres(tmp_path: Path) -> None:
    for unit, scale in (("meter", 1000.0), ("micron", 0.001), ("mm", 1.0)):
        image = nibabel.Nifti1Image(ramp(3, 3, 3), np.diag([2.0, 2, 2, 1]))
        image.header.set_xyzt_units(unit)
        nibabel.save(image, tmp_path / "a.nii")
        assert VOLUME.read(tmp_path / "a.nii").step == pytest.approx((2 * scale,) * 3)


def test_volumes_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(ramp(8, 8, 8), np.eye(4)), tmp_path / "a.nii")
    (tmp_path / "head.nii").write_bytes((tmp_path / "a.nii").read_bytes()[:352])
    (tmp_path / "half.nii").write_bytes((tmp_path / "a.nii").read_bytes()[:900])
    (tmp_path / "text.nii.gz").write_text("no volume")
    nibabel.save(nibabel.Nifti1Image(ramp(8, 8), np.eye(4)), tmp_path / "flat.nii")
    nibabel.save(nibabel.Nifti1Image(ramp(0, 8, 8), np.eye(4)), tmp_path / "none.nii")
    (tmp_path / "alone.hdr").write_bytes((tmp_path / "a.nii").read_bytes()[:348])
    np.save(tmp_path / "objects.npy", np.array([{}, {}]), allow_pickle=True)
    np.save(tmp_path / "complex.npy", np.ones((3, 3, 3), complex))
    for name in ("head.nii", "half.nii", "text.nii.gz", "alone.hdr"):
        assert "no volume that can be read: damaged, or a header without voxels" in refused(VOLUME, tmp_path / name)
    assert "expected three spatial axes" in refused(VOLUME, tmp_path / "flat.nii")
    assert "none.nii: holds no values" in refused(VOLUME, tmp_path / "none.nii")
    assert "no array that can be read" in refused(VOLUME, tmp_path / "objects.npy")
    assert "expected real numbers, it holds complex128" in refused(VOLUME, tmp_path / "complex.npy")
    assert "not of a volume" in refused(VOLUME, tmp_path / "a.nii", Part(1.0))


def test_a_huge_header_takes_no_memory(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(ramp(4, 4, 4), np.eye(4))
    image.header["dim"][1:4] = 4000
    (tmp_path / "huge.nii").write_bytes(image.header.binaryblock + bytes(1000))
    assert "more than 134,217,728" in refused(VOLUME, tmp_path / "huge.nii")


def test_arrays_with_and_without_spacing(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ramp(3, 4, 5))
    assert (VOLUME.read(tmp_path / "a.npy").unit, VOLUME.read(tmp_path / "a.npy").step) == ("voxel", (1.0, 1.0, 1.0))
    np.savez(tmp_path / "a.npz", volume=ramp(2, 3, 4, 5), spacing=[1.0, 2.0, 3.0])
    signal = VOLUME.read(tmp_path / "a.npz")
    assert (signal.unit, signal.step, signal.values.shape) == ("mm", (1.0, 2.0, 3.0), (2, 3, 4, 5))
    np.savez(tmp_path / "b.npz", one=ramp(3, 3, 3), other=ramp(3, 3, 3))
    assert "expected one array, or one that is called values" in refused(VOLUME, tmp_path / "b.npz")


def dicom(path: Path, number: int, series: str, size: tuple[int, int] = (4, 5), **more: Any) -> None:
    """One slice, whose values are its number, 2 mm above the one before."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one = pydicom.dataset.FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    one.SOPClassUID, one.SOPInstanceUID, one.SeriesInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID, series
    one.Modality, one.ContentDate = "CT", datetime.date(2020, 1, 1).strftime("%Y%m%d")
    one.Rows, one.Columns, one.InstanceNumber = *size, 99 - number
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated = one.BitsStored = 16
    one.HighBit, one.PixelRepresentation = 15, 0
    one.PixelSpacing, one.SliceThickness = [0.5, 0.25], 3.0
    one.ImagePositionPatient, one.ImageOrientationPatient = [-10.0, -20.0, 2.0 * number], [1, 0, 0, 0, 1, 0]
    one.RescaleSlope, one.RescaleIntercept = 2, -1000
    one.PixelData = np.full(size, number, np.uint16).tobytes()
    for name, value in more.items():
        setattr(one, name, value)
    one.save_as(path, enforce_file_format=True)


def test_a_dicom_series_is_sorted_by_place_scaled_and_placed(tmp_path: Path) -> None:
    series = generate_uid()
    for name, number in zip("cabd", range(4)):
        dicom(tmp_path / f"{name}.dcm", number, series)
    (tmp_path / "notes.txt").write_text("no slice")
    signal = VOLUME.read(tmp_path)
    assert signal.values.shape == (1, 4, 4, 5)
    assert signal.values[0, :, 0, 0].tolist() == [-1000, -998, -996, -994]
    assert (signal.step, signal.unit) == ((2.0, 0.5, 0.25), "mm")
    assert signal.notes == ("1 files without a DICOM picture left out",)
    assert (signal.origin @ [0, 0, 0, 1])[:3].tolist() == [10, 20, 0]  # the right and the front are positive
    assert (signal.origin @ [3, 2, 4, 1])[:3].tolist() == [10 - 4 * 0.25, 20 - 2 * 0.5, 6]


def test_dicom_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("mixed", "uneven", "none", "two")}
    for folder in folders.values():
        folder.mkdir()
    series = generate_uid()
    for number in range(3):
        dicom(folders["mixed"] / f"{number}.dcm", number, series, (4, 4 + number))
        dicom(folders["uneven"] / f"{number}.dcm", number**2, series)
        dicom(folders["two"] / f"{number}.dcm", number, series if number else generate_uid())
    assert "its slices have 3 sizes (4 × 4 and 4 × 5)" in refused(VOLUME, folders["mixed"])
    assert "2 to 6 mm apart" in refused(VOLUME, folders["uneven"])
    assert "none: holds no DICOM file with a picture" in refused(VOLUME, folders["none"])
    assert VOLUME.read(folders["two"]).notes == ("the longest of 2 series: 2 of 3 slices",)
    (tmp_path / "cut.dcm").write_bytes((folders["two"] / "1.dcm").read_bytes()[:-20])
    assert "cut.dcm" in refused(VOLUME, tmp_path / "cut.dcm")


# Series ------------------------------------------------------------------------------------------------------------------


def test_a_csv_file_names_its_channels_and_its_rate(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,left,right\n0,1,2\n0.5,3,4\n1.0,5,6\n")
    signal = SERIES.read(tmp_path / "a.csv")
    assert signal.values.tolist() == [[1, 3, 5], [2, 4, 6]]
    assert (signal.step, signal.unit, signal.origin) == ((0.5,), "s", ("left", "right"))
    (tmp_path / "b.csv").write_text("1,2\n3,4\n5,6\n")
    assert (SERIES.read(tmp_path / "b.csv").unit, SERIES.read(tmp_path / "b.csv").step) == ("sample", (1.0,))
    assert SERIES.read(tmp_path / "a.csv", Part(0.5, 1.0)).values.tolist() == [[3, 5], [4, 6]]
    assert "need a rate" in refused(SERIES, tmp_path / "b.csv", Part(0.5))


def test_a_ts_file_gives_its_first_series(tmp_path: Path) -> None:
    head = "#comment\n@problemName Toy\n@univariate false\n@classLabel true a b\n@data\n"
    (tmp_path / "a.ts").write_text(f"{head}1,2,3:4,5,6:b\n7,8,9:1,2,3:a\n")
    signal = SERIES.read(tmp_path / "a.ts")
    assert signal.values.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert signal.notes == ("the first of 2 series, of class b",)


def test_series_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    texts = {
        "text.csv": ("a,b\n1,2\n3,cold\n", "line 3 of column 'b' holds 'cold'"),
        "gap.csv": ("a,b\n1,2\n3,\n", "line 3 of column 'b' holds 'nan'"),
        "head.csv": ("a,b\n", "holds a header and no numbers"),
        "empty.csv": ("", "no table that can be read"),
        "uneven.csv": ("t,a\n0,1\n1,2\n3,4\n", "do not rise evenly"),
        "times.csv": ("t\n0\n1\n", "holds a column of times and no channel"),
        "ragged.csv": ("1,2\n1,2,3\n", "no table that can be read"),
        "a.ts": ("@data\n1,?,3\n", "expected numbers"),
        "b.ts": ("@data\n1,2:1,2,3\n", "its channels have 2, 3 values"),
        "c.ts": ("1,2,3\n", "expected a line @data"),
    }
    for name, (text, sentence) in texts.items():
        (tmp_path / name).write_text(text)
        assert sentence in refused(SERIES, tmp_path / name), name
    np.save(tmp_path / "none.npy", np.zeros((0, 100)))
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2)))
    np.save(tmp_path / "nan.npy", np.array([1.0, np.nan]))
    assert "none.npy: holds no values (its shape is 0 × 100)" in refused(SERIES, tmp_path / "none.npy")
    assert "expected channels × time, got 2 × 2 × 2" in refused(SERIES, tmp_path / "cube.npy")
    assert "holds NaN" in refused(SERIES, tmp_path / "nan.npy")


def test_an_exchanged_array_and_an_unknown_rate_are_said(tmp_path: Path, toy: Callable[..., LoadedModel]) -> None:
    np.save(tmp_path / "a.npy", np.ones((100, 3)))
    signal = SERIES.read(tmp_path / "a.npy")
    assert "100 × 3 has more channels than times" in signal.notes[0]
    fitted = toy("series", rate=250.0).fitted(signal)
    assert (fitted.unit, fitted.step) == ("s", (1 / 250,))
    assert "read at the model's 250 Hz, as the file names no rate" in fitted.notes
    np.savez(tmp_path / "b.npz", values=np.ones((3, 100)), rate=50.0, channels=["x", "y", "z"])
    named = SERIES.read(tmp_path / "b.npz")
    assert (named.step, named.origin) == ((1 / 50,), ("x", "y", "z"))
