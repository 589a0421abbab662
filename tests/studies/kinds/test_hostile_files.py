"""Files that are wrong, odd or made to deceive: each is refused with one sentence, or what is done with it is said."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from scipy.io import wavfile

from pullback import studies
from pullback.studies import KINDS, LoadedModel
from pullback.studies.explain import _read
from pullback.studies.kinds import Part, Signal, Wants
from pullback.studies.loaders import data
from pullback.studies.zoo import DATA, DataSet, Item

AUDIO, VOLUME, SERIES = (KINDS[name] for name in ("audio", "volume", "series"))
TONE = (8000 * np.sin(np.arange(16_000) / 5)).astype(np.int16)
Toy = Callable[..., LoadedModel]


def refused(make: Callable[[], Any]) -> str:
    with pytest.raises(ValueError, match=r".") as found:
        make()
    assert "\n" not in str(found.value)
    assert len(str(found.value)) <= 300
    return str(found.value)


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (np.stack([TONE, -TONE], 1), "the channels cancel in their mean"),
        (np.array([0, 32_767, -20_000] * 99, np.float32), "beyond full scale: its largest sample is 3.28e+04"),
        (np.zeros(400, np.int16), "silence: every sample is 0"),
        (np.full(400, 32_767, np.int16), "clipped: 400 samples are at full scale"),
        (np.full(400, 9, np.int16), "very quiet: its loudest sample is -71 dB"),
    ],
)
def test_odd_levels_are_said(values: np.ndarray, note: str, tmp_path: Path) -> None:
    wavfile.write(tmp_path / "a.wav", 16_000, values)
    assert any(text.startswith(note) for text in AUDIO.read(tmp_path / "a.wav").notes)


def test_usual_levels_are_not_said(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "a.wav", 16_000, np.stack([TONE, TONE // 2], 1))
    assert AUDIO.read(tmp_path / "a.wav").notes == ("mean of 2 channels",)


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (24, struct.pack("<I", 0), "no sound that can be read"),
        (24, struct.pack("<I", 2**31 - 1), "16000 samples at 2147483647 Hz cannot be changed to 16000 Hz"),
        (22, struct.pack("<H", 0), "no sound that can be read (Channel count is zero)"),
    ],
)
def test_impossible_headers_of_sound_are_refused(place: int, value: bytes, sentence: str, tmp_path: Path) -> None:
    wavfile.write(tmp_path / "a.wav", 16_000, TONE)
    data = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(data[:place] + value + data[place + len(value) :])
    text = refused(lambda: AUDIO.fit(AUDIO.read(tmp_path / "a.wav"), Wants(rate=16_000)))
    assert text.startswith("a.wav: ")
    assert sentence in text


def test_a_change_of_the_rate_that_takes_too_much_memory_is_refused() -> None:
    slow = Signal(torch.zeros(1, 10_000), (1.0,), "s", "a.csv")
    assert "values are more than" in refused(lambda: SERIES.fit(slow, Wants(rate=20_000.0)))


@pytest.mark.parametrize(
    ("text", "names", "step", "note"),
    [
        ("a;b\n1;2\n3;4\n", ("a", "b"), 1.0, ""),
        ("a\tb\n1\t2\n3\t4\n", ("a", "b"), 1.0, ""),
        ("\ufefftime,a\n0,1\n1,2\n2,3\n", ("a",), 1.0, ""),
        ("time (ms),a\n0,1\n10,2\n20,3\n", ("a",), 0.01, ""),
        (",a\n0,5\n1,6\n2,9\n", ("a",), 1.0, "its first column, which counts the rows, left out"),
        (
            "stamp,a\n0,5\n2,6\n4,9\n",
            ("stamp", "a"),
            1.0,
            "its first column rises evenly, as times do, and is read as a channel",
        ),
        ('"a,1","b"\n1,2\n3,4\n9,5\n', ("a,1", "b"), 1.0, ""),
    ],
)
def test_tables_of_other_programs(text: str, names: tuple[str, ...], step: float, note: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    signal = SERIES.read(tmp_path / "a.csv")
    assert (signal.origin, signal.step) == (names, pytest.approx((step,)))
    assert "; ".join(signal.notes).startswith(note)
    assert bool(signal.notes) == bool(note)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a,b\n1,2\n".encode("utf-16"), "its text is UTF-16; save it as UTF-8"),
        (b"x\n1e308\n-1e308\n", "holds numbers too large for single precision"),
        (b"x\n1\ninf\n", "holds NaN or infinity"),
        (b"a;b\n1,5;2,5\n", "expected numbers; line 2 of column 'a' holds '1,5'"),
        (b"a,b\n1,\x002\n", "expected numbers"),
    ],
)
def test_tables_that_cannot_be_read_are_refused(content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    assert sentence in refused(lambda: SERIES.read(tmp_path / "a.csv"))


def test_affines_that_are_no_use_are_left_out_and_those_that_differ_from_the_spacing_are_taken(tmp_path: Path) -> None:
    volume = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[254:256], data[280:328] = b"\1\0", bytes(48)  # sform is valid, and zero
    (tmp_path / "a.nii").write_bytes(bytes(data))
    signal = VOLUME.read(tmp_path / "a.nii")
    assert (signal.origin, signal.step) == (None, (1.0, 1.0, 1.0))
    assert signal.notes == ("its affine has no inverse, and is left out",)
    np.savez(tmp_path / "b.npz", values=volume, spacing=[1.0, 1, 1], affine=np.diag([3.0, 3, 3, 1]))
    signal = VOLUME.read(tmp_path / "b.npz")
    assert signal.step == (3.0, 3.0, 3.0)
    assert "its affine and its spacing differ, and the affine is taken" in signal.notes[0]
    np.savez(tmp_path / "c.npz", values=volume, spacing=["a", "b", "c"])
    assert "expected numbers as spacing" in refused(lambda: VOLUME.read(tmp_path / "c.npz"))


@pytest.mark.parametrize(
    "name", ["a b.csv", "a'\"b.csv", "a #1%20.csv", "名前 имя.csv", "x" * 246 + ".csv", "<b>$x^2$[red].csv", "a\nb.csv"]
)
def test_files_of_any_name_are_explained_with_figures_of_their_own(name: str, toy: Toy, tmp_path: Path) -> None:
    (tmp_path / name).write_text("1\n2\n3\n5\n")
    options = {"model": toy("series"), "transforms": ["dct"], "method": "input_x_gradient", "out": tmp_path / "out"}
    found = studies.explain(tmp_path / name, target=0, **options)
    assert len(found.files) == 3
    assert all((tmp_path / "out" / file).is_file() for file in found.files)


def test_no_file_is_refused(toy: Toy, tmp_path: Path) -> None:
    text = refused(lambda: studies.explain("", model=toy("audio"), out=tmp_path / "out"))
    assert "no such file; expected a recording" in text
    assert text.startswith("'': ")


@pytest.mark.parametrize(("name", "kind"), [("a.wav", "audio"), ("a.png", "image"), ("a.nii", "volume"), ("a.csv", "series")])
def test_an_empty_file_is_called_empty_by_explain_and_by_compare(name: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    model = LoadedModel("flat", torch.nn.Flatten(), classes=("a",), kind=kind, rate=8000.0 if kind == "audio" else None)
    assert f"{name}: the file is empty (0 bytes)" in refused(lambda: _read(tmp_path / name, model, None))
    assert "the file is empty (0 bytes)" in str(data.read(data.load_photos(tmp_path, kind=KINDS[kind]).entries[0]))


@pytest.mark.parametrize(("rate", "wrong"), [(1, True), (99, True), (100, False)])
def test_a_sound_has_100_samples_a_second_or_more(rate: int, wrong: bool, tmp_path: Path) -> None:
    wavfile.write(tmp_path / "a.wav", rate, TONE)
    if wrong:
        assert f"its header says {rate} Hz" in refused(lambda: AUDIO.read(tmp_path / "a.wav"))
    else:
        fitted = AUDIO.fit(AUDIO.read(tmp_path / "a.wav", Part(0, 1)), Wants(rate=16_000))
        assert "resampled from 100 to 16000 Hz; there is nothing above 50 Hz" in fitted.notes


def test_unknown_items_of_packaged_data_name_the_closest(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["crow.ogg", "cow.ogg", "sheep.ogg", "duck.ogg"]
    items = [Item(name, lambda: Signal(torch.zeros(1, 9), (1.0,), "s", "")) for name in names]
    monkeypatch.setitem(DATA, "animals", DataSet("animals", "audio", lambda: iter(items), "", ""))
    model = LoadedModel("flat", torch.nn.Flatten(), classes=("a",), kind="audio", rate=8000.0)
    said = refused(lambda: _read("animals#crw.ogg", model, None))
    assert "did you mean crow.ogg or cow.ogg" in said
    assert "[one.name for one in pullback.studies.zoo.DATA['animals']()]" in said
    assert "4 items are called crow.ogg, cow.ogg, sheep.ogg, …" in refused(lambda: _read("animals#zzz", model, None))
