"""Runs the robustness study: a stored piece for each model and batch of examples, then tables, figures and a report."""

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ...attribution.engine.check_model import feed_dtype
from ...core.files import check_writable, plain, write_text
from ...core.progress import Interrupted, Progress
from ...transforms import get as get_transform
from ..compare.summary import versions
from ..kinds import Signal
from ..loaders.data import Photo, Photos, load_photos
from ..loaders.models import LoadedModel, stacked
from ..report.report import write_page
from ..storage.fingerprint import answer, weights
from ..storage.results import Results
from ..storage.store import Store, digest
from ..zoo.fashion_mnist import FASHION_NETS
from . import figures, page
from .net import Net
from .octaves import depth
from .settings import Settings
from .subject import Brightness, Subject, evaluations, measured
from .tables import examples, results
from .verdicts import claims, summary

_PIECE = 2**17  # values of the inputs of one stored piece
_LEVELS, _SHORTEST = 5, 4  # of the default wavelet; samples along an axis
_TRAINED = 5.0  # seconds that reading a trained network does not take
_Task = tuple[
    Store, Subject, Tensor, Tensor, int
]  # where a piece is stored, and what is measured: u, labels, examples of the heat map


@dataclass(frozen=True)
class Robustness:
    """The result.

    table: one number a row, for each model and group of models, with its interval.  claims: comparisons of groups, correlations
    and AUROCs, with their controls and corrected intervals.  summary: settings, counts and sentences.  out, files: where it is.
    """

    table: pd.DataFrame
    claims: pd.DataFrame
    summary: dict[str, Any]
    out: Path
    files: list[str]

    @property
    def accuracies(self) -> dict[str, pd.DataFrame]:
        """By data set, the right answers of each group in per cent, unchanged and under attacks."""
        return {data: page.accuracies(self.table, data) for data in dict.fromkeys(self.table["data"])}


def robustness(
    settings: Settings | None = None,
    out: str | Path = "results/robustness",
    progress: Progress | None = None,
    note: Callable[[str], object] | None = None,
    **options: Any,
) -> Robustness:
    """Importance by scale of several models, and how they answer to filters, noise of one octave, single waves and attacks.

    settings: see `Settings`; or its fields as `options`, as models=["net:make"], data="photos".
    Written into `out`: results.csv and claims.csv (long, one number a row), spectra.csv.gz and answers.csv.gz (every example),
    summary.json, report.html, figures. Finished batches of examples are stored in `out`/.parts; the same call continues there.
    progress: called with (work done, work planned), in forwards of the models.  note: called with sentences on what is done.

    Raises: ValueError, TypeError or ImportError for wrong settings; ValueError where a model is no classifier or does not
    accept the data, or `out` holds other results; OSError; Interrupted, with the number of stored pieces, for a
    KeyboardInterrupt.

    >>> import tempfile, torch
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / "photos").mkdir()
    ...     for number, color in enumerate(("red", "blue", "green")):
    ...         Image.new("RGB", (8, 8), color).save(f"{folder}/photos/{number}.png")
    ...     one = {"models": ["torch.nn:Flatten"], "data": f"{folder}/photos", "size": 8, "heat": 0, "steps": 1}
    ...     found = robustness(**one, out=f"{folder}/out")
    >>> found.table.query("quantity == 'share' and name == 'mean'")["band"].tolist()[:2]
    ['coarser', 'octave 2']
    """
    settings = replace(settings or Settings(), **options)
    out, told = Path(out), note or (lambda text: None)
    check_writable(out)
    store = Results(out, "study robustness")
    _check_settings(store, settings)
    clock = time.process_time(), time.perf_counter()
    with store.run({"settings": dataclasses.asdict(settings)}, alone=True):
        study = _Study(settings, out, progress, told)
        try:
            nets = study.nets()
        except KeyboardInterrupt:
            raise Interrupted(study.pieces, study.pieces_planned) from None
        table, found = results(nets, settings), claims(nets, settings)
        about = summary(nets, table, found, settings) | {"versions": versions(), "settings": dataclasses.asdict(settings)}
        about["skipped"] = [one for files in study.skipped.values() for one in files]
        about["seconds"] = {"cpu": time.process_time() - clock[0], "wall": time.perf_counter() - clock[1]} | study.seconds
        about["pieces"] = {"all": study.pieces, "of_this_run": study.measured}
        files = _write(nets, table, found, about, settings, out)
        store.update(about | {"files": files}, alone=True)
    write_page([out])
    return Robustness(table, found, about, out, files)


class _Study:
    """The models one after the other, and the pieces of each."""

    def __init__(self, settings: Settings, out: Path, progress: Progress | None, told: Callable[[str], object]) -> None:
        self.settings, self.out, self.progress, self.told = settings, out, progress, told
        self.done = self.planned = self.pieces = self.pieces_planned = self.measured = 0
        self.seconds = {"loading_and_training_cpu": 0.0}
        self.skipped: dict[str, list[dict[str, str]]] = {}

    def nets(self) -> list[Net]:
        """What is measured of every model."""
        return [self._net(place, *pair) for place, pair in enumerate(self.settings.pairs)]

    def _net(self, place: int, name: str, data: str) -> Net:
        model, question = self._loaded(name), [self.settings.question, versions()]
        found, read = _inputs(model, data, self.settings)
        self.skipped[data] = [{"file": plain(name), "reason": plain(why)} for name, why in found.skipped]
        runs = _subjects(model, read, self.settings)
        classes = runs[0][0].scores(runs[0][1][:1]).shape[1]
        photos = replace(found, entries=[photo for photo, _ in read]).labelled(classes, model.classes)[0].entries
        label = torch.tensor([-1 if photo.label is None else photo.label for photo in photos])
        heat = self.settings.heat if len(runs) == 1 else 0  # waves of another length are other waves
        tasks, first = [], 0
        for subject, u in runs:
            store = Store(self.out / ".parts", [*question, subject.domain, *_known(subject, u)])
            for rows in torch.arange(len(u)).split(max(1, min(50, _PIECE // u[0].numel()))):
                hot = max(0, min(heat - first, len(rows)))
                tasks.append((store, subject, u[rows], label[first : first + len(rows)].to(u.device), hot))
                first += len(rows)
        remaining = len(self.settings.pairs) - place
        self.planned = self.done + remaining * sum(_work(task) for task in tasks)
        self.pieces_planned = self.pieces + remaining * len(tasks)
        names = [plain(photo.name) for photo in photos]
        return Net.joined(name, self.settings.group(name), data, runs[0], classes, names, [self._piece(task) for task in tasks])

    def _loaded(self, name: str) -> LoadedModel:
        start = time.process_time()
        model = self.settings.loaded(name)
        seconds = time.process_time() - start
        self.seconds["loading_and_training_cpu"] += seconds
        if name in FASHION_NETS and seconds > _TRAINED:
            self.told(f"{name} was trained in {seconds:.0f} s and is kept for the next time.")
        return model

    def _piece(self, task: _Task) -> dict[str, Any]:
        """The measured examples of a task, from the store where they are there."""
        store, subject, u, label, heat = task
        content = hashlib.blake2b(u.cpu().contiguous().numpy().tobytes()).hexdigest()
        key, before = digest([content, tuple(u.shape), label.tolist(), heat]), self.done
        part = store.read(key)
        if not isinstance(part, dict):
            part = measured(subject, u, label, heat, self._count)
            store.write(key, part)
            self.measured += 1
        self.done, self.pieces = before + _work(task), self.pieces + 1
        self._count(0)
        return part

    def _count(self, done: int) -> None:
        self.done += done
        if self.progress is not None:
            self.progress(min(self.done, self.planned), self.planned)


def _work(task: _Task) -> int:
    """The work on a piece, in forwards."""
    _, subject, u, _, heat = task
    each = [evaluations(subject.settings, u.shape[2:], hot) for hot in (False, True)]
    return (len(u) - heat) * each[0] + heat * each[1]


def _known(subject: Subject, u: Tensor) -> list[Any]:
    """What the model is: its preparation, its weights, and its answer to the first example."""
    return [subject.model.preparation(), weights(subject.model.module), answer(subject.scores(u[:1]))]


def _inputs(model: LoadedModel, data: str, settings: Settings) -> tuple[Photos, list[tuple[Photo, Signal]]]:
    """The data, and the examples of them that can be read.  Raises: ValueError where there is none."""
    photos = load_photos(data, settings.limit, model.signals)
    found = list(photos.inputs(model.fitted))
    if not found:
        reason = ": ".join(map(plain, photos.skipped[0]))
        raise ValueError(f"None of the {len(photos.entries)} files of {data[:60]!r} can be read; the first: {reason}.")
    return photos, found


def _subjects(model: LoadedModel, read: Sequence[tuple[Photo, Signal]], settings: Settings) -> list[tuple[Subject, Tensor]]:
    """Runs of examples of one shape, each with the model in the units in which it is asked.

    Raises: ValueError where the model has one output, signals are too short, or the domain has no octaves.
    """
    sides = {min(signal.values.shape[1:]) for _, signal in read}
    if min(sides) < _SHORTEST:
        what = f"inputs of at least {_SHORTEST} samples along each axis"
        raise ValueError(f"{model.name}: expected {what}, got one of {min(sides)}.")
    domain = settings.transform or f"dwt(haar, level={_level(min(sides))})"
    named: Callable[[Any], dict[str, Tensor]] = lambda run: {
        f"{photo.name} ({number})": signal.values for number, (photo, signal) in enumerate(run)
    }
    runs = [stacked(named(run)) for run in model.signals.batches(read)]
    found = [_subject(model, x.to(settings.device), domain, settings) for x in runs]
    if len({depth(u.shape[2:]) for _, u in found}) > 1:
        what = f"from {min(sides)} to {max(sides)} samples have different octaves"
        raise ValueError(f"{model.name}: inputs {what}; cut them to one length.")
    return found


def _subject(model: LoadedModel, x: Tensor, domain: str, settings: Settings) -> tuple[Subject, Tensor]:
    """The model of x, which are inputs as `prepare` makes them, as a function of u, and u."""
    model = model.whole(x)
    fitting = model.fitting(x, "auto")
    batch = fitting if isinstance(fitting, int) else None
    if model.check(x, batch or 1).shape[1] < 2:
        raise ValueError(f"{model.name}: expected a classifier with two outputs or more, got one output.")
    bands = [band.name for band in get_transform(domain, tuple(x.shape[1:])).layout.group("octave").bands]
    if bands != ["coarser", *(f"octave {number}" for number in range(len(bands) - 1, 0, -1))]:
        advice = "choose one with octaves, as dwt(haar, level=4) or dct"
        raise ValueError(f"robustness: {plain(domain)[:60]} has the bands {', '.join(bands)[:60]}; {advice}.")
    picture = model.picture() if model.kind == "image" else None
    if picture is None:
        return Subject(model, domain, None, settings, batch), x
    mean = picture(torch.zeros_like(x[0, :, :1, :1]))
    std = picture(torch.ones_like(mean)) - mean
    module = Brightness(model.module, mean, std, feed_dtype(model.module, x.dtype))
    return Subject(replace(model, module=module), domain, 1.0, settings, batch), picture(x)


def _level(side: int) -> int:
    """The depth of the default wavelet: at most 5, and with two coefficients left along each side."""
    return max(1, min(_LEVELS, math.ceil(math.log2(side)) - 1))


def _check_settings(store: Results, settings: Settings) -> None:
    """Raises: ValueError where the folder holds work that was done with other settings."""
    held, asked = store.held().get("settings"), json.loads(json.dumps(dataclasses.asdict(settings)))
    if isinstance(held, dict):
        changed = [name for name in asked if name not in ("device", "limit") and held.get(name) != asked[name]]
        if changed:
            was, now = (plain(each.get(changed[0]))[:40] for each in (held, asked))
            what = f"a study with other settings ({', '.join(changed)[:60]}: {was!r}, now {now!r})"
            raise ValueError(f"{plain(store.out)[:60]} holds {what}; choose another folder with --out.")


def _write(
    nets: list[Net], table: pd.DataFrame, found: pd.DataFrame, about: dict[str, Any], settings: Settings, out: Path
) -> list[str]:
    """Writes the tables, the figures and the page. Returns the names of all files."""
    pictures = figures.drawn(nets, table, found, settings, out)
    for name, rows in examples(nets).items():
        page.write_table(rows, out / f"{name}.csv.gz")
    write_text(out / "results.csv", table.to_csv(index=False))
    write_text(out / "claims.csv", found.to_csv(index=False))
    page.write(table, found, about, pictures, out)
    return ["report.html", "results.csv", "claims.csv", "spectra.csv.gz", "answers.csv.gz", "summary.json", *pictures]
