"""Explains one picture in some domains."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..attribution import attribute
from ..attribution import get as get_method
from ..attribution.plot import plot
from ..core.progress import Progress
from .compare.measurements import ONLY
from .loaders.data import load_photos
from .loaders.models import LoadedModel
from .report.figures import save, slug
from .storage.folder import check_writable


@dataclass(frozen=True)
class Explanation:
    """What one picture was taken for, and in which bands.

    image: the file's name.  target: the class explained, with its name where the model tells, score and probability.
    A model with one output has no classes: target 0, called "output", of which the probability is NaN.
    shares: of Σ|a|, {domain: {octave: share}}; each domain's sum to 1.  files: the figures' names.

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


def explain(
    image: str | Path,
    *,
    model: LoadedModel,
    method: str,
    transforms: Sequence[str],
    out: str | Path,
    target: int | None = None,
    device: str = "cpu",
    seed: int = 0,
    batch_size: int | str = "auto",
    progress: Progress | None = None,
) -> Explanation:
    """Attributes the score of `target` (the predicted class if None) and writes one figure per domain into `out`.

    The figures are named PHOTO-CLASS-DOMAIN.png.

    Raises: ValueError where the file is no image, the model no classifier, or the class does not exist.

    >>> import tempfile, torch, pullback as pb
    >>> from PIL import Image
    >>> model = pb.studies.load_model("torch.nn:Flatten", preparation=pb.studies.Preparation(4))  # each sample is a class
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (8, 8), "red").save(f"{folder}/red.png")
    ...     found = explain(f"{folder}/red.png", model=model, method="gradient", transforms=["dct"], out=folder, target=5)
    >>> found.files, round(sum(found.shares["dct"].values()), 6)
    (['red-5-dct.png'], 1.0)
    """
    if Path(image).is_dir():
        raise ValueError(
            f"{image} is a folder: explain takes one image file, and pullback compare --data {image} a folder."
        )
    if not Path(image).is_file():
        raise ValueError(f"{image}: no such file; expected a picture.")
    photos = load_photos(str(image), 1)
    found = next(iter(photos), None)
    if found is None:
        raise ValueError(f"{image}: not an image that can be read ({photos.skipped[0][1]}).")
    get_method(method)
    check_writable(out)
    photo, picture = found
    x = model.prepare(picture)[None].to(device)
    model.check(x, batch_size)
    logits = model.classify(x)
    chosen = int(logits.argmax(1)) if target is None else target
    maps = attribute(
        model.module,
        x,
        chosen,
        method=method,
        transform=list(transforms),
        seed=seed,
        batch_size=batch_size,
        progress=progress,
    )
    only = logits.shape[1] == 1
    name = ONLY if only else model.class_name(chosen)
    stem = f"{slug(Path(photo.name).stem)}-{slug(name) or chosen}"
    files = []
    for spec, one in zip(transforms, maps):
        figure = plot(one, show=model.picture())
        seen = "" if only else f" as {name or f'class {chosen}'}"
        figure.suptitle(f"{photo.name}{seen}: {method} in {spec}", fontsize=10)
        files.append(save(figure, Path(out) / f"{stem}-{slug(spec)}.png"))
    shares = {one.transform.spec: one.importance("octave").iloc[0].to_dict() for one in maps}
    score = float(logits[0, chosen])
    probability = math.nan if only else float(logits.double().softmax(1)[0, chosen])
    return Explanation(photo.name, chosen, name, score, probability, shares, files)
