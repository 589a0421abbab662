"""Turns what pytest-benchmark wrote into the stored results, a file for each suite: all of them or none.

python -m benchmarks.store results/bench.json [--into benchmarks/results]
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def trimmed(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{file name: what is stored} of one run: device, versions, commit, and of each benchmark what it noted.

    Raises: ValueError where a suite failed, was run in part or at reduced size, so that nothing partial is stored.
    """
    if run["machine_info"].get("quick"):
        raise ValueError("a quick run is for crashes; its numbers are not stored.")
    wrong = [f"{suite}: {count} {outcome}" for suite, counts in run["suites"].items() for outcome, count in counts.items()
             if outcome in ("failed", "deselected")]  # fmt: skip
    if wrong:
        raise ValueError(f"only whole suites that passed are stored; {', '.join(wrong)}.")
    files: dict[str, dict[str, Any]] = {}
    for bench in sorted(run["benchmarks"], key=lambda entry: entry["fullname"]):
        suite = suite_of(bench["fullname"])
        head = {"machine_info": run["machine_info"], "commit": run["commit_info"]["id"], "datetime": run["datetime"]}
        stored = files.setdefault(f"{suite}-{run['machine_info']['kind']}.json", {**head, "benchmarks": []})
        stored["benchmarks"].append({"name": bench["name"], "extra_info": bench["extra_info"]})
    if not files:
        raise ValueError("the run holds no benchmark.")
    return files


def suite_of(fullname: str) -> str:
    """benchmarks/test_limits.py::test_limit[…] -> limits."""
    return fullname.split("::")[0].rsplit("/", 1)[-1].removeprefix("test_").removesuffix(".py")


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
