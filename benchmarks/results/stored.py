"""Reads stored results, and says numbers as the pages say them."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
KINDS = ("cpu", "cuda")
NOT_YET = "Not measured yet."

Entry = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One suite on one machine. noted: what each benchmark noted, by its name.

    skipped: why each test was that did not run.  wall_s, run_wall_s: seconds that the suite, and the whole run of which it
    was a part, took; None where an older file does not say.
    """

    machine: dict[str, Any]
    commit: str
    date: str
    note: str
    noted: dict[str, Entry]
    skipped: dict[str, str] = field(default_factory=dict)
    wall_s: float | None = None
    run_wall_s: float | None = None

    def of(self, test: str) -> list[Entry]:
        """What the benchmarks of one test function noted."""
        return [entry for name, entry in self.noted.items() if name.split("[")[0] == test]

    @property
    def source(self) -> str:
        """Where and when."""
        note = f" {self.note}" if self.note else ""
        return (
            f"{self.machine['device']}, torch {self.machine['torch'].split('+')[0]}, {self.machine['threads']} threads, "
            f"commit {self.commit[:7]}, {self.date[:10]}.{note}"
        )


def suite_of(name: str) -> str:
    """benchmarks/test_limits.py::test_limit[…] -> limits."""
    return name.split("::")[0].rsplit("/", 1)[-1].removeprefix("test_").removesuffix(".py")


def run(results: Path, suite: str, kind: str) -> Run | None:
    """The stored run of a suite ("limits", …) on a kind of device ("cpu", "cuda"), or None."""
    path = results / f"{suite}-{kind}.json"
    if not path.exists():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    noted = {bench["name"]: bench["extra_info"] for bench in content["benchmarks"]}
    return Run(
        content["machine_info"],
        content["commit"],
        content["datetime"],
        content.get("note", ""),
        noted,
        content.get("skipped", {}),
        content.get("wall_s"),
        content.get("run_wall_s"),
    )


def entries(results: Path, suite: str, kind: str, test: str) -> list[Entry]:
    """What the benchmarks of one test function noted; nothing where the suite is not stored."""
    found = run(results, suite, kind)
    return [] if found is None else found.of(test)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown; numbers to the right. `NOT_YET` where there is no row."""
    body = [list(row) for row in rows]
    if not body:
        return NOT_YET
    number = [all(row[i][:1] in "0123456789-+–*" or not row[i] for row in body) for i in range(len(head))]
    lines = [list(head), ["---:" if right else "---" for right in number], *body]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def ratio(entry: Mapping[str, Any]) -> str:
    """Median, and smallest and largest pair where pairs were taken."""
    pairs = f" ({entry['low']:.2f}–{entry['high']:.2f})" if "low" in entry else ""
    return f"**{entry['ratio']:.2f}**{pairs}"


def over(found: Sequence[Mapping[str, Any]], name: str = "ratio") -> str:
    """Median, and smallest and largest of several."""
    values = [entry[name] for entry in found]
    return f"**{statistics.median(values):.2f}** ({min(values):.2f}–{max(values):.2f})"


def goal(entry: Mapping[str, Any]) -> str:
    """The goal as a number, and whether the ratio meets it."""
    if "goal" not in entry:
        return ""
    met = "met" if entry["ratio"] <= entry["goal"] else "missed"
    return f"{entry['goal']:.3g}, {met}"


def goals(found: Sequence[Mapping[str, Any]]) -> str:
    """The goal that several share, and how many of them meet it."""
    if "goal" not in found[0]:
        return ""
    return f"{found[0]['goal']:.3g}, met by {sum(e['ratio'] <= e['goal'] for e in found)} of {len(found)}"


def number(entry: Mapping[str, Any], name: str, form: str = ".3g") -> str:
    """A number that may not have been noted."""
    return format(entry[name], form) if entry.get(name) is not None else "–"
