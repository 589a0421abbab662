"""`pullback report` of the folder of every study."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.command_line import fails

from pullback import studies
from pullback.commands import study as commands
from pullback.studies.minimal import report as minimal_report
from pullback.studies.report.report import write_page
from pullback.studies.robustness import figures as robustness_figures
from pullback.studies.search import Search, search

from ..volume.toys import balls

IXG, FILES = "input_x_gradient", Path(__file__).parents[1]
TONES: dict[str, Any] = {
    "model": "tones",
    "data": "tones",
    "seconds": 0.25,
    "domains": ("mdct",),
    "methods": (IXG,),
    "shown": 0,
}
TONES |= {"levels": (0.0,), "peak": None, "sweep": (0.0,), "budgets": (0.1,), "targets": 4}
MODEL = f"{FILES / 'robustness' / 'toys.py'}:image"


def pictures(folder: Path) -> str:
    """Six pictures in three classes, and a file that is none."""
    rng = np.random.default_rng(0)
    for number in range(6):
        (folder / "abc"[number % 3]).mkdir(parents=True, exist_ok=True)
        values = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / "abc"[number % 3] / f"{number}.png")
    (folder / "a" / "broken.png").write_text("no picture")
    return str(folder)


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the figures that take longest to draw."""
    monkeypatch.setattr(robustness_figures, "drawn", lambda *_: [])
    monkeypatch.setattr(minimal_report, "overview", lambda *_: [])


def robustness(data: str, out: Path) -> None:
    studies.robustness(models=(MODEL,), data=(data,), attacks=(0.1,), levels=(0.1,), steps=1, heat=0, out=out)


def minimal(data: str, out: Path) -> None:
    few = {"prices": (1.0,), "steps": 2, "continuation": None, "method": IXG, "pictures": 0, "transforms": ("pixel",)}
    studies.minimal(models=(MODEL,), data=(data,), out=out, **few)


def overlap(data: str, out: Path) -> None:
    studies.overlap(out=out, **TONES)


def noise(data: str, out: Path) -> None:
    studies.noise(out=out, **TONES | {"corruption": "noise"})


def volume(data: str, out: Path) -> None:
    models, balls_ = balls(2, out.parent)
    few = {"limit": 2, "tested": 2, "pictures": 0, "transforms": "dwt(haar, level=2)"}
    studies.volume(models=f"{models}:shell", data=balls_, methods="gradient", out=out, **few)


def planted(data: str, out: Path) -> None:
    studies.planted(seeds=1, tasks=("2-D, closed forms",), examples=20, methods=(IXG,), out=out)


def domains(data: str, out: Path) -> None:
    studies.domains(models=(MODEL,), data=(data,), methods=(IXG,), transforms=("pixel", "dct"), effort="quick", out=out)


def searched(data: str, out: Path) -> None:
    search(Search(MODEL, data, families=("menu(specs=[pixel, dct])",), method=IXG, folds=3), out)


WRITE: dict[str, Callable[[str, Path], None]] = {"search": searched} | {
    one.__name__: one for one in (robustness, minimal, overlap, noise, volume, planted, domains)
}


def test_no_study_is_left_out() -> None:
    assert {one.name for one in commands.registered_commands} == set(WRITE)


@pytest.mark.parametrize("name", WRITE)
def test_the_folder_of_a_study_has_a_report(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WRITE[name](pictures(tmp_path / "pictures"), tmp_path / "out")
    page = tmp_path / "report.html"
    assert fails(monkeypatch, "report", str(tmp_path / "out"), "--out", str(page)) == 0
    text = page.read_text()
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert "alled from Python" in text  # and not by a command
    assert "broken.png" in text or "skipped" not in summary
    assert (summary.get("findings") or summary["said"])[-1][:20] in text


def test_what_an_earlier_version_wrote_in_another_form_is_left_out(tmp_path: Path) -> None:
    robustness(pictures(tmp_path / "pictures"), tmp_path / "out")
    path = tmp_path / "out" / "summary.json"
    held = json.loads(path.read_text())
    assert [one["file"] for one in held["skipped"]] == ["a/broken.png"]
    path.write_text(json.dumps(held | {"skipped": {"pictures": [["a/broken.png", "no picture"]]}}))
    assert "broken.png" not in write_page([tmp_path / "out"], tmp_path / "page.html")[0].read_text()
