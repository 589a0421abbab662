"""Reads stored results, a JSON file for each suite and machine, as one table."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

RESULTS = Path(__file__).parent
ROOT = RESULTS.parents[1]


def suite_of(name: str) -> str:
    """benchmarks/suites/test_limits.py::test_limit[…] -> limits."""
    return name.split("::")[0].rsplit("/", 1)[-1].removeprefix("test_").removesuffix(".py")


def read(path: Path) -> Any:
    """What a JSON file holds; nothing where it does not exist."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def runs(folder: Path = RESULTS) -> dict[tuple[str, str], dict[str, Any]]:
    """The stored run of each suite ("limits", …) on each kind of machine ("cpu", "cuda"): see `store`."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        run = read(path)
        if "benchmarks" in run:
            kind = run["machine_info"]["kind"]
            found[path.stem.removesuffix("-" + kind), kind] = run
    return found


def frame(folder: Path = RESULTS) -> pd.DataFrame:
    """One row for each stored benchmark: suite, machine, device, test, case (what is in brackets), and all that it noted."""
    rows = []
    for (suite, machine), run in runs(folder).items():
        for bench in run["benchmarks"]:
            test, _, case = bench["name"].partition("[")
            place = {"suite": suite, "machine": machine, "device": run["machine_info"]["device"], "test": test}
            rows.append(place | {"case": case.removesuffix("]")} | bench["extra_info"])
    return pd.DataFrame(rows, columns=None if rows else ["suite", "machine", "device", "test", "case"])
