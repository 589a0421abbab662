"""The study of planted truth: many seeds of many tasks, each stored, and which score finds the truth."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ...core.files import check_writable, write_text
from ...core.progress import Progress
from ...metrics.statistics import wilson
from ..compare.summary import versions
from ..report.report import write_page
from ..report.section import write_section
from ..storage.pieces import Pieces
from ..storage.results import Results
from ..storage.store import Store
from .figure import draw
from .rivals import PROTOCOL, SCORES
from .tasks import QUICK, TASKS, Task
from .trial import Record, trial

METHODS = ("integrated_gradients(steps=16)",)
_TRIES = 4  # seeds that are tried for each that counts


@dataclass(frozen=True)
class Settings:
    """What is run.

    seeds: how many seeds of each task must count; a dropped seed is replaced by the next one.  first: the first seed.
    tasks: names of tasks, see `tasks.TASKS`; none takes all.  examples: signals that are explained in each trial.

    >>> Settings(seeds=2).quick.examples
    24
    """

    seeds: int = 20
    first: int = 0
    tasks: tuple[str, ...] = ()
    methods: tuple[str, ...] = METHODS
    examples: int = 96

    def __post_init__(self) -> None:
        known = [task.name for task in TASKS]
        unknown = [name for name in self.tasks if name not in known]
        if unknown:
            raise ValueError(f"study planted: unknown task {unknown[0]!r:.60}; the tasks are {'; '.join(known)}.")
        if self.seeds < 1 or self.examples < 20:
            raise ValueError(f"study planted: expected seeds ≥ 1 and examples ≥ 20, got {self.seeds} and {self.examples}.")

    @property
    def quick(self) -> "Settings":
        """One seed of a few tasks, one method: less than a minute."""
        return dataclasses.replace(self, seeds=1, tasks=self.tasks or QUICK, methods=self.methods[:1], examples=24)

    @property
    def chosen(self) -> list[Task]:
        """The tasks."""
        return [task for task in TASKS if task.name in (self.tasks or [each.name for each in TASKS])]


@dataclass(frozen=True)
class Planted:
    """The result.

    trials: one row per task, seed, method and score.  table: one row per task, method and score, with Wilson intervals.
    summary: settings, counts and sentences.  out, files: where it is.
    """

    trials: pd.DataFrame
    table: pd.DataFrame
    summary: dict[str, Any]
    out: Path
    files: list[str]


def planted(
    settings: Settings | None = None,
    out: str | Path = "results/planted",
    progress: Progress | None = None,
    note: Callable[[str], object] | None = None,
    pieces: Pieces | None = None,
    **options: Any,
) -> Planted:
    """Which scores name the domain in which truth was planted, and which make false claims where there is none.

    settings: see `Settings`; or its fields as `options`. Written into `out`: trials.csv, results.csv, summary.json,
    report.html, planted.png. Each finished seed is stored in `out`/.parts, and the same call continues there.
    progress: called with (seeds done, seeds planned).  note: called with a sentence for each seed that is dropped.
    pieces: which are measured, see `run_study`. Seeds that replace dropped ones are measured by a whole run only.

    Raises: ValueError for wrong settings, or where `out` holds other results; OSError; Interrupted for a KeyboardInterrupt.
    """
    settings = dataclasses.replace(settings or Settings(), **options)
    out, told = Path(out), note or (lambda text: None)
    check_writable(out)
    results = Results(out, "study planted")
    asked = {"methods": settings.methods, "examples": settings.examples, "versions": versions()}
    store = Store(out / ".parts", asked)
    chosen = pieces or Pieces()
    with chosen.running(results, {"settings": dataclasses.asdict(settings)}):
        records = _records(settings, store, chosen, progress, told)
        chosen.whole()
        trials = trial_table(records)
        table = summarize(trials)
        summary = {"settings": dataclasses.asdict(settings), "versions": versions()} | about(records, table)
        files = _write(trials, table, out)
        results.update(summary | {"files": files}, alone=True)
    write_page([out])
    return Planted(trials, table, summary, out, files)


def _records(
    settings: Settings, store: Store, pieces: Pieces, progress: Progress | None, told: Callable[[str], object]
) -> dict[str, list[Record]]:
    """The trials of each task, dropped ones too, until enough count."""
    planned, done, found = len(settings.chosen) * settings.seeds, 0, {}
    report = progress or (lambda done, planned: None)
    pieces.plan(planned)
    for task in settings.chosen:
        found[task.name] = own = list[Record]()
        for number in range(_TRIES * settings.seeds):
            seed = settings.first + number
            key, made = f"{task.name}/{seed}", functools.partial(trial, task, seed, settings.methods, settings.examples)
            record = pieces.take(store, key, made, late=number >= settings.seeds)
            if record is None:
                continue
            own.append(record)
            if record["dropped"]:
                told(f"{key} is dropped: {record['dropped']}")
            done += not record["dropped"]
            report(done, planned)
            if sum(not each["dropped"] for each in own) == settings.seeds:
                break
    return found


def trial_table(records: dict[str, list[Record]]) -> pd.DataFrame:
    """One row per task, seed, method and score: what was planted and picked, and whether that is right."""
    kept = [record for own in records.values() for record in own if not record["dropped"]]
    return pd.DataFrame(
        {
            "task": record["task"],
            "seed": record["seed"],
            "network": record["network"],
            "rule": record["recipe"]["rule"],
            "method": method,
            "score": score,
            "planted": " and ".join(record["planted"]),
            "picked": " and ".join(str(each[score]) for each in found["picked"]),
            "right": found["right"][score],
            "false_claim": found["false_claim"] if score == PROTOCOL else _false(record["task"], found, score),
        }
        for record in kept
        for method, found in record["found"].items()
        for score in (PROTOCOL, *SCORES)
    )


def _false(name: str, found: Record, score: str) -> bool:
    """Whether a score that always picks a domain claims what is not so: all but the planted domain."""
    task = next(each for each in TASKS if each.name == name)
    if task.kind == "permuted":
        return any(each[score] not in ("pixel", "random rotation") for each in found["picked"])
    return not found["right"][score]


def summarize(trials: pd.DataFrame) -> pd.DataFrame:
    """Counts and Wilson intervals: right of counted seeds, and false claims, by task, method and score.

    >>> one = {"task": "t", "method": "m", "score": "s", "right": True, "false_claim": False}
    >>> summarize(pd.DataFrame([one] * 20)).loc[0, ["right", "low"]].round(3).tolist()
    [20.0, 0.839]
    """
    rows = []
    for (task, method, score), own in trials.groupby(["task", "method", "score"], sort=False):
        count, right, false = len(own), int(own["right"].sum()), int(own["false_claim"].sum())
        low, high = wilson(right, count)
        most = wilson(false, count)[1]
        where = {"task": task, "method": method, "score": score, "seeds": count}
        rows.append(where | {"right": right, "low": low, "high": high, "false_claims": false, "false_high": most})
    return pd.DataFrame(rows)


def about(records: dict[str, list[Record]], table: pd.DataFrame) -> dict[str, Any]:
    """Counts of dropped seeds with their reasons, and sentences."""
    dropped = {name: [f"{one['seed']}: {one['dropped']}" for one in own if one["dropped"]] for name, own in records.items()}
    kept = {name: reasons for name, reasons in dropped.items() if reasons}
    return {"dropped": kept, "findings": sentences(table), "table": table.round(4).to_dict("records")}


def sentences(table: pd.DataFrame) -> list[str]:
    """What the protocol found in each task, in words."""
    found = []
    for row in table[table["score"] == PROTOCOL].to_dict("records"):
        task = next(each for each in TASKS if each.name == row["task"])
        said = (
            f"{row['false_claims']} false claims in {row['seeds']} seeds (95 % interval up to {100 * row['false_high']:.0f} %)"
        )
        if task.kind not in ("off_menu", "permuted"):
            share = f"{100 * row['low']:.0f}–{100 * row['high']:.0f} %"
            said = f"the planted domain is named in {row['right']} of {row['seeds']} seeds ({share}); {said}"
        found.append(f"{row['task']}, {row['method']}: {said}.")
    return found


def _write(trials: pd.DataFrame, table: pd.DataFrame, out: Path) -> list[str]:
    """Writes the tables and the figure. Returns the names of all files."""
    write_text(out / "trials.csv", trials.to_csv(index=False))
    write_text(out / "results.csv", table.to_csv(index=False))
    captions = {
        "planted.png": "The share of seeds in which each score is right, in %: a row for each task, a column for each score."
    }
    write_section(out, "Which scores name the domain that was planted?", [("Tasks", table, "results.csv")], captions)
    return ["report.html", "summary.json", "results.csv", "trials.csv", draw(table, out)]
