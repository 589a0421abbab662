"""Photos that are stored are not computed again, and what was stored otherwise is not taken."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support.runs import alike, run, same
from support.tiny import settings, tiny
from torch import Tensor

from pullback import studies
from pullback.studies.compare.cell import is_part
from pullback.studies.loaders.models import LoadedModel
from pullback.studies.loaders.preparation import Preparation


def test_a_raised_limit_computes_only_the_new_photos(pictures: Path, tmp_path: Path) -> None:
    few, _ = run(pictures, tmp_path / "o", limit=8, pictures=0)
    more, found = run(pictures, tmp_path / "o", limit=9, pictures=0)
    whole, fresh = run(pictures, tmp_path / "whole", limit=9, pictures=0)
    assert more - 1 == whole - few  # one row is the check of the model
    same(found, fresh)
    assert found.summary["evaluations"] == fresh.summary["evaluations"]
    alike(found.summary["domains"]["dft"], fresh.summary["domains"]["dft"])


def test_a_lower_limit_and_more_pictures_use_what_is_there(pictures: Path, tmp_path: Path) -> None:
    run(pictures, tmp_path / "o", limit=6, pictures=1)
    rows, found = run(pictures, tmp_path / "o", limit=3, pictures=1)
    assert rows == 1
    assert found.summary["photos"] == 3
    rows, found = run(pictures, tmp_path / "o", limit=3, pictures=2)
    assert rows > 1
    assert [name for name in found.files if name.startswith("top10")] == ["top10-000-0.png", "top10-001-1.png"]
    (tmp_path / "o" / "top10-000-0.png").unlink()
    _, found = run(pictures, tmp_path / "o", limit=3, pictures=2)
    assert all((tmp_path / "o" / name).is_file() for name in found.files)


def test_photos_that_are_added_and_removed_leave_the_others_finished(pictures: Path, tmp_path: Path) -> None:
    run(pictures, tmp_path / "o", pictures=0)
    (pictures / "4.png").unlink()
    Image.new("RGB", (20, 20), "red").save(pictures / "3b.png")
    rows, found = run(pictures, tmp_path / "o", pictures=0)
    fresh_rows, fresh = run(pictures, tmp_path / "fresh", pictures=0)
    assert 1 < rows < fresh_rows / 2
    same(found, fresh)


def other_forms(part: dict[str, Any]) -> dict[str, Any]:
    record = part["records"][0]
    return {
        "a list": [1],
        "a number": 3,
        "empty": {},
        "without evaluations": {name: value for name, value in part.items() if name != "evaluations"},
        "of other domains": part | {"records": part["records"][:1]},
        "without a column": part | {"records": [{k: v for k, v in record.items() if k != "gini"}] * 3},
        "a text as a number": part | {"records": [one | {"kept5_attribution": "0.5"} for one in part["records"]]},
        "records are text": part | {"records": "records"},
        "pictures are numbers": part | {"pictures": [1]},
        "evaluations are text": part | {"evaluations": {"gradient": "many"}},
        "empty without a reason": {"name": "a", "records": [], "evaluations": {}, "pictures": [], "skipped": [], "notes": []},
    }


def test_parts_of_another_form_are_computed_again(pictures: Path, tmp_path: Path) -> None:
    one = {"limit": 1, "pictures": 0, "transforms": settings(pictures).transforms}
    _, fresh = run(pictures, tmp_path / "o", **one)
    (path,) = (tmp_path / "o" / ".parts").glob("*.json")
    part, domains = json.loads(path.read_text()), settings(pictures).transforms
    assert is_part(part, domains)
    for name, other in other_forms(part).items():
        assert not is_part(other, domains), name
    path.write_text("[1]")
    rows, found = run(pictures, tmp_path / "o", **one)
    assert rows > 1
    same(found, fresh)
    assert run(pictures, tmp_path / "o", **one)[0] == 1  # the control: the right form is taken


def test_temporary_files_of_a_kill_are_removed_and_belong_to_no_other_model(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    run(pictures, out, limit=1)
    names: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        replace = os.replace
        patch.setattr(os, "replace", lambda old, new: (names.append(Path(old).name), replace(old, new)))
        run(pictures, out, limit=2)
    dead = [out / names[0].replace(f"-{os.getpid()}-", "-4194305-")]
    dead.append(out / ".parts" / dead[0].name)
    for path in dead:
        path.write_text("half")
    notes: list[str] = []
    studies.compare(settings(pictures, limit=2, transforms=("pixel", "dft")), out, model=tiny(), note=notes.append)
    assert [" forwards for each " in note for note in notes] == [True]
    assert not any(path.exists() for path in dead)


def test_preparations_are_not_asked_for_pictures_that_are_stored(pictures: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def prepare(image: Image.Image) -> Tensor:
        seen.append(1)
        return Preparation(16, (0.5,) * 3, (0.5,) * 3)(image)

    model = LoadedModel("tiny", torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 3)).eval(), prepare)
    for expected in (10, 1):
        seen.clear()
        studies.compare(settings(pictures, transforms=("pixel",), pictures=0, method="gradient"), tmp_path / "o", model=model)
        assert len(seen) == expected
