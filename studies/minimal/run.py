"""Runs the study of minimal images: a stored piece for each model, domain and signal, then tables, figures and sentences."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from ...core.files import check_writable, plain
from ...core.progress import Progress
from ...transforms import get as get_transform
from ..compare.summary import versions
from ..kinds import Signal
from ..loaders.data import Photo, load_photos
from ..loaders.models import LoadedModel
from ..report.report import write_page
from ..storage.distinct import distinct_domains
from ..storage.fingerprint import answer, content, weights
from ..storage.pieces import Files, Pieces
from ..storage.results import Results
from ..storage.store import Store, digest
from .figures import grid
from .images import Record, Subject, cost, measured
from .report import write
from .settings import PAPER, Settings
from .tables import Tables, fronts
from .words import summarized

Note = Callable[[str], object]


@dataclass(frozen=True)
class Minimal:
    """The result.

    scores: the long table, a row for each number.  front: means and intervals of each image at each price.
    limits: the sparsity up to which the class is predicted.  changed: how often it is kept after a change.
    summary: settings, contrasts, counts and sentences.  out, files: where it is.
    """

    scores: pd.DataFrame
    front: pd.DataFrame
    limits: pd.DataFrame
    changed: pd.DataFrame
    summary: dict[str, Any]
    out: Path
    files: list[str]


@dataclass(eq=False)
class _Run:
    """What pieces share.  done: gradients of finished pieces and of the one that runs."""

    settings: Settings
    out: Path
    report: Progress
    note: Note
    pieces: Pieces
    done: int = 0
    planned: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)


def minimal(
    settings: Settings | None = None,
    out: str | Path = "results/minimal",
    progress: Progress | None = None,
    note: Note | None = None,
    *,
    loaded: Mapping[str, LoadedModel] | None = None,
    pieces: Pieces | None = None,
    **options: Any,
) -> Minimal:
    """How few coefficients keep a prediction, against controls with equally many, and what that does not show.

    settings: see `Settings`; or its fields as `options`.  loaded: models by name, which replace the specs of that name.
    Written into `out`: scores.parquet, results.csv, limits.csv, changed.csv, summary.json, report.html, figures, and grids of
    pictures. Each finished signal is stored in `out`/.parts, and the same call continues there.
    progress: called with (gradients done, gradients planned).  note: called with a sentence on what is left out.
    pieces: which are measured, see `run_study`.

    Raises: ValueError for wrong settings, models or data, or where `out` holds other results; OSError; Interrupted.
    """
    settings = dataclasses.replace(settings or Settings(), **options)
    out, told = Path(out), note or (lambda text: None)
    check_writable(out)
    results = Results(out, "study minimal")
    results.held()
    run = _Run(settings, out, progress or (lambda done, planned: None), told, pieces or Pieces())
    clock = time.perf_counter()
    with run.pieces.running(results, {"settings": dataclasses.asdict(settings)}):
        given = loaded or {}
        records = [one for place in range(len(settings.pairs)) for one in _of_model(run, place, given)]
        run.pieces.whole()
        spent: dict[str, Any] = {"gradients": run.planned, "reused": run.pieces.done - run.pieces.measured}
        spent |= {"seconds": round(time.perf_counter() - clock, 1)}
        spent["cpu_seconds"] = round(sum(record["cpu_seconds"] for record in records), 1)
        found = _result(run, records, spent)
        results.update(found.summary | {"files": found.files}, alone=True)
    write_page([run.out])
    return found


def _result(run: _Run, records: list[Record], spent: dict[str, Any]) -> Minimal:
    """The tables and the summary of all records, and the files."""
    tables = Tables.of(records, run.settings)
    summary = {"settings": dataclasses.asdict(run.settings), "versions": versions(), "cost": spent} | summarized(tables)
    summary["skipped"] = [{"file": plain(name), "reason": plain(why)} for name, why in run.skipped]
    summary["fronts"] = fronts(tables.front)
    files = write(tables, summary, [name for record in records for name in record["pictures"]], run.out)
    return Minimal(tables.scores, tables.front, tables.limits, tables.changed, summary, run.out, files)


def _of_model(run: _Run, number: int, loaded: Mapping[str, LoadedModel]) -> Iterator[Record]:
    """The records of one model, in every domain.  Raises: ValueError where no signal can be read."""
    name, data = run.settings.pairs[number]
    model = loaded.get(name) or run.settings.loaded(name, run.note)
    read = _read(run, model, data)
    first = read[0][1].values.to(run.settings.device)[None]
    domains = run.settings.transforms or (_usual(model, first.shape[1:]),)
    domains = distinct_domains(domains, tuple(first.shape[1:]), run.note)
    seen = answer(model.whole(first).check(first, "auto"))
    store = Store(run.out / ".parts", [run.settings.question, model.preparation(), versions(), weights(model.module), seen])
    run.planned += len(domains) * len(read) * cost(run.settings)
    run.pieces.plan(len(domains) * len(read), len(run.settings.pairs) - number)
    for domain in domains:
        for place, (photo, signal) in enumerate(read):
            if (record := _piece(run, store, model, photo, signal, domain, place)) is not None:
                yield {"data": data, "model": name, "domain": domain, "example": plain(photo.name)} | record


def _usual(model: LoadedModel, shape: Sequence[int]) -> str:
    """The domain where none is given: the paper's for pictures, the first wavelet in which other signals are explained."""
    found = model.signals.explained(shape)
    return PAPER if model.signals.resized else next((one for one in found if one.startswith("dwt")), found[0])


def _read(run: _Run, model: LoadedModel, data: str) -> list[tuple[Photo, Signal]]:
    """The inputs of a model.  Raises: ValueError where there are none."""
    photos = load_photos(data, run.settings.limit, model.signals)
    read = [(photo, _cut(signal, model, run.settings)) for photo, signal in photos.inputs(model.fitted)]
    run.skipped += [each for each in photos.skipped if each not in run.skipped]
    if not read:
        one, reason = photos.skipped[0]
        raise ValueError(f"minimal: none of the files of {data!r} is a readable {model.signals.noun}; {one}: {reason}.")
    return read


def _cut(signal: Signal, model: LoadedModel, settings: Settings) -> Signal:
    """The first seconds of a recording."""
    if not model.signals.heard or settings.seconds is None:
        return signal
    return signal.but(values=signal.values[..., : max(1, round(settings.seconds / signal.step[-1]))])


def _piece(run: _Run, store: Store, model: LoadedModel, photo: Photo, signal: Signal, domain: str, place: int) -> Record | None:
    """The record of one signal in one domain: the stored one, or measured, drawn and stored; None if it belongs to others."""
    unit, drawn = content(photo)[:16], place < run.settings.pictures
    key, before = digest([photo.name, unit, domain]), run.done
    made = lambda: _measured(run, model, photo, signal, domain, place if drawn else None) | {"unit": unit}
    files: Files = lambda record: (record["pictures"] or [""]) if drawn else []
    record = run.pieces.take(store, key, made, f"{photo.name} in {domain}", files)
    run.done = before + cost(run.settings)
    run.report(run.done, run.planned)
    return record if drawn or record is None else record | {"pictures": []}


def _measured(run: _Run, model: LoadedModel, photo: Photo, signal: Signal, domain: str, place: int | None) -> Record:
    """The record of one signal, and its grid of pictures where it has a place among those that are drawn."""
    x: Tensor = signal.values[None].to(run.settings.device)
    whole, transform = model.whole(x), get_transform(domain, tuple(x.shape[1:]))
    step = signal.step[-1] if signal.unit == "s" else 1.0
    subject = Subject(whole, x, transform, run.settings, step, whole.fitting(x, "auto"))
    before, most, clock = run.done, cost(run.settings), time.process_time()
    record, signals = measured(subject, lambda done, planned: run.report(before + min(done, most), run.planned))
    record |= {"class": model.class_name(record["target"]), "cpu_seconds": time.process_time() - clock}
    made = [] if place is None else [grid(subject, record, signals, plain(photo.name), place, run.out)]
    return record | {"pictures": made}
