"""The sections of docs/planted.md, from stored runs of `pullback study planted`.

benchmarks/results/planted.json and planted-development.json are summaries: of the run on seeds that were looked at once, and of
one on the seeds with which the protocol was developed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.results.stored import read
from pullback.studies.planted.rivals import PROTOCOL, SCORES
from pullback.studies.planted.tasks import TASKS

from .tables import NothingStored, table

HELD_OUT, DEVELOPED = "planted.json", "planted-development.json"
WITHOUT = [task.name for task in TASKS if task.kind in ("permuted", "off_menu")]


def _run(root: Path, name: str) -> dict[str, Any]:
    """A stored summary.  Raises: NothingStored where there is none."""
    found: dict[str, Any] = read(root / "benchmarks" / "results" / name)
    if not found.get("table"):
        raise NothingStored
    return found


def _findings(name: str) -> Callable[[Path], str]:
    """The section of what the protocol said in each task."""

    def section(root: Path) -> str:
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
                "–" if row["task"] in WITHOUT else f"{100 * row['low']:.0f}–{100 * row['high']:.0f} %",
                f"{row['false_claims']} of {row['seeds']}",
                dropped.get(row["task"], 0),
            ]
            for row in own.to_dict("records")
        ]
        settings = run["settings"]
        said = f"Seeds from {settings['first']} on, {settings['seeds']} of each task, {settings['examples']} signals in each."
        return f"{said}\n\n{table(pd.DataFrame(lines, columns=head))}"

    return section


def scores(root: Path) -> str:
    """How often each score is right."""
    rows = pd.DataFrame(_run(root, HELD_OUT)["table"])
    rows = rows[~rows["task"].isin(WITHOUT)].assign(
        of=lambda frame: frame["right"].astype(str) + "/" + frame["seeds"].astype(str)
    )
    shown = rows.pivot(index=["task", "method"], columns="score", values="of")[[PROTOCOL, *SCORES]]
    return table(shown.reset_index().drop(columns="method") if rows["method"].nunique() == 1 else shown.reset_index())


SECTIONS = {"planted-held-out": _findings(HELD_OUT), "planted-development": _findings(DEVELOPED), "planted-scores": scores}
