"""Compares transform domains on one model and many photos, from one gradient stream."""

import dataclasses
import importlib.metadata
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from ...attribution import Attribution, attribute
from ...attribution import get as get_method
from ...attribution.methods.integrated_gradients.estimator import PICTURE_METHOD
from ...core.files import check_writable, write_text
from ...core.progress import Interrupted, Progress
from ...metrics import mean_interval
from ..loaders.data import Photo, Photos, load_photos
from ..loaders.model_formats import load_model
from ..loaders.models import LoadedModel, stacked
from ..report import figures
from ..report.page import page
from ..storage.fingerprint import answer, contents, weights
from ..storage.store import Store
from .measurements import domain_columns, photo_columns
from .verdicts import findings

DOMAINS = (
    "pixel",
    "dwt(haar, level=3)",
    "dwt(haar, level=5)",
    "dwt(db4, level=3)",
    "dwt(sym8, level=3)",
    "dwt(bior4.4, level=3)",
    "dwt(coif3, level=3)",
    "dwt(db4, level=3, mode=reflect)",
    "dct",
    "dft",
)
BATCH = 4  # photos attributed together; results do not depend on it


@dataclass(frozen=True)
class Settings:
    """What is compared.

    method, transforms: specs, as in `attribute`.  limit: the number of readable photos to take; None takes all.
    size, mean, std, channels, crop: change the model's preparation, see `Preparation.changed`; None keeps a part.
    batch_size: the largest number of model inputs in one forward, as in `attribute`.
    pictures: the number of photos for which maps and reconstructions are drawn.

    >>> Settings(transforms=("pixel", "dct"), limit=4).model
    'efficientnet-lite0'
    """

    model: str | Path = "efficientnet-lite0"
    data: str | Path = "imagenet-sample"
    method: str = PICTURE_METHOD
    transforms: tuple[str, ...] = DOMAINS
    limit: int | None = None
    size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channels: int | None = None
    crop: bool | None = None
    device: str = "cpu"
    seed: int = 0
    batch_size: int | str = "auto"
    pictures: int = 3

    def __post_init__(self) -> None:
        for name in ("model", "data"):
            object.__setattr__(self, name, os.fspath(getattr(self, name)))  # plain data for the summary

    def load_model(self) -> LoadedModel:
        """The model, on its device."""
        parts = {name: getattr(self, name) for name in ("size", "mean", "std", "channels", "crop")}
        return load_model(self.model, self.device).prepared(**parts)


@dataclass(frozen=True)
class Comparison:
    """The result: a row per photo × domain, a summary, and the folder with the files."""

    table: pd.DataFrame
    summary: dict[str, Any]
    out: Path
    files: list[str]


def compare(
    settings: Settings,
    out: str | Path,
    progress: Progress | None = None,
    model: LoadedModel | None = None,
    note: Callable[[str], object] | None = None,
) -> Comparison:
    """Runs the comparison and writes results.csv, summary.json, report.html and PNG figures into `out`.

    An interrupted run leaves finished photos in `out`/.parts. A later run uses them again if the settings, the model's
    weights and answer, and the contents of the photos are the same.
    progress: called with (steps done, steps planned): a photo takes two for each domain, its attribution and its scores.
    model: replaces `settings.model`, whose name is then only recorded.
    note: called with a sentence if stored work belongs to another model, other photos or other settings.

    Raises: ValueError or ImportError for wrong specs; ValueError where the model does not accept the photos; OSError where
    `out` cannot be written; Interrupted, with the number of stored photos, for a KeyboardInterrupt.
    """
    out = Path(out)
    get_method(settings.method)
    check_writable(out)
    run = _Run(settings, model or settings.load_model(), load_photos(settings.data, settings.limit), out, progress)
    if note is not None and run.store.foreign() and not any(map(run.store.read, range(len(run.batches)))):
        text = "holds unfinished work of another model, other photos or other settings"
        note(f"{run.store.folder} {text}; this run starts from the beginning.")
    clock = time.perf_counter()
    try:
        merged = _merged(run.parts())
    except KeyboardInterrupt:
        stored = [len(batch) for number, batch in enumerate(run.batches) if run.store.read(number)]
        raise Interrupted(sum(stored), len(run.photos.entries)) from None
    if not merged["records"]:
        count, first = len(run.photos.entries), ": ".join(merged["skipped"][0])
        raise ValueError(f"None of the {count} files of {settings.data!r} is a readable image; the first: {first}.")
    table = pd.DataFrame(merged["records"])
    merged["skipped"] = [*run.photos.left_out, *merged["skipped"]]
    summary = _summary(run.settings, table, merged, time.perf_counter() - clock)
    summary |= {"preparation": run.model.preparation(), "labels": run.labels}
    return Comparison(table, summary, out, _write(table, summary, merged["pictures"], out))


class _Run:
    """A comparison while it runs: batches of photos, and the store of those that are finished."""

    def __init__(self, settings: Settings, model: LoadedModel, photos: Photos, out: Path, progress: Progress | None) -> None:
        self.settings, self.model, self.out, self.progress = settings, model, out, progress
        logits = self._first(photos)
        self.options: dict[str, Any] = {"batch_size": self.settings.batch_size, "seed": settings.seed}
        self.photos, self.labels = photos.labelled(0 if logits is None else logits.shape[1], model.classes)
        photos = self.photos
        self.batches = [photos.entries[start : start + BATCH] for start in range(0, len(photos.entries), BATCH)]
        self.store = Store(out / ".parts", self._question([] if logits is None else answer(logits)))

    def _first(self, photos: Photos) -> Tensor | None:
        """The logits of the first photo that can be read."""
        for _, signal in photos.inputs(self.model.input):
            x = signal[None].to(self.settings.device)
            self.settings = dataclasses.replace(self.settings, batch_size=self.model.fitting(x, self.settings.batch_size))
            return self.model.check(x, self.settings.batch_size)
        return None

    def _question(self, answered: list[float]) -> list[Any]:
        """Everything that the numbers depend on. The answer to the first photo depends on the preparation and on code."""
        found = weights(self.model.module)
        return [dataclasses.asdict(self.settings), BATCH, versions(), contents(self.photos.entries), found, answered]

    def parts(self) -> list[dict[str, Any]]:
        """The results of all batches as plain data; those that the store lacks are computed and stored."""
        found: list[dict[str, Any]] = []
        readable = 0
        for number, entries in enumerate(self.batches):
            part = self.store.read(number)
            if part is None:
                part = self._part(number, entries, readable)
                self.store.write(number, part)
            found.append(part)
            readable += len(entries) - len(part["skipped"])
        return found

    def _part(self, number: int, entries: list[Photo], before: int) -> dict[str, Any]:
        """Everything about batch `number`.  before: the number of readable photos before it."""
        photos = Photos(entries)
        read = list(photos.inputs(self.model.input))
        part: dict[str, Any] = {"records": [], "evaluations": {}, "pictures": []}
        part |= {"skipped": photos.skipped, "notes": photos.notes}
        if not read:
            return part
        x = stacked({photo.name: signal for photo, signal in read}).to(self.settings.device)
        logits = self.model.classify(x, self.settings.batch_size)
        predicted = logits.argmax(1)
        clock = time.perf_counter()
        maps = self._maps(number, x, predicted, logits.shape[1] == 1)
        seconds = {"seconds_stream": (time.perf_counter() - clock) / len(read)}
        part["evaluations"] = maps[0].settings["evaluations"]
        common = photo_columns([photo for photo, _ in read], logits, predicted, maps[0].score_difference, self.model)
        measured = list(self._measured(number, maps, logits, predicted))
        for i, row in enumerate(common):
            for spec, columns in zip(self.settings.transforms, measured):
                numbers = {name: value[i].item() for name, value in columns.items()}
                part["records"].append(row | {"transform": spec} | numbers | seconds)
            if before + i < self.settings.pictures:
                seen = row["predicted_name"] or "" if logits.shape[1] > 1 else ""
                shown = row["image"], before + i, [one[i] for one in maps], self.settings.transforms
                part["pictures"] += figures.photo(*shown, self.out, seen, self.model.picture())
        return part

    def _maps(self, number: int, x: Tensor, predicted: Tensor, one_output: bool) -> list[Attribution]:
        """The attributions in all domains, from one stream of gradients. They are one step of each domain."""
        method, domains = self.settings.method, list(self.settings.transforms)
        report: Progress = lambda done, planned: self._report(number, len(domains) * done / max(1, planned))
        options = self.options | {"method": method, "transform": domains, "progress": report}
        return attribute(self.model.module, x, None if one_output else predicted, **options)

    def _measured(self, number: int, maps: list[Attribution], logits: Tensor, predicted: Tensor) -> Iterator[dict[str, Tensor]]:
        """The columns of every domain. They are the other step."""
        for done, one in enumerate(maps, 1):
            yield domain_columns(self.model.module, one, logits, predicted, **self.options)
            self._report(number, len(maps) + done)

    def _report(self, number: int, steps: float) -> None:
        """Progress: every photo of batch `number` has done `steps` of its two for each domain."""
        if self.progress is not None:
            each, size = 2 * len(self.settings.transforms), len(self.batches[number])
            self.progress(number * BATCH * each + int(size * steps), len(self.photos.entries) * each)


def _merged(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The results of all batches together: lists in the order of the photos, and sums of evaluations by kind."""
    evaluations: dict[str, int] = {}
    for part in parts:
        for name, value in part["evaluations"].items():
            evaluations[name] = evaluations.get(name, 0) + value
    lists = ("records", "skipped", "notes", "pictures")
    return {name: [item for part in parts for item in part[name]] for name in lists} | {"evaluations": evaluations}


def _summary(settings: Settings, table: pd.DataFrame, merged: dict[str, Any], seconds: float) -> dict[str, Any]:
    photos = table.drop_duplicates("image")
    known = photos["correct"].dropna()
    domains = table.groupby("transform", sort=False)
    return {
        "settings": dataclasses.asdict(settings),
        "versions": versions(),
        "photos": len(photos),
        "correct": f"{int(known.sum())} of {len(known)}" if len(known) else "no labels",
        "skipped": [{"file": name, "reason": reason} for name, reason in merged["skipped"]],
        "notes": [{"file": name, "note": note} for name, note in merged["notes"]],
        "evaluations": merged["evaluations"],  # of the attribution, for all domains together
        "seconds": {"this_run": seconds, "stream_per_photo": float(photos["seconds_stream"].mean())},
        "domains": {str(spec): _domain_summary(rows, settings.seed) for spec, rows in domains},
    }


def _domain_summary(rows: pd.DataFrame, seed: int) -> dict[str, Any]:
    """Mean and 95 % bootstrap interval of every measured column, in the order of the table."""
    names = [name for name in rows if pd.api.types.is_float_dtype(rows[name]) and name != "label"]
    intervals = {name: mean_interval(rows[name].to_numpy(), seed=seed) for name in names if rows[name].notna().any()}
    numbers = {name: {"mean": mean, "low": low, "high": high} for name, (mean, low, high) in intervals.items()}
    return {"coefficients": int(rows["coefficients"].iloc[0])} | numbers


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that the numbers depend on."""
    packages = ("pullback", "torch", "numpy", "PyWavelets", "ptwt", "torch-dct")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}


def _write(table: pd.DataFrame, summary: dict[str, Any], pictures: list[str], out: Path) -> list[str]:
    """Draws the figures about all photos, writes the files, and removes the store. Returns the names of all files."""
    pictures = [*figures.overview(table, out), *pictures]
    write_text(out / "results.csv", table.to_csv(index=False))
    write_text(out / "summary.json", json.dumps(summary, indent=1))
    write_text(out / "report.html", page(table, summary, pictures, findings(table)))
    shutil.rmtree(out / ".parts", ignore_errors=True)
    return ["report.html", "results.csv", "summary.json", *pictures]
