"""Minimal images of one signal in one domain, and the controls that keep equally many coefficients."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...attribution import Attribution, attribute, mask_path
from ...attribution.analyses.mask_path import MaskPath
from ...attribution.engine.random import Keyed
from ...attribution.methods.mask import Front, Mask
from ...core.progress import Progress
from ...metrics.selection import order, order_ranks
from ...transforms import Transform
from ..loaders.models import LoadedModel
from .changes import changes
from .scores import conciseness, hallucination, view
from .settings import Settings

SOFT, HARD = "minimal", "minimal, hard"
CONTROLS = ("attribution", "signed attribution", "coefficient", "random")
IMAGES = (SOFT, HARD, *CONTROLS)
PHOTO, OWN_LIMIT = "photo", "coefficient, at its own limit"
_RANKINGS = dict(zip(CONTROLS, ("attribution", "signed", "coefficient", "random")))
_ROWS = 16  # inputs of one forward
_CHANGED = (SOFT, HARD, "attribution", "coefficient")
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
        scores = self.scores(signals)
        if not bool(scores.isfinite().all()):
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
    """The coefficients that each image keeps at each price, (prices, *coeff), and how many they are, `counts`."""

    counts: tuple[int, ...]
    coefficients: Mapping[str, Tensor]

    @classmethod
    def of(cls, mask: Tensor, attribution: Attribution, seed: int) -> "Kept":
        """mask: (prices, *coeff), in [0, 1].

        k = ‖m‖₁, rounded. "minimal" is m ⊙ z itself; every other image keeps exactly k coefficients whole and drops the rest:
        the k largest of m, or the first k of a ranking that does not know m.
        """
        z = attribution.coefficients
        counts = tuple(round(float(one)) for one in mask.flatten(1).double().sum(1))
        found = {SOFT: mask * z, HARD: torch.cat([_first(one[None], k, attribution, seed) * z for one, k in zip(mask, counts)])}
        for name, ranking in _RANKINGS.items():
            rank = order_ranks(order(attribution, ranking, seed), attribution, seed)
            found[name] = torch.cat([(rank < k) * z for k in counts])
        return cls(counts, found)


def _first(score: Tensor, count: int, attribution: Attribution, seed: int) -> Tensor:
    """The `count` largest entries of score (1, *coeff), as truth values."""
    return order_ranks(score, attribution, seed) < count


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
    record["changed"] = _changed(subject, target, signals, rows if empty != target else [])
    return record | {"rival": _rival(subject, target, empty, alphas[len(alphas) // 2])}, signals


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
        | {key: _number(value[place + 1]) for key, value in (found | more).items()}
        for place, (alpha, count) in enumerate(zip(path.alpha.tolist(), kept.counts))
    ]


def _number(value: Tensor) -> float | int | None:
    """Plain data: None for NaN and infinity."""
    number: float | int = value.item()
    return number if isinstance(number, int) or abs(number) < float("inf") else None


def limit(rows: list[dict[str, Any]], name: str, target: int) -> int | None:
    """The place of the sparsest image of this kind that is still seen as the target; None where none is."""
    seen = [row for row in rows if row["image"] == name and row["predicted"] == target]
    return max(seen, key=lambda row: (row["sparsity"], row["place"]))["place"] if seen else None


def _changed(subject: Subject, target: int, signals: Mapping[str, Tensor], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is predicted of the photo, its minimal image and controls after every change.

    The minimal image is the sparsest one that is still seen as the target; controls keep as many coefficients, and the last one
    is the sparsest truncation by |z| that is still seen as the target. Without rows, the photo alone: where the empty signal
    has the same class, every signal that is sparse enough has it too.
    """
    versions, sparsity = {PHOTO: subject.x[0]}, {PHOTO: 0.0}
    for name, image, place in _sparsest(rows, target):
        versions[name] = signals[image][place]
        sparsity[name] = next(row["sparsity"] for row in rows if (row["image"], row["place"]) == (image, place))
    batch, found = torch.stack(list(versions.values())), []
    for change, apply in changes(subject.model, subject.x, subject.settings.seed):
        answers = subject.answers(apply(batch), target)
        for name, predicted, probability in zip(versions, answers["predicted"].tolist(), answers["probability"].tolist()):
            about = {"image": name, "sparsity": sparsity[name], "change": change}
            found.append(about | {"predicted": predicted, "probability": probability})
    return found


def _sparsest(rows: list[dict[str, Any]], target: int) -> list[tuple[str, str, int]]:
    """The name, the kind and the place of the images that are changed; those without a place are left out."""
    place, own = limit(rows, SOFT, target), limit(rows, "coefficient", target)
    found = [] if place is None else [(name, name, place) for name in _CHANGED]
    return found if own is None else [*found, (OWN_LIMIT, "coefficient", own)]


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
