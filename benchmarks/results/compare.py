"""Compares a run with the stored ones, and names what became worse.

python -m benchmarks.results.compare NEW              the ratios of one run, beside their goals
python -m benchmarks.results.compare STORED NEW       exit status 1 where something became worse

Each is a JSON of pytest-benchmark, a stored file, or a folder of these. Seconds are never compared, so a faster or busier
machine does not matter. What is compared of each suite that both hold:

- the median of log (new / stored) over the ratios of the suite: a rise beyond SLOWER is a regression;
- counted evaluations and counted bytes, which are equal between runs of the same code: any difference of the former and
  any rise of the latter is named;
- a log-log slope that has left its expected range;
- a benchmark, or a measure of one, that is stored and is no longer there.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .stored import suite_of

Noted = Mapping[str, Any]
Suites = dict[str, dict[str, Noted]]  # by suite and benchmark, what was noted

# Four whole runs on one machine are in the history of benchmarks/results. From run to run a single ratio moved by 4 to 20 %
# and tells nothing, but the median of a suite by at most 6 %, but for transforms, once by 9 %.
SLOWER = 0.10
EVALUATIONS = ("forward", "backward", "evaluations")


def regressions(stored: Suites, new: Suites) -> list[str]:
    """A sentence for each regression in the suites that both runs hold; nothing where there is none."""
    found: list[str] = []
    for suite in (suite for suite in stored if suite in new):
        found += [*_slower(suite, stored[suite], new[suite]), *_missing(stored[suite], new[suite])]
        for name in (name for name in stored[suite] if name in new[suite]):
            found += _changed(name, stored[suite][name], new[suite][name])
    return found


def change(stored: Mapping[str, Noted], new: Mapping[str, Noted]) -> float | None:
    """The median over a suite of new / stored ratios, less 1; None where the runs share no ratio."""
    both = [name for name in stored if "ratio" in stored[name] and "ratio" in new.get(name, {})]
    logs = [math.log(new[name]["ratio"] / stored[name]["ratio"]) for name in both]
    return math.expm1(statistics.median(logs)) if logs else None


def _slower(suite: str, stored: Mapping[str, Noted], new: Mapping[str, Noted]) -> Iterator[str]:
    rise = change(stored, new)
    if rise is not None and rise > SLOWER:
        yield f"{suite}: slower by {rise:.0%}, the median of its ratios; allowed is {SLOWER:.0%}."


def _missing(stored: Mapping[str, Noted], new: Mapping[str, Noted]) -> Iterator[str]:
    for name, noted in stored.items():
        if name not in new:
            yield f"{name}: no longer measured."
        else:
            yield from (f"{name}: no longer measures {key}." for key in _compared(noted) if key not in new[name])


def _changed(name: str, stored: Noted, new: Noted) -> Iterator[str]:
    for key in (key for key in _compared(stored) if key in new):
        more = key.startswith("bytes") and _most(new[key]) > _most(stored[key])
        if more or (key in EVALUATIONS and new[key] != stored[key]):
            yield f"{name}: {key} was {stored[key]}, and is {new[key]}."
    if stored.get("within") and not new.get("within", True):
        yield f"{name}: the slope was {stored['slope']:.2f}, and is {new['slope']:.2f}, outside of {new['expected']}."


def _compared(noted: Noted) -> list[str]:
    return [key for key in noted if key in ("ratio", "slope", *EVALUATIONS) or key.startswith("bytes")]


def _most(number: Any) -> float:
    return float(max(number) if isinstance(number, list) else number)


def read(path: Path, kind: str | None = None) -> tuple[Suites, dict[str, Any]]:
    """(what was noted, the machine) of one run, or of a folder of runs on that kind of device.

    Raises: ValueError for a run at reduced size, for runs of several machines, and where there is none.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    found = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}
    found = {stem: run for stem, run in found.items() if isinstance(run, dict) and "benchmarks" in run}
    kinds = {stem: run["machine_info"]["kind"] for stem, run in found.items()}
    found = {stem: run for stem, run in found.items() if kinds[stem] == (kind or next(iter(kinds.values())))}
    machines = {run["machine_info"]["device"]: run["machine_info"] for run in found.values()}
    if len(machines) != 1:
        raise ValueError(f"{path}: expected the runs of one machine, found those of {', '.join(machines) or 'none'}.")
    if any(run["machine_info"].get("quick") for run in found.values()):
        raise ValueError(f"{path}: a quick run is for crashes; its numbers mean nothing.")
    suites: Suites = {}
    for stem, run in found.items():
        suites |= {suite: {} for suite in run.get("suites", ())}  # a suite that measured nothing has been run too
        for bench in run["benchmarks"]:
            suite = suite_of(bench["fullname"]) if "fullname" in bench else stem.removesuffix("-" + kinds[stem])
            suites.setdefault(suite, {})[bench["name"]] = bench["extra_info"]
    return suites, next(iter(machines.values()))


def overview(suites: Suites) -> Iterator[str]:
    """Every ratio and slope of one run, beside its goal."""
    for name, noted in ((name, noted) for suite in suites.values() for name, noted in suite.items()):
        if "ratio" in noted:
            goal = f", goal {noted['goal']:.3g}" if "goal" in noted else ""
            missed = ", missed" if noted["ratio"] > noted.get("goal", math.inf) else ""
            yield f"{name}: ratio {noted['ratio']:.3f} ({noted['low']:.3f}–{noted['high']:.3f}){goal}{missed}"
        elif "slope" in noted:
            missed = "" if noted["within"] else ", missed"
            yield f"{name}: slope {noted['slope']:.2f}, expected {noted['expected']}{missed}"


def comparison(stored: Suites, new: Suites) -> Iterator[str]:
    """What the two runs share and do not share, and every regression."""
    for suite in sorted(stored):
        if suite not in new:
            yield f"{suite}: not run, and so not compared."
        elif (rise := change(stored[suite], new[suite])) is not None:
            yield f"{suite}: the median of its ratios changed by {rise:+.1%}."
    yield from (f"{name}: not stored yet." for suite in new for name in new[suite] if name not in stored.get(suite, {}))
    yield from (f"WORSE  {sentence}" for sentence in regressions(stored, new))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stored", type=Path, nargs="?")
    parser.add_argument("new", type=Path)
    given = parser.parse_args(arguments)
    try:
        new, machine = read(given.new)
        stored = read(given.stored, machine["kind"])[0] if given.stored else {}
    except (ValueError, OSError) as error:
        parser.error(str(error))
    if given.stored and not set(stored) & set(new):
        parser.error("the two runs have no suite in common, so nothing was compared.")
    sys.stdout.writelines(f"{line}\n" for line in (comparison(stored, new) if given.stored else overview(new)))
    return int(bool(regressions(stored, new)))


if __name__ == "__main__":
    sys.exit(main())
