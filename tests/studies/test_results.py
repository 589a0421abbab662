"""Folders of results: one run at a time, nothing mixed or deleted, and summary.json says what runs."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from support.tiny import Tiny, settings, tiny
from torch import Tensor

from pullback import studies
from pullback.axioms import AxiomReport
from pullback.studies.compare.cell import is_part
from pullback.studies.loaders.models import LoadedModel
from pullback.studies.loaders.preparation import Preparation
from pullback.studies.report import figures
from pullback.studies.report.report import write_page
from pullback.studies.storage.results import Results


def asked(folder: Path, **changes: object) -> studies.Settings:
    return dataclasses.replace(settings(folder), **changes)  # type: ignore[arg-type]


def summary(out: Path, name: str = "summary.json") -> dict[str, Any]:
    return json.loads((out / name).read_text())


@pytest.fixture(autouse=True)
def _without_overview(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures about all photos are tested elsewhere."""
    monkeypatch.setattr(figures, "overview", lambda table, out, texts: [])


class Watched(Tiny):
    """Calls `seen` in each forward."""

    def __init__(self, seen: Any) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, x: Tensor) -> Tensor:
        self.seen()
        return super().forward(x)


def watched(seen: Any) -> LoadedModel:
    return dataclasses.replace(tiny(), module=Watched(seen).eval())


# One run at a time -------------------------------------------------------------------------------------------------------


def test_a_second_run_is_refused_while_the_first_one_runs(pictures: Path, tmp_path: Path) -> None:
    out, brief = tmp_path / "o", asked(pictures, transforms=("pixel",), limit=2, pictures=0)
    said: list[str] = []

    def second() -> None:
        if (out / "summary.json").exists() and not said:
            found = summary(out)
            assert found["state"] == "running"
            assert found["process"]["id"] == os.getpid()
            assert found["settings"]["method"] == brief.method[0]
            for other in (brief, asked(pictures, seed=7)):
                with pytest.raises(ValueError, match="in use by another run") as refused:
                    studies.compare(other, out, model=tiny())
                said.append(str(refused.value))

    found = studies.compare(brief, out, model=watched(second))
    assert len(said) == 2
    assert all(f"process {os.getpid()}" in text and len(text) <= 300 for text in said)
    assert summary(out)["state"] == "finished"
    assert summary(out)["files"] == found.files
    assert not (out / ".lock").exists()


def test_a_dead_process_holds_no_lock(pictures: Path, tmp_path: Path) -> None:
    """Its summary still says "running"; the next run takes the folder."""
    script = (
        "import os, sys\nfrom pullback.studies.storage.results import Results\n"
        "with Results(sys.argv[1], 'compare').run({}, alone=True):\n    os.kill(os.getpid(), 9)\n"
    )
    out = tmp_path / "o"
    assert subprocess.run([sys.executable, "-c", script, str(out)], capture_output=True).returncode == -9
    assert summary(out)["state"] == "running"
    assert (out / ".lock").exists()
    studies.compare(asked(pictures, transforms=("pixel",), limit=1, pictures=0), out, model=tiny())
    assert summary(out)["state"] == "finished"


def test_runs_that_share_a_folder_add_to_its_files(tmp_path: Path) -> None:
    one, other = (Results(tmp_path, "axioms") for _ in range(2))
    with one.run({}), other.run({}):
        one.update({"files": {"a.png": {"question": "a"}}})
        other.update({"files": {"b.png": {"question": "b"}}})
    assert set(summary(tmp_path)["files"]) == {"a.png", "b.png"}


@pytest.mark.parametrize("held", ['{"accuracy": 0.9}', "[1]", "", "[" * 100_000, '{"pullback": 3, "command": "axioms"}'])
def test_a_summary_of_something_else_is_neither_read_nor_written(tmp_path: Path, held: str) -> None:
    (tmp_path / "summary.json").write_text(held)
    with pytest.raises(ValueError, match="choose another folder with --out"), Results(tmp_path, "axioms").run({}):
        pytest.fail("the folder was taken")
    assert (tmp_path / "summary.json").read_text() == held
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_the_results_of_another_command_stay(pictures: Path, tmp_path: Path) -> None:
    studies.write_report(AxiomReport("gradient", ()), tmp_path / "o")
    before = {path: path.read_bytes() for path in (tmp_path / "o").iterdir()}
    with pytest.raises(ValueError, match="holds results of pullback axioms"):
        studies.compare(settings(pictures), tmp_path / "o", model=tiny())
    assert {path: path.read_bytes() for path in (tmp_path / "o").iterdir()} == before


def test_a_failed_run_leaves_a_new_folder_as_it_was_and_says_so_in_an_old_one(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), Results(tmp_path / "new" / "o", "axioms").run({}):
            raise ZeroDivisionError
        assert not (tmp_path / "new").exists()
    with Results(tmp_path / "o", "axioms").run({}):
        pass
    with pytest.raises(KeyboardInterrupt), Results(tmp_path / "o", "axioms").run({}):
        raise KeyboardInterrupt
    assert summary(tmp_path / "o")["state"] == "interrupted"
    with pytest.raises(ZeroDivisionError), Results(tmp_path / "o", "axioms").run({}):
        raise ZeroDivisionError
    assert summary(tmp_path / "o")["state"] == "failed"


# A folder that is deleted in the middle ----------------------------------------------------------------------------------


@pytest.mark.parametrize("when", [3, 60])
def test_a_comparison_goes_on_where_its_folder_is_deleted(pictures: Path, tmp_path: Path, when: int) -> None:
    out, calls = tmp_path / "o", []

    def delete() -> None:
        calls.append(out.exists())
        if len(calls) == when:
            for path in sorted(out.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            out.rmdir()

    found = studies.compare(settings(pictures), out, model=watched(delete))
    assert len(found.table) == 9 * 3
    assert len(calls) > when
    assert all((out / name).is_file() for name in found.files)
    assert summary(out)["photos"] == 9
    assert "results.csv" in summary(out)["files"]


# Stored photos -----------------------------------------------------------------------------------------------------------


def run(folder: Path, out: Path, **changes: object) -> tuple[int, Any]:
    """The rows that the model evaluates, and the result."""
    model = tiny()
    found = studies.compare(asked(folder, **changes), out, model=model)
    return model.module.rows, found


def alike(numbers: dict[str, Any], others: dict[str, Any]) -> None:
    """The means and intervals are the same, to the rounding of another batch."""
    assert set(numbers) == set(others)
    for name in set(numbers) - {"seconds_stream", "coefficients", "completeness_gap", "relative_gap"}:
        known = {key: value for key, value in others[name].items() if value is not None}  # no interval of few photos
        assert {key: value for key, value in numbers[name].items() if value is not None} == pytest.approx(
            known, rel=1e-3, abs=1e-5
        ), name


def same(found: Any, fresh: Any) -> None:
    """The tables are the same, to the rounding of another batch."""
    tables = [each.table.drop(columns=["seconds_stream"]).reset_index(drop=True) for each in (found, fresh)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-3, atol=1e-5)


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
    one = {"limit": 1, "pictures": 0}
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
    studies.compare(asked(pictures, limit=2), out, model=tiny(), note=notes.append)
    assert [" forwards for each " in note for note in notes] == [True]
    assert not any(path.exists() for path in dead)


# Things given twice ------------------------------------------------------------------------------------------------------


def test_a_domain_that_is_given_twice_counts_once(pictures: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    domains = ("dct", "dwt(haar, level=2)", "dct()", " dwt( haar,level=2 )", "dct")
    found = studies.compare(asked(pictures, transforms=domains, limit=2), tmp_path / "o", model=tiny(), note=notes.append)
    assert list(found.summary["domains"]) == ["dct", "dwt(haar, level=2)"]
    assert len(found.table) == 2 * 2
    assert len(notes) == 4  # the last one says what the run takes
    assert "'dct()' is the same domain as 'dct'" in notes[0]
    same = studies.explain(pictures / "1.png", model=tiny(), method="gradient", transforms=["dct", "dct()"], out=tmp_path / "e")
    assert [Path(name).suffix for name in same.files] == [".png", ".json"]


def test_copies_of_a_picture_narrow_no_interval(pictures: Path, tmp_path: Path) -> None:
    _, before = run(pictures, tmp_path / "1", pictures=0)
    for number in range(9):
        (pictures / f"copy {number}.png").write_bytes((pictures / f"{number}.png").read_bytes())
    _, after = run(pictures, tmp_path / "2", pictures=0)
    assert (after.summary["photos"], after.summary["copies"]) == (18, 9)
    assert set(after.table["copy_of"].dropna()) == {f"{number}.png" for number in range(9)}
    for domain, numbers in before.summary["domains"].items():
        again = after.summary["domains"][domain]
        alike(again, numbers)
        assert again["gini"]["photos"] == 9
        assert again["gini"]["low"] is again["gini"]["high"] is None  # of 9 photos, and not of 18


def test_too_few_photos_have_a_mean_and_no_interval(pictures: Path, tmp_path: Path) -> None:
    _, found = run(pictures, tmp_path / "o", limit=7, pictures=0)
    numbers = found.summary["domains"]["dft"]["gini"]
    assert numbers["photos"] == 7
    assert numbers["low"] is numbers["high"] is None
    assert numbers["mean"] == pytest.approx(found.table.query("transform == 'dft'")["gini"].mean())


# Names of figures --------------------------------------------------------------------------------------------------------


def explained(image: Path, out: Path, **changes: Any) -> list[str]:
    options: dict[str, Any] = {"model": tiny(), "method": "gradient", "transforms": ["dct"], "target": 1} | changes
    return studies.explain(image, out=out, **options).files


def test_a_figure_overwrites_only_itself(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal stems, other methods, other seeds, letters in capitals, and files that nobody lists."""
    monkeypatch.setattr(sys.modules["pullback.studies.kinds.image"], "plot", lambda one, show: Figure())
    out, other = tmp_path / "o", tmp_path / "other"
    other.mkdir()
    (other / "1.png").write_bytes((pictures / "1.png").read_bytes())
    (pictures / "X.png").write_bytes((pictures / "2.png").read_bytes())
    (other / "x.png").write_bytes((pictures / "3.png").read_bytes())
    out.mkdir()
    (out / "2-1-dct.png").write_text("something else")
    calls = [
        lambda: explained(pictures / "1.png", out),
        lambda: explained(other / "1.png", out),
        lambda: explained(pictures / "1.png", out, method="input_x_gradient"),
        lambda: explained(pictures / "1.png", out, seed=1),
        lambda: explained(pictures / "1.png", out, model=dataclasses.replace(tiny(), name="another")),
        lambda: explained(pictures / "2.png", out),
        lambda: explained(pictures / "X.png", out),
        lambda: explained(other / "x.png", out),
    ]
    first = [name for call in calls for name in call() if name.endswith(".png")]
    assert len({name.casefold() for name in first}) == len(calls)
    assert first[0] == "1-1-dct.png"
    assert [name for call in calls for name in call() if name.endswith(".png")] == first
    assert (out / "2-1-dct.png").read_text() == "something else"
    files = summary(out, ".summary.json")["files"]
    assert {name for name in files if name.endswith(".png")} == set(first)
    assert files[first[1]]["image"] == str(other / "1.png")
    assert files[first[2]]["method"] == "input_x_gradient"


STRANGE = (
    "a_b^c$x_$",
    "we $\\frac ird$",
    "🐱",
    "x" * 238,
    "ф" * 119,
    "a\x1b[31mb",
    "\udcff",
    "[red]:cat:",
    "a\nb",
    "con",
    "日本",
)


def test_pictures_of_any_name_are_explained_and_compared(pictures: Path, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "o"
    photos.mkdir()
    for name in STRANGE:
        Path(f"{photos}/{name}.png").write_bytes((pictures / "0.png").read_bytes())
    model = dataclasses.replace(tiny(), classes=tuple("$\\frac 🐱\x1b[31m\udcff" for _ in range(5)))
    drawn = [figure for name in STRANGE for figure in explained(Path(f"{photos}/{name}.png"), tmp_path / "e", model=model)]
    assert {path.name for path in (tmp_path / "e").iterdir() if path.suffix in (".png", ".json")} - {".summary.json"} == set(
        drawn
    )
    assert len(set(drawn)) == 2 * len(STRANGE)  # a figure and its shares
    found = studies.compare(asked(photos, transforms=("dct",), pictures=2, method="gradient"), out, model=model)
    assert found.summary["photos"] == len(STRANGE)
    assert all((out / name).is_file() for name in found.files)
    assert all(len(name.encode()) <= 143 for name in found.files + drawn)
    assert "\x1b" not in (out / "report.html").read_text() + (out / "results.csv").read_text()


# Maps that did not converge ----------------------------------------------------------------------------------------------


def test_maps_that_did_not_converge_are_counted(pictures: Path, tmp_path: Path) -> None:
    tight = {"method": "integrated_gradients(tol=1e-9, max_evaluations=20)", "limit": 2, "transforms": ("pixel", "dct")}
    _, found = run(pictures, tmp_path / "o", **tight)
    assert found.summary["convergence"]["maps"] == found.summary["convergence"]["not_converged"] == 4
    assert found.summary["convergence"]["largest_map_error"] > 0
    worst = found.table["uncorrected_gap"].max()
    assert found.summary["convergence"]["largest_residual"] == worst > 1e-9  # why they did not
    text = (tmp_path / "o" / "report.html").read_text()
    assert "4 of 4 maps did not converge" in text
    _, plain = run(pictures, tmp_path / "p", **(tight | {"method": "gradient"}))
    assert plain.summary["convergence"] == {"maps": 0, "not_converged": 0, "largest_map_error": None, "largest_residual": None}
    assert "did not converge" not in (tmp_path / "p" / "report.html").read_text()
    named = studies.explain(
        pictures / "1.png", model=tiny(), method=tight["method"], transforms=["dct", "pixel"], out=tmp_path / "e"
    )
    assert named.not_converged == ("dct", "pixel")
    assert all(entry["converged"] is False for entry in summary(tmp_path / "e", ".summary.json")["files"].values())
    page = write_page([tmp_path / "e"])[0].read_text()
    assert "2 of 2 maps did not converge (dct, pixel)" in page
    assert f"Σ|a| is {max(named.cancellation.values()):,.3g} times" in page  # said by the terminal too
    easy = studies.explain(
        pictures / "1.png", model=tiny(), method="integrated_gradients(tol=0.5)", transforms=["dct"], out=tmp_path / "e"
    )
    assert easy.not_converged == ()
    assert "1 of 1 maps did not converge" not in write_page([tmp_path / "e"])[0].read_text()


def test_preparations_are_not_asked_for_pictures_that_are_stored(pictures: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def prepare(image: Image.Image) -> Tensor:
        seen.append(1)
        return Preparation(16, (0.5,) * 3, (0.5,) * 3)(image)

    model = LoadedModel("tiny", torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 3)).eval(), prepare)
    for expected in (10, 1):
        seen.clear()
        studies.compare(asked(pictures, transforms=("pixel",), pictures=0, method="gradient"), tmp_path / "o", model=model)
        assert len(seen) == expected
