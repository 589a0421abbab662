"""Turns what pytest-benchmark wrote into the stored results, a file for each suite: all of them or none.

python -m benchmarks.results.store results/bench.json [--into benchmarks/results]
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from pullback.core.files import write_text

from .stored import RESULTS, suite_of


def trimmed(run: dict[str, Any], note: str = "") -> dict[str, dict[str, Any]]:
    """{file name: what is stored} of one run: device, versions, commit, which tests were skipped and why, the seconds that
    the suite and the whole run took, and of each benchmark what it noted.

    note: says which benchmarks a run left out, or why it was cut off; it is stored, and such a run is then taken too.
    Raises: ValueError for a run at reduced size, and for one that failed, was cut off or left benchmarks out.
    """
    if run["machine_info"].get("quick"):
        raise ValueError("a quick run is for crashes; its numbers are not stored.")
    if run.get("exit_status") != 0 and not note:
        raise ValueError(f"only runs that ended well are stored; this one's exit status is {run.get('exit_status')}.")
    if run.get("partial", True) and not note:
        raise ValueError("only whole suites are stored; this run left some of their benchmarks out.")
    if not run["benchmarks"]:
        raise ValueError("the run holds no benchmark.")
    commit = run["commit_info"]["id"] + "+" * bool(run["commit_info"].get("dirty"))  # a + where files differ from it
    keep = {"machine_info": run["machine_info"], "commit": commit, "datetime": run["datetime"]}
    keep |= {"note": note} if note else {}
    files: dict[str, dict[str, Any]] = {}
    for bench in sorted(run["benchmarks"], key=lambda entry: entry["fullname"]):
        suite = suite_of(bench["fullname"])
        times = {"wall_s": run["suites"][suite]["wall_s"], "run_wall_s": run["wall_s"]}
        stored = keep | times | {"skipped": run["suites"][suite]["skipped"], "benchmarks": []}
        stored = files.setdefault(f"{suite}-{run['machine_info']['kind']}.json", stored)
        stored["benchmarks"].append({"name": bench["name"], "extra_info": bench["extra_info"]})
    return files


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--into", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    try:
        files = trimmed(json.loads(given.run.read_text(encoding="utf-8")))
    except ValueError as error:
        sys.stderr.write(f"nothing stored: {error}\n")
        return 1
    for name, content in files.items():
        write_text(given.into / name, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        sys.stdout.write(f"stored {given.into / name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
