"""The explanation of one picture in several domains."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from ..attribution import Attribution
from ..attribution import get as get_method
from ..attribution.call import run
from ..attribution.methods.integrated_gradients.estimator import PICTURE_METHOD
from ..attribution.plot import plot
from ..core.files import check_writable, plain, slug
from ..core.progress import Progress
from .compare.measurements import ONLY
from .loaders.data import Photo, load_photos
from .loaders.models import LoadedModel
from .report.figures import save
from .storage.distinct import distinct_domains
from .storage.fingerprint import content
from .storage.results import Results
from .storage.store import digest


@dataclass(frozen=True)
class Explanation:
    """The class that was explained, and the shares of the bands.

    image: the file's name.  class_name: "" if unknown; a model with one output has no classes but target 0, called
    "output", whose probability is NaN.  shares: of Σ|a|, {domain: {octave: share}}; those of a domain sum to 1.
    files: the names of the figures.  notes: what was read otherwise than the file stores it, and what was left out.
    not_converged: the domains in which the method missed its tolerance.

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
    not_converged: tuple[str, ...] = ()


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

    The figures are named PHOTO-CLASS-DOMAIN.png; a figure of another photo, model or method that has this name stays, and
    the new name ends with a digest. .summary.json says what each figure shows. A domain that is given twice is drawn once.

    Raises: ValueError where the file is not an image, the model not a classifier, the class does not exist, or `out` holds
    results of something else.

    >>> import tempfile, torch, pullback as pb
    >>> model = pb.studies.load_model("torch.nn:Flatten", preparation=pb.studies.Preparation(4))  # each sample is a class
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (8, 8), "red").save(f"{folder}/red.png")
    ...     found = explain(f"{folder}/red.png", model=model, method="gradient", transforms=["dct"], out=folder, target=5)
    >>> found.files, round(sum(found.shares["dct"].values()), 6)
    (['red-5-dct.png'], 1.0)
    """
    photo, picture, notes = _read(image)
    get_method(method)
    check_writable(out)
    results = Results(out, "explain")
    x = model.input(picture)[None].to(device)
    batch_size = model.fitting(x, batch_size)
    logits = model.check(x, batch_size)
    told: list[str] = []
    domains = distinct_domains(transforms, tuple(x.shape[1:]), told.append)
    chosen, only = int(logits.argmax(1)) if target is None else target, logits.shape[1] == 1
    if only and chosen:
        raise ValueError(f"target: the model has one output, which is target 0; got {chosen}.")
    called = ONLY if only else model.class_name(chosen)
    about: dict[str, Any] = {
        "image": plain(os.path.abspath(image)),
        "content": content(photo),
        "model": model.name,
        "method": method,
        "preparation": model.preparation(),
    }
    about |= {"seed": seed, "target": chosen, "class": plain(called)}
    options: dict[str, Any] = {"method": method, "seed": seed, "batch_size": batch_size, "progress": progress}
    with results.run({}):
        # `run` leaves it to the caller to say what did not converge.
        maps = [Attribution(**fields) for fields in run(model.module, x, None if only else chosen, domains, **options)]
        seen = "" if only else f" as {plain(called) or f'class {chosen}'}"
        files: dict[str, Any] = {}
        for spec, one in zip(domains, maps):
            figure = plot(one, show=model.picture())
            figure.suptitle(f"{plain(photo.name)}{seen}: {method} in {spec}", fontsize=10)
            stem = f"{slug(Path(photo.name).stem) or 'photo'}-{slug(called, 32) or chosen}-{slug(spec)}"
            question = about | {"transform": one.transform.spec}
            name = results.free_name(f"{stem}.png", question, files)
            files[name] = {"question": digest(question)} | question | convergence(one)
            save(figure, Path(out) / name)
        results.update({"files": files})
    shares = {one.transform.spec: one.importance("octave").iloc[0].to_dict() for one in maps}
    probability = math.nan if only else float(logits.double().softmax(1)[0, chosen])
    failed = tuple(spec for spec, one in zip(domains, maps) if convergence(one).get("converged") is False)
    score = float(logits[0, chosen])
    return Explanation(photo.name, chosen, called, score, probability, shares, list(files), (*notes, *told), failed)


def convergence(one: Attribution) -> dict[str, Any]:
    """What a method reports about the map of one example: whether it converged, and its relative error; {} where nothing."""
    names = [name for name in ("converged", "map_error") if isinstance(one.details.get(name), Tensor)]
    return {name: one.details[name][0].item() for name in names}


def _read(image: str | Path) -> tuple[Photo, Image.Image, tuple[str, ...]]:
    """A picture's file, the picture, and notes about it.  Raises: ValueError where there is none."""
    shown = plain(image)[:120]
    if os.path.isdir(image):
        raise ValueError(f"{shown} is a folder: explain takes one image; pullback compare --data {shown} takes a folder.")
    if not os.path.isfile(image):
        raise ValueError(f"{shown}: no such file; expected a picture.")
    for photo, picture in (photos := load_photos(image, 1)):
        return photo, picture, tuple(note for _, note in photos.notes)
    raise ValueError(f"{shown}: not an image that can be read ({plain(photos.skipped[0][1])[:160]}).")
