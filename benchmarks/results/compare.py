"""Compares a run of pytest-benchmark with the stored results, and names what became worse.

python -m benchmarks.results.compare NEW              the ratios of one run; exit status 1 where a goal is missed
python -m benchmarks.results.compare STORED NEW       exit status 1 where something became worse

Seconds are never compared, so a faster or busier machine does not matter. What is compared of each suite that both hold:

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

from .stored import runs, suite_of

Noted = Mapping[str, Any]
Suites = dict[str, dict[str, Noted]]  # by suite and benchmark, what was noted

# Four whole runs on one machine are in the history of benchmarks/results. From run to run a single ratio moved by 4 to 20 %
# and tells nothing, but the median of a suite by at most 6 %, but for transforms, once by 9 %.
SLOWER = 0.10
EVALUATIONS = ("forward", "backward", "evaluations")


def regressions(stored: Suites, new: Suites) -> Iterator[str]:
    """A sentence for each regression in the suites that both runs hold."""
    for suite in (suite for suite in stored if suite in new):
        rise = change(stored[suite], new[suite])
        if rise is not None and rise > SLOWER:
            yield f"{suite}: slower by {rise:.0%}, the median of its ratios; allowed is {SLOWER:.0%}."
        for name, before in stored[suite].items():
            yield from _changed(name, before, new[suite][name]) if name in new[suite] else [f"{name}: not measured."]


def change(stored: Mapping[str, Noted], new: Mapping[str, Noted]) -> float | None:
    """The median over a suite of new / stored ratios, less 1; None where the runs share no ratio."""
    both = [name for name in stored if "ratio" in stored[name] and "ratio" in new.get(name, {})]
    logs = [math.log(new[name]["ratio"] / stored[name]["ratio"]) for name in both]
    return math.expm1(statistics.median(logs)) if logs else None


def _changed(name: str, stored: Noted, new: Noted) -> Iterator[str]:
    most = lambda number: max(number) if isinstance(number, list) else number
    for key in stored:
        is_bytes = key.startswith("bytes")
        if not is_bytes and key not in ("ratio", "slope", *EVALUATIONS):
            continue
        if key not in new:
            yield f"{name}: {key} is not measured."
        elif (is_bytes and most(new[key]) > most(stored[key])) or (key in EVALUATIONS and new[key] != stored[key]):
            yield f"{name}: {key} was {stored[key]}, and is {new[key]}."
    if stored.get("within") and not new.get("within", True):
        yield f"{name}: the slope was {stored['slope']:.2f}, and is {new['slope']:.2f}, outside of {new['expected']}."


def noted(run: Mapping[str, Any]) -> Suites:
    """What a run of pytest-benchmark noted; a suite that measured nothing has been run too."""
    suites: Suites = {suite: {} for suite in run["suites"]}
    for bench in run["benchmarks"]:
        suites[suite_of(bench["fullname"])][bench["name"]] = bench["extra_info"]
    return suites


def aims(new: Suites) -> Iterator[tuple[str, bool]]:
    """Every number of one run that may have a goal, beside the goal, and whether it misses it."""
    for name, entry in ((name, entry) for suite in new.values() for name, entry in suite.items()):
        if "slope" in entry:
            yield f"{name}: slope {entry['slope']:.2f}, goal {entry['expected']}", not entry["within"]
        for kind, goal in (("ratio", "goal"), ("growth", "goal"), ("seconds", "goal_s")):
            if kind in entry and isinstance(entry[kind], int | float) and (kind == "ratio" or goal in entry):
                value, aim = entry[kind], entry.get(goal, math.inf)
                yield f"{name}: {kind} {value:.3f}, goal {entry.get(goal, '–')}", not value <= aim
        if "goal_cosine" in entry:
            yield (
                f"{name}: cosine {entry['cosine']:.7f}, goal {entry['goal_cosine']}",
                not entry["cosine"] >= entry["goal_cosine"],
            )
        if entry.get("not_reached"):
            yield f"{name}: {entry['not_reached']} did not reach an error of {entry.get('allowed')}", True


def overview(new: Suites) -> Iterator[str]:
    """Every ratio and slope of one run, beside its goal, and at the end the goals that are missed."""
    found = list(aims(new))
    yield from (f"{line}{', missed' * missed}" for line, missed in found)
    yield from (f"MISSED  {line}" for line, missed in found if missed)


def comparison(stored: Suites, new: Suites) -> Iterator[str]:
    """How far each suite moved, what only one of the runs holds, and every regression."""
    for suite in sorted(stored):
        rise = change(stored[suite], new.get(suite, {}))
        moved = "" if rise is None else f"{suite}: the median of its ratios changed by {rise:+.1%}."
        yield from filter(None, [moved if suite in new else f"{suite}: not run, and so not compared."])
    yield from (f"{name}: not stored yet." for suite in new for name in new[suite] if name not in stored.get(suite, {}))
    yield from (f"WORSE  {sentence}" for sentence in regressions(stored, new))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stored", type=Path, nargs="?")
    parser.add_argument("new", type=Path)
    given = parser.parse_args(arguments)
    run = json.loads(given.new.read_text(encoding="utf-8"))
    new, kind = noted(run), run["machine_info"]["kind"]
    if run["machine_info"]["quick"]:
        parser.error(f"{given.new}: a quick run is for crashes; its numbers mean nothing.")
    of_kind = {} if given.stored is None else {suite: of for (suite, on), of in runs(given.stored).items() if on == kind}
    stored = {suite: {b["name"]: b["extra_info"] for b in of["benchmarks"]} for suite, of in of_kind.items()}
    if given.stored and not set(stored) & set(new):
        parser.error("the two runs have no suite on this kind of machine in common, so nothing was compared.")
    sys.stdout.writelines(f"{line}\n" for line in (comparison(stored, new) if given.stored else overview(new)))
    return int(any(regressions(stored, new)) if given.stored else any(missed for _, missed in aims(new)))


if __name__ == "__main__":
    sys.exit(main())
