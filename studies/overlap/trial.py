"""One pair of recordings: mixtures at all levels, their explanation in all domains, and the scores of what is kept."""

import math
from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True, eq=False)
class Kept:
    """What stays of one mixture: (level, domain, ranking, budget) -> signal (1, samples), for pictures and sounds."""

    mixtures: dict[str, Mixture]
    signals: dict[tuple[str, str, str, float], Tensor]


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
    "rows": a record for each level, domain, ranking and budget, see `_scores`.
    """
    name, corruption = partner(clip, recordings, settings)
    mixtures = {one: mix(clip.target, corruption, **how) for one, how in explained_levels(settings).items()}
    swept = [mix(clip.target, corruption, level) for level in settings.sweep]
    x = torch.stack([clip.target, *(one.x for one in [*swept, *mixtures.values()])])
    probability, predicted = answers(recordings.model, x, clip.label)
    said = [
        {"level": one.level, "probability": float(p), "kept": bool(found == clip.label)}
        for one, p, found in zip([*swept, *mixtures.values()], probability[1:], predicted[1:])
    ]
    about: Record = {"target": clip.name, "class": clip.class_name, "corruption": name, "clean": float(probability[0])}
    about |= {"sweep": said[: len(swept)], "levels": dict(zip(mixtures, said[len(swept) :]))}
    rows, signals, evaluations = _explained(clip, recordings, mixtures, domains, settings)
    return about | {"rows": rows, "evaluations": evaluations}, Kept(mixtures, signals)


def _explained(
    clip: Clip, recordings: Recordings, mixtures: Mapping[str, Mixture], domains: Sequence[str], settings: Settings
) -> tuple[list[Record], dict[tuple[str, str, str, float], Tensor], dict[str, int]]:
    """The rows, signals and evaluations of all methods; costly ones explain the hardest mixture only."""
    names, count = list(mixtures), {"forward": 0, "gradient": 0}
    rows, signals = list[Record](), dict[tuple[str, str, str, float], Tensor]()
    for methods, levels in ((settings.methods, names), (settings.costly, names[-1:])):
        if not methods:
            continue
        some = {name: mixtures[name] for name in levels}
        x = torch.stack([one.x for one in some.values()])
        transforms = [get_transform(domain, tuple(x.shape[1:])) for domain in domains]
        how: dict[str, Any] = {"seed": settings.seed, "batch_size": settings.batch_size}
        target = log_odds([clip.label] * len(x))
        made = {
            spec: attribute(recordings.model, x, target, method=spec, transform=transforms, **how)
            for spec in distinct([bare(spec) for spec in methods])
        }
        for maps in made.values():
            for kind in count:
                count[kind] += int(maps[0].settings["evaluations"].get(kind, 0)) * len(x)
        controls = CONTROLS if methods is settings.methods else ()
        for number, domain in enumerate(domains):
            own = {spec: order(spec, made[bare(spec)][number], recordings.rate) for spec in methods}
            base = made[bare(methods[0])][number]
            found, kept = _judged(recordings, base, target, some, own, controls, settings, how)
            rows += [{"level": row.pop("level"), "domain": domain} | row for row in found]
            signals |= {(level, domain, ranking, budget): one for (level, ranking, budget), one in kept.items()}
            count["forward"] += len(x) * len(distinct([*own, *controls])) * (len(settings.budgets) + 1)
    return rows, signals, count


def _judged(
    recordings: Recordings,
    base: Attribution,
    target: Any,
    mixtures: Mapping[str, Mixture],
    orders: dict[str, Tensor],
    controls: Sequence[str],
    settings: Settings,
    how: dict[str, Any],
) -> tuple[list[Record], dict[tuple[str, str, float], Tensor]]:
    """The rows and kept signals of one domain.  base: any map in it.  orders: of the methods, (batch, *coeff)."""
    source = torch.stack([one.target for one in mixtures.values()])
    rest = torch.stack([one.corruption for one in mixtures.values()])
    if "oracle" in controls:
        orders = orders | {"oracle": ideal_order(base.transform, source, source + rest)}
    rankings, rows, signals = distinct([*orders, *controls]), [], {}
    asked = [Selection(one, budget) for one in rankings for budget in settings.budgets]
    cost = len(asked) + len(rankings)
    with judging(recordings.model, base, target, cost, orders=orders, **how) as judged:
        judged.answers([*asked, *(Selection(one, settings.budget, removed=True) for one in rankings)])
        for ranking in rankings:
            for budget in settings.budgets:
                kept = _selected(judged, ranking, budget)
                scores = _separation(kept, source, rest) | _class_scores(judged, ranking, budget, settings.budget)
                for number, level in enumerate(mixtures):
                    own = {name: float(found[number]) for name, found in scores.items()}
                    rows.append({"level": level, "ranking": ranking, "budget": budget} | own)
                    signals[level, ranking, budget] = kept[number]
    return rows, signals


def _selected(judged: Judged, ranking: str, budget: float) -> Tensor:
    """x_S, (batch, 1, samples)."""
    count = judged.numbers([Selection(ranking, budget)])[0]
    rank = judged.rank(ranking)
    return keep_only(judged.attribution, rank < count.reshape(-1, *[1] * (rank.ndim - 1)))


def _separation(kept: Tensor, source: Tensor, rest: Tensor) -> dict[str, Tensor]:
    """How far x_S is the target, each (batch,).

    si_sdr: in dB, at least -30.  si_sdr_gain: over the mixture.  energy_left: of the corruption.  target_share: of the energy
    of x_S over time and frequency, the share in cells in which the target exceeds the corruption.
    """
    s, n, estimate = source[:, 0], rest[:, 0], kept[:, 0]
    ratio, before = si_sdr(estimate, s).clamp(min=FLOOR), si_sdr(s + n, s)
    plane: Transform = get_transform("stft", tuple(source.shape[1:]))
    own, energy = plane(source).abs() > plane(rest).abs(), plane(kept).square()
    share = (energy * own).flatten(1).sum(1) / energy.flatten(1).sum(1)
    left = energy_left(estimate, s, n)
    return {"si_sdr": ratio, "si_sdr_gain": ratio - before, "energy_left": left, "target_share": share}


def _class_scores(judged: Judged, ranking: str, budget: float, main: float) -> dict[str, Tensor]:
    """What becomes of the class, each (batch,).  ff is measured at the main budget only: it takes evaluations of its own."""
    chosen = judged.answers([Selection(ranking, budget)])
    names = CLASS_METRICS + (("ff",) if math.isclose(budget, main) else ())
    found = {"probability": chosen.probability[0], "log_odds": chosen.score[0]}
    for name in names:
        metric = type(get_metric(name))(budget=budget, ranking=ranking)  # type: ignore[call-arg]
        found[name] = metric.measure(judged).value
    return found
