"""Turns what pytest-benchmark wrote into the stored results, a file for each suite: all of them or none.

python -m benchmarks.store results/bench.json [--into benchmarks/results]
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .stored import RESULTS, suite_of


def trimmed(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{file name: what is stored} of one run: device, versions, commit, which tests were skipped and why, the seconds that
    the suite and the whole run took, and of each benchmark what it noted.

    Raises: ValueError where the run was cut off, or a suite failed or ran in part or at reduced size: nothing is stored.
    """
    if run["machine_info"].get("quick"):
        raise ValueError("a quick run is for crashes; its numbers are not stored.")
    if run.get("exit_status") != 0:
        raise ValueError(f"only runs that ended well are stored; this one's exit status is {run.get('exit_status')}.")
    wrong = [f"{suite}: {fault}" for suite, counts in run["suites"].items() if (fault := _fault(counts))]
    if wrong:
        raise ValueError(f"only whole suites that passed are stored; {', '.join(wrong)}.")
    files: dict[str, dict[str, Any]] = {}
    for bench in sorted(run["benchmarks"], key=lambda entry: entry["fullname"]):
        suite = suite_of(bench["fullname"])
        if suite not in run["suites"]:
            raise ValueError(f"the run does not say how many tests {suite} has.")
        name = f"{suite}-{run['machine_info']['kind']}.json"
        stored = files.setdefault(name, {**_head(run, suite), "benchmarks": []})
        stored["benchmarks"].append({"name": bench["name"], "extra_info": bench["extra_info"]})
    if not files:
        raise ValueError("the run holds no benchmark.")
    return files


def _fault(counts: dict[str, Any]) -> str:
    """Why a suite is not whole, or nothing: every test that was collected has passed, or was skipped for a reason."""
    left = counts["collected"] - counts["passed"] - len(counts["skipped"])
    faults = {"failed": counts["failed"], "deselected": counts["deselected"], f"of {counts['collected']} not run": left}
    return ", ".join(f"{count} {fault}" for fault, count in faults.items() if count)


def _head(run: dict[str, Any], suite: str) -> dict[str, Any]:
    counts = run["suites"][suite]
    return {
        "machine_info": run["machine_info"],
        "commit": run["commit_info"]["id"],
        "datetime": run["datetime"],
        "wall_s": counts["wall_s"],
        "run_wall_s": run["wall_s"],
        "skipped": counts["skipped"],
    }


def write(files: dict[str, dict[str, Any]], folder: Path) -> list[Path]:
    """Writes them beside their places first, so that a full disk leaves the old ones as they were."""
    folder.mkdir(parents=True, exist_ok=True)
    drafts = []
    for name, content in files.items():
        draft = folder / f".{name}.draft"
        draft.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        drafts.append((draft, folder / name))
    for draft, place in drafts:
        draft.replace(place)
    return [place for _, place in drafts]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--into", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    try:
        files = trimmed(json.loads(given.run.read_text()))
    except ValueError as error:
        sys.stderr.write(f"nothing stored: {error}\n")
        return 1
    for path in write(files, given.into):
        sys.stdout.write(f"stored {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
