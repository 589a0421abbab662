"""Explains one picture in some domains."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..attribution import attribute
from ..attribution.progress import Progress
from .data import load_photos
from .figures import save, slug
from .models import LoadedModel


@dataclass(frozen=True)
class Explanation:
    """The photo, the class explained, its name where the model tells, its score and probability, shares of Σ|a| by domain
    and octave, and the figures' names."""

    image: str
    target: int
    class_name: str
    score: float
    probability: float
    shares: dict[str, dict[str, float]]
    files: list[str]


def explain(image: str | Path, *, model: LoadedModel, method: str, transforms: Sequence[str], out: str | Path,
            target: int | None = None, device: str = "cpu", seed: int = 0, rows: int | str = "auto",
            progress: Progress | None = None) -> Explanation:  # fmt: skip
    """Attributes the score of `target` (the predicted class if None) and writes one figure per domain into `out`.

    The figures are named PHOTO-CLASS-DOMAIN.png.

    Raises: ValueError where the file is no image, the model no classifier, or the class does not exist.
    """
    if not Path(image).is_file():
        raise ValueError(f"{image}: no such file; expected a picture.")
    photos = load_photos(str(image), 1)
    found = next(iter(photos), None)
    if found is None:
        raise ValueError(f"{image}: not an image that can be read ({photos.skipped[0][1]}).")
    photo, picture = found
    x = model.prepare(picture)[None].to(device)
    logits = model.classify(x)
    chosen = int(logits.argmax(1)) if target is None else target
    maps = attribute(model.module, x, chosen, method=method, transform=list(transforms), seed=seed, rows=rows,
                     progress=progress)  # fmt: skip
    name = model.class_name(chosen)
    stem = f"{slug(Path(photo.name).stem)}-{slug(name) or chosen}"
    files = []
    for spec, one in zip(transforms, maps):
        figure = one.plot()
        figure.suptitle(f"{photo.name} as {name or f'class {chosen}'}: {method} in {spec}", fontsize=10)
        files.append(save(figure, Path(out) / f"{stem}-{slug(spec)}.png"))
    shares = {one.transform.spec: one.importance("octave").iloc[0].to_dict() for one in maps}
    score, probability = float(logits[0, chosen]), float(logits.double().softmax(1)[0, chosen])
    return Explanation(photo.name, chosen, name, score, probability, shares, files)
