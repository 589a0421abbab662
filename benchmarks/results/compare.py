"""Prints ratios to the bare loop (or to a peer) of the same run, and flags what became worse since a stored run.

python -m benchmarks.compare NEW              the ratio tables of one run
python -m benchmarks.compare STORED NEW       new against stored; exit status 1 where something became worse

Each is a JSON of pytest-benchmark, a stored file, or a folder of these. Seconds are never compared, so that a faster or
busier machine does not matter; ratios, slopes, memory, shares of a copy's speed and counted rows are: see gate.py.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .gate import Verdict, judged, slope, span
from .noise import Noted
from .stored import suite_of


@dataclass(frozen=True)
class Run:
    """machine: on which.  suites: what each benchmark noted, by suite and name; empty where a suite measured nothing."""

    machine: dict[str, Any] = field(default_factory=dict)
    suites: dict[str, dict[str, Noted]] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Of all benchmarks."""
        return [name for suite in self.suites.values() for name in suite]


def read(path: Path, kind: str | None = None) -> Run:
    """One run, or those of a folder as one.

    kind: of the device, where a folder holds runs of several ("cpu", "cuda"), whose benchmarks have the same names.
    Raises: ValueError for runs at reduced size, of several devices of that kind, or of a suite twice; where there is none.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    contents = {file: json.loads(file.read_text()) for file in files}
    runs = {file: run for file, run in contents.items() if isinstance(run, dict) and "benchmarks" in run}
    quick = [file.name for file, run in runs.items() if run["machine_info"].get("quick")]
    if quick:
        raise ValueError(f"{path}: a quick run is for crashes; its numbers mean nothing: {', '.join(quick)}.")
    kinds = [run["machine_info"]["kind"] for run in runs.values()]
    wanted = kind or (kinds[0] if kinds else None)
    runs = {file: run for file, run in runs.items() if run["machine_info"]["kind"] == wanted}
    if not runs:
        raise ValueError(f"{path}: no run{f' on a device of kind {kind}' if kind else ''} found.")
    devices = sorted({run["machine_info"]["device"] for run in runs.values()})
    if len(devices) > 1:
        raise ValueError(f"{path}: runs on {' and on '.join(devices)} are not one run.")
    suites: dict[str, dict[str, Noted]] = {}
    for file, run in runs.items():
        found = _suites(file, run)
        if twice := sorted(set(found) & set(suites)):
            raise ValueError(f"{path}: {', '.join(twice)} twice; the second time in {file.name}.")
        suites |= found
    return Run(next(iter(runs.values()))["machine_info"], suites)


def _suites(file: Path, run: Mapping[str, Any]) -> dict[str, dict[str, Noted]]:
    """By suite. A stored file holds one, and is called by it."""
    suites: dict[str, dict[str, Noted]] = {suite: {} for suite in run.get("suites", {})}
    for bench in run["benchmarks"]:
        named = file.stem.removesuffix("-" + run["machine_info"]["kind"])
        suite = suite_of(bench["fullname"]) if "fullname" in bench else named
        suites.setdefault(suite, {})[bench["name"]] = bench["extra_info"]
    return suites


def overview(run: Run) -> Table:
    """Every ratio and slope of one run, beside its goal."""
    table = Table("benchmark", "ratio or slope (pairs, or 95 % interval)", "goal", "", title="Ratios of this run")
    for name, entry in (item for suite in run.suites.values() for item in suite.items()):
        if "ratio" in entry:
            met = "" if "goal" not in entry else "met" if entry["ratio"] <= entry["goal"] else "missed"
            table.add_row(escape(name), span(entry), f"≤ {entry['goal']}" if "goal" in entry else "", met)
        elif "slope" in entry:
            low, high = entry["expected"]
            table.add_row(escape(name), slope(entry), f"{low} to {high}", "met" if entry["within"] else "missed")
    return table


def comparison(verdicts: Iterable[Verdict]) -> Table:
    """New against stored: every ratio and slope, what all of a suite show together, and whatever became worse."""
    table = Table("benchmark", "stored", "new", "change", "allowed", "", title="Against the stored run")
    for v in verdicts:
        style = "bold red" if v.bad else "green" if v.word == "faster" else None
        numbers = [f"{v.sign} {number:.3f}" if abs(number) < 1e6 else "" for number in (v.change, v.allowed)]
        table.add_row(escape(v.name), v.stored, v.new, *numbers, v.word, style=style)
    return table


def said(stored: Run, new: Run, verdicts: Sequence[Verdict]) -> list[str]:
    """What the table does not show."""
    lines = []
    if stored.machine.get("device") != new.machine.get("device"):
        lines.append(
            f"Stored on {stored.machine.get('device')}, new on {new.machine.get('device')}: ratios and memory "
            "differ between devices too."
        )
    if left := sorted(set(stored.suites) - set(new.suites)):
        lines.append(f"Suites that were not run, and so not compared: {', '.join(left)}.")
    if more := [name for name in new.names() if name not in stored.names()]:
        lines.append(f"Not stored yet, and so not compared: {', '.join(more)}.")
    worse = [f"{v.name} ({v.word})" for v in verdicts if v.bad]
    lines.append(f"{len(verdicts)} compared, {len(worse)} worse{': ' + ', '.join(worse) if worse else ''}.")
    return lines


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="JSON")
    given = parser.parse_args(arguments).runs
    console = Console(width=None if sys.stdout.isatty() else 170)
    if len(given) > 2:
        parser.error("expected one run, or a stored and a new one.")
    try:
        new = read(given[-1])
        stored = read(given[0], new.machine["kind"])
    except (ValueError, OSError) as error:
        parser.error(str(error))
    if len(given) == 1:
        console.print(overview(new))
        return 0
    verdicts = judged(stored.suites, new.suites)
    if not verdicts:
        parser.error("the two runs have no benchmark in common, so nothing was compared.")
    console.print(comparison(v for v in verdicts if v.listed))
    for line in said(stored, new, verdicts):
        console.print(escape(line))
    return int(any(v.bad for v in verdicts))


if __name__ == "__main__":
    sys.exit(main())
