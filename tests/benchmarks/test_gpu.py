"""The script for a graphics card: parts are stored as they end, and a cut-off keeps what was measured before."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.results.stored import ROOT
from benchmarks.scripts import gpu

FAST = """
import json, signal, sys, time
report, mode = sys.argv[1:]
bench = {"name": "a", "fullname": "suites/test_tiny.py::a", "extra_info": {"ratio": 0.5}}
run = {"machine_info": {"kind": "cuda", "quick": False}, "commit_info": {"id": "0"}, "datetime": "now", "exit_status": 0}
run |= {"partial": False, "wall_s": 1.0, "suites": {"tiny": {"wall_s": 1.0, "skipped": {}}}, "benchmarks": [bench]}
def write(status):
    json.dump(run | {"exit_status": status}, open(report, "w"))
    sys.exit(status)
if mode == "slow":
    signal.signal(signal.SIGINT, lambda *_: write(2))
    time.sleep(60)
sys.exit(3) if mode == "fails" else write(0)
"""


@dataclass(frozen=True)
class Fake(gpu.Part):
    """A part whose program only writes a report."""

    mode: str = "fast"

    def command(self, report: Path, rehearse: bool) -> list[str]:
        return [sys.executable, "-c", FAST, str(report), self.mode]


def stored(folder: Path) -> dict[str, Any]:
    return {path.name: json.loads(path.read_text()) for path in folder.glob("*.json")}


@pytest.mark.parametrize(
    ("mode", "said", "note"),
    [("fast", "ended well", None), ("slow", "was cut off", "status 2 after 1 cases"), ("fails", "failed, see", None)],
)
def test_a_part_is_stored_as_it_ends(mode: str, said: str, note: str | None, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(gpu, "WORK", tmp_path / "work")
    (tmp_path / "work").mkdir()
    line = gpu.run(Fake("tiny", 9, mode=mode), tmp_path, os.environ, 0.5 if mode == "slow" else 30)
    assert said in line
    found = stored(tmp_path)
    assert list(found) == ([] if mode == "fails" else ["tiny-cuda.json"])
    assert mode == "fails" or (note is None) == ("note" not in found["tiny-cuda.json"])
    assert note is None or note in found["tiny-cuda.json"]["note"]


def test_parts_that_do_not_fit_are_not_begun(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(gpu, "WORK", tmp_path / "work")
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu, "GRACE", 0.0)
    parts = [Fake("first", 30, mode="slow"), Fake("second", 30)]
    assert gpu.main(["--seconds", "0.7", "--out", str(tmp_path)], parts) == 1
    assert "second: not begun" in capsys.readouterr().out
    assert gpu.main(["--only", "second", "--out", str(tmp_path)], parts) == 0
    assert list(stored(tmp_path)) == ["tiny-cuda.json"]


def test_a_machine_without_a_card_is_told_what_to_do(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="2"):
        gpu.main([])
    assert "--rehearse" in capsys.readouterr().err


def test_a_rehearsal_stores_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(gpu, "WORK", tmp_path / "work")
    assert gpu.main(["--device", "cpu", "--rehearse", "--out", str(tmp_path)], [Fake("tiny", 9)]) == 0
    assert stored(tmp_path) == {}


def test_parts_name_suites_that_exist_and_fit_into_eight_minutes() -> None:
    for part in gpu.PARTS:
        assert all((ROOT / path).is_file() for path in part.paths or [f"{gpu.SUITES}{part.name}.py"])
    assert gpu.TOTAL <= 480
    assert sum(part.seconds for part in gpu.PARTS) <= 480
    environment = gpu.environment("cpu", rehearse=True)
    assert environment["PULLBACK_BENCH"] == "quick"
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
