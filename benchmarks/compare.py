"""Prints ratios to the bare loop (or to a peer) of the same run, and flags those that rose since a stored run.

python -m benchmarks.compare NEW              the ratio tables of one run
python -m benchmarks.compare STORED NEW       new against stored; exit status 1 where something became slower

Each is a JSON of pytest-benchmark, a stored file, or a folder of these. Seconds are never compared, so that a faster or
busier machine does not matter; ratios carry the noise of their own pairs, and what may pass as noise follows from it.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import scipy.stats
from rich.console import Console
from rich.markup import escape
from rich.table import Table

CONFIDENCE = 0.999  # one-sided, for each benchmark: among 100, a false alarm in one run of ten
FLOOR = 0.02  # rises below 2 % are never called regressions
# Mean range of n normal numbers in units of their standard deviation, n = 2, 3, …: how low–high tells of the noise.
RANGES = (1.128, 1.693, 2.059, 2.326, 2.534, 2.704, 2.847, 2.970, 3.078)
MEDIAN = math.sqrt(math.pi / 2)  # how much noisier a median is than a mean

Noted = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """One benchmark in two runs. change: new / stored ratio, or the rise of a slope; allowed: what may be noise."""

    name: str
    stored: str
    new: str
    change: float
    allowed: float
    word: str


def read(path: Path, kind: str | None = None) -> tuple[dict[str, Any], dict[str, Noted]]:
    """(machine, what each benchmark noted by name).  Raises: ValueError for runs at reduced size.

    kind: of the device, where a folder holds runs of several ("cpu", "cuda"), whose benchmarks have the same names.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    contents = [json.loads(file.read_text()) for file in files]
    runs = [run for run in contents if isinstance(run, dict) and "benchmarks" in run]
    kinds = [run["machine_info"]["kind"] for run in runs]
    wanted = kind if kind in kinds else kinds[0] if kinds else None
    machine: dict[str, Any] = {}
    noted: dict[str, Noted] = {}
    for run in (run for run in runs if run["machine_info"]["kind"] == wanted):
        machine = run["machine_info"]
        noted |= {bench["name"]: bench["extra_info"] for bench in run["benchmarks"]}
    if machine.get("quick"):
        raise ValueError(f"{path}: a quick run is for crashes; its numbers mean nothing.")
    return machine, noted


def deviation(noted: Noted) -> float:
    """Standard deviation of log ratio between pairs, from the range of so many pairs."""
    count = min(int(noted["rounds"]), len(RANGES) + 1)
    return math.log(noted["high"] / noted["low"]) / RANGES[count - 2] if count > 1 else math.inf


def allowed(stored: Noted, new: Noted) -> float:
    """The factor by which the median ratio may rise by chance: Student's t on log ratios, with the noisier run's spread."""
    counts = stored["rounds"], new["rounds"]
    noise = max(deviation(stored), deviation(new)) * MEDIAN * math.sqrt(sum(1 / count for count in counts))
    limit = scipy.stats.t.ppf(CONFIDENCE, max(1, sum(counts) - 2)) * noise
    return max(1 + FLOOR, math.exp(min(limit, 50.0)))


def judge(name: str, stored: Noted, new: Noted) -> Verdict | None:
    """Slower, faster or the same; None where there is no ratio or slope to compare."""
    if "slope" in stored and "slope" in new:
        return _judge_slope(name, stored, new)
    if "ratio" not in stored or "ratio" not in new:
        return None
    change, most = new["ratio"] / stored["ratio"], allowed(stored, new)
    word = "SLOWER" if change > most else "faster" if change < 1 / most else "same"
    return Verdict(name, span(stored), span(new), change, most, word)


def _judge_slope(name: str, stored: Noted, new: Noted) -> Verdict:
    """Steeper where the new interval lies above the stored one, and the slope above what is expected."""
    rise = new["slope"] - stored["slope"]
    margin = stored.get("slope_high", math.inf) - stored["slope"] + new["slope"] - new.get("slope_low", -math.inf)
    steeper = rise > margin and new["slope"] > new["expected"][1]
    return Verdict(name, slope(stored), slope(new), rise, margin, "SLOWER" if steeper else "same")


def span(noted: Noted) -> str:
    """Median and range of the pairs."""
    return f"{noted['ratio']:.3f} ({noted['low']:.3f}–{noted['high']:.3f})"


def slope(noted: Noted) -> str:
    """Slope and its interval."""
    if "slope_low" not in noted:
        return f"slope {noted['slope']:.2f}"
    return f"slope {noted['slope']:.2f} ({noted['slope_low']:.2f}–{noted['slope_high']:.2f})"


def overview(noted: Mapping[str, Noted]) -> Table:
    """Every ratio and slope of one run, beside its goal."""
    table = Table("benchmark", "ratio or slope (pairs, or 95 % interval)", "goal", "", title="Ratios of this run")
    for name, entry in noted.items():
        if "ratio" in entry:
            met = "" if "goal" not in entry else "met" if entry["ratio"] <= entry["goal"] else "missed"
            table.add_row(escape(name), span(entry), f"≤ {entry['goal']}" if "goal" in entry else "", met)
        elif "slope" in entry:
            low, high = entry["expected"]
            table.add_row(escape(name), slope(entry), f"{low} to {high}", "met" if entry["within"] else "missed")
    return table


def comparison(verdicts: Iterable[Verdict]) -> Table:
    """New against stored."""
    table = Table("benchmark", "stored", "new", "new / stored", "noise up to", "", title="Against the stored run")
    for v in verdicts:
        sign = "+" if v.stored.startswith("slope") else "×"
        style = {"SLOWER": "bold red", "faster": "green"}.get(v.word)
        table.add_row(
            escape(v.name), v.stored, v.new, f"{sign} {v.change:.3f}", f"{sign} {v.allowed:.3f}", v.word, style=style
        )
    return table


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="JSON")
    given = parser.parse_args(arguments).runs
    console = Console(width=None if sys.stdout.isatty() else 170)
    if len(given) > 2:
        parser.error("expected one run, or a stored and a new one.")
    try:
        machine, new = read(given[-1])
        before, stored = read(given[0], machine.get("kind"))
    except (ValueError, OSError) as error:
        parser.error(str(error))
    if len(given) == 1:
        console.print(overview(new))
        return 0
    if before.get("device") != machine.get("device"):
        console.print(
            f"Stored on {before.get('device')}, new on {machine.get('device')}: ratios differ between devices too."
        )
    verdicts = [v for name in stored if name in new and (v := judge(name, stored[name], new[name])) is not None]
    console.print(comparison(verdicts))
    gone = [name for name in stored if name not in new]
    if gone:
        console.print(escape(f"Not in the new run: {', '.join(gone)}."))
    if not verdicts:
        parser.error("the two runs have no benchmark in common, so nothing was compared.")
    slower = [v.name for v in verdicts if v.word == "SLOWER"]
    console.print(
        escape(f"{len(verdicts)} compared, {len(slower)} slower{': ' + ', '.join(slower) if slower else ''}.")
    )
    return int(bool(slower))


if __name__ == "__main__":
    sys.exit(main())
