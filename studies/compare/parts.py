"""The measured photos of a cell: each is one stored part, and only those that the store lacks are computed."""

import bisect
import functools
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...attribution import Attribution, open_engine
from ...attribution.call import run
from ...core.files import plain
from ...core.progress import Progress
from ...metrics.protocol.run import Run, Scored
from ...metrics.protocol.shuffled import shuffled_for
from ..kinds import Signal
from ..loaders.data import Photo, Photos
from ..loaders.models import LoadedModel, stacked
from ..report import figures
from ..storage.fingerprint import content
from .cell import Cell, Part
from .measurements import domain_columns, invariant_numbers, octave_texts, photo_columns
from .scores import as_data

_EMPTY: Part = {"records": [], "evaluations": {}, "pictures": []}
Read = tuple[Photo, Signal]
_SAID = ("skipped", "notes")  # why a photo cannot be read, and how it was read otherwise than it is stored


class Parts:
    """Makes the parts of a cell: the records, pictures and evaluations of each photo.

    A part is found by the name and the label of its photo, so that it stays valid if photos are added. It holds a digest of the
    content of the photo, and is made anew where that has changed.
    photos: all of the cell in their order.  out: the folder of the run.
    """

    def __init__(self, cell: Cell, model: LoadedModel, photos: Sequence[Photo], out: Path) -> None:
        self.cell, self.model, self.photos, self.out = cell, model, photos, out
        self.settings, self.store = cell.settings, cell.store(out)
        self.progress: Progress | None = None
        self.first: dict[str, Tensor] = {}  # the input of the first photo, whose size all must have
        self.show: Callable[[str], object] | None = None  # gets a line on the first photo, as soon as it is measured
        self.protocol = self.settings.protocol()
        self.blind: Any = None  # the shuffled model, once it is asked for
        self.options: dict[str, Any] = {"batch_size": self.settings.batch_size, "seed": self.settings.seed}

    def all(self, progress: Progress | None = None) -> None:
        """Makes and stores the part of every photo of this run that the store lacks."""
        self.progress = progress
        before, last = 0, 0
        for batch in self.cell.batches():
            before += self._readable(range(last, batch[0]), self.settings.pictures - before)
            new = self.batch(batch, before)
            before, last = before + sum(bool(part["records"]) for part in new), batch[-1] + 1

    def skip(self, places: Sequence[int], why: str) -> None:
        """Stores that these photos are skipped, and why."""
        said = {"skipped": [why], "notes": []}
        parts = [{"name": (one := self.photos[place]).name, "content": content(one)} | _EMPTY | said for place in places]
        self.store.write_all({self.cell.keys[place]: part for place, part in zip(places, parts)})

    def forget(self, places: Sequence[int], before: int) -> None:
        """Removes the stored parts of these photos, if one of them lacks its pictures.  before: as in `batch`."""
        lacking = False
        for part, place in zip(map(self._stored, places), places):
            lacking |= part is None or not self._is_drawn(part, place, before)
            before += part is not None and bool(part["records"])
        for place in places if lacking else ():
            self.store.path(self.cell.keys[place]).unlink(missing_ok=True)

    def batch(self, places: Sequence[int], before: int) -> list[Part]:
        """The parts of photos that are measured together.  before: the number of readable photos before them."""
        found: list[Part] = []
        waiting: list[int] = []

        def compute() -> None:
            found.extend(self._computed(waiting, before + sum(bool(part["records"]) for part in found)))
            waiting.clear()

        for place in places:
            part = self._stored(place)
            if part is not None:  # it must know how many readable photos come before it
                compute()
            if part is not None and self._is_drawn(part, place, before + sum(bool(one["records"]) for one in found)):
                found.append(part)
            else:
                waiting.append(place)
            if place == 0:  # measured alone, so that something can be shown soon
                compute()
        compute()
        return found

    def _stored(self, place: int) -> Part | None:
        """The stored part of a photo, if it is of the same content."""
        part = self.cell.read(self.store, place)
        return part if part is not None and part["content"] == content(self.photos[place]) else None

    def _readable(self, places: Sequence[int], most: int) -> int:
        """How many of the photos of other shards the model answers to, as far as pictures of this one depend on it."""
        found = 0
        for place in places:
            if found >= most:
                break
            photos = Photos([self.photos[place]])
            found += len(self._answered(photos, list(photos.inputs(self.model.fitted))))
        return found

    def _is_drawn(self, part: Part, place: int, number: int) -> bool:
        """Whether the part has the figures of readable photo `number`, or needs none."""
        if not part["records"] or number >= self.settings.pictures:
            return True
        first = self.cell.inside(f"top10-{figures.stem(self.photos[place].name, number)}.png")
        return first in part["pictures"] and all((self.out / name).is_file() for name in part["pictures"])

    def _computed(self, places: Sequence[int], before: int) -> list[Part]:
        """The parts of these photos, attributed together and stored.  before: the number of readable photos before them."""
        if not places:
            return []
        clock, chosen = time.perf_counter(), Photos([self.photos[place] for place in places])
        contents = list(map(content, chosen.entries))
        read = self._answered(chosen, list(chosen.inputs(self.model.fitted)))
        measured: dict[str, Part] = {}
        for alike in self.model.signals.batches(read):
            measured |= self._fitting(alike, places[0], before + len(measured), chosen)
        parts, seconds = [], {"seconds": (time.perf_counter() - clock) / len(places)}
        for photo, own in zip(chosen.entries, contents):
            said = {kind: [plain(text) for name, text in getattr(chosen, kind) if name == photo.name] for kind in _SAID}
            parts.append({"name": photo.name, "content": own} | measured.get(photo.name, _EMPTY) | said | seconds)
        self.store.write_all({self.cell.keys[place]: part for place, part in zip(places, parts)})
        return parts

    def _answered(self, photos: Photos, read: Sequence[Read]) -> list[Read]:
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

    def _fitting(self, read: Sequence[Read], first: int, before: int, photos: Photos) -> dict[str, Part]:
        """The parts of photos by their names, measured together or, where memory does not suffice, one by one.

        One for which it does not suffice alone is skipped.
        """
        try:
            return dict(zip([photo.name for photo, _ in read], self._measured(read, first, before)))
        except (MemoryError, torch.OutOfMemoryError):
            if len(read) == 1:
                photos.skipped.append((read[0][0].name, "there is too little memory to measure it, also alone"))
                return {}
        found: dict[str, Part] = {}
        for one in read:
            found |= self._fitting([one], first, before + len(found), photos)
        return found

    def _measured(self, read: Sequence[Read], first: int, before: int) -> list[Part]:
        inputs = {photo.name: signal.values for photo, signal in read}
        if self.model.signals.resized:
            self.first = self.first or dict([next(iter(inputs.items()))])
            stacked(self.first | inputs)
        x = stacked(inputs).to(self.settings.device)
        logits = self._logits([signal for _, signal in read])
        predicted = logits.argmax(1)
        clock = time.perf_counter()
        target = None if logits.shape[1] == 1 else predicted
        maps = self._maps(self.model.module, first, x, target)
        seconds = {"seconds_stream": (time.perf_counter() - clock) / len(read)}
        evaluations = {name: value / len(read) for name, value in maps[0].settings["evaluations"].items()}
        common = photo_columns([photo for photo, _ in read], logits, predicted, maps[0].score_difference, self.model)
        few = {photo.name for photo in self.photos[: self.protocol.oracle]}
        scores = self._scores(first, x, target, maps, sum(photo.name in few for photo, _ in read))
        own = dict(zip(self.settings.transforms, maps))
        asked, one = self.settings.invariant, own[self.settings.measured_in]
        invariant = invariant_numbers(self.model.module, one, target, asked, **self.options)
        measured = [domain_columns(one, scores, domain) for domain, one in own.items()]
        self._report(first, len(read), 2 * len(self.settings.transforms))
        parts = []
        for i, row in enumerate(common):
            numbers = [{name: value[i].item() for name, value in columns.items()} for columns in measured]
            specs = [{"transform": spec} for spec in self.settings.transforms]
            records = [row | spec | found | seconds for spec, found in zip(specs, numbers)]
            part = {"records": records, "evaluations": evaluations}
            part["scores"] = as_data(scores, i)
            part["invariant"] = {name: value[i].item() for name, value in invariant.items()}
            part["frequencies"] = octave_texts(list(own.values()), read[i][1])
            if self.show is not None and first + i == 0:
                self.show(_line(records))  # before pictures, which take seconds
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
        (self.out / self.cell.folder).mkdir(exist_ok=True)
        return [
            self.cell.inside(n)
            for n in figures.photo(row["image"], number, maps, specs, self.out / self.cell.folder, seen, shown, **drawn)
        ]

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

    def _scores(self, first: int, x: Tensor, target: Tensor | None, maps: Sequence[Attribution], few: int) -> Scored:
        """The scores of all maps. They are the other step of each domain.  few: photos for the oracle."""
        run_of = self._run(tuple(x.shape[1:]))
        names, count = list(run_of.domains), len(self.settings.transforms)
        if self.protocol.controls and self.blind is None:
            self.blind = shuffled_for(self.settings.method[0], self.model.module, x, self.settings.seed)
        blind = self._maps(self.blind, first, x, target) if self.protocol.controls else []
        report: Progress = lambda done, planned: self._report(first, len(x), count * (1 + done / max(1, planned)))
        with open_engine(self.model.module, x, target, batch_size=self.options["batch_size"], progress=report) as engine:
            engine.count.planned = len(x) * self.protocol.cost(tuple(x.shape[1:]))
            return run_of.judge(dict(zip(names, maps)), dict(zip(names, blind)), engine, few)

    def _report(self, first: int, count: int, steps: float) -> None:
        """Progress: `count` photos from `first` on have done `steps` of their two for each domain."""
        if self.progress is not None:
            each = 2 * len(self.settings.transforms)
            done = bisect.bisect_left(self.cell.places, first)
            self.progress(done * each + int(count * steps), len(self.cell.places) * each)


def _line(records: Sequence[dict[str, Any]]) -> str:
    """What was found for one photo: its class, and the part of the score that the first coefficients of each domain keep."""
    first = records[0]
    seen = "" if math.isnan(first["probability"]) else f", {first['predicted_name'] or first['predicted']}"
    kept = ", ".join(f"{row['transform']} {100 * row['kept10_attribution']:.0f} %" for row in records)
    return (
        f"the first, {first['image']}{seen}: of its score, the 10 % of coefficients with the largest |attribution| keep {kept}"
    )
