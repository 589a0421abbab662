"""Data sets that are read from files: Qt resources, MedMNIST, the UCR archive, ESC-50, a computed tomography."""

import struct
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from support.zoo import installed

import pullback as pb
from pullback.studies.zoo import DATA, MODELS
from pullback.studies.zoo.qt_resources import qt_resources
from pullback.studies.zoo.ucr import series_of


def collection(version: int, flags: int = 1) -> bytes:
    """A Qt resource collection of two files, a/one.txt and two.txt, the second one packed."""
    names = [b"".join((struct.pack(">HI", len(name), 0), name.encode("utf-16-be"))) for name in ("a", "one.txt", "two.txt")]
    places = [0, len(names[0]), len(names[0]) + len(names[1])]
    packed = struct.pack(">I", 5) + zlib.compress(b"other")
    files = struct.pack(">I", 3) + b"own" + struct.pack(">I", len(packed)) + packed
    date = b"\0" * 8 if version > 1 else b""
    entries = [(0, 2, 2, 1), (places[0], 2, 1, 3), (places[2], flags, 0, 7), (places[1], 0, 0, 0)]
    tree = b"".join(struct.pack(">IHII", *entry) + date for entry in entries)
    start = 20 if version < 3 else 24
    offsets = (start, start + len(tree), start + len(tree) + len(files))
    head = b"qres" + struct.pack(">4I", version, *offsets) + b"\0" * (start - 20)
    return head + tree + files + b"".join(names)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_the_files_of_a_collection_are_found(version: int, tmp_path: Path) -> None:
    (tmp_path / "x.rcc").write_bytes(collection(version))
    assert dict(qt_resources(tmp_path / "x.rcc")) == {"a/one.txt": b"own", "two.txt": b"other"}


def test_what_is_no_collection_and_what_cannot_be_unpacked_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.rcc").write_bytes(b"RIFF" + b"\0" * 40)
    with pytest.raises(ValueError, match="begins with qres"):
        list(qt_resources(tmp_path / "x.rcc"))
    (tmp_path / "x.rcc").write_bytes(collection(3, flags=4))
    with pytest.raises(ValueError, match="Zstandard"):
        list(qt_resources(tmp_path / "x.rcc"))


@pytest.mark.parametrize(("shape", "axes", "channels"), [((2, 28, 28), 2, 1), ((2, 28, 28, 3), 2, 3), ((2, 28, 28, 28), 3, 1)])
def test_medmnist_files_hold_grey_images_colour_images_or_volumes(
    shape: tuple[int, ...], axes: int, channels: int, tmp_path: Path
) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.savez(tmp_path / "x.npz", test_images=images, test_labels=np.array([[4], [1]]))
    items = list(DATA["medmnist"](str(tmp_path / "x.npz")))
    assert [item.label for item in items] == [4, 1]
    assert items[0].read().values.shape == (channels, *(28,) * axes)
    assert len(items[0].read().step) == axes
    own = images[1].transpose(2, 0, 1) if channels == 3 else images[1][None]
    assert torch.equal((items[1].read().values * 255).round(), torch.from_numpy(own.astype(np.float32)))


def test_medmnist_files_with_several_labels_and_other_files(tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    np.savez(file, test_images=np.zeros((1, 28, 28), np.uint8), test_labels=np.zeros((1, 14)))
    assert next(DATA["medmnist"](str(file))).label is None
    for content in (b"", b"text"):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"medmnist: .*holds no test_images and test_labels"):
            next(DATA["medmnist"](str(file)))
    np.savez(file, other=np.zeros(3))
    with pytest.raises(ValueError, match="holds no test_images") as caught:
        next(DATA["medmnist"](str(file)))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("name", "count", "shape", "classes"),
    [
        ("GunPoint", 150, (1, 150), 2),
        ("ArrowHead", 175, (1, 251), 3),
        ("ItalyPowerDemand", 1029, (1, 24), 2),
        ("BasicMotions", 40, (6, 100), 4),
        ("JapaneseVowels_eq", 370, (12, 25), 9),
    ],
)
def test_series_of_the_archive(name: str, count: int, shape: tuple[int, ...], classes: int) -> None:
    series, labels, names = installed(lambda: series_of(name, "test"))
    assert (len(series), len(labels), len(names)) == (count, count, classes)
    assert series[0].shape == shape
    assert set(labels) == set(range(classes))
    assert all(values.isfinite().all() for values in series)


def test_series_of_unequal_length_and_unknown_names() -> None:
    lengths = {values.shape for values in installed(lambda: series_of("JapaneseVowels", "test"))[0]}
    assert len(lengths) > 1
    for wrong, part, message in (("Gunpoint", "test", "a name in .*GunPoint"), ("GunPoint", "new", "part in train, test")):
        with pytest.raises(ValueError, match=message):
            series_of(wrong, part)


def test_esc50_is_read_from_its_folder(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile", reason="pip install soundfile")
    for name in ("meta", "audio"):
        (tmp_path / name).mkdir()
    (tmp_path / "meta" / "esc50.csv").write_text("filename,fold,target,category\n1-2-A-3.wav,1,9,crow\n")
    wave = np.sin(np.arange(400) / 5)
    soundfile.write(tmp_path / "audio" / "1-2-A-3.wav", wave, 44_100)
    (item,) = DATA["esc50"](str(tmp_path))
    signal = item.read()
    assert (item.label, item.class_name, signal.unit, signal.step) == (9, "crow", "s", (1 / 44_100,))
    assert (signal.values[0] - torch.from_numpy(wave)).abs().max() < 1e-4
    with pytest.raises(ValueError, match="esc50: there is no file"):
        next(DATA["esc50"](str(tmp_path / "audio")))


def test_the_head_has_its_spacing_and_hounsfield_units() -> None:
    (item,) = installed(lambda: list(DATA["head-ct"]()))
    head = item.read()
    assert head.name == item.name
    assert head.values.shape == (1, 108, 256, 256)
    assert (head.unit, head.step) == ("mm", pytest.approx((1.5, 0.957, 0.957), abs=1e-3))
    assert head.values.min() == -1024
    assert head.values[0, 54, 0, 0] < -900  # air
    assert (head.values > 300).double().mean() > 0.02  # bone
    assert nibabel.aff2axcodes(head.origin) == ("S", "A", "L")
    assert np.linalg.norm(head.origin[:3, :3], axis=0) == pytest.approx(head.step)
    bone = (head.values[0] > 300).double()
    above, below = bone[-8:].mean(), bone[:8].mean()
    assert above < below / 3  # the top of the skull, and the jaw with its teeth
    teeth = (head.values[0, :8] > 1800).sum((0, 2))
    assert teeth[128:].sum() > 10 * teeth[:128].sum()  # they are at the front


def test_bone_is_explained_by_the_voxels_at_its_border() -> None:
    """Along x from -100 to 1,000 Hounsfield units, what carries the gradient is what lies near 226."""
    module, card = MODELS["ct-tissues"]()
    x = torch.linspace(-100, 1000, 64).reshape(1, 1, 4, 4, 4).double()
    found = pb.attribute(module, x, card.classes.index("bone"), method="gradient", transform="pixel").values.flatten()
    assert (found[(x.flatten() - 226).abs() < 100].sum() / found.sum()) > 0.95
    shares = module(x).softmax(1)[0]
    assert shares.tolist() == pytest.approx([0, 0.3, 0.7], abs=0.02)
