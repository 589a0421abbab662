"""Runs the matrix, cell by cell and in any number of calls and processes, and writes reports."""

import functools
import importlib.metadata
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...attribution.engine.open_engine import open_engine
from ...axioms.method_laws import LAWS_VERSION, NAMES
from ...axioms.report import AxiomReport, Finding
from ...core.checks import check_choice
from ...core.files import check_writable, slug, write_text
from ...core.progress import Interrupted, Progress
from ..report.figures import save
from ..storage.distinct import distinct_domains
from ..storage.fingerprint import answer, weights
from ..storage.results import Results
from ..storage.store import Store, digest
from ..storage.workers import in_processes
from .figure import figure, page
from .matrix import NOT_RUN, Cell, attempt, cells, check_method, effort, every_method, spec, to_frame, unmeasured
from .subject import Subject


def check_and_write(
    subject: Subject, method: str, out: str | Path, asked: Any = None, **options: Any
) -> tuple[AxiomReport, list[str]]:
    """The report of `check_method` with these options, and the names of its files, which `write_report` writes into `out`."""
    with Results(out, "axioms").run({}):
        report = check_method(subject, method, **options)
        return report, write_report(report, out, asked)


def write_report(report: AxiomReport, out: str | Path, asked: Any = None) -> list[str]:
    """Writes axioms.html and axioms.json into `out`; returns their names, which end with a digest if others are there.

    asked: what the report depends on besides its title, as plain data.

    >>> import json, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     names = write_report(AxiomReport("gradient", ()), folder)
    ...     AxiomReport.from_dict(json.loads((Path(folder) / names[1]).read_text())).subject
    'gradient'
    """
    texts = {"axioms.html": report.to_html(), "axioms.json": report.to_json()}
    return _write(Results(out, "axioms"), {"report": report.subject, "asked": asked}, texts)


def _write(results: Results, question: Any, contents: Mapping[str, Any]) -> list[str]:
    """Writes texts and figures under these names, or others where they belong to another question; returns the names."""
    files: dict[str, Any] = {}
    for name, held in contents.items():
        free = results.free_name(name, question, files)
        (write_text if isinstance(held, str) else _save)(results.out / free, held)
        files[free] = {"question": digest(question)} | question
    results.update({"files": files})
    return list(files)


def _save(path: Path, drawn: Any) -> None:
    save(drawn, path)


def write_matrix(
    subjects: dict[str, Subject],
    out: str | Path,
    *,
    methods: Sequence[str] | None = None,
    transforms: Sequence[str] = ("pixel",),
    axioms: str | Sequence[str] = "all",
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

    methods: all methods by default.  axioms: "all" or names; the table has only these.
    minutes: after them no cell is started, and the rest are "not applicable".
    jobs: the number of cells at a time, each in a process with one thread.
    report: called with each new report.  progress: called with (finished cells, cells).
    note: called with a sentence if stored cells cannot be used, because they belong to another model or version, and for a
    transform that is given twice.

    Raises: ValueError for an axiom that does not exist, or where `out` holds other results; Interrupted, with the number of
    finished cells, in place of a KeyboardInterrupt.

    >>> import tempfile
    >>> subjects = {"line": Subject(torch.nn.Linear(4, 2).double(), torch.full((1, 4), 2.0).double(), 0)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table, files = write_matrix(subjects, folder, methods=["gradient"])
    >>> files, table.set_index("axiom").loc[["completeness", "linearity"], "verdict"].tolist()
    (['matrix.csv', 'matrix.json', 'matrix.html', 'matrix-line.png'], ['BROKEN', 'kept'])
    """
    out, deadline = Path(out), None if minutes is None else time.monotonic() + 60 * minutes
    wanted = axioms if axioms == "all" else list(dict.fromkeys([axioms] if isinstance(axioms, str) else axioms))
    for name in () if wanted == "all" else wanted:
        check_choice("axioms", "an axiom", name, NAMES)
    check_writable(out)
    with Results(out, "axioms").run({}):
        tasks = _tasks(subjects, out, every_method() if methods is None else methods, transforms, wanted, seed, note)
        found = {task.cell: stored for task in tasks if (stored := task.stored()) is not None}
        left = [task for task in tasks if task.cell not in found]
        if note is not None and (others := sum(task.store.foreign([task.key]) > 0 for task in left)):
            note(f"{others} cells in {out / 'cells'} belong to another model, signal, seed or version; they are measured anew.")
        try:
            if progress is not None:
                progress(len(found), len(tasks))
            for cell, measured in _measured(left, jobs, deadline):
                found[cell] = measured
                if progress is not None:
                    progress(len(found), len(tasks))
                if report is not None:
                    report(measured)
        except KeyboardInterrupt:
            raise Interrupted(sum(task.stored() is not None for task in tasks), len(tasks)) from None
        late = f"{NOT_RUN}: the time was up; the same call continues"
        table = to_frame({task.cell: found.get(task.cell) or unmeasured(task.cell, late, wanted) for task in tasks})
        signals = {name: [list(one.x.shape), str(one.x.dtype)] for name, one in subjects.items()}
        return table, _write_table(table, Results(out, "axioms"), {"signals": signals, "seed": seed, "axioms": wanted})


def _tasks(
    subjects: Mapping[str, Subject],
    out: Path,
    methods: Sequence[str],
    transforms: Sequence[str],
    axioms: str | Sequence[str],
    seed: int,
    note: Callable[[str], object] | None,
) -> list["Task"]:
    """A task for each cell; a transform or method that is given twice has one."""
    tasks = []
    for name, subject in subjects.items():
        question = _question(subject, seed) | ({} if axioms == "all" else {"axioms": axioms})
        domains = distinct_domains(transforms, tuple(subject.x.shape[1:]), note, lenient=True)
        every = cells([name], list(dict.fromkeys(methods)), domains)
        tasks += [Task(cell, subject, question, out / "cells", axioms) for cell in every]
    return tasks


@dataclass(frozen=True, eq=False)
class Task:
    """A cell to measure.  question: what its report depends on besides.  folder: where the report is stored."""

    cell: Cell
    subject: Subject
    question: dict[str, Any]
    folder: Path
    axioms: str | Sequence[str] = "all"

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
        """The stored report; None where there is none, or something else."""
        wanted = set(NAMES if self.axioms == "all" else self.axioms)
        try:
            found = AxiomReport.from_dict(self.store.read(self.key))
        except (TypeError, KeyError, AttributeError):
            return None
        return found if {one.axiom for one in found} == wanted and all(map(_is_finding, found)) else None

    def measure(self) -> AxiomReport:
        """Measures the cell and stores the report, with what it depends on, the seconds that it took, and the date."""
        start = time.monotonic()
        found = attempt(self.cell, self.subject, self.axioms, self.question["seed"])
        seconds, date = round(time.monotonic() - start, 1), time.strftime("%Y-%m-%d", time.gmtime())
        how = {"settings": self.asked | self.question, "seconds": seconds, "date": date}
        self.store.write(self.key, found.to_dict() | how)
        return found


def _is_finding(finding: Finding) -> bool:
    """Whether a stored finding has the types that were written."""
    numbers = all(value is None or isinstance(value, int | float) for value in (finding.residual, finding.tolerance))
    return numbers and finding.holds in (None, True, False) and isinstance(finding.reason, str)


def _measured(tasks: Sequence[Task], jobs: int, deadline: float | None) -> Iterator[tuple[Cell, AxiomReport]]:
    """The report of each cell as soon as it is measured and stored."""
    if jobs > 1:  # the most expensive cells first, so that none of them runs alone at the end
        expensive = sorted(tasks, key=lambda task: -effort(task.cell, task.subject))
        yield from in_processes(_measure, [(task,) for task in expensive], jobs, deadline)
        return
    for task in tasks:
        if deadline is not None and time.monotonic() > deadline:
            return
        yield _measure(task)


def _measure(task: Task) -> tuple[Cell, AxiomReport]:
    return task.cell, task.measure()


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


def _write_table(table: Any, results: Results, question: Any) -> list[str]:
    """Writes .csv, .json, .html, and a .png for each model that was measured; returns their names."""
    text = table.to_json(orient="records", indent=1, force_ascii=False)
    contents = {"matrix.csv": table.to_csv(index=False), "matrix.json": text, "matrix.html": page(table)}
    measured = table[~table["reason"].str.startswith(NOT_RUN)].groupby("model", sort=False)
    return _write(results, question, contents | {f"matrix-{slug(str(model))}.png": figure(part) for model, part in measured})
