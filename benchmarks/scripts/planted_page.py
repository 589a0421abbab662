"""The sections of docs/planted.md, from stored runs of `pullback study planted`.

`python -m benchmarks.scripts.planted_page FOLDER [NAME]` stores a run as benchmarks/results/NAME, by default planted.json.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.results.stored import ROOT, read
from pullback.core.files import write_text
from pullback.studies.planted.rivals import PROTOCOL, SCORES
from pullback.studies.planted.signals import ROTATED
from pullback.studies.planted.study import wilson
from pullback.studies.planted.tasks import TASKS

from .tables import NothingStored, table

HELD_OUT, FIRST = "planted.json", "planted-first.json"  # by the rules of today, and by those before
NAMED = 0.95  # of the seeds
WITHOUT = [task.name for task in TASKS if task.kind in ("permuted", "off_menu")]
EMPTY = [task.name for task in TASKS if task.control]


def store(run: Path, name: str = HELD_OUT, root: Path = ROOT) -> None:
    """Copies what the page shows of a finished run, and each false claim with the error of the domain that it names."""
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    known: dict[Any, float] = {}
    for path in (run / ".parts").glob("*.json"):
        trial = json.loads(path.read_text(encoding="utf-8"))
        for method, found in trial.get("found", {}).items():
            for errors in found["errors"]:
                known |= {(trial["task"], trial["seed"], method, domain): error for domain, error in errors.items()}
    rows = pd.read_csv(run / "trials.csv")
    rows = rows[(rows["score"] == PROTOCOL) & rows["false_claim"]]
    each = rows[["task", "seed", "method", "network", "rule", "planted", "picked"]].to_dict("records")
    false = [one | {"error": known[one["task"], one["seed"], one["method"], one["picked"]]} for one in each]
    kept = {each: summary[each] for each in ("settings", "versions", "dropped", "findings", "table")} | {"false": false}
    write_text(root / "benchmarks" / "results" / name, json.dumps(kept, indent=1, ensure_ascii=False))


def _run(root: Path, name: str = HELD_OUT) -> dict[str, Any]:
    """The stored summary.  Raises: NothingStored where there is none."""
    found: dict[str, Any] = read(root / "benchmarks" / "results" / name)
    if not found.get("table"):
        raise NothingStored
    return found


def findings(root: Path, name: str = HELD_OUT) -> str:
    """What the protocol said in each task, and which goals it missed."""
    run = _run(root, name)
    rows = pd.DataFrame(run["table"])
    own = rows[rows["score"] == PROTOCOL]
    dropped = {task: len(reasons) for task, reasons in run["dropped"].items()}
    head = ["task", "method", "planted domain named", "95 % interval", "false claims", "dropped seeds"]
    lines = [
        [
            row["task"],
            f"`{row['method']}`",
            "–" if row["task"] in WITHOUT else f"{row['right']} of {row['seeds']}",
            "–" if row["task"] in WITHOUT else _interval(row["right"], row["seeds"]),
            f"{row['false_claims']} of {row['seeds']}",
            dropped.get(row["task"], 0),
        ]
        for row in own.to_dict("records")
    ]
    settings = run["settings"]
    said = f"Seeds from {settings['first']} on, {settings['seeds']} of each task, {settings['examples']} signals in each."
    missing = [task.name for task in TASKS if task.name not in set(own["task"])]
    lacks = f"Not in this run: {', '.join(missing)}." if missing else ""
    parts = [said, table(pd.DataFrame(lines, columns=head)), *goals(own), claims(run["false"]), lacks]
    return "\n\n".join(filter(None, parts))


def goals(own: pd.DataFrame) -> list[str]:
    """Where the two goals are reached and where they are missed.  own: the rows of the protocol."""
    planted, empty = own[~own["task"].isin(WITHOUT)], own[own["task"].isin(EMPTY)]
    named, false = f"the planted domain is named in {100 * NAMED:.0f} % of the seeds", "no negative control has a false claim"
    return [
        _goal(named, planted, planted["right"] >= NAMED * planted["seeds"], "right"),
        _goal(false, empty, empty["false_claims"] == 0, "false_claims"),
    ]


def claims(found: list[dict[str, Any]]) -> str:
    """Each false claim: in which task, and of which network; "" where there is none.  found: rows of trials.csv."""
    each = [
        f"`{one['picked']}` in {one['task']}, seed {one['seed']}, where {_of(one['planted'])} is planted "
        f"({one['network']}, the class is the {one['rule']}; error {100 * one['error']:.0f} %)"
        for one in found
    ]
    return f"False claims: {'; '.join(each)}." if each else ""


def _of(planted: str) -> str:
    return "a frame that is not compared" if planted == ROTATED else f"`{planted}`"


def _goal(words: str, rows: pd.DataFrame, reached: pd.Series, count: str) -> str:
    """Whether a goal is reached in each of the rows; where not, with the number and its Wilson interval."""
    missed = [
        f"{row['task']} ({row[count]} of {row['seeds']}, 95 % interval {_interval(row[count], row['seeds'])})"
        for row in rows[~reached].to_dict("records")
    ]
    said = f"Goal: {words}. Reached in {int(reached.sum())} of {len(rows)} tasks"
    return f"{said}; **missed** in {', '.join(missed)}." if missed else f"{said}."


def _interval(count: int, of: int) -> str:
    low, high = wilson(count, of)
    return f"{100 * low:.0f}–{100 * high:.0f} %"


def scores(root: Path, name: str = HELD_OUT) -> str:
    """How often each score is right, with its interval."""
    rows = pd.DataFrame(_run(root, name)["table"])
    rows = rows[~rows["task"].isin(WITHOUT)]
    each = [f"{right}/{seeds} ({_interval(right, seeds)})" for right, seeds in zip(rows["right"], rows["seeds"])]
    shown = rows.assign(of=each).pivot(index=["task", "method"], columns="score", values="of")
    known = [name for name in (PROTOCOL, *SCORES) if name in shown]
    shown = shown[known].reset_index()
    missing = [name for name in SCORES if name not in known]
    lacks = f"\n\nNot in this run, since these scores came later: {', '.join(missing)}." if missing else ""
    return table(shown.drop(columns="method") if rows["method"].nunique() == 1 else shown) + lacks


SECTIONS = {
    "planted-held-out": findings,
    "planted-first": lambda root: findings(root, FIRST),
    "planted-scores": scores,
}

if __name__ == "__main__":
    store(Path(sys.argv[1]), *sys.argv[2:3])
