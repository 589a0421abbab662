"""Shards of a comparison: together they are the whole, number by number, and nothing else is merged."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from support.tiny import settings, tiny

from pullback import studies
from pullback.core.progress import Interrupted

TWO = ("input_x_gradient", "integrated_gradients(steps=3, rule=gauss_legendre)")


def asked(folder: Path, /, **changes: Any) -> studies.Settings:
    """Two cells of nine photos, of which one cannot be read and one is a copy."""
    base = {"method": TWO, "transforms": ("pixel", "dwt(haar, level=2)"), "pictures": 4}
    return dataclasses.replace(settings(folder), **{**base, **changes})  # type: ignore[arg-type]


def shard(folder: Path, out: Path, name: str, /, **changes: Any) -> studies.Shard:
    return studies.compare_shard(asked(folder, shard=name, **changes), out, model=tiny())


@pytest.fixture
def damaged(pictures: Path) -> Path:
    (pictures / "1.png").write_text("no picture")
    shutil.copy(pictures / "0.png", pictures / "8.png")
    return pictures


@pytest.fixture
def two(pictures: Path, tmp_path: Path) -> list[Path]:
    """Both shards of a comparison of six photos in one domain."""
    folders = [tmp_path / "1", tmp_path / "2"]
    for number, folder in enumerate(folders, 1):
        shard(pictures, folder, f"{number}/2", **BRIEF)
    return folders


BRIEF: dict[str, Any] = {"method": "input_x_gradient", "transforms": ("pixel",), "limit": 6, "pictures": 0}


def untimed(found: Any) -> Any:
    """Plain data without times and without what says which process made them."""
    if isinstance(found, dict):
        return {name: untimed(one) for name, one in found.items() if name not in ("seconds", "seconds_stream", "process")}
    return [untimed(one) for one in found] if isinstance(found, list) else found


@pytest.mark.usefixtures("overview")
def test_merged_shards_are_the_whole_run(damaged: Path, tmp_path: Path) -> None:
    """Tables bit by bit, the summary, the pictures, and the files that the report is made of."""
    whole = studies.compare(asked(damaged), tmp_path / "whole" / "o", model=tiny())
    parts = [shard(damaged, tmp_path / "shards" / str(number), f"{number}/3") for number in (3, 1, 2)]
    assert sum(part.photos for part in parts) == 2 * 9
    assert min(part.photos for part in parts) > 0
    assert sum(part.skipped for part in parts) == 2
    merged = studies.merge([tmp_path / "shards"], tmp_path / "merged" / "o")
    same(whole, merged)
    rest = tiny()
    again = studies.compare(asked(damaged), merged.out, model=rest)
    assert rest.module.rows == 2  # each cell checks its model: all parts are stored
    same(whole, again)


def same(first: studies.Comparison, second: studies.Comparison) -> None:
    """Fails unless two folders hold the same, but for times."""
    pd.testing.assert_frame_equal(*(one.table.drop(columns="seconds_stream") for one in (first, second)), check_exact=True)
    assert (first.out / "scores.parquet").read_bytes() == (second.out / "scores.parquet").read_bytes()
    summaries = [untimed(json.loads((one.out / "summary.json").read_text())) for one in (first, second)]
    assert summaries[0] == summaries[1]
    names = [sorted(str(path.relative_to(one.out)) for path in one.out.rglob("*") if path.is_file()) for one in (first, second)]
    assert names[0] == names[1]
    drawn = [name for name in names[0] if name.endswith(("png", "json")) and name[0] != "." and name != "summary.json"]
    assert len(drawn) > 10
    assert all((first.out / name).read_bytes() == (second.out / name).read_bytes() for name in drawn)


def test_a_shard_that_was_interrupted_goes_on(pictures: Path, tmp_path: Path) -> None:
    fresh, chosen = tiny(), asked(pictures, shard="1/2")
    studies.compare_shard(chosen, tmp_path / "fresh", model=fresh)
    half = tiny(stop_after=fresh.module.rows * 3 // 4)
    with pytest.raises(Interrupted) as stopped:
        studies.compare_shard(chosen, tmp_path / "o", model=half)
    assert 0 < stopped.value.done < stopped.value.planned
    with pytest.raises(ValueError, match=r"shard 1/2 in .* is interrupted, not finished"):
        studies.merge([tmp_path / "o"], tmp_path / "merged")
    rest = tiny()
    studies.compare_shard(chosen, tmp_path / "o", model=rest)
    assert rest.module.rows < fresh.module.rows
    with pytest.raises(ValueError, match="other settings"):
        studies.compare_shard(asked(pictures, shard="2/2"), tmp_path / "o", model=tiny())


def other_weights(pictures: Path, out: Path) -> None:
    model = tiny()
    with torch.no_grad():
        model.module.weight.mul_(1.25)
    studies.compare_shard(asked(pictures, shard="2/2", **BRIEF), out, model=model)


def other_photo(pictures: Path, out: Path) -> None:
    (pictures / "5.png").rename(pictures / "5b.png")
    shard(pictures, out, "2/2", **BRIEF)


def moved(pictures: Path, out: Path) -> None:
    shutil.move(out.parent / "1", out)


def whole(pictures: Path, out: Path) -> None:
    studies.compare(asked(pictures, **BRIEF), out, model=tiny())


def copied(pictures: Path, out: Path) -> None:
    shutil.copytree(out.parent / "1", out)


WRONG: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "settings": (lambda pictures, out: shard(pictures, out, "2/2", **BRIEF | {"seed": 1}), r"differ in settings .seed: 0, 1"),
    "weights": (other_weights, "differ in weights of the model"),
    "photos": (other_photo, "differ in photos"),
    "division": (lambda pictures, out: shard(pictures, out, "2/3", **BRIEF), "1/2 and 2/3 are of different divisions"),
    "missing": (moved, "of 2 shards 1 are missing: 2"),
    "doubled": (copied, "shard 1/2 is there twice"),
    "a whole run": (whole, "holds a whole comparison"),
    "no run": (lambda pictures, out: out.mkdir(), "expected the folder of a comparison"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_belong_together_is_refused(two: list[Path], pictures: Path, tmp_path: Path, name: str) -> None:
    change, message = WRONG[name]
    shutil.rmtree(two[1])
    change(pictures, two[1])
    with pytest.raises(ValueError, match=message) as refused:
        studies.merge([folder for folder in two if folder.exists()], tmp_path / "merged")
    assert len(str(refused.value)) <= 300
    assert not (tmp_path / "merged").exists()


def test_lost_parts_and_names_that_lead_out_are_refused(two: list[Path], tmp_path: Path) -> None:
    path = max((two[0] / ".parts").iterdir())
    kept = path.read_text()
    path.unlink()
    with pytest.raises(ValueError, match=r"shard 1/2 in .* lacks the part of"):
        studies.merge(two, tmp_path / "merged")
    (tmp_path / "secret").write_text("no picture")
    path.write_text(json.dumps(json.loads(kept) | {"pictures": ["../secret"]}))
    with pytest.raises(ValueError, match="which lies outside of it"):
        studies.merge(two, tmp_path / "merged")
    path.write_text(kept)
    assert len(studies.merge(two, tmp_path / "merged").table) == 6


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3", "-1/2"])
def test_other_forms_of_a_shard_are_refused(pictures: Path, text: str) -> None:
    with pytest.raises(ValueError, match="expected NUMBER/COUNT"):
        asked(pictures, shard=text)


def test_status_says_how_far_a_run_is(damaged: Path, tmp_path: Path) -> None:
    chosen = asked(damaged, shard="1/2", pictures=0)
    seen: list[studies.Status] = []

    def look(done: int, planned: int) -> None:
        seen.extend(studies.status(tmp_path / "all" / "1"))

    studies.compare_shard(chosen, tmp_path / "all" / "1", look, model=tiny())
    assert {one.state for one in seen} == {"running"}
    assert seen[0].done == 0
    assert seen[0].seconds_left is None
    assert 0 < seen[-1].done < seen[-1].planned
    assert seen[-1].seconds_left is not None
    with pytest.raises(Interrupted):
        studies.compare_shard(asked(damaged, shard="2/2", pictures=0), tmp_path / "all" / "2", model=tiny(stop_after=700))
    first, second = studies.status(tmp_path / "all")
    assert (first.shard, first.state, first.done, first.seconds_left) == ("1/2", "finished", first.planned, None)
    assert (second.shard, second.state) == ("2/2", "interrupted")
    assert second.done < second.planned
    assert {name for name, _ in first.skipped + second.skipped} == {"1.png"}
    summary = json.loads((tmp_path / "all" / "1" / "summary.json").read_text())
    summary |= {"state": "running", "process": {**summary["process"], "id": 2**22 + 1}}
    (tmp_path / "all" / "1" / "summary.json").write_text(json.dumps(summary))
    assert studies.status(tmp_path / "all" / "1")[0].state == "ended"
    assert studies.missing_shards(studies.status(tmp_path / "all" / "1")) == ["2/2"]
    assert [one.shard for one in studies.status(tmp_path)] == ["1/2", "2/2"]  # as of a study: a folder of folders of runs
    with pytest.raises(ValueError, match="expected the folder of a comparison"):
        studies.status(damaged)


def test_the_cost_of_many_photos_is_that_of_few_times_their_number(pictures: Path, tmp_path: Path) -> None:
    studies.compare(asked(pictures, pictures=0, limit=5), tmp_path / "o", model=tiny())
    found = studies.expected_cost(tmp_path / "o", 7200)
    assert [one.method for one in found] == list(TWO)
    assert [(one.measured, one.domains) for one in found] == [(5, 2)] * 2
    for one in found:
        assert one.hours == pytest.approx(2 * one.seconds)
    parts = [json.loads(path.read_text()) for path in (tmp_path / "o" / ".parts").iterdir()]
    assert sum(one.seconds for one in found) == pytest.approx(sum(part["seconds"] for part in parts) / 5)
    assert all(part["seconds"] > part["records"][0]["seconds_stream"] > 0 for part in parts)
    with pytest.raises(ValueError, match="photos"):
        studies.expected_cost(tmp_path / "o", 0)
    shutil.rmtree(tmp_path / "o" / ".parts")
    with pytest.raises(ValueError, match="holds no measured photo of tiny, input_x_gradient"):
        studies.expected_cost(tmp_path / "o", 1000)
