"""Minimal images of one signal in one domain, and the controls that keep equally many coefficients."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...attribution import Attribution, attribute, mask_path
from ...attribution.analyses.mask_path import MaskPath
from ...attribution.engine.random import Keyed
from ...attribution.methods.mask import Front, Mask
from ...core.progress import Progress
from ...metrics.selection import order, order_ranks, turns
from ...transforms import Transform
from ..loaders.models import LoadedModel
from .changes import changes
from .scores import conciseness, hallucination, view
from .settings import Settings

SOFT, HARD = "minimal", "minimal, hard"
CONTROLS = ("attribution", "signed attribution", "coefficient", "random")
IMAGES = (SOFT, HARD, *CONTROLS)
NONZERO = "minimal, coefficients above 0"  # the minimal image, with its coefficients counted whole
PHOTO, NEAR, EQUAL = "photo", "minimal, near 92 %", "coefficient, near 92 %"
OWN, OWN_LIMIT = "minimal, at its limit", "coefficient, at its limit"
VERSIONS = (PHOTO, NEAR, EQUAL, OWN, OWN_LIMIT)  # what is changed
PAPER_SPARSITY = 0.92  # of the sparsest point of the paper's figure
_LADDER = (0.999, 0.99, 0.97, *np.geomspace(0.9, 1e-4, 16).tolist())  # shares that controls keep where their limit is sought
_RANKINGS = dict(zip(CONTROLS, ("attribution", "signed", "coefficient", "random")))
_ROWS = 16  # inputs of one forward
Record = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Subject:
    """A model and a domain for one signal x (1, channels, *spatial), whose predicted class stays the question throughout.

    step: the distance of samples in x.  rows: the only number of inputs that the model accepts, or "auto".
    """

    model: LoadedModel
    x: Tensor
    transform: Transform
    settings: Settings
    step: float = 1.0
    rows: int | str = "auto"

    def scores(self, signals: Tensor) -> Tensor:
        """The scores of signals (rows, channels, *spatial), in double precision. Shape: (rows, classes)."""
        size = self.rows if isinstance(self.rows, int) else _ROWS
        return torch.cat([self.model.classify(part, self.rows) for part in signals.split(size)]).double()

    def answers(self, signals: Tensor, target: int) -> dict[str, Tensor]:
        """Score and probability of the target, and the predicted class, each (rows,)."""
        if not bool((scores := self.scores(signals)).isfinite().all()):
            raise ValueError(f"{self.model.name}: the model returns NaN or infinity at a masked signal.")
        probability = self.model.probabilities(scores)[:, target]
        return {"logit": scores[:, target], "probability": probability, "predicted": scores.argmax(1)}

    def path(self, target: int, alphas: list[float], progress: Progress | None = None) -> MaskPath:
        """The masks for these prices."""
        own = self.settings
        how: Any = {"steps": own.steps, "lr": own.lr, "continuation": own.continuation if len(alphas) > 1 else None}
        how |= {"seed": own.seed, "batch_size": self.rows, "progress": progress}
        return mask_path(self.model.module, self.x, target, self.transform, alphas=alphas, **how)

    def attribution(self, target: int) -> Attribution:
        """The map that ranks the coefficients of a control."""
        own = self.settings
        how: Any = {"method": own.method, "seed": own.seed, "batch_size": self.rows}
        return attribute(self.model.module, self.x, target, transform=self.transform, **how)


@dataclass(frozen=True, eq=False)
class Kept:
    """The coefficients that each image keeps at each price, (prices, *coeff), and how many they are, `counts`.

    nonzero: entries of m above 0, of which a soft mask has more than counts.  ranks: of every control, (1, *coeff).
    """

    counts: tuple[int, ...]
    nonzero: tuple[int, ...]
    coefficients: Mapping[str, Tensor]
    ranks: Mapping[str, Tensor]

    @classmethod
    def of(cls, mask: Tensor, attribution: Attribution, seed: int) -> "Kept":
        """mask: (prices, *coeff), in [0, 1].

        k = ‖m‖₁, rounded. "minimal" is m ⊙ z itself; every other image keeps exactly k coefficients whole and drops the rest:
        the k largest of m, or the first k of a ranking that does not know m.
        """
        z = attribution.coefficients
        counts = tuple(round(float(one)) for one in mask.flatten(1).double().sum(1))
        own = functools.cache(lambda: turns(attribution, seed))
        found = {SOFT: mask * z, HARD: torch.cat([(order_ranks(one[None], own) < k) * z for one, k in zip(mask, counts)])}
        ranked = {name: order_ranks(order(attribution, by, seed), own) for name, by in _RANKINGS.items()}
        found |= {name: torch.cat([(rank < k) * z for k in counts]) for name, rank in ranked.items()}
        return cls(counts, tuple((mask > 0).flatten(1).sum(1).tolist()), found, ranked)


def cost(settings: Settings) -> int:
    """Gradients of one signal, without the map of a control."""
    prices = tuple(settings.ladder)
    front = Front(Mask(steps=settings.steps), prices, settings.continuation if len(prices) > 1 else None)
    return front.cost([None]).gradients + settings.steps  # type: ignore[list-item]


def measured(subject: Subject, progress: Progress | None = None) -> tuple[Record, dict[str, Tensor]]:
    """All numbers of one signal as plain data, and the signals of every image, (prices, *shape), by name.

    Raises: ValueError for a model with one output: it has no other class that could be predicted instead.
    """
    scores = subject.scores(torch.cat([subject.x, torch.zeros_like(subject.x)]))
    if scores.shape[1] < 2:
        raise ValueError(f"{subject.model.name}: expected at least two classes, of which one can be lost, got one output.")
    target, empty = scores.argmax(1).tolist()
    alphas = _alphas(subject, float((scores[0] - scores[1])[target]))
    path = subject.path(target, alphas, progress)
    kept = Kept.of(path.mask[0], subject.attribution(target), subject.settings.seed)
    signals = {name: subject.transform.inverse(z) for name, z in kept.coefficients.items()}
    rows = [row for name in IMAGES for row in _rows(subject, target, name, kept, signals, path)]
    record = _about(subject, scores, target) | {"coefficients": path.coefficients[0].numel(), "rows": rows}
    record["ladder"] = _ladder(subject, target, path.coefficients, kept.ranks)
    near = min(range(len(alphas)), key=lambda place: abs(rows[place]["sparsity"] - PAPER_SPARSITY))
    versions = _versions(subject, record, near, signals, path.coefficients, kept.ranks) if empty != target else {}
    record["changed"] = _changed(subject, target, versions)
    return record | {"rival": _rival(subject, target, empty, alphas[near]) | {"place": near}}, signals


def _about(subject: Subject, scores: Tensor, target: int) -> Record:
    """What the model answers at x and at the empty signal.  scores: at both, (2, classes)."""
    about = {"target": target, "classes": scores.shape[1], "logit": float(scores[0, target])}
    about["probability"] = float(subject.model.probabilities(scores[:1])[0, target])
    return about | {"empty": {"logit": float(scores[1, target]), "predicted": int(scores[1].argmax())}}


def _alphas(subject: Subject, difference: float) -> list[float]:
    """The price of one coefficient in units of the score.  difference: f(x) - f(0)."""
    if subject.settings.alphas:
        return list(subject.settings.alphas)
    size = subject.transform(subject.x)[0].numel()
    return [price * (abs(difference) or 1.0) / size for price in subject.settings.prices]


def _rows(
    subject: Subject, target: int, name: str, kept: Kept, signals: Mapping[str, Tensor], path: MaskPath
) -> list[dict[str, Any]]:
    """A row for each price: what the model answers at one kind of image, and its scores."""
    x, z = torch.cat([subject.x, signals[name]]), torch.cat([path.coefficients, kept.coefficients[name]])
    found = subject.answers(x, target)
    seen = view(subject.model, x, subject.step)
    more = {f"cp, {key}": value for key, value in conciseness(found["probability"], z, x).items()}
    more["hallucination"] = torch.tensor(hallucination(seen, subject.model.signals.heard))
    size = z[0].numel()
    return [
        {"image": name, "place": place, "alpha": float(alpha), "count": count, "sparsity": 1 - count / size}
        | {"nonzero": nonzero if name == SOFT else count}
        | {key: _number(value[place + 1]) for key, value in (found | more).items()}
        for place, (alpha, count, nonzero) in enumerate(zip(path.alpha.tolist(), kept.counts, kept.nonzero))
    ]


def _ladder(subject: Subject, target: int, z: Tensor, ranked: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """What is predicted of each control at counts of its own, so that its limit does not hang on those of minimal images."""
    size, found = z[0].numel(), []
    counts = sorted({max(1, min(size - 1, round(share * size))) for share in _LADDER}, reverse=True)
    for name, rank in ranked.items():
        signals = subject.transform.inverse(torch.cat([(rank < k) * z for k in counts]))
        predicted = subject.answers(signals, target)["predicted"].tolist()
        about = {"image": name, "size": size}
        found += [about | {"count": k, "sparsity": 1 - k / size, "predicted": one} for k, one in zip(counts, predicted)]
    return found


def _number(value: Tensor) -> float | int | None:
    """Plain data: None for NaN and infinity."""
    number: float | int = value.item()
    return number if isinstance(number, int) or abs(number) < float("inf") else None


def limit(rows: list[dict[str, Any]], name: str, target: int) -> dict[str, Any] | None:
    """The row of the sparsest image of this kind that is still seen as the target; None where none is."""
    seen = [row for row in rows if row["image"] == name and row["predicted"] == target and row["count"]]
    return min(seen, key=lambda row: row["count"]) if seen else None


def _versions(
    subject: Subject, record: Record, near: int, signals: Mapping[str, Tensor], z: Tensor, ranked: Mapping[str, Tensor]
) -> dict[str, tuple[float, Tensor]]:
    """Sparsity and signal of what is changed besides the photo, by name.

    The minimal image nearest to the paper's sparsity, at the place `near`, whatever is seen in it, and the truncation by |z|
    with as many coefficients; the sparsest minimal image that is still seen as the target, and the sparsest such truncation.
    """
    soft = [row for row in record["rows"] if row["image"] == SOFT]
    found = {name: (soft[near]["sparsity"], signals[image][near]) for name, image in ((NEAR, SOFT), (EQUAL, "coefficient"))}
    if (own := limit(soft, SOFT, record["target"])) is not None:
        found[OWN] = own["sparsity"], signals[SOFT][own["place"]]
    if (last := limit(record["ladder"], "coefficient", record["target"])) is not None:
        found[OWN_LIMIT] = last["sparsity"], subject.transform.inverse((ranked["coefficient"] < last["count"]) * z)[0]
    return found


def _changed(subject: Subject, target: int, versions: Mapping[str, tuple[float, Tensor]]) -> list[dict[str, Any]]:
    """What is predicted of the photo and its versions after every change.

    Without versions, the photo alone: where the empty signal has the same class, every sparse enough signal has it too.
    """
    all_of_them, found = {PHOTO: (0.0, subject.x[0]), **versions}, []
    batch = torch.stack([signal for _, signal in all_of_them.values()])
    for change, apply in changes(subject.model, subject.x, subject.settings.seed):
        answers = subject.answers(apply(batch), target)
        about = zip(all_of_them.items(), answers["predicted"].tolist(), answers["probability"].tolist())
        for (name, (sparsity, _)), predicted, probability in about:
            row = {"image": name, "sparsity": sparsity, "change": change}
            found.append(row | {"predicted": predicted, "probability": probability})
    return found


def _rival(subject: Subject, target: int, empty: int, alpha: float) -> dict[str, Any]:
    """The same optimisation for another class, drawn at random: how far a mask can make any class out of this signal.

    empty: the class of the empty signal, which is drawn only where there is no third class.
    """
    classes = subject.scores(subject.x).shape[1]
    others = [one for one in range(classes) if one not in (target, empty)] or [1 - target]
    rival = int(Keyed(subject.x, subject.settings.seed).generator(0, "rival").choice(others))
    path = subject.path(rival, [alpha])
    found = subject.answers(torch.cat([subject.x, path.signal(0)]), rival)
    before, after = ({key: _number(value[row]) for key, value in found.items()} for row in (0, 1))
    return {"class": rival, "alpha": alpha, "sparsity": float(path.sparsity[0, 0]), "before": before, **after}
