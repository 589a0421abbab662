"""The stored runs of minimal images, and the page that is written from such runs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support import ROOT
from support import minimal_toys as toys

from benchmarks.scripts import minimal_page
from pullback.studies import minimal
from pullback.studies.minimal import report
from pullback.studies.minimal.images import SOFT
from pullback.studies.minimal.tables import SHARES, WHERE

FEW: dict[str, Any] = {"prices": (0.1, 10.0), "steps": 4, "method": "input_x_gradient", "pictures": 1}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what is stored of a run, of another one, and of one with more steps."""
    folder = tmp_path_factory.mktemp("minimal-page")
    data = toys.write("series", folder / "data", 2)
    runs = {"main": {}, "other": {"transforms": "dct"}, "steps": {"steps": 8, "prices": (10.0,)}}
    for name, more in runs.items():
        with pytest.MonkeyPatch.context() as patch:
            if name != "main":  # whose figures are stored; drawing takes most of the time
                patch.setattr(report, "overview", lambda *tables: [])
            minimal(out=folder / name, loaded={"toy": toys.series()}, models="toy", data=str(data), **FEW | more)
    minimal_page.store(folder / "main", [folder / "other"], folder / "steps", folder / "root")
    return folder / "root"


def test_the_section_shows_all_stored_runs(stored: Path) -> None:
    text = minimal_page.section(stored)
    summary = json.loads((stored / minimal_page.STORED / "summary.json").read_text())
    assert minimal_page.command(summary["settings"]) in text
    assert f"{summary['cost']['gradients']:,} gradients" in text
    assert "`dct`" in text
    assert "sparsity, 4 steps" in text
    assert "sparsity, 8 steps" in text
    for name in summary["files"]:
        assert (stored / minimal_page.STORED / name).is_file()
        assert not name.endswith(".png") or f"(minimal/{name})" in text


def test_only_signals_and_prices_of_both_runs_are_compared(stored: Path) -> None:
    rows = pd.read_csv(stored / minimal_page.STORED / "steps.csv")
    assert rows["price"].tolist() == [10.0] * 4
    assert sorted(rows["steps"]) == [4, 4, 8, 8]
    assert rows.groupby("steps")["example"].apply(lambda own: tuple(sorted(own))).nunique() == 1


def test_without_other_runs_the_page_says_so(stored: Path, tmp_path: Path) -> None:
    shutil.copytree(stored, tmp_path / "root")
    for name in ("others.json", "steps.csv"):
        (tmp_path / "root" / minimal_page.STORED / name).unlink()
    text = minimal_page.section(tmp_path / "root")
    assert "None are stored." in text
    assert "No run with more steps" in text


def test_another_run_takes_the_place_of_its_like(stored: Path, tmp_path: Path) -> None:
    shutil.copytree(stored, tmp_path / "root")
    shutil.copytree(stored.parent / "other", tmp_path / "more")
    changed = json.loads((tmp_path / "more" / "summary.json").read_text())
    for limit, transforms in ((7, ["dct"]), (9, ["haar"])):
        changed["settings"] |= {"limit": limit, "transforms": transforms}
        (tmp_path / "more" / "summary.json").write_text(json.dumps(changed))
        minimal_page.replace([tmp_path / "more"], tmp_path / "root")
    held = json.loads((tmp_path / "root" / minimal_page.STORED / "others.json").read_text())
    assert [(one["settings"]["limit"], list(one["settings"]["transforms"])) for one in held] == [(7, ["dct"]), (9, ["haar"])]


def test_the_command_names_what_is_not_usual() -> None:
    settings = {"models": ["a b", "c"], "prices": [1.0, 0.01], "steps": 500, "limit": 20, "transforms": [], "device": "cuda"}
    expected = "pullback study minimal --model 'a b' --model c --price 1 --price 0.01 --steps 500"
    assert minimal_page.command(settings) == expected


def test_the_stored_prices_all_say_something_else() -> None:
    """Two prices with one mask would be one price; shares lie in 0…1; the figure reaches over the paper's."""
    front = pd.read_csv(ROOT / minimal_page.STORED / "results.csv")
    soft = front[front["image"] == SOFT]
    for _, own in soft.groupby(WHERE):
        assert own["price"].is_monotonic_increasing
        assert (own["sparsity"].diff().dropna() > 0).all()
        assert own["sparsity"].min() < 0.5
        assert own["sparsity"].max() > 0.92
    for name in SHARES:
        ends = front[[f"{name} low", name, f"{name} high"]].dropna()
        assert ends.to_numpy().min() >= 0
        assert ends.to_numpy().max() <= 1
        assert (ends.diff(axis=1).iloc[:, 1:] >= -1e-12).all(axis=None)
