"""The columns of a comparison: what is measured on a photo, and on its map in one domain."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ...attribution import Attribution
from ...core.files import plain
from ...metrics import fraction_holding, get, gini, measure
from ...metrics.protocol.run import Scored
from ...transforms import TransformClaim
from ...transforms.units import band_texts
from ..kinds import Signal
from ..loaders.data import Photo
from ..loaders.models import LoadedModel
from .scores import kept

ONLY = "output"  # the name of the output of a model that has only one
RANKINGS = ("attribution", "coefficient", "random")


def photo_columns(
    photos: Sequence[Photo], logits: Tensor, predicted: Tensor, score_difference: Tensor, model: LoadedModel
) -> Iterator[dict[str, Any]]:
    """The columns that are the same in all domains: a dict for each photo, of the names, the answer and f(x) - f(x₀).

    logits: (photos, classes).  predicted, score_difference: (photos,). A model with one output has no classes: its class
    is called `ONLY`, has no probability, and is neither right nor wrong.
    """
    one_output = logits.shape[1] == 1
    probability = model.probabilities(logits).amax(1)
    for i, photo in enumerate(photos):
        chosen, label = int(predicted[i]), photo.label
        yield {
            "image": photo.name,
            "label": label if label is not None else photo.class_name or None,
            "predicted": chosen,
            "predicted_name": ONLY if one_output else plain(model.class_name(chosen)) or None,
            "correct": None if one_output or label is None else label == chosen,
            "probability": math.nan if one_output else float(probability[i]),
            "score": float(logits[i, chosen]),
            "score_difference": float(score_difference[i]),
        }


def domain_columns(one: Attribution, found: Scored, domain: str) -> dict[str, Tensor]:
    """One number per photo for each column of a domain. Shapes: (photos,).

    completeness_gap: Σ_k a_k - (f(x) - f(x₀)).  relative_gap: in |f(x) - f(x₀)|; NaN for sensitivities, no shares of it.
    gini, samples90: how few coefficients hold the map.
    kept5_…: (f(x rebuilt from the 5 % that a ranking puts first) - f(x₀)) / (f(x) - f(x₀)), for each budget and `RANKINGS`.
    found: the scores of the batch, of which those of `domain` are taken.
    """
    photos, difference = len(one), one.score_difference
    unit = difference.where(difference != 0, math.nan)
    columns = {
        "coefficients": torch.full((photos,), one.values[0].numel()),
        "linear": torch.full((photos,), TransformClaim.LINEAR | TransformClaim.RECONSTRUCTS in one.transform.claims),
        "completeness_gap": one.completeness_gap,
        "relative_gap": (one.completeness_gap / (unit if one.kind == "share" else math.nan)).abs(),
        "map_error": _detail(one, "map_error"),
        "converged": one.details.get("converged", torch.full((photos,), math.nan)),
        "uncorrected_gap": (_detail(one, "residual") / unit).abs(),
        "gini": gini(one.values),
        "samples90": fraction_holding(one.values, 0.9, of=math.prod(one.transform.shape)),
    }
    for ranking in RANKINGS:
        columns |= {f"kept{b}_{ranking}": torch.tensor(values) for b, values in kept(found, domain, ranking).items()}
    shares = one.importance("octave")
    return columns | {f"share {name}": torch.tensor(shares[name].to_numpy()) for name in shares}


def invariant_numbers(
    model: Any, one: Attribution, target: Tensor | None, specs: Sequence[str], **options: Any
) -> dict[str, Tensor]:
    """What is equal in all orthonormal domains, by the name of the metric: of one map, (photos,).

    infidelity_relative: infidelity over the mean squared change of the score, 1 for a map of zeros.
    """
    found = {get(spec).name: scores for spec, scores in zip(specs, measure(model, one, specs, target, **options))}
    values = {name: scores.value for name, scores in found.items()}
    return values | {f"{name}_relative": one.details["relative"] for name, one in found.items() if "relative" in one.details}


def octave_texts(maps: Sequence[Attribution], signal: Signal) -> dict[str, str]:
    """The frequencies of each octave in the unit of one signal, which all domains share; of "coarser" each has its own."""
    texts = {name: text for one in maps for name, text in band_texts(one.layout, signal.step, signal.unit).items() if text}
    return {name: text for name, text in texts.items() if name.startswith("octave ")}


def _detail(one: Attribution, name: str) -> Tensor:
    """What the method reports about itself, per photo; NaN where it does not report it."""
    found = one.details.get(name)
    return found if isinstance(found, Tensor) else torch.full_like(one.score_difference, math.nan)
