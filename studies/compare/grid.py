"""Compares transform domains: models × data × methods × baselines, from one gradient stream for each cell."""

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ...attribution import get as get_method
from ...core.files import check_writable, plain, write_text
from ...core.progress import Interrupted, Progress
from ...metrics.protocol import Conclusion
from ...metrics.protocol.conclusion import corrected
from ..kinds.image import DOMAINS as DOMAINS
from ..loaders.models import LoadedModel
from ..report import figures
from ..report.contrasts import write_contrasts
from ..report.folder import PAGE
from ..report.page import distinct
from ..report.report import notebook, write_page
from ..storage.results import Results
from . import questions as asking
from . import scores
from .cell import Cell, write_plan
from .cells import InProcess, Note
from .cluster import OnRay, Ray, on_ray
from .earlier import differences
from .found import Found, gathered
from .questions import Question
from .sentences import concluded
from .settings import Settings
from .summary import summarize, summarize_scores, versions
from .verdicts import findings

UNCOMPARED = {"limit", "pictures", "device", "batch_size"}  # settings with which a folder may be continued


@dataclass(frozen=True)
class Comparison:
    """The result: a row per photo × domain, the long table, what is concluded, a summary, and the folder with the files.

    table: wide, with the columns data, model and method.  scores: long, see `scores.ABOUT`.
    """

    table: pd.DataFrame
    scores: pd.DataFrame
    conclusions: list[Conclusion]
    summary: dict[str, Any]
    out: Path
    files: list[str]

    def _repr_html_(self) -> str:
        """The head of the report, its table and its charts, for a notebook."""
        return notebook(self.out)


def compare(
    settings: Settings,
    out: str | Path,
    progress: Progress | None = None,
    model: LoadedModel | None = None,
    note: Note | None = None,
    questions: Sequence[Question] | None = None,
    before: Path | None = None,
    engine: Ray | None = None,
    show: Note | None = None,
) -> Comparison:
    """Runs the comparison and writes results.csv, scores.parquet, contrasts.csv, summary.json, report.html and figures.

    Finished photos of each cell are stored in `out`/.parts. A later run with the same settings uses them again if the model's
    weights and answer and the content of the photo are the same; it may have another limit, or more photos. A domain that is
    given twice is compared once, and a picture that is there twice counts once in means and intervals.
    progress: called with (steps done, steps planned): a photo takes two for each domain, its attribution and its scores.
    model: replaces `settings.model`, whose name is then only recorded.
    note: called with a sentence if a domain is left out, or if stored work belongs to another model or other photos.
    questions: the declared contrasts; those of `questions.DEFAULT` where none are given. They are written before scoring.
    before: the folder of an earlier comparison, with which this one is compared.
    engine: a cluster that measures; None measures in this process. The numbers are the same, bit by bit, on equal hardware
    with as many threads in each worker as here. Data and `out` must be where all workers can reach them.
    show: called with a line on the first photo as soon as it is measured, in this process.

    Raises: ValueError or ImportError for wrong specs; ValueError where the model does not accept the photos, and where `out`
    holds other results or another run uses it; OSError where `out` cannot be written; Interrupted, with the number of
    stored photos, for a KeyboardInterrupt.
    """
    if settings.shard is not None:
        raise ValueError(f"compare: shard {settings.shard} is a part of a comparison; call compare_shard, then merge.")
    if before is not None:
        scores.read(before)  # refuses other folders before hours of work
    with running(settings, Path(out), model, note, questions, engine) as run:
        if isinstance(run.engine, InProcess):
            run.engine.parts[0].show = show
        run.measure(progress, note)
        return run.finish(before)


@dataclass
class Running:
    """A comparison that runs in its folder."""

    settings: Settings
    cells: Sequence[Cell]
    results: Results
    questions: Sequence[Question]
    declared: str  # their hash
    engine: InProcess | OnRay | None = None
    clock: float = field(default_factory=time.perf_counter)

    def measure(self, progress: Progress | None, note: Note | None) -> None:
        """Measures all photos of all cells, or takes what is stored."""
        out = self.results.out
        foreign = note is not None and self.cells[0].store(out).foreign()
        if note is not None and foreign and not any(cell.stored(out) for cell in self.cells):
            work = "holds work with another model, other data, another device, batch size or version"
            note(f"{plain(out / '.parts')} {work}; this run starts from the beginning.")
        write_plan(self.cells, out)
        try:
            if self.engine is not None:
                self.engine.measure(progress)
        except KeyboardInterrupt:
            done, planned = (sum(each) for each in zip(*((cell.stored(out), len(cell.places)) for cell in self.cells)))
            raise Interrupted(done, planned) from None

    def finish(self, before: Path | None = None) -> Comparison:
        """Writes all files about the stored parts of the cells.  before: see `compare`."""
        cells, out = self.cells, self.results.out
        each = self._gathered()
        tables = [one.table for one in each]
        table = pd.concat(tables, ignore_index=True)
        scored, drawn = zip(*(one.scores() for one in each))
        found, long = corrected(drawn), pd.concat(scored, ignore_index=True)
        summary: dict[str, Any] = {"settings": self.settings.plain(), "questions": self.declared, "versions": versions()}
        summary |= _summaries(each, self.clock)
        of = [(one.data[0], one.model[0], one.method_label) for one in (cell.settings for cell in cells)]
        words = cells[0].about["signals"]
        several = words.get("units", words["several"])
        summary |= summarize_scores(long, found, self.questions, several, of)
        where = [{name: getattr(cell.settings, name)[0] for name in ("model", "data", "baseline")} for cell in cells]
        summary["conclusion_sentences"] = concluded(where, found)
        summary["sentences"] = _sentences(each, summary)
        if before is not None:
            summary["earlier"], sentence = differences(long, before)
            summary["sentences"].append(sentence)
        files = [*scores.write(long, out), *_write(each, table, out)]
        files += write_contrasts(summary, out)
        self.results.update(summary | {"files": files, "state": "finished"}, alone=True)
        write_page([out])
        conclusions = [one for one in found if one is not None]
        return Comparison(table, long, conclusions, summary, out, files)

    def _gathered(self) -> list[Found]:
        """What was found in each cell; parts that somebody has deleted meanwhile are measured again, once."""
        try:
            return [gathered(cell, self.results.out) for cell in self.cells]
        except RuntimeError:
            if self.engine is None:
                raise
            self.measure(None, None)
            return [gathered(cell, self.results.out) for cell in self.cells]


@contextlib.contextmanager
def running(
    settings: Settings,
    out: Path,
    model: LoadedModel | None,
    note: Note | None,
    questions: Sequence[Question] | None,
    engine: Ray | None = None,
) -> Iterator[Running]:
    """Inside, the folder belongs to this run, and its questions are declared.  Raises: see `compare`."""
    for cell in settings.cells():
        get_method(cell.method[0])
    check_writable(out)
    results = Results(out, "compare")
    results.held()
    with _engine(engine, settings, out, model, note or (lambda text: None)) as found:
        check_settings(results, found.settings)
        with results.run({"settings": found.settings.plain()}, alone=True):
            chosen = asking.default() if questions is None else questions
            yield Running(found.settings, found.cells, results, chosen, asking.declare(chosen, out), found)


def _engine(
    engine: Ray | None, settings: Settings, out: Path, model: LoadedModel | None, told: Note
) -> contextlib.AbstractContextManager[InProcess | OnRay]:
    if engine is None:
        return contextlib.nullcontext(InProcess(settings, out, model, told))
    return on_ray(engine, settings, out, model, told)


def _summaries(found: Sequence[Found], clock: float) -> dict[str, Any]:
    """What the summary says of each cell: a list "cells", or, of one cell, its entries themselves."""
    each = []
    for one in found:
        cell, table = one.cell, one.table
        about: dict[str, Any] = {name: getattr(cell.settings, name)[0] for name in ("data", "model", "method", "baseline")}
        about |= {name: cell.about[name] for name in ("weights", "origins", "preparation", "labels", "signals")}
        about |= {"transforms": cell.settings.transforms, "frequencies": one.frequencies}
        left_out = [(name, why) for name, why in cell.about["left_out"]]
        about |= summarize(table, [*left_out, *one.skipped], one.notes, one.evaluations, cell.settings.seed)
        stream = float(table.drop_duplicates("image")["seconds_stream"].mean())
        about["seconds"] = {"this_run": time.perf_counter() - clock, "stream_per_photo": stream}
        each.append(about)
    return each[0] if len(each) == 1 else {"cells": each, "seconds": {"this_run": time.perf_counter() - clock}}


def _sentences(found: Sequence[Found], summary: dict[str, Any]) -> list[str]:
    """The conclusions, the answers to the questions, and what holds for each cell's table."""
    said = [sentence for of in ("conclusion", "answer", "other_model") for sentence in summary[f"{of}_sentences"]]
    for one in found:
        cell = one.cell
        where = f"{cell.settings.model[0]}, {cell.settings.data[0]}, {cell.settings.method_label}: " if len(found) > 1 else ""
        own = [*findings(one.table, cell.about["signals"]["several"]), one.invariant_sentence]
        said += [where + sentence for sentence in own if sentence]
    return said


def check_settings(results: Results, settings: Settings) -> None:
    """Raises: ValueError where the folder holds work that was done with other settings."""
    held, asked = results.held().get("settings"), json.loads(json.dumps(settings.plain()))
    started = (results.out / "results.csv").exists() or any((results.out / ".parts").glob("*.json"))
    if not started or not isinstance(held, dict):
        return
    changed = [name for name in asked if name not in UNCOMPARED and held.get(name) != asked[name]]
    if changed:
        first = f"{plain(held.get(changed[0]))[:50]!r}, now {plain(asked[changed[0]])[:50]!r}"
        what = f"a comparison with other settings ({', '.join(changed)}: {first})"
        raise ValueError(f"{plain(results.out)[:80]} holds {what}; choose another folder with --out.")


def _write(found: Sequence[Found], table: pd.DataFrame, out: Path) -> list[str]:
    """Draws the figures about all photos of each cell, and writes the table. Returns the names of all files."""
    pictures = []
    for one in found:
        (out / one.cell.folder).mkdir(exist_ok=True)
        names = figures.overview(distinct(one.table), out / one.cell.folder, one.frequencies)
        pictures += [one.cell.inside(name) for name in names]
        pictures += one.pictures
    write_text(out / "results.csv", table.to_csv(index=False))
    return [PAGE, "results.csv", "summary.json", *pictures]
