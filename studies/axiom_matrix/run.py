"""Runs the matrix, cell by cell and in any number of calls and processes, and writes reports."""

import functools
import importlib.metadata
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...attribution.engine.open_engine import open_engine
from ...axioms.method_laws import LAWS_VERSION
from ...axioms.report import AxiomReport
from ...core.files import check_writable, write_text
from ...core.progress import Interrupted, Progress
from ..report.figures import save, slug
from ..storage.fingerprint import answer, weights
from ..storage.store import Store
from ..storage.workers import in_processes
from .figure import figure, page
from .matrix import NOT_RUN, Cell, attempt, cells, effort, every_method, spec, to_frame, unmeasured
from .subject import Subject


def write_report(report: AxiomReport, out: str | Path) -> list[str]:
    """Writes axioms.html and axioms.json into `out`; returns their names.

    >>> import json, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     names = write_report(AxiomReport("gradient", ()), folder)
    ...     AxiomReport.from_dict(json.loads((Path(folder) / names[1]).read_text())).subject
    'gradient'
    """
    write_text(Path(out) / "axioms.html", report.to_html())
    write_text(Path(out) / "axioms.json", report.to_json())
    return ["axioms.html", "axioms.json"]


def write_matrix(
    subjects: dict[str, Subject],
    out: str | Path,
    *,
    methods: Sequence[str] | None = None,
    transforms: Sequence[str] = ("pixel",),
    seed: int = 0,
    minutes: float | None = None,
    jobs: int = 1,
    report: Callable[[AxiomReport], None] | None = None,
    progress: Progress | None = None,
    note: Callable[[str], object] | None = None,
) -> tuple[Any, list[str]]:
    """The matrix as a table, and the names of the files that it is written to: .csv, .json, .html and a .png for each model.

    Each finished cell is stored in `out`/cells; a later call reads it if the model's weights, the signals, the seed and the
    versions are the same. Several calls may share `out`, at the same time too. A method or transform that does not exist,
    or does not fit the subject, is "not applicable", with the reason.

    methods: all methods by default.  minutes: after them no cell is started, and the rest are "not applicable".
    jobs: the number of cells at a time, each in a process with one thread.
    report: called with each new report.  progress: called with (finished cells, cells).
    note: called with a sentence if stored cells cannot be used, because they belong to another model or version.

    Raises: Interrupted, with the number of finished cells, in place of a KeyboardInterrupt.

    >>> import tempfile
    >>> subjects = {"line": Subject(torch.nn.Linear(4, 2).double(), torch.full((1, 4), 2.0).double(), 0)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table, files = write_matrix(subjects, folder, methods=["gradient"])
    >>> files, table.set_index("axiom").loc[["completeness", "linearity"], "verdict"].tolist()
    (['matrix.csv', 'matrix.json', 'matrix.html', 'matrix-line.png'], ['BROKEN', 'kept'])
    """
    out, deadline = Path(out), None if minutes is None else time.monotonic() + 60 * minutes
    check_writable(out)
    questions = {name: _question(subject, seed) for name, subject in subjects.items()}
    every = cells(subjects, every_method() if methods is None else methods, transforms)
    tasks = [Task(cell, subjects[cell.model], questions[cell.model], out / "cells") for cell in every]
    left = [task for task in tasks if task.stored() is None]
    if note is not None and (others := sum(task.store.foreign([task.key]) > 0 for task in left)):
        note(f"{others} cells in {out / 'cells'} belong to another model, signal, seed or version; they are measured anew.")
    try:
        for done, finished in enumerate(_measured(left, jobs, deadline), len(tasks) - len(left)):
            if progress is not None:
                progress(done, len(tasks))
            if report is not None and finished is not None:
                report(finished)
    except KeyboardInterrupt:
        raise Interrupted(sum(task.stored() is not None for task in tasks), len(tasks)) from None
    late = f"{NOT_RUN}: the time was up; the same call continues"
    table = to_frame({task.cell: task.stored() or unmeasured(task.cell, late) for task in tasks})
    return table, _write_table(table, out)


@dataclass(frozen=True, eq=False)
class Task:
    """A cell to measure.  question: what its report depends on besides.  folder: where the report is stored."""

    cell: Cell
    subject: Subject
    question: dict[str, Any]
    folder: Path

    @functools.cached_property
    def asked(self) -> dict[str, str]:
        """The cell, with the options of its method."""
        return asdict(self.cell) | {"asked": spec(self.cell, self.subject)}

    @property
    def store(self) -> Store:
        """The stored reports on the same question."""
        return Store(self.folder, self.question)

    @property
    def key(self) -> str:
        """The name of the report in the store."""
        return ", ".join(self.asked.values())

    def stored(self) -> AxiomReport | None:
        """The stored report; None where there is none."""
        found = self.store.read(self.key)
        return None if found is None else AxiomReport.from_dict(found)

    def measure(self) -> AxiomReport:
        """Measures the cell and stores the report, with what it depends on, the seconds that it took, and the date."""
        start = time.monotonic()
        found = attempt(self.cell, self.subject, seed=self.question["seed"])
        seconds, date = round(time.monotonic() - start, 1), time.strftime("%Y-%m-%d", time.gmtime())
        how = {"settings": self.asked | self.question, "seconds": seconds, "date": date}
        self.store.write(self.key, found.to_dict() | how)
        return found


def _measured(tasks: Sequence[Task], jobs: int, deadline: float | None) -> Iterator[AxiomReport | None]:
    """First None, then the report of each cell as soon as it is measured and stored."""
    yield None
    if jobs > 1:  # the most expensive cells first, so that none of them runs alone at the end
        expensive = sorted(tasks, key=lambda task: -effort(task.cell, task.subject))
        yield from in_processes(Task.measure, [(task,) for task in expensive], jobs, deadline)
        return
    for task in tasks:
        if deadline is not None and time.monotonic() > deadline:
            return
        yield task.measure()


def _question(subject: Subject, seed: int) -> dict[str, Any]:
    """What reports depend on besides the cell: the model, the signals, the seed and the versions."""
    x, target = subject.x.double(), subject.target
    return {
        "weights": weights(subject.model),
        "answer": _answer(subject),
        "x": [str(subject.x.dtype), list(x.shape), float(x.sum()), float(x.square().sum())],
        "target": target.tolist() if isinstance(target, Tensor) else str(target),
        "seed": seed,
        "versions": {name: importlib.metadata.version(name) for name in ("pullback", "torch")},
        "laws_version": LAWS_VERSION,
    }


def _answer(subject: Subject) -> list[float]:
    """The model's output in a few numbers, which tell functions without weights apart; none where it cannot run."""
    flat: Callable[[Any, Tensor], Tensor] = lambda output, example: output.flatten(1)
    try:
        with open_engine(subject.model, subject.x, check=False) as engine:
            example = torch.arange(len(subject.x), device=subject.x.device)
            return answer(engine.outputs(example, subject.x.__getitem__, flat))
    except Exception:  # the reports of the cells will say it
        return []


def _write_table(table: Any, out: Path) -> list[str]:
    """Writes .csv, .json, .html, and a .png for each model that was measured; returns their names."""
    write_text(out / "matrix.csv", table.to_csv(index=False))
    write_text(out / "matrix.json", table.to_json(orient="records", indent=1, force_ascii=False))
    write_text(out / "matrix.html", page(table))
    measured = table[~table["reason"].str.startswith(NOT_RUN)].groupby("model", sort=False)
    figures = [save(figure(part), out / f"matrix-{slug(str(model))}.png") for model, part in measured]
    return ["matrix.csv", "matrix.json", "matrix.html", *figures]
