"""Folders of results: one run at a time, nothing mixed or deleted, and summary.json says what runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.runs import summary, watched
from support.tiny import settings, tiny

from pullback import studies
from pullback.axioms import AxiomReport
from pullback.studies.storage.results import Results


def test_a_second_run_is_refused_while_the_first_one_runs(pictures: Path, tmp_path: Path) -> None:
    out, brief = tmp_path / "o", settings(pictures, transforms=("pixel",), limit=2, pictures=0)
    said: list[str] = []

    def second() -> None:
        if (out / "summary.json").exists() and not said:
            found = summary(out)
            assert found["state"] == "running"
            assert found["process"]["id"] == os.getpid()
            assert found["settings"]["method"] == brief.method[0]
            for other in (brief, settings(pictures, seed=7)):
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
    studies.compare(settings(pictures, transforms=("pixel",), limit=1, pictures=0), out, model=tiny())
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
