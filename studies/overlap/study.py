"""The studies: targets one by one, each stored, then tables, questions, figures and the report."""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ...core.files import check_writable, write_parquet, write_text
from ...core.imports import needs
from ...core.progress import Progress
from ..compare.summary import versions
from ..loaders.models import LoadedModel
from ..report.report import write_page
from ..report.section import write_section
from ..storage.distinct import distinct_domains
from ..storage.fingerprint import weights
from ..storage.pieces import Pieces
from ..storage.results import Results
from ..storage.store import Store, digest
from . import figures
from .conclusions import conclude
from .pair import paper_pair
from .present import present
from .recordings import Clip, Recordings, read_recordings
from .settings import NOISE, PAPER, Settings
from .tables import long, prediction, wide
from .trial import Record, trial

TABLES = ("results.csv", "scores.parquet", "sweep.csv", "contrasts.csv")
NOISE_LEVELS: dict[str, Any] = {"corruption": NOISE, "levels": (20.0, 10.0, 0.0), "peak": None}
TITLE = "Do the coefficients that matter to the model hold the target of a mixture?"
ABOUT = (
    "f is the log-odds of the class of the target among all classes, x₀ = 0. Truth comes first: SI-SDR says whether what is "
    "kept is the target. A model may rely on a part of a sound, so a map that separates badly need not be wrong about the "
    "model; its probability says that. All sounds of a mixture are on one scale. interpretation: by the map; coefficient, "
    "oracle: controls."
)


@dataclass(frozen=True)
class MixedRecordings:
    """The result.

    table: a row for each mixture, domain, ranking and budget.  sweep: a row for each target and level.
    contrasts: a row for each method, domain, level and budget, against |coefficient|.
    summary: settings, counts and sentences.  out, files: where it is.
    """

    table: pd.DataFrame
    sweep: pd.DataFrame
    contrasts: pd.DataFrame
    summary: dict[str, Any]
    out: Path
    files: list[str]


def overlap(
    settings: Settings | None = None,
    out: str | Path = "results/overlap",
    progress: Progress | None = None,
    note: Callable[[str], object] | None = None,
    model: LoadedModel | str | None = None,
    pieces: Pieces | None = None,
    **options: Any,
) -> MixedRecordings:
    """Which coefficients of a mixture of two recordings make the model name one of them, and are they those of that one?

    settings: see `Settings`; or its fields as `options`. Written into `out`: results.csv, scores.parquet, sweep.csv,
    contrasts.csv, summary.json, report.html, figures, and sounds to hear. Each finished target is stored in `out`/.parts, and
    the same call continues there.
    progress: called with (targets done, targets planned).  note: called with a sentence for what is left out.
    model: replaces `settings.model`; of a `LoadedModel` the name is recorded.  pieces: which are measured, see `run_study`.

    Raises: ValueError for wrong settings, too few recordings, or where `out` holds other results; OSError; ImportError with
    the command that installs what is missing; Interrupted for a KeyboardInterrupt.
    """
    loaded = model if isinstance(model, LoadedModel) else None
    if model is not None:
        options["model"] = model.name if isinstance(model, LoadedModel) else model
    settings = dataclasses.replace(settings or Settings(), **options)
    return _run(settings, Path(out), progress, note or (lambda text: None), loaded, pieces or Pieces())


def noise(
    settings: Settings | None = None,
    out: str | Path = "results/noise",
    progress: Progress | None = None,
    note: Callable[[str], object] | None = None,
    model: LoadedModel | str | None = None,
    **options: Any,
) -> MixedRecordings:
    """As `overlap`, with white noise in place of the second recording, at 20, 10 and 0 dB by default."""
    return overlap(settings or Settings(**NOISE_LEVELS), out, progress, note, model, **options)


def _run(
    settings: Settings,
    out: Path,
    progress: Progress | None,
    note: Callable[[str], object],
    model: LoadedModel | None,
    pieces: Pieces,
) -> MixedRecordings:
    check_writable(out)
    results = Results(out, settings.name)
    results.held()
    model = model or settings.load_model(note)
    recordings = read_recordings(settings, model)
    shape = tuple(recordings.targets[0].target.shape)
    usual = [PAPER, *(one for one in model.signals.domains(shape) if one not in ("pixel", "dft"))]
    domains = distinct_domains(settings.domains or usual, shape, note)
    asked = settings.asked() | {"domains": domains}
    store = Store(out / ".parts", [asked, versions(), weights(recordings.model), recordings.rate])
    about = {"settings": dataclasses.asdict(settings), "domains": domains}
    with pieces.running(results, about):
        records, files = _records(recordings, domains, settings, store, pieces, progress)
        table, sweep = wide(records, settings), prediction(records, settings)
        found = conclude(table, sweep, settings)
        pictures, pair = paper_pair(recordings, settings, out)
        summary = about | _counts(records, recordings) | found.summary | {"pair": pair}
        files = ["report.html", "summary.json", *_write(table, sweep, found.contrasts, settings, out), *pictures, *files]
        shown = [("Contrasts", found.contrasts.reset_index(drop=True), "contrasts.csv")]
        write_section(out, TITLE, shown, {"": figures.SPECTROGRAMS} | figures.CAPTIONS, ABOUT)
        results.update(summary | {"files": files}, alone=True)
    write_page([out])
    return MixedRecordings(table, sweep, found.contrasts, summary, out, files)


def _records(
    recordings: Recordings,
    domains: tuple[str, ...],
    settings: Settings,
    store: Store,
    pieces: Pieces,
    progress: Progress | None,
) -> tuple[list[Record], list[str]]:
    """The record of each target, and the files that present the first ones."""
    report, found, targets = progress or (lambda done, planned: None), list[Record](), recordings.targets
    shown = {one * len(targets) // max(1, settings.shown) for one in range(min(settings.shown, len(targets)))}
    report(0, len(targets))
    pieces.plan(len(targets))
    for number, clip in enumerate(targets):
        record = _record(clip, recordings, domains, settings, store, pieces, number in shown)
        found += [] if record is None else [record]
        report(number + 1, len(targets))
    pieces.whole()
    return found, [name for record in found for name in record["files"]]


def _record(
    clip: Clip, recordings: Recordings, domains: tuple[str, ...], settings: Settings, store: Store, pieces: Pieces, shown: bool
) -> Record | None:
    """The stored record of a target, or a new one; None if it belongs to others."""

    def made() -> Record:
        begun, clock = time.process_time(), time.perf_counter()
        record, kept = trial(clip, recordings, domains, settings)
        record |= {"cpu_seconds": time.process_time() - begun, "seconds": time.perf_counter() - clock}
        record["files"] = present(record, kept, recordings.rate, settings, store.folder.parent) if shown else []
        return record

    key = f"{clip.name} {digest([clip.label, clip.target.double().flatten().tolist()])} {'shown' if shown else ''}"
    return pieces.take(store, key, made, clip.name, lambda record: record["files"])


def _counts(records: list[Record], recordings: Recordings) -> dict[str, Any]:
    """How much was read and evaluated."""
    evaluations = {kind: sum(one["evaluations"][kind] for one in records) for kind in ("forward", "gradient")}
    evaluations |= {kind: round(sum(one[kind] for one in records)) for kind in ("cpu_seconds", "seconds")}
    counts = {"recordings": len(recordings.clips), "targets": len(recordings.targets), "notes": recordings.notes}
    return {"versions": versions(), "classes": recordings.classes, "evaluations": evaluations} | counts


def _write(table: pd.DataFrame, sweep: pd.DataFrame, contrasts: pd.DataFrame, settings: Settings, out: Path) -> list[str]:
    """Writes tables and figures. Returns the names of the files."""
    for name, frame in (("results", table), ("sweep", sweep), ("contrasts", contrasts)):
        write_text(out / f"{name}.csv", frame.to_csv(index=False))
    with needs(settings.name, "'pullback[cli]'"):
        import pyarrow  # noqa: F401
    write_parquet(out / "scores.parquet", long(table))
    return [*TABLES, *figures.draw(table, sweep, contrasts, settings, out)]
