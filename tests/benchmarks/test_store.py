"""Only whole runs are stored: every benchmark of a suite has passed, or was skipped for a reason that is stored with it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

from benchmarks.results import store, stored


def whole_run() -> dict[str, Any]:
    entry = {"extra_info": {"ratio": 1.0}, "stats": {"median": 1.0, "data": [1.0]}}
    names = {"limits": "test_limit[a]", "growth": "test_growth[b]"}
    benches = [entry | {"name": n, "fullname": f"benchmarks/suites/test_{s}.py::{n}"} for s, n in names.items()]
    return {
        "machine_info": {"device": "2 CPU cores", "kind": "cpu", "quick": False},
        "commit_info": {"id": "abc", "dirty": True},
        "datetime": "2026-01-01",
        "benchmarks": benches,
        "exit_status": 0,
        "partial": False,
        "wall_s": 11.5,
        "suites": {name: {"wall_s": 4.5, "skipped": {"test_c": "no GPU"}} for name in names},
    }


def test_whole_runs_are_stored_without_what_readers_do_not_need(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(whole_run()))
    assert store.main([str(tmp_path / "run.json"), "--into", str(tmp_path / "results")]) == 0
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["growth-cpu.json", "limits-cpu.json"]
    kept = stored.runs(tmp_path / "results")["growth", "cpu"]
    assert kept["benchmarks"] == [{"name": "test_growth[b]", "extra_info": {"ratio": 1.0}}]
    assert (kept["commit"], kept["skipped"]) == ("abc+", {"test_c": "no GPU"})
    assert (kept["wall_s"], kept["run_wall_s"]) == (4.5, 11.5)
    frame = stored.frame(tmp_path / "results")
    assert frame[["suite", "machine", "test", "case", "ratio"]].to_numpy().tolist() == [
        ["growth", "cpu", "test_growth", "b", 1.0],
        ["limits", "cpu", "test_limit", "a", 1.0],
    ]


WRONG = [{"partial": True}, {"partial": None}, {"benchmarks": []}, {"exit_status": 2}, {"exit_status": None}]


@pytest.mark.parametrize("change", [*WRONG, {"machine_info": {"kind": "cpu", "quick": True}}], ids=str)
def test_anything_else_is_not_stored_at_all(tmp_path: Path, change: dict[str, Any]) -> None:
    """A run in part, an empty one, one that failed, one at reduced size; None: a run that does not say."""
    wrong = {key: value for key, value in (whole_run() | change).items() if value is not None}
    (tmp_path / "run.json").write_text(json.dumps(wrong))
    assert store.main([str(tmp_path / "run.json"), "--into", str(tmp_path / "results")]) == 1
    assert not (tmp_path / "results").exists()


TESTS = """
import pytest

@pytest.mark.parametrize("i", range(4))
def test_one(benchmark, i):
    benchmark.pedantic(lambda: None, rounds=1)
    if i == 2:
        {middle}

def test_two(benchmark):
    pytest.skip("no such device")
"""


@pytest.mark.parametrize(
    ("middle", "options", "said"),
    [
        ("pass", ["suites"], ""),
        ("raise KeyboardInterrupt", ["suites"], "exit status is 2"),
        ("assert False", ["suites"], "exit status is 1"),
        ("pass", ["suites", "-k", "one"], "left some"),
        ("pass", ["suites/test_tiny.py::test_one"], "left some"),
    ],
    ids=["whole", "Ctrl-C", "failed", "some of them", "named"],
)
def test_a_session_of_benchmarks_says_how_it_ended(tmp_path: Path, middle: str, options: list[str], said: str) -> None:
    """With the real conftest.py: pytest-benchmark writes its file after Ctrl-C too."""
    (tmp_path / "suites").mkdir()
    shutil.copy(ROOT / "benchmarks" / "suites" / "conftest.py", tmp_path / "suites")
    (tmp_path / "suites" / "test_tiny.py").write_text(TESTS.format(middle=middle))
    plain = ["-q", "-o", "addopts=", "-o", f"pythonpath={ROOT}", "-p", "no:cacheprovider", "--import-mode=importlib"]
    command = [sys.executable, "-m", "pytest", *plain, "--benchmark-json=run.json", *options]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PULLBACK_BENCH", "PYTEST"))}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    run = json.loads((tmp_path / "run.json").read_text())
    if said:
        with pytest.raises(ValueError, match=said):
            store.trimmed(run)
        return
    kept = store.trimmed(run)[f"tiny-{run['machine_info']['kind']}.json"]
    assert [bench["name"] for bench in kept["benchmarks"]] == [f"test_one[{i}]" for i in range(4)], done.stdout
    assert kept["skipped"] == {"test_two": "no such device"}
    assert 0 < kept["wall_s"] <= kept["run_wall_s"]
