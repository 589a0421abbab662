"""A comparison that was interrupted continues where it stopped, and only with the same model, photos and settings."""

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image
from support.tiny import PREPARE, Tiny, settings, tiny
from torch import Tensor

from pullback import studies
from pullback.core.progress import Interrupted
from pullback.studies.loaders.models import LoadedModel
from pullback.studies.loaders.preparation import Preparation


def brief(pictures: Path, **changes: object) -> studies.Settings:
    """Two domains, and no pictures."""
    return settings(pictures, **{"transforms": ("pixel", "dft"), "pictures": 0} | changes)


def test_an_interrupted_run_continues_where_it_stopped(pictures: Path, tmp_path: Path) -> None:
    fresh = tiny()
    whole = studies.compare(settings(pictures), tmp_path / "whole", model=fresh)
    with pytest.raises(KeyboardInterrupt):
        studies.compare(settings(pictures), tmp_path / "cut", model=tiny(stop_after=1300))
    assert list((tmp_path / "cut" / ".parts").iterdir())
    assert not (tmp_path / "cut" / "results.csv").exists()
    model = tiny()
    resumed = studies.compare(settings(pictures), tmp_path / "cut", model=model)
    assert model.module.rows < fresh.module.rows
    timeless = lambda table: table.drop(columns=["seconds_stream"])
    pd.testing.assert_frame_equal(timeless(whole.table), timeless(resumed.table))
    once = tiny()
    again = studies.compare(settings(pictures), tmp_path / "cut", model=once)
    assert once.module.rows == 1  # the check of the model: every photo is stored
    pd.testing.assert_frame_equal(resumed.table, again.table)


def test_a_part_that_is_not_whole_is_done_again(pictures: Path, tmp_path: Path) -> None:
    few, fresh, spoilt = brief(pictures, limit=5, transforms=("pixel",)), tiny(), tiny()
    studies.compare(few, tmp_path / "again", model=fresh)
    with pytest.raises(KeyboardInterrupt):
        studies.compare(few, tmp_path / "cut", model=tiny(stop_after=fresh.module.rows * 9 // 10))
    parts = sorted((tmp_path / "cut" / ".parts").iterdir())
    assert len(parts) == 4
    for part in parts:
        part.write_text(part.read_text()[:-9])
    found = studies.compare(few, tmp_path / "cut", model=spoilt)
    assert len(found.table) == 5
    assert spoilt.module.rows == fresh.module.rows


@pytest.mark.parametrize("changes", [{"seed": 1}, {"method": "gradient"}, {"transforms": ("pixel",)}], ids=str)
def test_other_settings_are_refused_where_work_is_stored(pictures: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    """Interrupted or finished: its parts and files stay, and the refusal says what differs."""
    with pytest.raises(KeyboardInterrupt):
        studies.compare(brief(pictures), tmp_path / "cut", model=tiny(stop_after=1000))
    for state in ("interrupted", "finished"):
        before = {path: path.read_bytes() for path in (tmp_path / "cut").rglob("*") if path.is_file()}
        assert json.loads((tmp_path / "cut" / "summary.json").read_text())["state"] == state
        with pytest.raises(ValueError, match=f"holds a comparison with other settings .{next(iter(changes))}") as refused:
            studies.compare(brief(pictures, **changes), tmp_path / "cut", model=tiny())
        assert len(str(refused.value)) <= 300
        assert {path: path.read_bytes() for path in (tmp_path / "cut").rglob("*") if path.is_file()} == before
        studies.compare(brief(pictures), tmp_path / "cut", model=tiny())


def interrupted(pictures: Path, out: Path, model: LoadedModel, **changes: object) -> tuple[int, int]:
    """The numbers of stored and of planned photos of a run that stops in the middle."""
    with pytest.raises(Interrupted) as stopped:
        studies.compare(brief(pictures, **changes), out, model=model)
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
        assert interrupted(pictures, tmp_path / name, tiny(stop_after=1000)) == (4, 9)
        model, notes = change(), []
        found = studies.compare(brief(pictures), tmp_path / name, model=model, note=notes.append)
        fresh = studies.compare(brief(pictures), tmp_path / f"{name}-fresh", model=model, note=notes.append)
        notes = [note for note in notes if " forwards for each " not in note]
        timeless = lambda table: table.drop(columns=["seconds_stream"])
        pd.testing.assert_frame_equal(timeless(found.table), timeless(fresh.table))
        if name == "photo":  # only that photo is done again
            assert not notes
            continue
        assert len(notes) == 1, name
        assert "this run starts from the beginning" in notes[0]


def test_the_same_model_continues_without_a_note(pictures: Path, tmp_path: Path) -> None:
    interrupted(pictures, tmp_path / "o", tiny(stop_after=1000))
    notes: list[str] = []
    studies.compare(brief(pictures), tmp_path / "o", model=tiny(), note=notes.append)
    assert [" forwards for each " in note for note in notes] == [True]


def test_an_interrupt_before_anything_is_stored_promises_nothing(pictures: Path, tmp_path: Path) -> None:
    assert interrupted(pictures, tmp_path / "o", tiny(stop_after=30)) == (0, 9)
