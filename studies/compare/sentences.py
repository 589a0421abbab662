"""What may be said about the answers to declared questions: each sentence names its control, its correction and its reach."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ...metrics.protocol.conclusion import KINDS, Conclusion, joined
from ...metrics.statistics import ENOUGH, Contrast
from ..report.page import OF_GAINS, VERDICTS
from .answers import Answer
from .questions import Question
from .settings import BASELINE

_GAINS = " A gain is what the map adds to the ranking by |coefficient|; which domain is better, selection errors say."
BOTH_TRUE = (
    "its interval must hold for all contrasts at once and contains 0; the test is corrected step by step and claims more"
)
_COLUMNS = ("data", "model", "method", "domain")


def sentences(answers: Sequence[Answer], unit: str = "photos") -> list[str]:
    """One sentence for each question; a claim stands in it only if it survives the correction.  unit: what was counted."""
    groups = itertools.groupby(answers, key=lambda one: one.question.name)
    return [_said(list(group), unit) for _, group in groups]


def concluded(where: Sequence[Mapping[str, str]], found: Sequence[Conclusion | None]) -> list[str]:
    """The conclusion of each cell, after what cells say together that differ only in the baseline.

    A sentence begins with the model, the data and the baseline, where there are several.  where: these, of each cell.
    """
    varying = [name for name in ("model", "data", "baseline") if len({one[name] for one in where}) > 1]
    groups: dict[tuple[str, str], list[tuple[str, Conclusion]]] = {}
    for place, one in zip(where, found):
        if one is not None:
            start = "".join(f"{place[name]}, " for name in varying if name != "baseline")
            own = f"{start}baseline={place['baseline']}, " if "baseline" in varying else start
            groups.setdefault((start, one.method), []).append((own, one))
    return [text for (start, _), cells in groups.items() for text in _together(start, cells)]


def _together(start: str, cells: Sequence[tuple[str, Conclusion]]) -> list[str]:
    """What cells that differ only in the baseline say together, where they are several, and alone."""
    whole = [start + joined([one for _, one in cells])] if len(cells) > 1 else []
    return whole + [own + one.sentence for own, one in cells]


def about_other_models(table: pd.DataFrame, unit: str = "photos") -> list[str]:
    """Which differences other models would show too, a sentence for each question.  table: of `across_models`."""
    groups = table.groupby("question", sort=False) if len(table) else ()
    return [_over_models(str(name), part, unit) for name, part in groups]


def _over_models(question: str, part: pd.DataFrame, unit: str) -> str:
    names = [name for name in ("data", "method", "domain") if name in part and part[name].nunique() > 1]
    pairs = part.groupby([*names, "first", "second"], sort=False)
    held = []
    for cell, rows in pairs:
        if (rows["low"] > 0).all() or (rows["high"] < 0).all():
            where = f" in {', '.join(map(str, cell[:-2]))}" if names else ""
            one = rows.iloc[0]
            size = f"{100 * one['mean']:+.0f} points, {100 * one['low']:+.0f} to {100 * one['high']:+.0f}"
            held.append(f"{cell[-2]} against {cell[-1]}{where} ({size})")
    models, units = int(part["models"].max()), int(part["units"].max())
    how = f"bootstrap of {models} models and {units} {unit}, intervals that hold for all {len(pairs)} together"
    found = "; ".join(held) if held else "none"
    return f"{question}, for other models of this kind ({how}). Differences without 0 in their interval: {found}."


def _said(answers: Sequence[Answer], unit: str) -> str:
    question = answers[0].question
    contrasts = [part for one in answers for part in one.contrasts.values()]
    most, dropped = max(part.units for part in contrasts), max(part.dropped for part in contrasts)
    lost = f" {dropped} without a usable score were dropped." if dropped else ""
    if most < ENOUGH:
        few = f"{most} {unit} are too few for a claim: intervals from fewer than {ENOUGH} skewed numbers cover too little."
        return f"{question.name}: {few}{lost}"
    count, against = len(answers), _common({one.second for one in answers})
    level = f"{100 * question.level:.3g} % intervals" + (f" that hold for all {count} together" if count > 1 else "")
    kinds = [kind for kind in answers[0].contrasts if kind]
    budgets = f" budgets of equal {', '.join(kinds)};" if kinds else ""
    what = f"{question.metric}, {count} contrast{'s' * (count > 1)}{against}, {most} {unit};{budgets} {level}, p after Holm"
    parts = [*(_claimed(verdict, answers) for verdict in VERDICTS[:-1]), _flipped(answers), _open(answers, unit)]
    parts.append(_provisional(answers, kinds))
    about = _GAINS if _is_gain(question) else ""
    return f"{question.name} ({what}). {' '.join(filter(None, parts))}{lost}{about}"


def _provisional(answers: Sequence[Answer], kinds: Sequence[str]) -> str:
    """That a claim is made without kinds of budgets that the protocol asks for."""
    missing = [kind for kind in KINDS if kind not in kinds] if kinds else []
    claims = any(one.verdict in ("better", "worse") for one in answers)
    return f"Claims are provisional, without budgets of equal {' and '.join(missing)}." if claims and missing else ""


def _flipped(answers: Sequence[Answer]) -> str:
    """The contrasts whose claim with one baseline is contrary to that with another one."""
    groups: dict[tuple[str, ...], dict[str, str]] = {}
    for one in answers:
        method, _, baseline = one.where.get("method", "").partition(BASELINE)
        key = (one.first, one.second, *(one.where | {"method": method}).values())
        groups.setdefault(key, {})[baseline or "zero"] = one.verdict
    flips = [(key, own) for key, own in groups.items() if {"better", "worse"} <= set(own.values())]
    said = [
        f"{key[0]} against {key[1]} in {', '.join(filter(None, key[2:]))} "
        f"({', '.join(f'{verdict} with {baseline}' for baseline, verdict in own.items())})"
        for key, own in flips
    ]
    return f"Depends on the baseline: {'; '.join(said)}." if said else ""


def _is_gain(question: Question) -> bool:
    """Whether domains are compared by what their maps gain."""
    return question.compare == "domain" and question.metric == "gain"


def _common(seconds: set[str]) -> str:
    """The second side, where it is the same in all contrasts."""
    return f" with {next(iter(seconds))}" if len(seconds) == 1 else ""


def _claimed(verdict: str, answers: Sequence[Answer]) -> str:
    """The contrasts with a verdict, or that there are none."""
    named = [f"{_label(one, answers)} ({_numbers(one)})" for one in answers if one.verdict == verdict]
    rope = f" within ± {100 * answers[0].question.rope:.3g} points" if verdict == "equal" else ""
    said = (OF_GAINS.get(verdict, verdict) if _is_gain(answers[0].question) else verdict).capitalize()
    if not named:
        return f"{said}: none." if verdict in ("better", "worse") else ""
    return f"{said}{rope}: {'; '.join(named)}."


def _open(answers: Sequence[Answer], unit: str) -> str:
    """How many contrasts stay open, and the differences that would have been seen in them."""
    voting = [one.detectable for one in answers if one.verdict == "open" and not one.refused]
    seen = sorted(number for number in voting if np.isfinite(number))
    number = sum(one.verdict == "open" for one in answers)
    if not number:
        return ""
    few = sum(one.verdict == "open" and max(part.units for part in one.contrasts.values()) < ENOUGH for one in answers)
    less = f", {few} of them with fewer than {ENOUGH} {unit}" if few else ""
    less += _refused(answers)
    if not seen:
        return f"Open: {number}{less}."
    reach = _range(seen[0], seen[-1])
    return f"Open: {number}{less}; with 80 % power this run could have seen a difference of {reach} points there."


def _refused(answers: Sequence[Answer]) -> str:
    """In how many contrasts the metric does not vote, and why."""
    lost = [one.refused for one in answers if one.refused]
    if not lost:
        return ""
    why = dict.fromkeys(reason for each in lost for reason in each.split("; "))
    return f", {len(lost)} of them since {answers[0].question.metric} does not vote there ({'; '.join(why)})"


def _range(low: float, high: float) -> str:
    texts = dict.fromkeys(f"{100 * number:.2g}" if number < 0.1 else f"{100 * number:.0f}" for number in (low, high))
    return " to ".join(texts)


def _label(one: Answer, answers: Sequence[Answer]) -> str:
    """The contrast by what differs between the contrasts of its question."""
    varies = [name for name in _COLUMNS if len({other.where.get(name) for other in answers}) > 1]
    places = [one.where[name] for name in varies]
    if one.question.compare == "control" and len({(other.first, other.second) for other in answers}) == 1:
        return ", ".join(places) or one.first
    against = f" against {one.second}" if len({other.second for other in answers}) > 1 else ""
    return f"{one.first}{against}" + (f" in {', '.join(places)}" if places else "")


def _numbers(one: Answer) -> str:
    """The size and interval of a contrast, under each kind of budget, and its p."""
    several = len(one.contrasts) > 1
    parts = [(f"{kind} " if several else "") + points(part) for kind, part in one.contrasts.items()]
    if one.verdict not in ("better", "worse"):
        return "; ".join(parts)
    wide = any(part.contains_zero for part in one.contrasts.values())
    return "; ".join(parts) + f", p {_small(one.p_corrected)}" + (f"; {BOTH_TRUE}" if wide else "")


def points(part: Contrast) -> str:
    """A mean difference in points, hundredths of the score's unit, with the interval that the family corrects."""
    mean, low, high = (f"{100 * number:+.3g}" if abs(number) < 0.1 else f"{100 * number:+.0f}" for number in _rounded(part))
    if part.high - part.low < 1e-4:
        return f"{mean} points, the same everywhere"
    return f"{mean} points, {low} to {high}"


def _rounded(part: Contrast) -> tuple[float, float, float]:
    """The numbers without digits that their spread makes meaningless."""
    digits = 3 if part.high - part.low < 0.05 else 2
    return round(part.mean, digits), round(part.low, digits), round(part.high, digits)


def _small(p: float) -> str:
    return f"= {p:.2g}" if p >= 1e-3 else "< .001"
