"""Data in tar files of WebDataset, in Parquet tables and of the hub: the numbers of a folder with the same pictures."""

import dataclasses
import io
import sys
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from scipy.io import wavfile
from support.tiny import settings, tiny

from pullback import studies
from pullback.studies.loaders.columns import TOGETHER, ParquetRows
from pullback.studies.storage.fingerprint import content

FOUR = [f"{number}.png" for number in range(4)]


def tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            one = tarfile.TarInfo(name)
            one.size = len(data)
            archive.addfile(one, io.BytesIO(data))
    return path


def png(*shape: int, level: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full(shape or (8, 8, 3), level, np.uint8)).save(file, "png")
    return file.getvalue()


def noise() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(file, "png")
    return file.getvalue()


def found(photos: studies.Photos) -> list[tuple[str, int | None, str]]:
    return [(photo.name, photo.label, photo.class_name) for photo in photos.entries]


def test_a_tar_and_a_table_give_the_numbers_of_a_folder(pictures: Path, tmp_path: Path) -> None:
    """Byte by byte, but for names; in shards as in one file."""
    data = [(pictures / name).read_bytes() for name in FOUR]
    for number in range(2):
        tar(tmp_path / f"s-{number:02}.tar", dict(zip(FOUR[2 * number :], data[2 * number : 2 * number + 2])))
    table = pa.table({"id": FOUR, "image": [{"bytes": each, "path": None} for each in data]})
    pq.write_table(table, tmp_path / "table.parquet", row_group_size=3)
    specs = {"folder": str(pictures), "tar": f"{tmp_path}/s-{{00..01}}.tar", "table": f"{tmp_path}/table.parquet"}
    runs = {
        name: studies.compare(settings(pictures, data=spec, limit=4), tmp_path / name / "o", model=tiny())
        for name, spec in specs.items()
    }
    assert list(runs["tar"].table["image"].unique()) == [f"s-0{n // 2}.tar/{name}" for n, name in enumerate(FOUR)]
    assert list(runs["table"].table["image"].unique()) == [f"table.parquet#{number}" for number in range(4)]
    named = ["image", "data", "seconds_stream", "unit"]
    for name in ("tar", "table"):
        pd.testing.assert_frame_equal(
            runs["folder"].table.drop(columns=named), runs[name].table.drop(columns=named), check_exact=True
        )
        assert runs["folder"].scores["score"].equals(runs[name].scores["score"])
        assert any("top10-" in file for file in runs[name].files)


def test_members_of_a_tar_have_the_classes_of_webdataset_or_of_folders(tmp_path: Path) -> None:
    """A hidden file, a link and what is of another kind are no entries; a number or a name in KEY.cls is the class."""
    files = {"a/01.png": png(), "a/01.cls": b"7\n", "a/01.json": b"{}", "b/.hidden.png": png(), "b/02.left.png": png()}
    path = tar(tmp_path / "one.tar", files | {"b/02.cls": b"dog", "cat/3.png": png(), "cat/note.txt": b"text"})
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("out.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert found(studies.load_photos(path)) == [
        ("one.tar/a/01.png", 7, ""),
        ("one.tar/b/02.left.png", 1, "dog"),
        ("one.tar/cat/3.png", 0, "cat"),
    ]


def test_a_folder_of_tables_is_one_data_set(tmp_path: Path) -> None:
    """A results table that lies there is named, and nothing else of it is read."""
    (tmp_path / "in").mkdir()
    for number in range(2):
        rows = {"label": [number, -1], "pixels": [np.full((8, 8), 9).tolist(), np.full((3, 8, 8), number).tolist()]}
        kinds = [("label", pa.int64()), ("pixels", pa.list_(pa.list_(pa.uint8())))]
        rows["pixels"] = rows["pixels"][:1] * 2
        pq.write_table(pa.table(rows, pa.schema(kinds)), tmp_path / "in" / f"{number}.parquet")
    pq.write_table(pa.table({"score": [1.0]}), tmp_path / "in" / "scores.parquet")
    photos = studies.load_photos(tmp_path / "in")
    names = [f"{number}.parquet#{row}" for number in range(2) for row in range(2)]
    assert found(photos)[:4] == [(name, label, "") for name, label in zip(names, (0, None, 1, None))]
    assert [(image.size, image.getpixel((0, 0))) for _, image in photos] == [((8, 8), (9, 9, 9))] * 4
    [(name, why)] = photos.skipped
    assert name == "scores.parquet"
    assert "no column holds bytes, records with bytes, or lists of numbers; columns: score" in why


def test_tensors_and_classes_by_name_are_read(tmp_path: Path) -> None:
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3))
    pq.write_table(pa.table({"class": ["cat", "ant"], "image": tensors}), tmp_path / "t.parquet")
    photos = studies.load_photos(tmp_path / "t.parquet")
    assert found(photos) == [("t.parquet#0", 1, "cat"), ("t.parquet#1", 0, "ant")]
    (_, first), (_, second) = list(photos)
    assert np.asarray(first)[0, 1].tolist() == [3, 4, 5]
    assert np.asarray(second)[0, 0].tolist() == [72, 73, 74]


def test_other_kinds_of_signals_are_read_from_members(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "a.wav", 8000, np.arange(80, dtype=np.int16))
    audio, series, volume = (studies.KINDS[name] for name in ("audio", "series", "volume"))
    path = tar(tmp_path / "sounds.tar", {"crow/a.wav": (tmp_path / "a.wav").read_bytes(), "crow/b.txt": b"no sound"})
    [(photo, signal)] = list(studies.load_photos(path, kind=audio))
    assert (photo.name, signal.name, signal.values.shape) == ("sounds.tar/crow/a.wav", "sounds.tar/crow/a.wav", (1, 80))
    pq.write_table(pa.table({"values": [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]}), tmp_path / "s.parquet")
    [(_, signal)] = list(studies.load_photos(tmp_path / "s.parquet", kind=series))
    torch.testing.assert_close(signal.values, torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    pq.write_table(pa.table({"values": [np.ones((4, 3, 2)).tolist()]}), tmp_path / "v.parquet")
    [(_, signal)] = list(studies.load_photos(tmp_path / "v.parquet", kind=volume))
    assert signal.values.shape == (1, 4, 3, 2)


def test_damaged_files_are_named_and_what_is_whole_is_read(tmp_path: Path) -> None:
    whole = tar(tmp_path / "whole.tar", {"1.png": png(), "2.png": b"no picture", "3.png": noise()}).read_bytes()
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "cut.tar").write_bytes(whole[:4096])
    (folder / "junk.tar").write_bytes(b"junk" * 400)
    (folder / "zip.tar").write_bytes(b"\x1f\x8b" + bytes(600))
    (folder / "junk.parquet").write_bytes(b"junk")
    tar(folder / "text.tar", {"a.txt": b"text"})
    rows = {"image": [png(), None, [b"x"] and b"no picture"]}
    pq.write_table(pa.table(rows), folder / "rows.parquet")
    photos = studies.load_photos(folder)
    assert [photo.name for photo, _ in photos] == ["cut.tar/1.png", "rows.parquet#0"]
    reasons = dict(photos.skipped)
    assert "ends in the middle of this signal" in reasons["cut.tar/3.png"]
    assert "after 3 signals" in reasons["cut.tar"]
    assert "damaged, or no parquet file, after 0 signals" in reasons["junk.parquet"]
    assert "holds no image" in reasons["text.tar"]
    assert "row 1 of rows.parquet is empty" in reasons["rows.parquet#1"]
    assert set(reasons) >= {"cut.tar/2.png", "junk.tar", "zip.tar", "rows.parquet#2"}
    assert all(len(why) <= 200 for why in reasons.values())


def test_arrays_that_are_no_pictures_are_refused(tmp_path: Path) -> None:
    for number, rows in enumerate(([[0.5, 0.25]], [[[1, 2], [3]]], [[[1, 2], [3, 700]]])):
        pq.write_table(pa.table({"image": rows}), tmp_path / f"{number}.parquet")
    photos = studies.load_photos(tmp_path)
    assert not list(photos)
    assert "whole numbers in 0…255, got 2 of float64" in photos.skipped[0][1]
    assert "lists of different lengths" in photos.skipped[1][1]
    assert "got 2 × 2 of int64" in photos.skipped[2][1]


def test_wrong_shards_are_refused(tmp_path: Path) -> None:
    tar(tmp_path / "s-0.tar", {"1.png": png()})
    with pytest.raises(ValueError, match=r"1 of 2 files are missing, the first: .*s-1\.tar"):
        studies.load_photos(f"{tmp_path}/s-{{0..1}}.tar")
    for numbers in ("{3..1}", "{0..100000}", "{0..400}-{0..400}"):  # of the last, no part may be taken in silence
        with pytest.raises(ValueError, match="expected 1 to 100,000 files, by numbers that rise"):
            studies.load_photos(f"{tmp_path}/s-{numbers}.tar")
    with pytest.raises(ValueError, match="no such file or folder"):
        studies.load_photos(f"{tmp_path}/s-{{0..1}}.png")
    assert [name for name, _, _ in found(studies.load_photos(f"{tmp_path}/s-{{0..0}}.tar"))] == ["s-0.tar/1.png"]


def test_names_that_lead_out_of_a_folder_stay_names(pictures: Path, tmp_path: Path) -> None:
    """Nothing is written outside of the results, whatever members are called."""
    data = (pictures / "0.png").read_bytes()
    names = ["../../out.png", "/etc/passwd.png", "a/\x1b[31m\n.png", "x\\..\\up.png", "CON.png"]
    path = tar(tmp_path / "in.tar", dict.fromkeys(names, data))
    before = set(tmp_path.rglob("*"))
    asked = dataclasses.replace(settings(pictures, data=str(path)), pictures=5)
    run = studies.compare(asked, tmp_path / "deep" / "er" / "o", model=tiny())
    assert len(run.table["image"].unique()) == 5
    made = {one for one in tmp_path.rglob("*") if one not in before}
    assert all(one.is_relative_to(tmp_path / "deep") for one in made)
    assert all(str(name).isprintable() for name in run.table["image"])


def test_rows_of_a_table_are_read_in_any_order_and_few_are_held(tmp_path: Path) -> None:
    """One large group of rows: 20 times the rows take no more memory, and rows in their order are read once."""
    peaks = []
    for count in (100, 2000):
        table = pa.table({"image": [bytes([number % 251]) * 20_000 for number in range(count)]})
        pq.write_table(table, tmp_path / f"{count}.parquet")
        rows = ParquetRows(tmp_path / f"{count}.parquet")
        tracemalloc.start()
        assert all(rows.data(number)[0] == number % 251 for number in range(count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
    read = [0]
    inner = rows._read

    def counting() -> Iterator[Any]:
        read[0] += 1
        return inner()

    rows = ParquetRows(tmp_path / "2000.parquet")
    inner, rows._read = rows._read, counting  # type: ignore[method-assign]
    for number in range(0, 2000, 4):  # as photos are asked for: digests of four, and then their pictures
        four = [*range(number, number + 4)] * 2
        assert [rows.data(place)[0] for place in four] == [place % 251 for place in four]
    assert read == [1]
    assert [rows.data(place)[0] for place in (1999, 3, 3 + TOGETHER, 0)] == [1999 % 251, 3, 3 + TOGETHER, 0]


def test_a_member_is_known_by_its_bytes(tmp_path: Path) -> None:
    path = tar(tmp_path / "one.tar", {"1.png": png(level=1), "2.png": png(level=1), "3.png": png(level=2)})
    first, second, third = map(content, studies.load_photos(path).entries)
    assert first == second != third


class Hub:
    """As `datasets.Dataset`: rows by their number; a stream of them has no number of rows."""

    def __init__(self, rows: list[dict[str, Any]], features: dict[str, Any], streaming: bool) -> None:
        self.rows, self.features, self.streaming, self.decoded = rows, features, streaming, True

    def cast_column(self, name: str, kind: Any) -> "Hub":
        self.decoded = kind.decode
        return self

    def __iter__(self) -> Iterator[dict[str, Any]]:
        assert self.streaming
        assert not self.decoded
        return iter(self.rows)

    def __len__(self) -> int:
        assert not self.streaming
        return len(self.rows)

    def __getitem__(self, key: int | str) -> Any:
        assert not self.streaming
        return self.rows[key] if isinstance(key, int) else [row[key] for row in self.rows]


class ImageFeature:
    def __init__(self, decode: bool = True) -> None:
        self.decode = decode


class ClassLabel:
    num_classes = 5


@pytest.mark.parametrize("limit", [None, 2])
def test_a_data_set_of_the_hub_is_read_row_by_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: int | None) -> None:
    (tmp_path / "1.png").write_bytes(png(level=9))
    rows = [
        {"img": {"bytes": png(level=7), "path": None}, "label": 3},
        {"img": {"bytes": None, "path": str(tmp_path / "1.png")}, "label": -1},
        {"img": {"bytes": b"no picture", "path": None}, "label": 0},
    ]
    hub: Any = ModuleType("datasets")
    asked: list[Any] = []

    def load(name: str, split: str, streaming: bool) -> Hub:
        asked.append((name, split, streaming))
        return Hub(rows, {"label": ClassLabel(), "img": ImageFeature()}, streaming)

    hub.load_dataset, hub.Image = load, ImageFeature
    monkeypatch.setitem(sys.modules, "datasets", hub)
    photos = studies.load_photos("hf:org/set:train", limit)
    assert asked == [("org/set", "train", limit is not None)]
    levels = [(photo.name, photo.label, image.getpixel((0, 0))[0]) for photo, image in photos]
    assert levels == [("00000", 3, 7), ("00001", None, 9)]
    assert len(photos.skipped) == (limit is None)
    assert photos.classes == 5
    rows[:] = []
    monkeypatch.setattr(hub, "load_dataset", lambda *args, **options: Hub(rows, {"text": None}, True))
    with pytest.raises(ValueError, match="no column holds images; columns: text"):
        studies.load_photos("hf:org/set")
