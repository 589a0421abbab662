"""Model and data specs, resuming, whole files; with a small model and small pictures."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from pullback import studies
from pullback.attribution.files import write_whole
from pullback.studies import figures, report
from pullback.studies.models import LoadedModel, Preparation, load_model

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
    base = studies.Settings(model="tiny", data=str(pictures), method="integrated_gradients(steps=3, rule=gauss_legendre)",
                            transforms=("pixel", "dwt(haar, level=2)", "dft"), pictures=1)  # fmt: skip
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
    timeless = lambda table: table.drop(columns=["seconds_stream", "seconds_domain"])
    pd.testing.assert_frame_equal(timeless(whole.table), timeless(resumed.table))
    assert not (tmp_path / "cut" / ".parts").exists()


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
    monkeypatch.setattr(sys.modules["pullback.studies.compare"], "BATCH", 9)
    second = studies.compare(settings(pictures, rows=2), tmp_path / "2", model=tiny()).table
    names = [
        name
        for name in first
        if pd.api.types.is_float_dtype(first[name]) and not name.startswith(("seconds", "gap", "relative"))
    ]
    np.testing.assert_allclose(first[names], second[names], rtol=1e-3, atol=1e-5)


def test_report_names_controls_and_intervals_once_there_are_enough_photos(pictures: Path, tmp_path: Path) -> None:
    outcome = studies.compare(settings(pictures), tmp_path / "o", model=tiny())
    sentences = " ".join(report.findings(outcome.table))
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
    loaded = load_model(str(tmp_path / "net.pt2"), preparation=PREPARE)
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
        model = load_model(f"mine:{name}")
        assert model.prepare(image).shape == (3, size, size)
        assert not model.module.training
    with pytest.raises(ValueError, match="expected the callable to return"):
        load_model("mine:wrong")
    (tmp_path / "junk.pt").write_text("junk")
    with pytest.raises(ValueError, match="expected a TorchScript file"):
        load_model(str(tmp_path / "junk.pt"))


def test_the_real_model_classifies_its_photos() -> None:
    """17 of the 20 photos, as measured apart; here five, of which it knows each."""
    model = load_model("efficientnet-lite0")
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
