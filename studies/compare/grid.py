"""Compares transform domains: models × data × methods × baselines, from one gradient stream for each cell."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from ...attribution import get as get_method
from ...core.files import check_writable, plain, write_text
from ...core.progress import Interrupted, Progress
from ...metrics.protocol import Conclusion
from ..kinds.image import DOMAINS as DOMAINS
from ..loaders.data import Photos, load_photos
from ..loaders.models import LoadedModel
from ..report import figures
from ..report.folder import PAGE
from ..report.page import distinct
from ..report.report import notebook, write_page
from ..storage.distinct import distinct_domains
from ..storage.fingerprint import answer, weights
from ..storage.results import Results
from ..storage.store import Store
from . import questions as asking
from . import scores
from .earlier import differences
from .parts import Parts
from .questions import Question
from .settings import Settings
from .summary import summarize, summarize_scores, versions
from .verdicts import findings

UNCOMPARED = {"limit", "pictures", "device", "batch_size"}  # settings with which a folder may be continued
Note = Callable[[str], object]


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


@dataclass
class Cell:
    """One model, data set, method and baseline: what is asked, and what was found."""

    settings: Settings
    model: LoadedModel
    parts: Parts
    labels: Any
    left_out: Sequence[tuple[str, str]]
    found: list[dict[str, Any]] = field(default_factory=list)

    def table(self) -> pd.DataFrame:
        """A row for each photo and domain."""
        about = {"data": self.settings.data[0], "model": self.settings.model[0], "method": self.settings.method_label}
        table = pd.DataFrame(self.parts.rows(self.found))
        return table.assign(**about)

    def scores(self) -> tuple[pd.DataFrame, Conclusion | None]:
        """The long table of the cell, and its conclusion."""
        names, found = self.parts.scored(self.found)
        if found is None:
            return pd.DataFrame(columns=list(scores.ABOUT)), None
        decided = len(self.settings.transforms) > 1 and found.differences[found.answers[0]].any()
        label = self.settings.method[0], self.settings.baseline[0]
        return scores.long_table(found, self.settings, names), found.conclusion(names, *label) if decided else None


def compare(
    settings: Settings,
    out: str | Path,
    progress: Progress | None = None,
    model: LoadedModel | None = None,
    note: Note | None = None,
    questions: Sequence[Question] | None = None,
    before: Path | None = None,
) -> Comparison:
    """Runs the comparison and writes results.csv, scores.parquet, summary.json, report.html and figures into `out`.

    Finished photos of each cell are stored in `out`/.parts. A later run with the same settings uses them again if the model's
    weights and answer and the content of the photo are the same; it may have another limit, or more photos. A domain that is
    given twice is compared once, and a picture that is there twice counts once in means and intervals.
    progress: called with (steps done, steps planned): a photo takes two for each domain, its attribution and its scores.
    model: replaces `settings.model`, whose name is then only recorded.
    note: called with a sentence if a domain is left out, or if stored work belongs to another model or other photos.
    questions: the declared contrasts; those of `questions.DEFAULT` where none are given. They are written before scoring.
    before: the folder of an earlier comparison, with which this one is compared.

    Raises: ValueError or ImportError for wrong specs; ValueError where the model does not accept the photos, and where `out`
    holds other results or another run uses it; OSError where `out` cannot be written; Interrupted, with the number of
    stored photos, for a KeyboardInterrupt.
    """
    out, told = Path(out), note or (lambda text: None)
    asked = settings.cells()
    for cell in asked:
        get_method(cell.method[0])
    if before is not None:
        scores.read(before)  # refuses other folders before hours of work
    check_writable(out)
    results = Results(out, "compare")
    results.held()
    cells, settings = _cells(settings, asked, out, model, told)
    _check_settings(results, settings)
    clock = time.perf_counter()
    with results.run({"settings": settings.plain()}, alone=True):
        chosen = asking.default() if questions is None else questions
        declared = asking.declare(chosen, out)
        _measure(cells, progress, note)
        tables = [cell.table() for cell in cells]
        table = pd.concat(tables, ignore_index=True)
        found = [cell.scores() for cell in cells]
        long = pd.concat([rows for rows, _ in found], ignore_index=True)
        summary: dict[str, Any] = {"settings": settings.plain(), "questions": declared, "versions": versions()}
        summary |= _summaries(cells, tables, clock)
        summary |= summarize_scores(long, [one for _, one in found], chosen, cells[0].model.signals.plural)
        summary["sentences"] = _sentences(cells, tables, summary)
        if before is not None:
            summary["earlier"], sentence = differences(long, before)
            summary["sentences"].append(sentence)
        files = [*scores.write(long, out), *_write(cells, tables, table, out)]
        results.update(summary | {"files": files, "state": "finished"}, alone=True)
        write_page([out])
    conclusions = [one for _, one in found if one is not None]
    return Comparison(table, long, conclusions, summary, out, files)


def _cells(
    settings: Settings, asked: Sequence[Settings], out: Path, model: LoadedModel | None, told: Note
) -> tuple[list[Cell], Settings]:
    """The cells, each ready to run, and the settings with the domains that are compared."""
    loaded: dict[Any, LoadedModel] = {}
    found: list[Cell] = []
    for number, one in enumerate(asked, 1):
        name = one.model[0]
        if name not in loaded:
            loaded[name] = model or one.load_model(told)
        found.append(_cell(one, loaded[name], out, told, f"cell-{number}" if len(asked) > 1 else ""))
    domains = {cell.settings.transforms for cell in found}
    sizes = {cell.settings.batch_size for cell in found}
    return found, replace(
        settings,
        transforms=found[0].settings.transforms if len(domains) == 1 else settings.transforms,
        batch_size=found[0].settings.batch_size if len(sizes) == 1 else settings.batch_size,
    )


def _cell(settings: Settings, model: LoadedModel, out: Path, told: Note, folder: str) -> Cell:
    """One cell, whose model has answered to the first photo."""
    photos = load_photos(settings.data[0], settings.limit, model.signals)
    x = _first(model, photos, settings)
    model = model.whole(x)
    shape = tuple(x.shape[1:])
    domains = distinct_domains(settings.transforms or model.signals.domains(shape), shape, told)
    settings = replace(settings, transforms=domains, batch_size=model.fitting(x, settings.batch_size))
    logits = model.check(x, settings.batch_size)
    photos, labels = photos.labelled(logits.shape[1], model.classes)
    store = Store(out / ".parts", _question(settings, model, logits))
    return Cell(settings, model, Parts(settings, model, photos, store, out, None, folder), labels, photos.left_out)


def _measure(cells: Sequence[Cell], progress: Progress | None, note: Note | None) -> None:
    """Measures all photos of all cells, or takes what is stored."""
    planned = sum(len(cell.parts.photos) for cell in cells)
    for number, cell in enumerate(cells):
        store = cell.parts.store
        if note is not None and store.foreign() and not any(one.parts.stored() for one in cells):
            work = "holds work with another model, other photos, another device, batch size or version"
            if number == 0:
                note(f"{plain(store.folder)} {work}; this run starts from the beginning.")
        cell.parts.progress = _share(progress, number, len(cells))
        try:
            cell.found = cell.parts.all()
        except KeyboardInterrupt:
            raise Interrupted(sum(one.parts.stored() for one in cells), planned) from None


def _share(progress: Progress | None, number: int, count: int) -> Progress | None:
    """The progress of cell `number` as part of that of all."""
    if progress is None or count == 1:
        return progress
    return lambda done, planned: progress(number * planned + done, count * planned)


def _summaries(cells: Sequence[Cell], tables: Sequence[pd.DataFrame], clock: float) -> dict[str, Any]:
    """What the summary says of each cell: a list "cells", or, of one cell, its entries themselves."""
    each = []
    for cell, table in zip(cells, tables):
        kind = cell.model.signals
        about: dict[str, Any] = {name: getattr(cell.settings, name)[0] for name in ("data", "model", "method", "baseline")}
        about |= {
            "weights": weights(cell.model.module),
            "preparation": cell.model.preparation(),
            "labels": cell.labels,
            "transforms": cell.settings.transforms,
        }
        about["signals"] = {"one": kind.noun, "several": kind.plural, "caption": kind.caption}
        left_out = [(plain(name), plain(why)) for name, why in cell.left_out]
        about |= summarize(table, cell.found, left_out, cell.settings.seed)
        stream = float(table.drop_duplicates("image")["seconds_stream"].mean())
        about["seconds"] = {"this_run": time.perf_counter() - clock, "stream_per_photo": stream}
        each.append(about)
    return each[0] if len(each) == 1 else {"cells": each, "seconds": {"this_run": time.perf_counter() - clock}}


def _sentences(cells: Sequence[Cell], tables: Sequence[pd.DataFrame], summary: dict[str, Any]) -> list[str]:
    """All that is said: the conclusions, the answers to the questions, and what holds for each cell's table."""
    said = [*summary["conclusion_sentences"], *summary["answer_sentences"]]
    for cell, table in zip(cells, tables):
        where = f"{cell.settings.model[0]}, {cell.settings.data[0]}, {cell.settings.method_label}: " if len(cells) > 1 else ""
        said += [where + sentence for sentence in findings(table)]
    return said


def _first(model: LoadedModel, photos: Photos, settings: Settings) -> Tensor:
    """The model's input for the first photo, (1, *shape).  Raises: ValueError where no photo can be read."""
    for _, signal in photos.inputs(model.input):
        return signal[None].to(settings.device)
    count, reason = len(photos.entries), ": ".join(map(plain, photos.skipped[0]))
    one = model.signals.noun
    raise ValueError(f"None of the {count} files of {settings.data[0]!r} is a readable {one}; the first: {reason}.")


def _question(settings: Settings, model: LoadedModel, logits: Tensor) -> list[Any]:
    """All that the numbers of a photo depend on. The answer to the first photo depends on the preparation and on code."""
    asked = {name: value for name, value in settings.plain().items() if name not in ("limit", "pictures", "data")}
    return [asked, model.preparation(), versions(), weights(model.module), answer(logits)]


def _check_settings(results: Results, settings: Settings) -> None:
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


def _write(cells: Sequence[Cell], tables: Sequence[pd.DataFrame], table: pd.DataFrame, out: Path) -> list[str]:
    """Draws the figures about all photos of each cell, and writes the table. Returns the names of all files."""
    pictures = []
    for cell, own in zip(cells, tables):
        (out / cell.parts.folder).mkdir(exist_ok=True)
        pictures += [cell.parts.inside(name) for name in figures.overview(distinct(own), out / cell.parts.folder)]
        pictures += cell.parts.pictures(cell.found)
    write_text(out / "results.csv", table.to_csv(index=False))
    return [PAGE, "results.csv", "summary.json", *pictures]
