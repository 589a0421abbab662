"""A model and its volumes: how many it names rightly, and where the importance of each scale lies in a volume."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from ...attribution import Attribution, attribute
from ...metrics.protocol.shuffled import shuffled
from ...transforms import Transform, get
from ..kinds import Signal, get_kind
from ..kinds.signal import sizes
from ..loaders.data import Photo, Photos, load_photos
from ..loaders.models import LoadedModel
from ..storage.fingerprint import weights
from ..storage.store import digest
from .distances import CORE, EDGE, Field, bins, otsu, shares, signed_distance
from .maps import Cells, scale_maps
from .settings import Settings

Record = dict[str, Any]
Explained = tuple[list[Attribution], Sequence[Attribution | None], int]
EDGE_ONLY, CORE_ONLY = "edge only", "core only"  # what a map of a scale can show at best


@dataclass(frozen=True)
class Subject:
    """A loaded model and its data.

    seconds: what loading took, with the training of a packaged network that is not in the cache folder.
    """

    name: str
    data: str
    model: LoadedModel
    photos: Photos
    seconds: float
    settings: Settings

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What stored pieces depend on."""
        return {"model": self.name, "weights": weights(self.model.module), "preparation": self.model.preparation()}

    def signals(self, count: int) -> Iterator[tuple[Photo, Signal]]:
        """The first `count` volumes that can be read, as the model takes them."""
        for number, pair in enumerate(self.photos.inputs(self.model.fitted)):
            if number == count:
                return
            yield pair


def load(name: str, data: str, settings: Settings) -> Subject:
    """A model with its volumes.  Raises: ValueError for another kind of model or data; ImportError."""
    load_photos(data, 1, get_kind("volume"))  # before a network is trained for data that are not there
    start = time.monotonic()
    model = settings.load(name)
    seconds = time.monotonic() - start
    photos = load_photos(data, None, model.signals)
    first = next(iter(photos.inputs(model.fitted)), None)
    if first is None:
        why = "; ".join(f"{name}: {why}" for name, why in photos.skipped[:1])
        raise ValueError(f"study volume: {data[:80]!r} holds no volume that can be read. {why}"[:300])
    outputs = model.check(first[1].values[None].to(settings.device), settings.batch_size).shape[1]
    photos, _ = photos.labelled(outputs, model.classes)
    return Subject(name, data, model, photos, seconds, settings)


def answers(subject: Subject) -> Record:
    """Which of the first `tested` volumes with a label the model names rightly.

    right, label: one per volume.  outputs: the number of classes of the model.
    """
    right, labels, outputs = [], [], 0
    for photo, signal in subject.signals(subject.settings.tested):
        if photo.label is not None:
            logits = subject.model.classify(signal.values[None].to(subject.settings.device), subject.settings.batch_size)
            outputs = logits.shape[1]
            right.append(int(logits.argmax(1)) == photo.label)
            labels.append(photo.label)
    return {"right": right, "label": labels, "outputs": outputs}


def object_of(signal: Signal, border: float | None) -> tuple[Field, float]:
    """The signed distance of each voxel to the surface of the object, and the border: larger values are inside.

    border: None for Otsu's. Several channels are averaged.  Raises: ValueError where there is no surface.
    """
    values = signal.values.mean(0).double().cpu().numpy()
    found = otsu(values) if border is None else border
    return signed_distance(values > found, signal.step), found


def explained(subject: Subject, signal: Signal, seed: int | None = None) -> Explained:
    """The attributions of a volume, for each method in each domain; those of a twin; and the class that is explained.

    seed: of the twin, the model with permuted parameters; None does without. A model without parameters has none.
    """
    settings, model = subject.settings, subject.model
    x = signal.values[None].to(settings.device)
    batch_size = model.fitting(x, settings.batch_size)
    chosen = int((logits := model.check(x, batch_size))[0].argmax())
    how: dict[str, Any] = {"transform": domains(settings, tuple(x.shape[1:])), "seed": settings.seed}
    how |= {"target": None if logits.shape[1] == 1 else chosen, "batch_size": batch_size}
    found = [att for method in settings.methods for att in attribute(model.module, x, method=method, **how)]
    if seed is None or not _has_parameters(model.module):
        return found, [None] * len(found), chosen
    twin = shuffled(model.module, seed)
    return found, [att for method in settings.methods for att in attribute(twin, x, method=method, **how)], chosen


def _has_parameters(module: Any) -> bool:
    return isinstance(module, nn.Module) and next(module.parameters(), None) is not None


def _seed_of(seed: int, photo: Photo) -> int:
    """A seed for each volume, so that what is drawn at random differs between volumes and not between runs."""
    return int(digest([seed, photo.name])[:12], 16)


def domains(settings: Settings, shape: tuple[int, ...]) -> list[Transform]:
    """The transforms for volumes of a shape (channels, i, j, k)."""
    return [get(spec, shape) for spec in settings.transforms]


def measured(subject: Subject, photo: Photo, signal: Signal) -> Record:
    """Where the importance of a volume lies, as plain data.

    rows: method, domain, map, control, octave, and the share of each bin of distance.  voxels: the shares of all voxels.
    best: domain, octave, what, and the shares of a map of nothing but the surface, or nothing but the inside, in cells.
    """
    start, seed = time.monotonic(), _seed_of(subject.settings.seed, photo)
    distance, border = object_of(signal, subject.settings.border_of(subject.data))
    places = bins(distance, signal.step)
    found, twins, chosen = explained(subject, signal, seed)
    spread = {spec: Cells(att.transform) for spec, att in zip(subject.settings.transforms, found)}
    return {
        "name": photo.name,
        "class": chosen,
        "border": border,
        "size": sizes(signal.values.shape[1:]),
        "voxels": shares(np.ones((1, *distance.shape)), places)[0].tolist(),
        "rows": _rows(subject.settings, found, twins, spread, places, torch.Generator().manual_seed(seed)),
        "best": [[spec, *row] for spec, cells in spread.items() for row in resolution(cells, places)],
        "seconds": time.monotonic() - start,
    }


def _rows(
    settings: Settings,
    found: Sequence[Attribution],
    twins: Sequence[Attribution | None],
    spread: Mapping[str, Cells],
    places: np.ndarray,
    generator: torch.Generator,
) -> list[list[Any]]:
    specs = [(method, spec) for method in settings.methods for spec in settings.transforms]
    return [
        [method, spec, kind, control, octave, own]
        for (method, spec), att, twin in zip(specs, found, twins)
        for (kind, control), maps in scale_maps(att, twin, spread[spec], generator).items()
        for octave, own in zip(spread[spec].octaves, shares(maps, places).tolist())
    ]


def resolution(cells: Cells, places: np.ndarray) -> list[list[Any]]:
    """What is left of a map of nothing but the surface, or nothing but the inside, once it is averaged over the cells.

    octave, which of both, and the shares of bins. Where both are alike, a map of this scale cannot tell edge from centre.
    """
    found: list[list[Any]] = []
    for what, zone in ((EDGE_ONLY, EDGE), (CORE_ONLY, CORE)):
        truth = torch.from_numpy(np.array(zone)[places].astype(float))
        for octave in cells.octaves:
            found.append([octave, what, shares(cells.averaged(truth, octave).numpy()[None], places)[0].tolist()])
    return found
