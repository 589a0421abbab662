"""Only whole runs are stored: every test that a suite has passed, or was skipped for a reason that is stored with it."""

import copy
import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

sys.path.append(str(ROOT))
store, stored = (importlib.import_module(f"benchmarks.{name}") for name in ("store", "stored"))


def counts(**changes: Any) -> dict[str, Any]:
    return {"collected": 1, "passed": 1, "failed": 0, "deselected": 0, "skipped": {}, "wall_s": 4.5, **changes}


def whole_run() -> dict[str, Any]:
    bench = {
        "fullname": "benchmarks/test_limits.py::test_limit[a]",
        "name": "test_limit[a]",
        "extra_info": {"ratio": 1.0},
        "stats": {"median": 1.0, "data": [1.0]},
    }
    other = bench | {"fullname": "benchmarks/test_growth.py::test_growth[b]", "name": "test_growth[b]"}
    return {
        "machine_info": {"device": "2 CPU cores", "kind": "cpu", "quick": False},
        "commit_info": {"id": "abc"},
        "datetime": "2026-01-01",
        "benchmarks": [bench, other],
        "exit_status": 0,
        "wall_s": 11.5,
        "suites": {"limits": counts(), "growth": counts(collected=2, skipped={"test_growth[c]": "no GPU"})},
    }


def test_whole_runs_are_stored_without_what_readers_do_not_need(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(whole_run()))
    assert store.main([str(tmp_path / "run.json"), "--into", str(tmp_path / "results")]) == 0
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["growth-cpu.json", "limits-cpu.json"]
    kept = json.loads((tmp_path / "results" / "growth-cpu.json").read_text())
    assert kept["benchmarks"] == [{"name": "test_growth[b]", "extra_info": {"ratio": 1.0}}]
    assert kept["machine_info"]["device"] == "2 CPU cores"
    assert (kept["skipped"], kept["wall_s"], kept["run_wall_s"]) == ({"test_growth[c]": "no GPU"}, 4.5, 11.5)
    found = stored.run(tmp_path / "results", "growth", "cpu")
    assert (found.commit, list(found.noted)) == ("abc", ["test_growth[b]"])
    assert (found.skipped, found.wall_s, found.run_wall_s) == ({"test_growth[c]": "no GPU"}, 4.5, 11.5)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("suites", "growth", "failed"), 1),
        (("suites", "growth", "deselected"), 3),
        (("suites", "growth", "collected"), 58),
        (("suites", "limits"), None),
        (("suites", "other"), counts(collected=3)),
        (("benchmarks",), []),
        (("exit_status",), 2),
        (("exit_status",), None),
        (("machine_info", "quick"), True),
    ],
    ids=["failed", "in part", "cut off", "not counted", "cut off elsewhere", "empty", "Ctrl-C", "older", "quick"],
)
def test_anything_else_is_not_stored_at_all(tmp_path: Path, place: tuple[str, ...], value: Any) -> None:
    wrong = copy.deepcopy(whole_run())
    inside = wrong
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    if value is None:
        del inside[place[-1]]
    (tmp_path / "run.json").write_text(json.dumps(wrong))
    assert store.main([str(tmp_path / "run.json"), "--into", str(tmp_path / "results")]) == 1
    assert not (tmp_path / "results").exists()


# As pytest runs them --------------------------------------------------------------------------------------------------

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
        ("pass", [], ""),
        ("raise KeyboardInterrupt", [], "exit status is 2"),
        ("assert False", [], "exit status is 1"),
        ("pass", ["-k", "one"], "1 deselected"),
    ],
    ids=["whole", "Ctrl-C", "failed", "some of them"],
)
def test_a_session_of_benchmarks_says_how_it_ended(tmp_path: Path, middle: str, options: list[str], said: str) -> None:
    """With the real conftest.py: pytest-benchmark writes its file after Ctrl-C too."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    shutil.copy(ROOT / "benchmarks" / "conftest.py", folder)
    (folder / "test_tiny.py").write_text(TESTS.format(middle=middle))
    path = tmp_path / "run.json"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-o",
        "addopts=",
        "-o",
        f"pythonpath={ROOT / 'benchmarks'}",
        "-p",
        "no:cacheprovider",
        "--import-mode=importlib",
        f"--benchmark-json={path}",
        *options,
        "benchmarks",
    ]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PULLBACK_BENCH", "PYTEST"))}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    run = json.loads(path.read_text())
    assert run["suites"]["tiny"]["collected"] == 5, done.stdout
    if said:
        with pytest.raises(ValueError, match=said):
            store.trimmed(run)
        return
    kept = store.trimmed(run)[f"tiny-{run['machine_info']['kind']}.json"]
    assert [bench["name"] for bench in kept["benchmarks"]] == [f"test_one[{i}]" for i in range(4)]
    assert kept["skipped"] == {"test_two": "no such device"}
    assert 0 < kept["wall_s"] <= kept["run_wall_s"]
