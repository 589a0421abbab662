"""Compares transform domains on one model and many photos, from one gradient stream."""

import dataclasses
import json
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ...attribution import attribute
from ...attribution import get as get_method
from ...core.files import write_text
from ...metrics import mean_interval
from ..loaders.data import Photo, Photos, load_photos
from ..loaders.models import LoadedModel, load_model
from ..report import figures
from ..report import page as report
from ..storage.fingerprint import answer, contents, weights
from ..storage.folder import check_writable
from ..storage.store import Store
from .measurements import domain_columns, photo_columns

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
METHOD = "integrated_gradients(tol=0.05, max_evaluations=100)"  # 5 % of the map: what one photo needs for a picture
BATCH = 4  # photos attributed together; results do not depend on it


@dataclass(frozen=True)
class Settings:
    """What is compared.

    method, transforms: specs, as in `attribute`.  limit: how many photos that can be read; None takes all.
    batch_size: most model rows in one forward, as in `attribute`.
    pictures: for how many photos maps and reconstructions are drawn.

    >>> Settings(transforms=("pixel", "dct"), limit=4).model
    'efficientnet-lite0'
    """

    model: str = "efficientnet-lite0"
    data: str = "imagenet-sample"
    method: str = METHOD
    transforms: tuple[str, ...] = DOMAINS
    limit: int | None = None
    device: str = "cpu"
    seed: int = 0
    batch_size: int | str = "auto"
    pictures: int = 3


@dataclass
class Outcome:
    """A row per photo × domain, what was skipped, and the folder that holds the files."""

    table: pd.DataFrame
    summary: dict[str, Any]
    out: Path
    files: list[str] = field(default_factory=list)


class _Tally:
    """Turns model rows of one batch into photos done of the whole study, for a bar with the time left."""

    STREAM = 0.6  # of a photo's time goes into the attribution, about; the rest into keeping coefficients

    def __init__(self, photos: int, domains: int, progress: Callable[[float, float], object] | None) -> None:
        self.photos, self.domains, self.progress = photos, domains, progress
        self.before, self.size, self.kept = 0, 0, 0

    def start(self, before: int, size: int) -> None:
        self.before, self.size, self.kept = before, size, 0
        self._show(0.0)

    def __call__(self, done: int, planned: int) -> None:
        """Progress of `attribute`."""
        self._show(self.STREAM * done / max(1, planned))

    def domain(self) -> None:
        """One domain of this batch has been scored."""
        self.kept += 1
        self._show(self.STREAM + (1 - self.STREAM) * self.kept / self.domains)

    def finish(self) -> None:
        self.start(self.photos, 0)

    def _show(self, share: float) -> None:
        if self.progress is not None:
            self.progress(self.before + share * self.size, self.photos)


def compare(
    settings: Settings,
    out: str | Path,
    progress: Callable[[float, float], object] | None = None,
    model: LoadedModel | None = None,
    note: Callable[[str], object] | None = None,
) -> Outcome:
    """Runs the comparison and writes results.csv, summary.json, report.html and PNG figures into `out`.

    An interrupted run leaves finished photos in `out`/.parts; the same settings pick them up again, if the model's weights
    and answer and the photos' contents are also the same. What a KeyboardInterrupt says is how many were finished.
    progress: called with (work done, work) in photos; the former is fractional, and ahead of what is stored.
    model: used in place of `settings.model`, whose name is then only recorded.
    note: called with a sentence where stored parts are not of this model, these photos or these settings.

    Raises: ValueError or ImportError for specs that cannot be met; OSError where `out` cannot be written.
    """
    out = Path(out)
    get_method(settings.method)
    check_writable(out)
    loaded = model or load_model(settings.model, settings.device)
    photos = load_photos(settings.data, settings.limit)
    parts = Store(out / ".parts", _question(settings, loaded, photos))
    clock = time.perf_counter()
    batches = list(_batches(photos.entries))
    if note is not None and parts.foreign() and not any(parts.read(number) for number in range(len(batches))):
        note(
            f"what an earlier run left in {parts.folder} is of another model, of other photos or of other settings; "
            "this one starts anew."
        )
    tally = _Tally(len(photos.entries), len(settings.transforms), progress)
    try:
        _run(settings, loaded, photos, out, parts, batches, tally)
    except KeyboardInterrupt:
        kept = sum(len(batch) for number, batch in enumerate(batches) if parts.read(number))
        raise KeyboardInterrupt(_standing(kept, len(photos.entries))) from None
    records, skipped, counts, pictures = _merged([parts.read(number) for number in range(len(batches))])
    if not records:
        raise ValueError(
            f"None of the {len(photos.entries)} files of {settings.data!r} could be read as an image; "
            f"the first: {skipped[0][0]}: {skipped[0][1]}."
        )
    table = pd.DataFrame(records)
    summary = _summary(settings, table, skipped, counts, time.perf_counter() - clock)
    return _finish(Outcome(table, summary, out, pictures))


def _question(settings: Settings, model: LoadedModel, photos: Photos) -> list[Any]:
    """All that the numbers depend on. The answer to the first photo also shows how photos are prepared."""
    first = next((image for _, image in photos), None)
    x = None if first is None else model.prepare(first)[None].to(settings.device)
    return [
        dataclasses.asdict(settings),
        contents(photos.entries),
        weights(model.module),
        None if x is None else answer(model.classify(x)),
        versions(),
    ]


def _run(
    settings: Settings,
    model: LoadedModel,
    photos: Photos,
    out: Path,
    parts: Store,
    batches: Sequence[list[Photo]],
    tally: _Tally,
) -> None:
    """Does and stores what no earlier run has."""
    before = 0  # photos that could be read
    for number, entries in enumerate(batches):
        part = parts.read(number)
        if part is None:
            tally.start(number * BATCH, len(entries))
            part = _run_batch(settings, model, Photos(photos.spec, entries), out, before, tally)
            parts.write(number, part)
        before += len(entries) - len(part["skipped"])
    tally.finish()


def _merged(parts: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[list[str]], dict[str, int], list[str]]:
    """(records, skipped files, evaluations by kind, pictures) of all batches together."""
    counts: dict[str, int] = {}
    for part in parts:
        for name, value in part["counts"].items():
            counts[name] = counts.get(name, 0) + value
    gather: Callable[[str], list[Any]] = lambda name: [item for part in parts for item in part[name]]
    return gather("records"), gather("skipped"), counts, gather("pictures")


def _standing(kept: int, planned: int) -> str:
    """What an interrupted run leaves."""
    if not kept:
        return f"none of {planned} photos was finished, so the same command starts from the first"
    return f"{kept} of {planned} photos are finished and kept; the same command goes on from there"


def _finish(outcome: Outcome) -> Outcome:
    out = outcome.out
    outcome.files = [*figures.overview(outcome.table, out), *outcome.files]
    write_text(out / "results.csv", outcome.table.to_csv(index=False))
    write_text(out / "summary.json", json.dumps(outcome.summary, indent=1))
    write_text(out / "report.html", report.page(outcome.table, outcome.summary, outcome.files))
    outcome.files = ["report.html", "results.csv", "summary.json", *outcome.files]
    shutil.rmtree(out / ".parts", ignore_errors=True)
    return outcome


def _batches(entries: Sequence[Photo]) -> Iterator[list[Photo]]:
    for start in range(0, len(entries), BATCH):
        yield list(entries[start : start + BATCH])


def _run_batch(
    settings: Settings, model: LoadedModel, photos: Photos, out: Path, before: int, tally: _Tally
) -> dict[str, Any]:
    """Everything about a few photos, as plain data.  before: how many photos that could be read came before them."""
    read = list(photos)
    skipped = [list(entry) for entry in photos.skipped]
    if not read:
        return {"records": [], "skipped": skipped, "counts": {}, "pictures": []}
    x = torch.stack([model.prepare(image) for _, image in read]).to(settings.device)
    logits = model.classify(x)
    predicted = logits.argmax(1)
    clock = time.perf_counter()
    maps = attribute(
        model.module,
        x,
        predicted,
        method=settings.method,
        transform=list(settings.transforms),
        batch_size=settings.batch_size,
        seed=settings.seed,
        progress=tally,
    )
    seconds = (time.perf_counter() - clock) / len(read)
    evaluations = maps[0].settings["evaluations"]
    common = photo_columns([photo for photo, _ in read], logits, predicted, maps[0].score_difference, model)
    measured = []
    for one in maps:
        measured.append(domain_columns(model, one, x, predicted, logits, settings.batch_size, settings.seed))
        tally.domain()
    records = [
        common[i]
        | {"transform": spec}
        | {key: value[i].item() for key, value in columns.items()}
        | {"seconds_stream": seconds}
        for i in range(len(read))
        for spec, columns in zip(settings.transforms, measured)
    ]
    pictures: list[str] = []
    for i, (photo, _) in enumerate(read[: max(0, settings.pictures - before)]):
        seen = model.class_name(int(predicted[i])) if logits.shape[1] > 1 else ""
        pictures += figures.photo(
            photo.name, before + i, [one[i] for one in maps], settings.transforms, out, seen, model.picture()
        )
    return {"records": records, "skipped": skipped, "counts": evaluations, "pictures": pictures}


def _summary(
    settings: Settings, table: pd.DataFrame, skipped: list[list[str]], counts: dict[str, int], seconds: float
) -> dict[str, Any]:
    photos = table.drop_duplicates("image")
    known = photos["correct"].dropna()
    return {
        "settings": dataclasses.asdict(settings),
        "versions": versions(),
        "photos": len(photos),
        "correct": f"{int(known.sum())} of {len(known)}" if len(known) else "no labels",
        "skipped": [{"file": name, "reason": reason} for name, reason in skipped],
        "model_rows": counts
        | {"note": "of attribution, for all domains together; the kept-coefficient rows come on top"},
        "seconds": {"this_run": seconds, "stream_per_photo": float(photos["seconds_stream"].mean())},
        "domains": {
            str(spec): _domain_summary(rows, settings.seed) for spec, rows in table.groupby("transform", sort=False)
        },
    }


def _domain_summary(rows: pd.DataFrame, seed: int) -> dict[str, Any]:
    """Mean and 95 % bootstrap interval of every measured column, in the order of the table."""
    names = [name for name in rows if pd.api.types.is_float_dtype(rows[name]) and name not in ("label",)]
    intervals = {name: mean_interval(rows[name].to_numpy(), seed=seed) for name in names if rows[name].notna().any()}
    numbers = {name: {"mean": mean, "low": low, "high": high} for name, (mean, low, high) in intervals.items()}
    return {"coefficients": int(rows["coefficients"].iloc[0])} | numbers


def versions() -> dict[str, str]:
    """Of what the numbers depend on."""
    import importlib.metadata as metadata

    packages = ("pullback", "torch", "numpy", "PyWavelets", "ptwt", "torch-dct")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in packages}
