"""The explanation of one picture in several domains."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ..attribution import Attribution, attribute
from ..attribution import get as get_method
from ..attribution.methods.integrated_gradients.estimator import PICTURE_METHOD
from ..attribution.plot import plot
from ..core.files import check_writable
from ..core.progress import Progress
from .compare.measurements import ONLY
from .loaders.data import load_photos
from .loaders.models import LoadedModel
from .report.figures import save, slug


@dataclass(frozen=True)
class Explanation:
    """The class that was explained, and the shares of the bands.

    image: the file's name.  class_name: "" if unknown; a model with one output has no classes but target 0, called
    "output", whose probability is NaN.  shares: of Σ|a|, {domain: {octave: share}}; those of a domain sum to 1.
    files: the names of the figures.  notes: what was read otherwise than the file stores it.

    >>> found = Explanation("cat.png", 1, "cat", 2.5, 0.9, {"dct": {"octave 2": 0.7, "octave 1": 0.3}}, ["cat-cat-dct.png"])
    >>> max(found.shares["dct"], key=found.shares["dct"].get)
    'octave 2'
    """

    image: str
    target: int
    class_name: str
    score: float
    probability: float
    shares: dict[str, dict[str, float]]
    files: list[str]
    notes: tuple[str, ...] = ()


def explain(
    image: str | Path,
    *,
    model: LoadedModel,
    transforms: Sequence[str],
    out: str | Path,
    method: str = PICTURE_METHOD,
    target: int | None = None,
    device: str = "cpu",
    seed: int = 0,
    batch_size: int | str = "auto",
    progress: Progress | None = None,
) -> Explanation:
    """Attributes the score of `target` (the predicted class if None) and writes one figure per domain into `out`.

    The figures are named PHOTO-CLASS-DOMAIN.png.

    Raises: ValueError where the file is not an image, the model not a classifier, or the class does not exist.

    >>> import tempfile, torch, pullback as pb
    >>> model = pb.studies.load_model("torch.nn:Flatten", preparation=pb.studies.Preparation(4))  # each sample is a class
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (8, 8), "red").save(f"{folder}/red.png")
    ...     found = explain(f"{folder}/red.png", model=model, method="gradient", transforms=["dct"], out=folder, target=5)
    >>> found.files, round(sum(found.shares["dct"].values()), 6)
    (['red-5-dct.png'], 1.0)
    """
    name, picture, notes = _read(image)
    get_method(method)
    check_writable(out)
    x = model.input(picture)[None].to(device)
    batch_size = model.fitting(x, batch_size)
    logits = model.check(x, batch_size)
    chosen, only = int(logits.argmax(1)) if target is None else target, logits.shape[1] == 1
    if only and chosen:
        raise ValueError(f"target: the model has one output, which is target 0; got {chosen}.")
    options: dict[str, Any] = {"method": method, "seed": seed, "batch_size": batch_size, "progress": progress}
    maps: list[Attribution] = attribute(model.module, x, None if only else chosen, transform=list(transforms), **options)
    called = ONLY if only else model.class_name(chosen)
    seen = "" if only else f" as {called or f'class {chosen}'}"
    files = []
    for spec, one in zip(transforms, maps):
        figure = plot(one, show=model.picture())
        figure.suptitle(f"{name}{seen}: {method} in {spec}", fontsize=10, parse_math=False)
        files.append(save(figure, Path(out) / f"{slug(Path(name).stem)}-{slug(called) or chosen}-{slug(spec)}.png"))
    shares = {one.transform.spec: one.importance("octave").iloc[0].to_dict() for one in maps}
    probability = math.nan if only else float(logits.double().softmax(1)[0, chosen])
    return Explanation(name, chosen, called, float(logits[0, chosen]), probability, shares, files, notes)


def _read(image: str | Path) -> tuple[str, Image.Image, tuple[str, ...]]:
    """The name of a picture's file, the picture, and notes about it.  Raises: ValueError where there is none."""
    if Path(image).is_dir():
        raise ValueError(f"{image} is a folder: explain takes one image; pullback compare --data {image} takes a folder.")
    if not Path(image).is_file():
        raise ValueError(f"{image}: no such file; expected a picture.")
    for photo, picture in (photos := load_photos(image, 1)):
        return photo.name, picture, tuple(note for _, note in photos.notes)
    raise ValueError(f"{image}: not an image that can be read ({photos.skipped[0][1]}).")
