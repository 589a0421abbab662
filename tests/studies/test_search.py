"""The search of domains as a study: hidden frames are recovered, files are written, and the command runs."""

import importlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from PIL import Image
from typer.testing import CliRunner

from pullback.cli import app
from pullback.studies.hidden_frame import KINDS, HiddenFrame, hidden_frame, planted_search, recovery, sentences
from pullback.studies.report import atoms
from pullback.studies.report.report import write_page
from pullback.transforms import BlockLinear, Lattice, SubbandLinear, get


@pytest.mark.parametrize("kind", ["blocks", "packets", "tilings"])
def test_a_hidden_frame_is_recovered_and_a_randomised_network_finds_nothing(kind: str) -> None:
    found = recovery(hidden_frame(kind, seed=3, examples=60), folds=3 if kind == "tilings" else 5)
    assert found["error_fitted"] <= 1.05 * found["error_oracle"]
    assert found["angle"] < 15 < found["angle_randomised"]
    assert found["counts"]
    assert not found["counts_randomised"]
    assert found["error_twin"] > found["error_fitted"]


def test_the_network_reads_what_the_task_says() -> None:
    """The score does not move with a coefficient that is not read, and moves with one that is."""
    for kind in ("blocks", "packets", "tilings"):
        task = hidden_frame(kind, examples=2)
        z = task.frame(task.x)
        for read in (False, True):
            other = z.clone()
            other[:, (task.read == read)] += 1
            moved = (task.net(task.frame.inverse(other)) - task.net(task.x)).abs().max()
            assert (float(moved) > 1e-3) is read


def test_a_frame_is_an_orthonormal_transform_of_another_kind_of_signal() -> None:
    tasks: list[HiddenFrame] = [hidden_frame(kind, seed, examples=1) for kind in KINDS for seed in range(5)]
    assert len({str(task.frame.matrices) if task.kind == "blocks" else task.frame.spec for task in tasks}) >= 9  # type: ignore[union-attr]
    for task in tasks:
        torch.testing.assert_close(task.frame(task.x).norm(), task.x.norm())


def test_the_table_of_hidden_frames_is_said_in_sentences() -> None:
    told: list[tuple[int, int]] = []
    table = planted_search([0], ["packets"], examples=20, progress=lambda done, planned: told.append((done, planned)))
    assert told == [(1, 1)]
    assert sentences(table)[0].startswith(
        "packets: the error of the domain found is within 5 % of the hidden frame's in 1 of 1"
    )
    with pytest.raises(ValueError, match="expected a kind in blocks, packets"):
        hidden_frame("curves")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small pictures of stripes."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(6):
        values = torch.sin(torch.arange(40) * (0.2 + 0.1 * number)).expand(40, 40)
        Image.fromarray((127 + 100 * values).byte().numpy()).convert("RGB").save(folder / f"{number}.png")
    return folder


MODEL = """
import numpy
import torch
def net():
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 4, 4, stride=4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(64, 3)]
    prepare = lambda image: torch.tensor(numpy.asarray(image.resize((16, 16))) / 128 - 1).float().movedim(-1, 0)
    return torch.nn.Sequential(*layers).eval(), prepare
"""


def test_a_search_writes_tables_figures_and_domains_that_can_be_built_again(photos: Path, tmp_path: Path) -> None:
    model = tmp_path / "small.py"
    model.write_text(MODEL)
    command = ["study", "search", "--model", f"{model}:net", "--data", str(photos), "--out", str(tmp_path / "out")]
    command += ["--method", "input_x_gradient", "--cuts", "2", "--folds", "3", "--family", "menu(specs=[pixel, dct])"]
    command += ["--family", "block_klt(block=8, overlap=false)", "--family", "lattice(wavelets=[db2], steps=2, level=2)"]
    ran = CliRunner().invoke(app, command, catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    assert ran.output.count("•") == 3
    table = pd.read_csv(tmp_path / "out" / "families.csv")
    assert table["against"].tolist() == ["twin", "twin", "menu", "twin", "menu"]
    assert (table["p_holm"] >= table["p"].fillna(1) - 1e-9).all()
    assert set(table["groups"]) == {6}  # two cuts of a picture are one unit
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["settings"]["cuts"] == 2
    assert (summary["command"], summary["state"], len(summary["findings"])) == ("study search", "finished", 3)
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("families.csv#row=") == 5
    assert page.count('src="data:image/webp') == 2
    held = next((tmp_path / "out").glob("block_klt*/settings.json"))
    assert get(json.loads(held.read_text())["transform"], (3, 16, 16)).claims
    assert sorted(path.name.split("-")[1] for path in (tmp_path / "out").glob("atoms-*.png")) == ["block_klt", "lattice"]


AUDIO = """
import torch
from pullback.studies import LoadedModel
def net(width):
    torch.manual_seed(width)
    layers = [torch.nn.Conv1d(1, 4, width, stride=4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool1d(8), torch.nn.Flatten()]
    module = torch.nn.Sequential(*layers, torch.nn.Linear(32, 3)).eval()
    return LoadedModel("small", module, kind="audio", rate=8000.0, independent=True)
def one():
    return net(8)
def two():
    return net(16)
"""


def test_recordings_are_searched_in_their_loudest_parts_and_on_other_models(tmp_path: Path) -> None:
    (tmp_path / "ear.py").write_text(AUDIO)
    (folder := tmp_path / "sounds").mkdir()
    for number in range(5):
        loud = np.r_[np.zeros(300), np.ones(500 + 100 * number), np.zeros(150)]
        wave = loud * np.sin(np.arange(len(loud)) * (0.2 + 0.1 * number))
        soundfile.write(folder / f"{number}.wav", 0.5 * wave, 8000)
    command = [
        "study",
        "search",
        "--model",
        f"{tmp_path / 'ear.py'}:one",
        "--data",
        str(folder),
        "--out",
        str(tmp_path / "out"),
    ]
    command += ["--method", "input_x_gradient", "--folds", "3", "--family", "menu(specs=[pixel, dct])"]
    command += ["--family", "lattice(wavelets=[db2], steps=2, level=2)"]
    whole = CliRunner().invoke(app, command)
    assert whole.exit_code != 0
    assert "samples=" in str(whole.exception)
    command += ["--cuts", "2", "--samples", "256", "--also", f"{tmp_path / 'ear.py'}:two", "--shortlist", "1"]
    ran = CliRunner().invoke(app, command, catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    judged = pd.read_csv(next((tmp_path / "out").glob("menu*/judged.csv")))
    assert judged["group"].value_counts().tolist() == [2] * 5
    table = pd.read_csv(tmp_path / "out" / "transfer.csv")
    assert len(table) == 2 * 2 * 2  # families, and pairs of models
    assert (tmp_path / "out" / "transfer.png").stat().st_size > 2000


def test_figures_of_atoms_exist_for_signals_of_every_number_of_axes(tmp_path: Path) -> None:
    made = {
        "series": BlockLinear.identity((1, 32), 8),
        "volume": BlockLinear.identity((1, 8, 8, 8), 4),
        "color": BlockLinear.identity((3, 16, 16), 8),
        "mixed": SubbandLinear.identity((3, 16, 16), "dwt(haar, level=2)"),
        "angles": Lattice((1, 32), [0.2], 2),
        "tree": get("tiling(db2, tree=Iij..j..i..)", (1, 16, 16)),
        "colors": get("color(opponent) >> wpt(haar, level=2)", (3, 16, 16)),
        "packets": get("wpt(db2, level=2)", (1, 32)),
    }
    files = atoms.draw({name: (T, T) for name, T in made.items()}, tmp_path)
    assert sorted(files) == sorted(f"atoms-{name}.png" for name in made)
    assert all((tmp_path / name).stat().st_size > 2000 for name in files)
    assert atoms.draw({"menu": (get("dct", (1, 8)), get("dct", (1, 8)))}, tmp_path) == []


def test_a_quick_search_has_a_page_that_can_be_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = {"error_oracle": 0.1, "error_fitted": 0.1, "error_twin": 0.2, "error_randomised": 0.3}
    angles = {"angle": 1.0, "angle_twin": 30.0, "angle_randomised": 60.0}
    row = {"kind": "blocks", "seed": 0} | errors | angles | {"counts": True, "counts_randomised": False}
    module = importlib.import_module("pullback.studies.search")
    monkeypatch.setattr(module, "planted_search", lambda seeds, **_: pd.DataFrame([row]))
    found = module.search_planted(out=tmp_path)
    assert found.files == ["report.html", "planted.csv", "summary.json"]
    page = (tmp_path / "report.html").read_text()
    assert "planted.csv#row=2" in page
    assert found.said[0].partition("'")[0] in page
    write_page([tmp_path])
    assert (tmp_path / "report.html").read_text() == page
