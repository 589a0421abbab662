"""The cells of a comparison, each with a model that has answered to its first photo."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ...attribution import get as get_method
from ...core.files import plain
from ...core.progress import Progress
from ..loaders.data import Photo, Photos, load_photos
from ..loaders.models import LoadedModel
from ..loaders.packaged import origins
from ..storage.distinct import distinct_domains
from ..storage.fingerprint import answer, weights
from ..storage.pieces import part_of_work
from ..storage.store import digest
from .cell import BATCH, Cell
from .parts import Parts
from .settings import CHANGED, MOVED, Settings
from .summary import versions
from .units import units_of

UNASKED = ("limit", "pictures", "data", "shard", "groups")  # settings that the numbers of a photo do not depend on
Note = Callable[[str], object]


class InProcess:
    """Measures all cells in this process, one batch after the other.

    cells: what is measured.  settings: with the domains that are compared.
    """

    def __init__(self, settings: Settings, out: Path, model: LoadedModel | None, told: Note) -> None:
        loaded: dict[Any, LoadedModel] = {}
        self.parts: list[Parts] = []
        asked, batches = settings.cells(), 0
        told = functools.cache(told)  # what holds for several cells is told once
        for number, one in enumerate(asked, 1):
            name = one.model[0]
            if name not in loaded:
                loaded[name] = model or one.load_model(told)
            folder = f"cell-{number}" if len(asked) > 1 else ""
            self.parts.append(_parts(one, loaded[name], out, told, folder, batches))
            batches += -(-len(self.parts[-1].photos) // BATCH)
        self.cells = [parts.cell for parts in self.parts]
        domains = {cell.settings.transforms for cell in self.cells}
        sizes = {cell.settings.batch_size for cell in self.cells}
        first = self.cells[0].settings
        self.settings = replace(
            settings,
            transforms=first.transforms if len(domains) == 1 else settings.transforms,
            batch_size=first.batch_size if len(sizes) == 1 else settings.batch_size,
        )

    def measure(self, progress: Progress | None) -> None:
        """Measures the photos of all cells that are not stored."""
        for number, parts in enumerate(self.parts):
            parts.all(_share(progress, number, len(self.parts)))


def _share(progress: Progress | None, number: int, count: int) -> Progress | None:
    """The progress of cell `number` as part of that of all."""
    if progress is None or count == 1:
        return progress
    return lambda done, planned: progress(number * planned + done, count * planned)


def _parts(settings: Settings, model: LoadedModel, out: Path, told: Note, folder: str, batches: int) -> Parts:
    """One cell, whose model has answered to the first photo.  batches: their number in earlier cells."""
    photos = load_photos(settings.data[0], settings.limit, model.signals)
    if photos.cut:
        told(f"Data {plain(settings.data[0])[-60:]!r}: {photos.cut}.")
    x = _first(model, photos, settings)
    model = model.whole(x)
    shape = tuple(x.shape[1:])
    domains = distinct_domains(settings.transforms or model.signals.domains(shape), shape, told)
    settings = replace(settings, transforms=domains, batch_size=model.fitting(x, settings.batch_size))
    logits = model.check(x, settings.batch_size)
    photos, labels = photos.labelled(logits.shape[1], model.classes)
    entries = [replace(photo, name=plain(photo.name), class_name=plain(photo.class_name)) for photo in photos.entries]
    units_of([photo.name for photo in entries], settings.groups)  # refuses what does not fit before hours of work
    kind = model.signals
    about: dict[str, Any] = {"weights": weights(model.module), "preparation": model.preparation()}
    about["origins"] = origins(model, settings.data[0])
    about["labels"] = "; ".join(filter(None, (labels, photos.cut)))
    about["signals"] = {"one": kind.noun, "several": kind.plural, "caption": kind.caption}
    if settings.groups is not None:
        about["signals"] |= {"unit": f"group of {kind.plural}", "units": f"groups of {kind.plural}"}
    about["left_out"] = [[plain(name), plain(why)] for name, why in photos.left_out]
    cell = Cell(settings, *_identities(entries, settings, batches), _question(settings, model, logits), about, folder)
    told(_cost(cell, shape))
    return Parts(cell, model, entries, out)


def _cost(cell: Cell, shape: tuple[int, ...]) -> str:
    """How many evaluations the cell takes: maps, those of the model with permuted parameters, and scores."""
    one, protocol = cell.settings, cell.settings.protocol()
    made = get_method(one.method[0]).cost([each.layout for each in protocol.built(shape).values()])
    gradients, forwards = (number * (1 + protocol.controls) for number in (made.gradients, made.forwards))
    forwards += protocol.cost(shape)
    alone = get_method(one.method[0]).cost([protocol.built(shape)[one.measured_in].layout])
    again = CHANGED * (len(one.invariant) > 1)
    gradients, forwards = gradients + again * alone.gradients, forwards + MOVED + again * (alone.forwards + 2)
    count, words = len(cell.places), cell.about["signals"]
    each = f"at most {gradients:,} gradients and {forwards:,} forwards for each {words['one']}"
    total = f"{count * gradients:,} and {count * forwards:,} for {count:,} {words['one' if count == 1 else 'several']}"
    return f"{plain(str(one.model[0]))[-60:]}, {one.method_label}: {each}; {total}."


def _identities(photos: Sequence[Photo], settings: Settings, batches: int) -> tuple[list[str], list[str], list[int]]:
    """The names and keys of all photos, none of which is read, and the places of this shard. Shards take batches in turn."""
    number, count = part_of_work(settings.shard)
    places = [place for place in range(len(photos)) if (batches + place // BATCH) % count == number]
    keys = [digest([photo.name, photo.label, photo.class_name]) for photo in photos]
    return [photo.name for photo in photos], keys, places


def _first(model: LoadedModel, photos: Photos, settings: Settings) -> Tensor:
    """The model's input for the first photo, (1, *shape).  Raises: ValueError where no photo can be read."""
    for _, signal in photos.inputs(model.input):
        return signal[None].to(settings.device)
    what = f"None of the {len(photos.entries)} files of {settings.data[0]!r} is a readable {model.signals.noun}"
    raise ValueError(f"{what}; the first: {': '.join(map(plain, photos.skipped[0]))}.")


def _question(settings: Settings, model: LoadedModel, logits: Tensor) -> list[Any]:
    """All that the numbers of a photo depend on. The answer to the first photo depends on the preparation and on code."""
    asked = {name: value for name, value in settings.plain().items() if name not in UNASKED}
    return [asked, model.preparation(), versions(), weights(model.module), answer(logits)]
