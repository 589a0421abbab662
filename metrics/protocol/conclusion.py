"""What the errors of several domains allow to be said, for one method and one baseline."""

import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..selection import Budgets
from ..statistics import ENOUGH, Contrast, contrast, family, holm, near_duplicates, per_unit
from ..statistics.contrasts import ROPE
from .admission import Admission
from .errors import Cell, Curves, errors
from .families import OWN

ROTATION, NEUTRAL = "random rotation", "neutral rotation"  # a control domain, and a family that belongs to no domain
BLIND = {  # controls that a domain must beat by its own map
    "coefficient": "its ranking by |z - z₀|",
    "coarse_first": "its coarse-first order",
    "shuffled_model": "its map of a shuffled model",
}
KINDS: tuple[Budgets, ...] = ("count", "energy", "bits")  # of budgets, under which a domain must be better
HALF = 0.5  # of the error of random rankings: a named domain has less, with certainty
TENTH = 0.1  # of the error of a random rotation: a named domain's error is smaller by more, with certainty
_SHOWN = 3  # reasons in a sentence
LEVEL = 0.95  # 1 - the chance that any cell of a comparison names a domain falsely
LEVELLED = f"a {ROTATION}, a control, does as well: no domain is preferred"
RULE = {  # by which a domain is named, declared with the questions of a comparison
    "better than": ["every other compared domain", f"a {ROTATION}", *BLIND.values()],
    "budgets": list(KINDS),
    "budgets by number": "those that select two coefficients or more, where any does",
    "interval": "lies above 0 in each contrast by itself, and above a share of its error against the rotation",
    "share of the rotation's error": TENTH,
    "budgets and answers": "none says the opposite, by an interval beyond what is equal",
    "error over that of random rankings": HALF,
    "units": ENOUGH,
    "equal within": ROPE,
    "level": LEVEL,
    "correction": "none over these contrasts, which must all hold; Holm over the cells, by the largest p of each",
}

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class PairVerdict:
    """Two domains: the contrast, positive where the first is better, and the verdict about the first.

    verdict: "better", "worse", "equal" or "open", or what it depends on.
    """

    first: str
    second: str
    contrast: Contrast | None
    verdict: str


@dataclass(frozen=True)
class Conclusion:
    """What can be said of all domains under one method and one baseline.

    named: the domain that carries the decision in fewer units than all others, or None.  leader: the one with the smallest mean
    error.  reasons: why the leader is not named; () where it is.  errors: mean away errors, by domain, in shares of
    |f(x) - f(x₀)|.  groups: near-duplicates, the representative first.  pairs: of representatives.
    checks: contrasts of the leader against every other representative, a random rotation and its own controls, each by itself.
    admission, gain: whether the selection error and the gain over |z - z₀| vote.
    kinds: of the budgets.  cells: how many conclusions were drawn together.  p: the largest of the checks, corrected for cells.
    """

    method: str
    baseline: str
    named: str | None
    leader: str
    reasons: tuple[str, ...]
    errors: dict[str, float]
    groups: tuple[tuple[str, ...], ...]
    pairs: tuple[PairVerdict, ...]
    checks: dict[str, Contrast]
    admission: Admission
    gain: Admission | None = None
    kinds: tuple[str, ...] = KINDS
    cells: int = 1
    p: float = float("nan")

    @property
    def faults(self) -> dict[str, str]:
        """Why a metric does not vote, by its name; without those that do."""
        each = {"selection_error": self.admission, "gain": self.gain}
        return {name: one.fault for name, one in each.items() if one is not None and one.fault}

    @property
    def lacks(self) -> list[str]:
        """What the protocol asks for and this run has not measured; without it a claim is provisional."""
        kinds = " and ".join(kind for kind in KINDS if kind not in self.kinds)
        return ([f"budgets of equal {kinds}"] if kinds else []) + [each for each in BLIND.values() if each not in self.checks]

    @property
    def levelled(self) -> bool:
        """Whether a random rotation has a smaller mean error than the leader, or is equal to it."""
        one = self.checks.get(f"a {ROTATION}")
        return self.named is None and one is not None and (one.mean <= 0 or one.verdict == "equal")

    @property
    def sentence(self) -> str:
        """The verdict in words; that a control does as well comes first."""
        if self.named is None:
            why = "; ".join(self.reasons[:_SHOWN])
            left = len(self.reasons) - _SHOWN
            more = f"; {left} further reason{'s stand' if left > 1 else ' stands'} in the results" if left > 0 else ""
            among = "of one domain of each group of near duplicates, " if any(len(group) > 1 for group in self.groups) else ""
            first = f"{LEVELLED}; " if self.levelled else ""
            return f"{self.method}: {first}no domain is claimed; {among}{self.leader} has the smallest error, but {why}{more}."
        own = ", ".join(words for words in BLIND.values() if words in self.checks)
        what = f"carries the decision in fewer units than every other compared domain, a {ROTATION} and its controls ({own})"
        alike = next(group for group in self.groups if group[0] == self.named)
        also = f" (as do {', '.join(alike[1:])}, which select the same signal)" if alike[1:] else ""
        missing = f"; the claim is provisional, without {', '.join(self.lacks)}" if self.lacks else ""
        by = f"at budgets of equal {', '.join(self.kinds)}"
        return f"{self.method}: {self.named} {what}, {by}{also}: {self._size}{missing}."

    @property
    def _size(self) -> str:
        """How large the smallest difference is, how sure, and what could have been seen."""
        least, one = min(self.checks.items(), key=lambda each: each[1].mean)
        found = _points(one)
        p = max(each.p_corrected for each in self.checks.values()) if np.isnan(self.p) else self.p
        cells = f" after Holm over {self.cells} cells" if self.cells > 1 else ""
        how = f"p ≤ {p:.2g} in each of {len(self.checks)} contrasts{cells}"
        seen = max(each.detectable for each in self.checks.values())
        reach = f"{one.units} units, which could have shown {100 * seen:.1f} points"
        return f"the smallest difference, to {least}, is {found}, {how}, {reach}"


@dataclass(frozen=True, eq=False)
class Evidence:
    """The curves of one method and one baseline, and how its errors are pooled.

    curves: by cell.  differences: f(x) - f(x₀) by answer, (examples,).  domains: those that may be named.
    families: names of the families.  unit: of each example.  several: places of the budgets by number that count, if any.
    A single coefficient does not: it cannot be several atoms, and in a small signal several budgets are this one selection.
    """

    curves: Mapping[Cell, Curves]
    differences: Mapping[Any, Numbers]
    domains: tuple[str, ...]
    families: tuple[str, ...]
    kinds: tuple[Budgets, ...]
    answers: tuple[str, ...]
    unit: Sequence[Hashable]
    several: tuple[int, ...] = ()
    memory: dict[object, Numbers] = field(default_factory=dict, repr=False)

    def error(self, domain: str, control: str, families: Sequence[str], by: Budgets, answer: str) -> Numbers:
        """The mean over budgets and families, of each unit."""
        key = domain, control, tuple(families), by, answer
        if key not in self.memory:
            counted = list(self.several) if by == "count" and self.several else slice(None)
            curves = [self.curves[Cell(domain, control, each, by, answer)] for each in families]
            found = [errors(each, self.differences[answer])[:, counted].mean(1) for each in curves]
            self.memory[key] = per_unit("compare_domains", np.mean(found, 0), self.unit)
        return self.memory[key]

    def pooled(self, domain: str, control: str, families: Sequence[str], answer: str | None = None) -> Numbers:
        """The mean over the kinds of budgets as well."""
        return np.mean([self.error(domain, control, families, by, answer or self.answers[0]) for by in self.kinds], 0)

    def away(self, *domains: str) -> list[str]:
        """The families that belong to none of these domains; their own where there is no other."""
        return [each for each in self.families if each not in domains and each != OWN]

    def difference(self, first: str, second: str, answer: str | None = None) -> Numbers:
        """E(second) - E(first) by families that belong to neither, positive where the first is better."""
        away = self.away(first, second)
        return self.pooled(second, "attribution", away, answer) - self.pooled(first, "attribution", away, answer)

    def opposed(self, first: str, second: str, sign: float) -> str:
        """What says the opposite of `sign`, by an interval beyond what is equal: a kind of budget or another answer; or ""."""
        away, main = self.away(first, second), self.answers[0]
        each = lambda by: self.error(second, "attribution", away, by, main) - self.error(first, "attribution", away, by, main)
        asked = {
            "the budget": map(each, self.kinds),
            "the answer": (self.difference(first, second, a) for a in self.answers[1:]),
        }
        for what, differences in asked.items():
            if any(sign * found.mean() < -ROPE and contrast(sign * found).high < -ROPE for found in differences):
                return f"depends on {what}"
        return ""


def conclude(evidence: Evidence, cosines: Numbers, admitted: Admission, method: str, baseline: str) -> Conclusion:
    """The conclusion.  cosines: of the selected signals, (domains, domains)."""
    errors = {one: float(evidence.pooled(one, "attribution", evidence.away(one)).mean()) for one in evidence.domains}
    groups = near_duplicates(_alike(cosines, list(errors.values())), evidence.domains)
    chosen = [group[0] for group in groups]
    leader = min(chosen, key=errors.__getitem__)
    checks = _checks(evidence, leader, chosen)
    reasons = tuple(_reasons(evidence, leader, checks, admitted))
    said = (None if reasons else leader), leader, reasons, errors, groups, tuple(_pairs(evidence, groups)), checks
    return Conclusion(method, baseline, *said, admitted, kinds=tuple(evidence.kinds))


def _alike(cosines: Numbers, errors: Sequence[float]) -> Numbers:
    """The cosines, but 0 where errors differ by more than what counts as equal: one domain does not stand for the other there.

    A small part of the signal can decide, which hardly changes the cosine.
    """
    apart = np.abs(np.subtract.outer(errors, errors)) > ROPE
    return np.where(apart, np.minimum(cosines, 0.0), cosines)


def corrected(found: Sequence[Conclusion | None]) -> list[Conclusion | None]:
    """The conclusions of the cells of a comparison, without the names that do not survive Holm's correction over the cells.

    A name stands for all contrasts of its cell, so that its p is the largest of these.  None: a cell without a conclusion.
    """
    known = [one for one in found if one is not None]
    together = iter(holm([max(check.p_corrected for check in one.checks.values()) for one in known]))
    return [None if one is None else _among(one, len(known), float(next(together))) for one in found]


def _among(one: Conclusion, cells: int, p: float) -> Conclusion:
    one = replace(one, cells=cells, p=p)
    if one.named is None or p <= 1 - LEVEL:
        return one
    return replace(one, named=None, reasons=(f"its p is {p:.2g} after Holm over the {cells} cells of the comparison",))


def joined(found: Sequence[Conclusion]) -> str:
    """What conclusions that differ only in the baseline say together."""
    names = {one.named for one in found}
    each = ", ".join(one.baseline for one in found)
    if len(names) > 1:
        said = ", ".join(f"{one.named or 'none'} with {one.baseline}" for one in found)
        return f"{found[0].method}: the verdict depends on the baseline ({said})."
    [name] = names
    return f"{found[0].method}: {f'{name} is named' if name else 'no domain is claimed'} with each of the baselines {each}."


def _checks(evidence: Evidence, leader: str, chosen: Sequence[str]) -> dict[str, Contrast]:
    """One declared question: is the leader better than everything that must be worse if the model reads in it?

    A name says that all of these hold. It is false where one of them is, so that its chance is that of this one alone, and no
    correction is due over them (intersection–union test, Berger 1982). Tests have two sides, since the same numbers choose the
    leader (Gutmann & Maymin 1987).
    """
    found = {other: evidence.difference(leader, other) for other in chosen if other != leader}
    away = evidence.away(leader)
    found[f"a {ROTATION}"] = evidence.pooled(ROTATION, "attribution", away) - evidence.pooled(leader, "attribution", away)
    for control, words in BLIND.items():
        if Cell(leader, control, NEUTRAL, evidence.kinds[0], evidence.answers[0]) in evidence.curves:
            blind, seen = (evidence.pooled(leader, each, [NEUTRAL]) for each in (control, "attribution"))
            found[words] = blind - seen
    return {name: contrast(one) for name, one in found.items()}


def _reasons(evidence: Evidence, leader: str, checks: Mapping[str, Contrast], admitted: Admission) -> list[str]:
    """Why the leader is not named."""
    found = [f"the selection error does not vote: {admitted.fault}"] if admitted.fault else []
    units, away = next(iter(checks.values())).units, evidence.away(leader)
    pooled = float(evidence.pooled(leader, "attribution", away).mean())
    if units < ENOUGH:
        found.append(f"{units} units are fewer than {ENOUGH}")
    for name, one in checks.items():
        if units < ENOUGH and one.mean > 0 and one.p_corrected <= 1 - one.level:
            continue  # the few units are the reason
        if one.verdict != "better":
            found.append(_not_better(name, one))
        elif one.low <= (least := margin(name, one.mean, pooled)):  # a name asks for the test and for the interval
            found.append(f"its lead over {name} may be below {100 * least:.0f} points ({_points(one)})")
        elif name in evidence.domains and (what := evidence.opposed(leader, name, 1.0)):
            found.append(f"that it is better than {name} {what}")
    by, answer = evidence.kinds[0], evidence.answers[0]
    error = evidence.error(leader, "attribution", away, by, answer)
    chance = evidence.error(leader, "random", [OWN], by, answer)
    if not (one := contrast(HALF * chance - error)).low > 0:
        what = "may be" if one.mean > 0 else "is"
        found.append(f"its error of {error.mean():.2f} {what} more than half of that of random rankings, {chance.mean():.2f}")
    return found


def margin(name: str, lead: float, error: float) -> float:
    """What a lead must exceed with certainty: nothing, and over a random rotation a tenth of the rotation's error.

    Any basis is a little better or worse than a random one, so that some lead over it shows nothing. A domain that carries the
    decision is far from it, and may have a close relative among the others: four Haar coefficients hold a pixel.
    lead: over `name`, on average.  error: of the leader, so that the error of `name` is error + lead.

    >>> margin("pixel", 0.1, 0.3), round(margin("a random rotation", 0.1, 0.3), 2)
    (0.0, 0.04)
    """
    return TENTH * (error + lead) if name == f"a {ROTATION}" else 0.0


def _points(one: Contrast) -> str:
    return f"{100 * one.mean:.1f} points ({100 * one.low:.1f} to {100 * one.high:.1f})"


def _not_better(name: str, one: Contrast) -> str:
    """A contrast that the leader does not win, in words."""
    points = f"{100 * one.mean:+.1f} points"
    if one.verdict == "equal":
        return f"it is equal to {name} ({points}, interval within ± {100 * one.rope:.0f})"
    seen = f"detectable {100 * one.detectable:.1f}" if np.isfinite(one.detectable) else "so few units can show no difference"
    what = "worse" if one.verdict == "worse" else "not better"
    return f"it is {what} than {name} ({points}, p = {one.p:.2g}, {seen})"


def _pairs(evidence: Evidence, groups: Sequence[Sequence[str]]) -> list[PairVerdict]:
    """All pairs of representatives, one family; and near-duplicates, which are equal."""
    pairs = list(itertools.combinations([group[0] for group in groups], 2))
    found = family({" ".join(pair): evidence.difference(*pair) for pair in pairs}) if pairs else {}
    verdicts = []
    for (first, second), one in zip(pairs, found.values()):
        claimed = one.verdict in ("better", "worse")
        against = evidence.opposed(first, second, float(np.sign(one.mean))) if claimed else ""
        verdicts.append(PairVerdict(first, second, one, against or one.verdict))
    alike = "equal" if len(evidence.difference(groups[0][0], groups[0][0])) >= ENOUGH else "open"  # no claim from few units
    return verdicts + [PairVerdict(group[0], other, None, alike) for group in groups for other in group[1:]]
