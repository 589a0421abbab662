"""Compares transform domains on one model and many photos, from one gradient stream."""

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from ...attribution import get as get_method
from ...core.checks import check_path
from ...core.defaults import PICTURE_METHOD
from ...core.files import check_writable, plain, write_text
from ...core.progress import Interrupted, Progress
from ..kinds.image import DOMAINS as DOMAINS
from ..loaders.data import Photos, load_photos
from ..loaders.model_formats import load_model
from ..loaders.models import LoadedModel
from ..report import figures
from ..report.page import distinct, page
from ..storage.distinct import distinct_domains
from ..storage.fingerprint import answer, weights
from ..storage.results import Results
from ..storage.store import Store
from .parts import Parts
from .summary import summarize, versions
from .verdicts import findings

UNCOMPARED = {"limit", "pictures", "device", "batch_size"}  # settings with which a folder may be continued


@dataclass(frozen=True)
class Settings:
    """What is compared.

    method, transforms: specs, as in `attribute`; without transforms, those of the model's kind of signal.
    limit: the number of readable photos to take; None takes all.
    size, mean, std, channels, crop: change the model's preparation, see `Preparation.changed`; None keeps a part.
    batch_size: the largest number of model inputs in one forward, as in `attribute`.
    pictures: the number of photos for which maps and reconstructions are drawn.
    kind, rate, window: what the model takes, see `LoadedModel`; None keeps what it says itself.

    >>> Settings(transforms=("pixel", "dct"), limit=4).model
    'efficientnet-lite0'
    """

    model: str | Path = "efficientnet-lite0"
    data: str | Path = "imagenet-sample"
    method: str = PICTURE_METHOD
    transforms: tuple[str, ...] = ()
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
    kind: str | None = None
    rate: float | None = None
    window: int | None = None

    def __post_init__(self) -> None:
        for name in ("model", "data"):
            object.__setattr__(self, name, check_path(name, getattr(self, name)))  # plain data for the summary

    def load_model(self) -> LoadedModel:
        """The model, on its device."""
        parts = {name: getattr(self, name) for name in ("size", "mean", "std", "channels", "crop")}
        return load_model(self.model, self.device).described(self.kind, self.rate, self.window).prepared(**parts)


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

    Finished photos are stored in `out`/.parts. A later run with the same settings uses them again if the model's weights and
    answer and the content of the photo are the same; it may have another limit, or more photos. A domain that is given
    twice is compared once, and a picture that is there twice counts once in means and intervals.
    progress: called with (steps done, steps planned): a photo takes two for each domain, its attribution and its scores.
    model: replaces `settings.model`, whose name is then only recorded.
    note: called with a sentence if a domain is left out, or if stored work belongs to another model or other photos.

    Raises: ValueError or ImportError for wrong specs; ValueError where the model does not accept the photos, and where `out`
    holds other results or another run uses it; OSError where `out` cannot be written; Interrupted, with the number of
    stored photos, for a KeyboardInterrupt.
    """
    out, told = Path(out), note or (lambda text: None)
    get_method(settings.method)
    check_writable(out)
    results = Results(out, "compare")
    results.held()
    model = model or settings.load_model()
    photos = load_photos(settings.data, settings.limit, model.signals)
    x = _first(model, photos, settings)
    model = model.whole(x)
    shape = tuple(x.shape[1:])
    domains = distinct_domains(settings.transforms or model.signals.domains(shape), shape, told)
    settings = dataclasses.replace(settings, transforms=domains, batch_size=model.fitting(x, settings.batch_size))
    logits = model.check(x, settings.batch_size)
    photos, labels = photos.labelled(logits.shape[1], model.classes)
    store = Store(out / ".parts", _question(settings, model, logits))
    _check_settings(results, settings)
    clock = time.perf_counter()
    with results.run({"settings": dataclasses.asdict(settings)}, alone=True):
        parts = Parts(settings, model, photos, store, out, progress)
        if note is not None and store.foreign() and not parts.stored():
            work = "holds work with another model, other photos, another device, batch size or version"
            note(f"{plain(store.folder)} {work}; this run starts from the beginning.")
        try:
            found = parts.all()
        except KeyboardInterrupt:
            raise Interrupted(parts.stored(), len(parts.photos)) from None
        table = pd.DataFrame(parts.rows(found))
        summary = {"settings": dataclasses.asdict(settings), "preparation": model.preparation(), "labels": labels}
        summary |= summarize(table, found, [(plain(name), plain(why)) for name, why in photos.left_out], settings.seed)
        stream = float(table.drop_duplicates("image")["seconds_stream"].mean())
        summary["seconds"] = {"this_run": time.perf_counter() - clock, "stream_per_photo": stream}
        files = _write(table, summary, parts.pictures(found), out)
        results.update(summary | {"files": files}, alone=True)
    return Comparison(table, summary, out, files)


def _first(model: LoadedModel, photos: Photos, settings: Settings) -> Tensor:
    """The model's input for the first photo, (1, *shape).  Raises: ValueError where no photo can be read."""
    for _, signal in photos.inputs(model.input):
        return signal[None].to(settings.device)
    count, reason = len(photos.entries), ": ".join(map(plain, photos.skipped[0]))
    one = model.signals.what.split()[-1]
    raise ValueError(f"None of the {count} files of {settings.data!r} is a readable {one}; the first: {reason}.")


def _question(settings: Settings, model: LoadedModel, logits: Tensor) -> list[Any]:
    """All that the numbers of a photo depend on. The answer to the first photo depends on the preparation and on code."""
    asked = {name: value for name, value in dataclasses.asdict(settings).items() if name not in ("limit", "pictures", "data")}
    return [asked, model.preparation(), versions(), weights(model.module), answer(logits)]


def _check_settings(results: Results, settings: Settings) -> None:
    """Raises: ValueError where the folder holds work that was done with other settings."""
    held, asked = results.held().get("settings"), json.loads(json.dumps(dataclasses.asdict(settings)))
    started = (results.out / "results.csv").exists() or any((results.out / ".parts").glob("*.json"))
    if not started or not isinstance(held, dict):
        return
    changed = [name for name in asked if name not in UNCOMPARED and held.get(name) != asked[name]]
    if changed:
        first = f"{plain(held.get(changed[0]))[:50]!r}, now {plain(asked[changed[0]])[:50]!r}"
        what = f"a comparison with other settings ({', '.join(changed)}: {first})"
        raise ValueError(f"{plain(results.out)[:80]} holds {what}; choose another folder with --out.")


def _write(table: pd.DataFrame, summary: dict[str, Any], pictures: list[str], out: Path) -> list[str]:
    """Draws the figures about all photos, and writes the table and the page. Returns the names of all files."""
    pictures = [*figures.overview(distinct(table), out), *pictures]
    write_text(out / "results.csv", table.to_csv(index=False))
    write_text(out / "report.html", page(table, summary, pictures, findings(table)))
    return ["report.html", "results.csv", "summary.json", *pictures]
