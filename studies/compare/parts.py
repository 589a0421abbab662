"""The measured photos of a comparison: each is one stored part, and only those that the store lacks are computed."""

import functools
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...attribution import Attribution, open_engine
from ...attribution.call import run
from ...core.files import plain
from ...core.progress import Progress
from ...metrics.protocol.run import Run, Scored
from ...metrics.protocol.shuffled import shuffled
from ..kinds import Signal
from ..loaders.data import Photo, Photos
from ..loaders.models import LoadedModel, stacked
from ..report import figures
from ..report.page import COLUMNS
from ..storage.fingerprint import content
from ..storage.store import Store, digest
from .measurements import domain_columns, photo_columns
from .scores import as_data, as_scored
from .settings import Settings

BATCH = 4  # photos attributed together; results do not depend on it
Part = dict[str, Any]  # name, records, evaluations, pictures, and lists of why it is skipped and how it was read, of one photo
_RECORD = ("image", "label", "predicted", "predicted_name", "correct", "probability", "score", "score_difference", "transform")
_EMPTY: Part = {"records": [], "evaluations": {}, "pictures": []}
_SAID = ("skipped", "notes")  # why a photo cannot be read, and how it was read otherwise than it is stored
_NUMBERS = ("coefficients", "seconds_stream", "completeness_gap", "uncorrected_gap", *(name for name, _, _ in COLUMNS))


class Parts:
    """The photos of a comparison in their order, and a part for each: its records, pictures and evaluations.

    A part is known by the name, the label and the content of its photo, so that it stays valid if photos are added.
    settings: of one cell.  store: of the question that the parts answer.  folder: inside `out`, for its pictures.
    """

    def __init__(
        self,
        settings: Settings,
        model: LoadedModel,
        photos: Photos,
        store: Store,
        out: Path,
        progress: Progress | None,
        folder: str = "",
    ) -> None:
        self.settings, self.model, self.store, self.out, self.progress = settings, model, store, out, progress
        self.folder, self.protocol = folder, settings.protocol()
        self.photos = [replace(photo, name=plain(photo.name), class_name=plain(photo.class_name)) for photo in photos.entries]
        self.contents = [content(photo) for photo in self.photos]
        self.options: dict[str, Any] = {"batch_size": settings.batch_size, "seed": settings.seed}

    def stored(self) -> int:
        """The number of photos that are finished."""
        return sum(self._read(place) is not None for place in range(len(self.photos)))

    def all(self) -> list[Part]:
        """The part of every photo; those that the store lacks are computed and stored."""
        found: list[Part] = []
        waiting: list[int] = []
        readable = 0

        def compute() -> int:
            found.extend(new := self._computed(waiting, readable))
            waiting.clear()
            return readable + sum(bool(part["records"]) for part in new)

        for place in range(len(self.photos)):
            part = self._read(place)
            if part is not None or len(waiting) == BATCH:  # a stored part must know how many readable photos come before it
                readable = compute()
            if part is not None and self._is_drawn(part, place, readable):
                found.append(part)
                readable += bool(part["records"])
            else:
                waiting.append(place)
        compute()
        return found

    def rows(self, parts: Sequence[Part]) -> list[dict[str, Any]]:
        """The records of all parts. copy_of: the name of the first photo with the same content, if it is another one."""
        first: dict[str, str] = {}
        rows = []
        for photo, found, part in zip(self.photos, self.contents, parts):
            if part["records"]:
                original = first.setdefault(found, photo.name)
                rows += [record | {"copy_of": None if original == photo.name else original} for record in part["records"]]
        return rows

    def scored(self, parts: Sequence[Part]) -> tuple[list[str], Scored | None]:
        """The names of the photos without copies, and their scores together; None without any."""
        first: dict[str, Part] = {}
        for found, part in zip(self.contents, parts):
            if part["records"]:
                first.setdefault(found, part)
        held = list(first.values())
        return [part["name"] for part in held], as_scored([p["scores"] for p in held], self.protocol) if held else None

    def pictures(self, parts: Sequence[Part]) -> list[str]:
        """The figures of the photos that are to be drawn, and are still there."""
        drawn = [part for part in parts if part["records"]][: self.settings.pictures]
        return [name for part in drawn for name in part["pictures"] if (self.out / name).is_file()]

    def inside(self, name: str) -> str:
        """The name of a picture, with its folder."""
        return f"{self.folder}/{name}" if self.folder else name

    def _key(self, place: int) -> str:
        photo = self.photos[place]
        return digest([photo.name, photo.label, photo.class_name, self.contents[place]])

    def _read(self, place: int) -> Part | None:
        """The stored part, if it has the form that `_computed` writes."""
        part = self.store.read(self._key(place))
        return part if _is_part(part, self.settings.transforms) else None

    def _is_drawn(self, part: Part, place: int, number: int) -> bool:
        """Whether the part has the figures of readable photo `number`, or needs none."""
        if not part["records"] or number >= self.settings.pictures:
            return True
        first = self.inside(f"top10-{figures.stem(self.photos[place].name, number)}.png")
        return first in part["pictures"] and all((self.out / name).is_file() for name in part["pictures"])

    def _computed(self, places: Sequence[int], before: int) -> list[Part]:
        """The parts of these photos, attributed together and stored.  before: the number of readable photos before them."""
        if not places:
            return []
        chosen = Photos([self.photos[place] for place in places])
        read = self._answered(chosen, list(chosen.inputs(self.model.fitted)))
        measured: dict[str, Part] = {}
        for alike in self.model.signals.batches(read):
            found = self._measured(alike, places[0] + len(measured), before + len(measured))
            measured |= zip([photo.name for photo, _ in alike], found)
        parts = []
        for place, photo in zip(places, chosen.entries):
            said = {kind: [plain(text) for name, text in getattr(chosen, kind) if name == photo.name] for kind in _SAID}
            parts.append({"name": photo.name} | measured.get(photo.name, _EMPTY) | said)
            self.store.write(self._key(place), parts[-1])
        return parts

    def _answered(self, photos: Photos, read: Sequence[tuple[Photo, Signal]]) -> list[tuple[Photo, Signal]]:
        """Those for which the model gives finite numbers; the others are skipped, with the reason."""
        answered = []
        for photo, signal in read:
            try:
                logits = self._logits([signal])
                wrong = "" if bool(logits.isfinite().all()) else "the model returns NaN or infinity for it"
            except (ValueError, RuntimeError) as error:
                wrong = f"the model fails on it: {next(iter(str(error).splitlines()), type(error).__name__)}"
            if wrong:
                photos.skipped.append((photo.name, wrong))
            else:
                answered.append((photo, signal))
        return answered

    def _logits(self, signals: Sequence[Signal]) -> Tensor:
        x = torch.stack([signal.values for signal in signals]).to(self.settings.device)
        return self.model.classify(x, self.settings.batch_size)

    def _measured(self, read: Sequence[tuple[Photo, Signal]], first: int, before: int) -> list[Part]:
        x = stacked({photo.name: signal.values for photo, signal in read}).to(self.settings.device)
        logits = self._logits([signal for _, signal in read])
        predicted = logits.argmax(1)
        clock = time.perf_counter()
        target = None if logits.shape[1] == 1 else predicted
        maps = self._maps(self.model.module, first, x, target)
        seconds = {"seconds_stream": (time.perf_counter() - clock) / len(read)}
        evaluations = {name: value / len(read) for name, value in maps[0].settings["evaluations"].items()}
        common = photo_columns([photo for photo, _ in read], logits, predicted, maps[0].score_difference, self.model)
        scores = self._scores(first, x, target, maps)
        own = dict(zip(self.settings.transforms, maps))
        measured = [domain_columns(one, scores, domain) for domain, one in own.items()]
        self._report(first, len(read), 2 * len(self.settings.transforms))
        parts = []
        for i, row in enumerate(common):
            numbers = [{name: value[i].item() for name, value in columns.items()} for columns in measured]
            specs = [{"transform": spec} for spec in self.settings.transforms]
            part = {
                "records": [row | spec | found | seconds for spec, found in zip(specs, numbers)],
                "evaluations": evaluations,
            }
            part["scores"] = as_data(scores, i)
            parts.append(part | {"pictures": self._pictures(row, before + i, [one[i] for one in own.values()], read[i][1])})
        return parts

    def _pictures(self, row: dict[str, Any], number: int, maps: Sequence[Attribution], signal: Signal) -> list[str]:
        if number >= self.settings.pictures:
            return []
        seen = "" if math.isnan(row["probability"]) else row["predicted_name"] or ""
        kind, specs = self.model.signals, self.settings.transforms
        more = functools.partial(kind.compared, signal=signal)
        drawn: dict[str, Any] = {"more": more, "embedded": functools.partial(kind.embedded, signal=signal), "noun": kind.noun}
        about = {"data": self.settings.data[0], "model": self.settings.model[0], "method": self.settings.method_label}
        drawn |= {"signal": signal, "about": about}
        shown = self.model.picture()
        (self.out / self.folder).mkdir(exist_ok=True)
        return [
            self.inside(n)
            for n in figures.photo(row["image"], number, maps, specs, self.out / self.folder, seen, shown, **drawn)
        ]

    @functools.cached_property
    def _shuffled(self) -> Any:
        """The model without what it has learned."""
        return shuffled(self.model.module, self.settings.seed)

    def _run(self, shape: tuple[int, ...]) -> Run:
        domains = self.protocol.built(shape)
        return Run(self.protocol, domains, self.protocol.removed(domains))

    def _maps(self, module: Any, first: int, x: Tensor, target: Tensor | None, steps: float = 0.5) -> list[Attribution]:
        """The attributions in all domains and in a random rotation, from one stream of gradients; part of the first step."""
        domains = list(self._run(tuple(x.shape[1:])).domains.values())
        half = len(self.settings.transforms) * steps
        report: Progress = lambda done, planned: self._report(first, len(x), half * done / max(1, planned))
        options = self.options | {"method": self.settings.method[0], "baseline": self.settings.baseline[0], "progress": report}
        # `run` leaves it to the summary to say what did not converge.
        return [Attribution(**fields) for fields in run(module, x, target, domains, **options)]

    def _scores(self, first: int, x: Tensor, target: Tensor | None, maps: Sequence[Attribution]) -> Scored:
        """The scores of all maps. They are the other step of each domain."""
        run_of = self._run(tuple(x.shape[1:]))
        names, count = list(run_of.domains), len(self.settings.transforms)
        blind = self._maps(self._shuffled, first, x, target) if self.protocol.controls else []
        report: Progress = lambda done, planned: self._report(first, len(x), count * (1 + done / max(1, planned)))
        with open_engine(self.model.module, x, target, batch_size=self.options["batch_size"], progress=report) as engine:
            engine.count.planned = len(x) * self.protocol.cost(tuple(x.shape[1:]))
            return run_of.judge(dict(zip(names, maps)), dict(zip(names, blind)), engine)

    def _report(self, first: int, count: int, steps: float) -> None:
        """Progress: `count` photos from `first` on have done `steps` of their two for each domain."""
        if self.progress is not None:
            each = 2 * len(self.settings.transforms)
            self.progress(first * each + int(count * steps), len(self.photos) * each)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _is_part(part: Any, domains: Sequence[str]) -> bool:
    """Whether `part` is what `Parts` stores for one photo in these domains."""
    try:
        records, texts = part["records"], (part["pictures"], part["skipped"], part["notes"])
        return (
            all(isinstance(each, list) for each in (records, *texts))
            and all(isinstance(text, str) for text in (part["name"], *(text for each in texts for text in each)))
            and [record["transform"] for record in records] == (list(domains) if records else [])
            and bool(part["skipped"]) != bool(records)
            and all(set(_RECORD) <= set(record) and all(_is_number(record[name]) for name in _NUMBERS) for record in records)
            and all(_is_number(value) for value in part["evaluations"].values())
            and (not records or len(part["scores"]["cells"]) == len(part["scores"]["curves"]) > 0)
        )
    except (TypeError, KeyError, AttributeError):
        return False
