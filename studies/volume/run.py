"""`volume`: the study of volumes, piece by piece."""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ...core.files import check_writable, write_parquet, write_text
from ...core.imports import needs
from ...core.progress import Progress
from ...metrics.statistics import mean_interval
from ..compare.summary import versions
from ..loaders.data import Photo
from ..report.report import write_page
from ..storage.fingerprint import content
from ..storage.pieces import Files, Pieces
from ..storage.results import Results
from ..storage.store import Store, digest
from . import claims
from .figures import drawn
from .page import write
from .pictures import pictured
from .settings import Settings
from .subject import Record, Subject, answers, load, measured


@dataclass(frozen=True)
class Volume:
    """The result.

    table: one row per volume, method, domain, map, control and scale.  means: over volumes.  contrasts: the declared
    differences.  summary: settings, accuracies and sentences.  out, files: where it is.
    """

    table: pd.DataFrame
    means: pd.DataFrame
    contrasts: pd.DataFrame
    summary: dict[str, Any]
    out: Path
    files: list[str]


def volume(
    settings: Settings | None = None,
    out: str | Path = "results/volume",
    progress: Progress | None = None,
    note: Callable[[str], object] | None = None,
    pieces: Pieces | None = None,
    **options: Any,
) -> Volume:
    """Whether coarse scales of a model's importance lie at the surface of an object in a volume, and fine ones inside it.

    The edge fraction of a scale is the share of Σ|a| within a voxel of the surface, of that within it and deeper inside. It is
    compared with that of importance shuffled within the band, of |coefficient| and of a model with permuted parameters.

    settings: see `Settings`; or its fields as `options`. Written into `out`: scores.parquet with the edge fractions,
    profiles.parquet with the shares by distance, results.csv, contrasts.csv, summary.json, report.html, figures, and NIfTI
    files of the first volumes. Each finished volume is stored in `out`/.parts, and the same call continues there.
    progress: called with (volumes done, volumes planned).
    note: called with a sentence for each volume or data set that is left out.  pieces: which are measured, see `run_study`.

    Raises: ValueError for wrong settings, models or data, or where `out` holds other results; OSError; ImportError;
    Interrupted for a KeyboardInterrupt.
    """
    settings, out = dataclasses.replace(settings or Settings(), **options), Path(out)
    check_writable(out)
    results = Results(out, "study volume")
    chosen = pieces or Pieces()
    with chosen.running(results, {"settings": dataclasses.asdict(settings)}):
        found = _studied(settings, out, chosen, progress, note or (lambda text: None))
        results.update(found.summary | {"files": found.files}, alone=True)
    write_page([out])
    return found


def _studied(settings: Settings, out: Path, pieces: Pieces, progress: Progress | None, told: Callable[[str], object]) -> Volume:
    left_out: list[dict[str, str]] = []

    def leave_out(name: str, why: str) -> None:
        left_out.append({"name": name, "reason": why})
        told(f"{name} is left out: {why}")

    subjects = _loaded(settings, leave_out)
    done = _Done(subjects, settings, out, pieces, progress)
    records, others = [done.records(one) for one in subjects], [done.others(one) for one in subjects]
    pieces.whole()
    tables = [claims.long_table(done.whole(one, own, leave_out), one.data, one.name) for one, own in zip(subjects, records)]
    summary = {"settings": dataclasses.asdict(settings), "versions": versions(), "left_out": left_out, "seconds": done.seconds}
    summary["accuracies"] = [_accuracy(one, answers) for one, (answers, _) in zip(subjects, others)]
    files = [name for _, drawn in others for name in drawn["files"]]
    return _written(pd.concat(tables, ignore_index=True), summary, files, out, settings.seed)


def _loaded(settings: Settings, left_out: Callable[[str, str], object]) -> list[Subject]:
    """The models with their data; of the packaged ones, those that are installed.  Raises: ImportError where none is."""
    found, missing = [], list[ImportError]()
    for name, data in settings.pairs:
        try:
            found.append(load(name, data, settings))
        except ImportError as error:
            if settings.models:
                raise
            missing.append(error)
            left_out(data, str(error))
    if not found:
        raise missing[0]
    return found


class _Done:
    """The finished pieces of a run: those that are stored, and those that are computed now."""

    def __init__(
        self, subjects: list[Subject], settings: Settings, out: Path, pieces: Pieces, progress: Progress | None
    ) -> None:
        self.pieces, self.progress = pieces, progress or (lambda done, planned: None)
        counts = [min(settings.limit, len(subject.photos.entries)) for subject in subjects]
        self.settings, self.out, self.done, self.planned = settings, out, 0, sum(counts)
        self.seconds: dict[str, dict[str, float]] = {}
        pieces.plan(self.planned)

    def _piece(
        self, subject: Subject, key: str, make: Callable[[], Record], files: Files = lambda piece: (), late: bool = False
    ) -> Record | None:
        question = subject.fingerprint | self.settings.question | {"data": subject.data, "versions": versions()}
        return self.pieces.take(Store(self.out / ".parts", question), key, make, f"{key} of {subject.name}", files, late)

    def others(self, subject: Subject) -> tuple[Record, Record]:
        """Which volumes the model names rightly, and the files that show the first ones."""
        self.pieces.plan(2)
        found = self._piece(subject, f"answers/{self.settings.tested}", lambda: answers(subject))
        first = [[photo.name, content(photo)] for photo, _ in subject.signals(self.settings.pictures)]
        made: Callable[[], Record] = lambda: {"files": pictured(subject, self.out)}
        drawn = self._piece(subject, f"pictures/{digest(first)}", made, lambda piece: piece["files"])
        loading = self._piece(subject, "loading", lambda: {"seconds": subject.seconds}, late=True)
        self.seconds[subject.name] = {} if loading is None else {"loading": loading["seconds"]}
        return found or {}, drawn or {}

    def records(self, subject: Subject) -> list[tuple[str, Record]]:
        """The name and the record of each volume that belongs to this run."""
        found = []
        for photo, signal in subject.signals(self.settings.limit):
            key = f"{photo.name}/{digest(content(photo))}"
            record = self._piece(subject, key, lambda photo=photo, signal=signal: _tried(subject, photo, signal))  # type: ignore[misc]
            self.done += 1
            self.progress(self.done, self.planned)
            found += [] if record is None else [(photo.name, record)]
        return found

    def whole(
        self, subject: Subject, records: list[tuple[str, Record]], left_out: Callable[[str, str], object]
    ) -> list[Record]:
        """Where the importance of each volume lies; those without a surface are left out."""
        for name, record in records:
            if "fault" in record:
                left_out(name, record["fault"])
        found = [record for _, record in records if "fault" not in record]
        if not found:
            raise ValueError(f"study volume: no volume of {subject.data[:80]} has an object with a surface; choose --border.")
        self.seconds[subject.name]["volumes"] = sum(record["seconds"] for record in found)
        return found


def _tried(subject: Subject, photo: Photo, signal: Any) -> Record:
    """The record of a volume, or why there is none."""
    try:
        return measured(subject, photo, signal)
    except ValueError as error:
        if not str(error).startswith("signed_distance"):
            raise
        return {"fault": str(error)}


def _accuracy(subject: Subject, found: Record) -> dict[str, Any]:
    """The share of right answers; Wilson's interval over volumes, one over classes; chance: the largest class."""
    right, labels = np.array(found["right"], float), found["label"]
    about: dict[str, Any] = {"model": subject.name, "data": subject.data, "of": len(right), "right": int(right.sum())}
    if not len(right):
        return about
    interval = stats.binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    _, low, high = mean_interval(right, cluster=labels)
    largest = np.unique(labels, return_counts=True)[1].max() / len(labels)
    about |= {"accuracy": float(right.mean()), "low": float(interval.low), "high": float(interval.high)}
    return about | {"class_low": low, "class_high": high, "chance": float(max(largest, 1 / max(found["outputs"], 1)))}


def _written(table: pd.DataFrame, summary: dict[str, Any], files: list[str], out: Path, seed: int) -> Volume:
    """Writes tables, figures and the report."""
    mean, found = claims.means(table, seed), claims.contrasts(table, seed)
    findings = claims.sentences(mean, found, summary["accuracies"])
    summary |= {"findings": findings, "answers": claims.answers(found).to_dict("records")}
    write_text(out / "results.csv", mean.to_csv(index=False))
    write_text(out / "contrasts.csv", found.to_csv(index=False))
    with needs("study volume", "'pullback[cli]'"):  # pyarrow, which pandas imports
        for file, rows in (("scores", claims.scores(table)), ("profiles", table)):
            write_parquet(out / f"{file}.parquet", rows)
    figures = drawn(table, mean, out)
    write(mean, found, [*figures, *(name for name in files if name.endswith(".png"))], out)
    tables = ["results.csv", "contrasts.csv", "scores.parquet", "profiles.parquet"]
    written = ["summary.json", "report.html", *tables, *figures, *files]
    return Volume(table, mean, found, json.loads(json.dumps(summary)), out, written)
