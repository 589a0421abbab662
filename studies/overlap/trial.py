"""One pair of recordings: mixtures at all levels, their explanation in all domains, and the scores of what is kept."""

import itertools
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...attribution import Attribution, attribute
from ...attribution.result import keep_only
from ...attribution.targets import log_odds
from ...metrics.base import get as get_metric
from ...metrics.judged import Judged, judging
from ...metrics.selection import Selection
from ...metrics.separation import energy_left, ideal_order, si_sdr
from ...transforms import Transform
from ...transforms import get as get_transform
from .rankings import CONTROLS, distinct, order
from .recordings import Clip, Mixture, Recordings, answers, mix, partner
from .settings import Settings, bare

CLASS_METRICS = ("average_drop", "average_increase", "average_gain", "fid_in")
FLOOR = -30.0  # dB; a smaller SI-SDR counts as this, so that one almost orthogonal signal does not decide a mean
Record = dict[str, Any]
Signals = dict[tuple[str, str, str, float], Tensor]  # by level, domain, ranking and budget: (1, samples)


@dataclass(frozen=True, eq=False)
class Kept:
    """The mixtures of one target by level, and what is kept of them, for pictures and sounds."""

    mixtures: dict[str, Mixture]
    signals: Signals


def level_name(level: float | None, peak: float | None = None) -> str:
    """How tables call a level.

    >>> level_name(10.0), level_name(None, 0.2)
    ('10 dB', '0.2 of the peak')
    """
    return f"{peak:g} of the peak" if level is None else f"{level:g} dB"


def explained_levels(settings: Settings) -> dict[str, dict[str, float]]:
    """The arguments of `mix` by the name of a level, from easy to hard; the paper's peak comes first."""
    own = {level_name(None, settings.peak): {"peak": settings.peak}} if settings.peak is not None else {}
    return own | {level_name(one): {"level": one} for one in sorted(settings.levels, reverse=True)}


def trial(clip: Clip, recordings: Recordings, domains: Sequence[str], settings: Settings) -> tuple[Record, Kept]:
    """The scores of one target as plain data, and the signals behind them.

    "sweep": level, probability and whether the prediction is kept.  "levels": the same of the explained mixtures.
    "rows": a record for each level, domain, ranking and budget.  "evaluations": of the model, by kind.
    """
    name, corruption = partner(clip, recordings, settings)
    mixtures = {one: mix(clip.target, corruption, **how) for one, how in explained_levels(settings).items()}
    swept = [mix(clip.target, corruption, level) for level in settings.sweep]
    clean, *said = _asked(clip, recordings, [*swept, *mixtures.values()])
    about: Record = {"target": clip.name, "class": clip.class_name, "corruption": name, "clean": clean["probability"]}
    about |= {"sweep": said[: len(swept)], "levels": dict(zip(mixtures, said[len(swept) :]))}
    kept, rows, evaluations = Kept(mixtures, {}), list[Record](), {"forward": 0, "gradient": 0}
    Part(recordings, clip.label, mixtures, settings).run(domains, kept.signals, rows, evaluations)
    return about | {"rows": rows, "evaluations": evaluations}, kept


def _asked(clip: Clip, recordings: Recordings, mixtures: Sequence[Mixture]) -> list[Record]:
    """What the model says to the target alone, and to each mixture."""
    x = torch.stack([clip.target, *(one.x for one in mixtures)])
    probability, predicted = answers(recordings.model, x, clip.label)
    return [
        {"level": level, "probability": float(p), "kept": bool(found == clip.label)}
        for level, p, found in zip([math.inf, *(one.level for one in mixtures)], probability, predicted)
    ]


@dataclass(frozen=True, eq=False)
class Part:
    """The methods of `settings` on mixtures of one target, and the controls that stand beside them."""

    recordings: Recordings
    label: int
    mixtures: dict[str, Mixture]
    settings: Settings

    def run(self, domains: Sequence[str], signals: Signals, rows: list[Record], evaluations: dict[str, int]) -> None:
        """Adds the rows, signals and evaluations of all domains."""
        maps = self._maps(domains)
        for found in maps.values():
            for kind in evaluations:
                evaluations[kind] += int(found[0].settings["evaluations"].get(kind, 0))
        for place, domain in enumerate(domains):
            own = {spec: order(spec, maps[bare(spec)][place], self.recordings.rate) for spec in self.settings.methods}
            base = next(iter(maps.values()))[place]
            own["oracle"] = ideal_order(base.transform, self._stacked("target"), self._stacked("x"))
            with self._judging(base, own) as judged:
                self._score(domain, judged, distinct([*own, *CONTROLS]), signals, rows)
                evaluations["forward"] += judged.engine.count.forward

    def _stacked(self, name: str) -> Tensor:
        """The x, target or corruption of all mixtures, (batch, 1, samples)."""
        return torch.stack([getattr(one, name) for one in self.mixtures.values()])

    @property
    def _target(self) -> Any:
        return log_odds([self.label] * len(self.mixtures))

    @property
    def _how(self) -> dict[str, Any]:
        return {"seed": self.settings.seed, "batch_size": self.settings.batch_size}

    def _maps(self, domains: Sequence[str]) -> dict[str, list[Attribution]]:
        """The maps in all domains, by method."""
        x = self._stacked("x")
        transforms = [get_transform(domain, tuple(x.shape[1:])) for domain in domains]
        model, target, specs = self.recordings.model, self._target, distinct([bare(spec) for spec in self.settings.methods])
        return {spec: attribute(model, x, target, method=spec, transform=transforms, **self._how) for spec in specs}

    def _judging(self, base: Attribution, orders: dict[str, Tensor]) -> AbstractContextManager[Judged]:
        """base: any map of the domain.  orders: of rankings, (batch, *coeff)."""
        cost = (len(self.settings.budgets) + 1) * (len(orders) + len(CONTROLS))
        return judging(self.recordings.model, base, self._target, cost, orders=orders, **self._how)

    def _score(self, domain: str, judged: Judged, rankings: Sequence[str], signals: Signals, rows: list[Record]) -> None:
        """Adds the rows and signals of one domain."""
        budgets, main = self.settings.budgets, self.settings.budget
        asked = [Selection(one, budget) for one in rankings for budget in budgets]
        judged.answers([*asked, *(Selection(one, main, removed=True) for one in rankings)])  # all at once, which is faster
        pairs, truth = list(itertools.product(rankings, budgets)), Truth(self._stacked("target"), self._stacked("corruption"))
        selected = _selected(judged, pairs)
        separation = {name: list(value) for name, value in truth.separation(selected).items()}
        for place, (ranking, budget) in enumerate(pairs):
            heard = {name: value[place] for name, value in separation.items()}
            scores = heard | _class_scores(judged, ranking, budget, main)
            for number, level in enumerate(self.mixtures):
                own = {name: float(found[number]) for name, found in scores.items()}
                rows.append({"level": level, "domain": domain, "ranking": ranking, "budget": budget} | own)
                signals[level, domain, ranking, budget] = selected[place, number]


def _selected(judged: Judged, pairs: Sequence[tuple[str, float]]) -> Tensor:
    """x_S of each ranking and budget, (pairs, batch, 1, samples), with one synthesis for all."""
    counts = judged.numbers([Selection(ranking, budget) for ranking, budget in pairs])
    ranks = {ranking: judged.rank(ranking) for ranking, _ in pairs}
    place = counts.reshape(*counts.shape, *[1] * (judged.attribution.values.ndim - 1))
    masks = torch.stack([ranks[ranking] < count for (ranking, _), count in zip(pairs, place)])
    example = torch.arange(counts.shape[1], device=counts.device).repeat(len(pairs))
    return keep_only(judged.attribution, masks.flatten(0, 1), example).unflatten(0, counts.shape)


class Truth:
    """What a selection of the mixtures' coefficients is compared with: target and corruption, each (batch, 1, samples)."""

    def __init__(self, source: Tensor, rest: Tensor) -> None:
        self._plane: Transform = get_transform("stft", tuple(source.shape[1:]))
        self._source, self._rest = source[:, 0], rest[:, 0]
        self._before = si_sdr(self._source + self._rest, self._source)
        self._own = self._plane(source).abs() > self._plane(rest).abs()

    def separation(self, kept: Tensor) -> dict[str, Tensor]:
        """How far x_S, (…, batch, 1, samples), is the target, each (…, batch).

        si_sdr: in dB, at least -30.  si_sdr_gain: over the mixture.  energy_left: of the corruption.  target_share: of the
        energy of x_S over time and frequency, the share in cells in which the target exceeds the corruption.
        """
        estimate, many = kept[..., 0, :], kept.shape[:-2]
        source, rest = self._source.expand_as(estimate), self._rest.expand_as(estimate)
        ratio, left = si_sdr(estimate, source).clamp(min=FLOOR), energy_left(estimate, source, rest)
        energy = self._plane(kept.flatten(0, -3)).square().unflatten(0, many)
        share = (energy * self._own).flatten(len(many)).sum(-1) / energy.flatten(len(many)).sum(-1)
        return {"si_sdr": ratio, "si_sdr_gain": ratio - self._before, "energy_left": left, "target_share": share}


def _class_scores(judged: Judged, ranking: str, budget: float, main: float) -> dict[str, Tensor]:
    """What becomes of the class, each (batch,).  ff is measured at the main budget only: it takes evaluations of its own."""
    chosen = judged.answers([Selection(ranking, budget)])
    names = CLASS_METRICS + (("ff",) if math.isclose(budget, main) else ())
    found = {"probability": chosen.probability[0], "log_odds": chosen.score[0]}
    for name in names:
        metric = type(get_metric(name))(budget=budget, ranking=ranking)  # type: ignore[call-arg]
        found[name] = metric.measure(judged).value
    return found
