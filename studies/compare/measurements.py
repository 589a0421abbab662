"""The columns of a comparison: what is measured of a photo, and of its map in one domain."""

import math
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...attribution import Attribution
from ...metrics import fraction_holding, gini, kept_score
from ...metrics.faithfulness import RANKINGS
from ...transforms import TransformClaim
from ..loaders.data import Photo
from ..loaders.models import LoadedModel

ONLY = "output"  # what the output of a model is called that has no others
BUDGETS = (0.01, 0.05, 0.1)  # fractions of the coefficients that are kept


def photo_columns(
    photos: Sequence[Photo], logits: Tensor, predicted: Tensor, delta: Tensor, model: LoadedModel
) -> list[dict[str, Any]]:
    """What is the same in all domains: a dict for each photo, of the names, the answer and f(x) - f(x₀).

    logits: (photos, classes).  predicted, delta: (photos,). A model with one output has no classes: that is called
    `ONLY`, has no probability, and is neither right nor wrong.
    """
    if logits.shape[1] == 1:
        names = [{"image": photo.name, "label": photo.class_name or photo.label} for photo in photos]
        return [
            name
            | {
                "predicted": 0,
                "predicted_name": ONLY,
                "correct": None,
                "probability": math.nan,
                "score": float(logits[i, 0]),
                "score_difference": float(delta[i]),
            }
            for i, name in enumerate(names)
        ]
    probability = logits.double().softmax(1).amax(1)
    columns = []
    for i, photo in enumerate(photos):
        label = photo.label
        columns.append(
            {
                "image": photo.name,
                "label": label if label is not None else (photo.class_name or None),
                "predicted": int(predicted[i]),
                "predicted_name": model.class_name(int(predicted[i])) or None,
                "correct": None if label is None else label == int(predicted[i]),
                "probability": float(probability[i]),
                "score": float(logits[i, predicted[i]]),
                "score_difference": float(delta[i]),
            }
        )
    return columns


def domain_columns(
    model: LoadedModel, one: Attribution, x: Tensor, predicted: Tensor, logits: Tensor, rows: int | str, seed: int
) -> dict[str, Tensor]:
    """One number per photo for each column of a domain. Shapes: (photos,).

    gap: Σ_k a_k - (f(x) - f(x₀)).  gini, samples90: how few coefficients hold the map.
    kept5_…: (f(what the 5 % first in a ranking rebuild) - f(x₀)) / (f(x) - f(x₀)), for `BUDGETS` and `RANKINGS`.
    """
    moved = one.score_difference.abs().where(one.score_difference != 0, math.nan)
    columns = {
        "coefficients": torch.full((len(x),), one.values[0].numel()),
        "linear": torch.full((len(x),), TransformClaim.LINEAR | TransformClaim.RECONSTRUCTS in one.transform.claims),
        "completeness_gap": one.completeness_gap,
        "relative_gap": one.completeness_gap.abs() / moved,
        "map_error": _detail(one, "map_error", 1),
        "uncorrected_gap": _detail(one, "residual", moved).abs(),
        "gini": gini(one.values),
        "samples90": fraction_holding(one.values, 0.9, of=math.prod(one.transform.shape)),
    }
    score = logits.gather(1, predicted[:, None])[:, 0]
    for ranking in RANKINGS:
        kept = kept_score(model.module, one, predicted, fractions=BUDGETS, ranking=ranking, batch_size=rows, seed=seed)
        share = (kept - (score - one.score_difference)[:, None]) / one.score_difference.where(
            one.score_difference != 0, math.nan
        )[:, None]
        columns |= {f"kept{round(100 * b)}_{ranking}": share[:, i] for i, b in enumerate(BUDGETS)}
    shares = one.importance("octave")
    columns |= {f"share {name}": torch.tensor(shares[name].to_numpy()) for name in shares}
    columns["seconds_domain"] = torch.full((len(x),), _domain_seconds(one, x) / len(x))
    return columns


def _detail(one: Attribution, name: str, unit: Tensor | float) -> Tensor:
    """What the method reports of itself, per photo; NaN where it reports nothing of the kind."""
    found = one.details.get(name)
    return found / unit if isinstance(found, Tensor) else torch.full_like(one.score_difference, math.nan)


def _domain_seconds(one: Attribution, x: Tensor) -> float:
    """Wall time of what this domain adds to the stream: T x and one adjoint."""
    clock = time.perf_counter()
    with torch.no_grad():
        one.transform(x)
        if one.covector is not None:
            one.transform.adjoint(one.covector)
    return time.perf_counter() - clock
