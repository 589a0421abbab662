"""A study that is killed (SIGKILL) in the middle: the same command goes on, and writes the same files."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pullback.studies import overlap

TONES: dict[str, Any] = {"model": "tones", "data": "tones", "seconds": 0.25, "domains": ("mdct",), "shown": 0, "peak": None}
TONES |= {"methods": ("input_x_gradient",), "levels": (0.0,), "sweep": (0.0,), "budgets": (0.1,), "targets": 8}
DRIVER = """
import sys, time
sys.path[:0] = {paths!r}
from pullback.studies import overlap
overlap(out={out!r}, progress=lambda done, planned: time.sleep(0.3), **{options!r})
"""
TABLES = ("results.csv", "sweep.csv", "contrasts.csv", "scores.parquet", "levels.png")


def parts(out: Path) -> dict[Path, int]:
    """The stored targets, and when they were written."""
    return {path: path.stat().st_mtime_ns for path in (out / ".parts").glob("[!.]*.json")}  # temporary files begin with a dot


def test_a_killed_study_goes_on_and_writes_the_same_files(tmp_path: Path) -> None:
    out = tmp_path / "killed"
    text = DRIVER.format(paths=sys.path, out=str(out), options=TONES)
    driver = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 120
        while len(parts(out)) < 3:
            assert driver.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        driver.kill()
        driver.wait()
    finished = parts(out)
    assert 3 <= len(finished) < 8
    assert not (out / "results.csv").exists()
    resumed, whole = overlap(out=out, **TONES), overlap(out=tmp_path / "whole", **TONES)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished  # not measured again
    for name in TABLES:
        assert (resumed.out / name).read_bytes() == (whole.out / name).read_bytes(), name
    assert resumed.summary["findings"] == whole.summary["findings"]
