"""The section of docs/studies/comparisons.md, from stored runs of `pullback compare`.

`python -m benchmarks.scripts.comparisons_page NAME FOLDER` stores one: its summary in docs/studies/comparisons/NAME.json.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.results.stored import ROOT
from pullback.core.files import write_text
from pullback.studies.report.about import command

from .tables import NothingStored, table

STORED = Path("docs/studies/comparisons")
KEPT = ("settings", "questions", "versions", "conclusions", "conclusion_sentences", "answer_sentences", "near_duplicates")
ABOUT = (
    "data",
    "model",
    "method",
    "baseline",
    "weights",
    "photos",
    "correct",
    "signals",
    "evaluations",
    "convergence",
    "skipped",
)
BY = ["question", "model", "method"]
VERDICTS = ["better", "worse", "equal", "depends on the budget", "open"]
COUNTED = """Contrasts of the declared questions, p after Holm over each question, by verdict. Of two domains or methods,
*better* and *worse* are said of the first."""
CAPTION = """E in other families, mean over budgets, in per cent. Bold: the smallest of one domain of each group of near
duplicates; it is a finding only where a sentence above says so. *Random* is the mean of random rankings."""


def store(name: str, run: Path, root: Path = ROOT) -> None:
    """Copies what the page shows of a run's summary.  Raises: ValueError where the run is not finished."""
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    if "conclusions" not in summary:
        raise ValueError(f"comparisons_page: {run} holds no finished comparison.")
    cells = summary.get("cells") or [summary]
    kept = {key: summary[key] for key in KEPT if key in summary}
    kept |= {
        "command": command(summary),
        "counts": _counts(summary["answers"]),
        "cells": [{key: cell.get(key) for key in ABOUT} for cell in cells],
    }
    (root / STORED).mkdir(parents=True, exist_ok=True)
    write_text(root / STORED / f"{name}.json", json.dumps(kept, indent=1) + "\n")


def section(root: Path) -> str:
    """Every stored comparison.  Raises: NothingStored where there is none."""
    stored = sorted((root / STORED).glob("*.json"))
    if not stored:
        raise NothingStored
    return "\n\n".join(_run(json.loads(path.read_text(encoding="utf-8")), path.name) for path in stored)


def _counts(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How often each verdict fell, for each question, model and method; of one kind of budget, as all kinds share a verdict."""
    frame = pd.DataFrame(answers)
    frame = frame[frame["budget_kind"] == frame["budget_kind"].iloc[0]].fillna("")
    found = pd.crosstab([frame[name] for name in BY], frame["verdict"]).reindex(columns=VERDICTS, fill_value=0)
    return found.reset_index().to_dict("records")


def _run(found: dict[str, Any], name: str) -> str:
    cells = found["cells"]
    names = [" and ".join(dict.fromkeys(f"`{cell[of]}`" for cell in cells)) for of in ("model", "data")]
    units = {f"{cell['photos']} {cell['signals']['several']}" for cell in cells}
    counts = pd.DataFrame(found["counts"])
    counts["method"] = [method.partition("(")[0] for method in counts["method"]]
    return "\n\n".join(
        [
            f"### {names[0]} on {names[1]}",
            f"    {found['command']}",
            f"{', '.join(sorted(units))}; {_evaluations(cells)}.",
            "\n".join(f"- {text}" for text in found["conclusion_sentences"]),
            CAPTION,
            table(_errors(found)),
            f"{COUNTED} [The stored run](comparisons/{name}) names each contrast with its interval.",
            table(counts),
        ]
    )


def _evaluations(cells: list[dict[str, Any]]) -> str:
    sums = {kind: sum(cell["evaluations"].get(kind, 0) for cell in cells) for kind in ("gradient", "forward")}
    return f"the maps took {sums['gradient']:,} gradients and {sums['forward']:,} forwards"


def _errors(found: dict[str, Any]) -> pd.DataFrame:
    """A row for each domain, and a column for each model, method and baseline."""
    columns = {}
    for cell, one in zip(found["cells"], found["conclusions"]):
        if one is None:
            continue
        several = len({(other["model"], other["data"]) for other in found["cells"]}) > 1
        label = f"{cell['model']}: {_short(cell['method'])}" if several else _short(cell["method"])
        shown = {name: f"**{100 * e:.0f}**" if name == one["leader"] else f"{100 * e:.0f}" for name, e in one["errors"].items()}
        columns[label] = shown | {"*random*": f"{100 * one['admission']['chance']:.0f}"}
    frame = pd.DataFrame(columns)
    frame.insert(0, "domain", [name if name.startswith("*") else f"`{name}`" for name in frame.index])
    return frame


def _short(method: str) -> str:
    return method.partition("(")[0].replace("_", " ")


SECTIONS = {"comparisons": section}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("run", type=Path)
    given = parser.parse_args()
    store(given.name, given.run)


if __name__ == "__main__":
    main()
