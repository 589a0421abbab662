"""Explains one picture in some domains."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..attribution import attribute
from ..attribution.progress import Progress
from .data import load_photos
from .figures import save
from .models import LoadedModel


@dataclass(frozen=True)
class Explanation:
    """The class explained, its score and probability, shares of Σ|a| by domain and octave, and the figures' names."""

    target: int
    score: float
    probability: float
    shares: dict[str, dict[str, float]]
    files: list[str]


def explain(image: str | Path, *, model: LoadedModel, method: str, transforms: Sequence[str], out: str | Path,
            target: int | None = None, device: str = "cpu", seed: int = 0, rows: int | str = "auto",
            progress: Progress | None = None) -> Explanation:  # fmt: skip
    """Attributes the score of `target` (the predicted class if None) and writes one figure per domain into `out`.

    Raises: ValueError where the file is no image or the class does not exist.
    """
    photos = load_photos(str(image), 1)
    found = next(iter(photos), None)
    if found is None:
        raise ValueError(f"{image}: not an image that can be read ({photos.skipped[0][1]}).")
    x = model.prepare(found[1])[None].to(device)
    with torch.no_grad():
        logits = model.module(x)
    chosen = int(logits.argmax(1)) if target is None else target
    maps = attribute(model.module, x, chosen, method=method, transform=list(transforms), seed=seed, rows=rows,
                     progress=progress)  # fmt: skip
    files = [save(one.plot(), Path(out) / f"{Path(image).stem}-{number}.png") for number, one in enumerate(maps)]
    shares = {one.transform.spec: one.importance("octave").iloc[0].to_dict() for one in maps}
    return Explanation(chosen, float(logits[0, chosen]), float(logits.double().softmax(1)[0, chosen]), shares, files)
