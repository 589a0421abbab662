"""The answers of a long table of scores to declared questions."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from ...core.checks import quoted
from ...metrics.protocol.table import COLUMNS
from ...metrics.statistics import Contrast, false_discovery, family, holm, large_enough, two_level_interval
from .questions import ALL, MAP, Question

DIFFERENCE = "score_difference"  # the metric whose rows hold f(x) - f(x₀), from which small ones are dropped
MOST = 2000  # pairs of values in one question
_CELL = ("data", "model", "method", "domain", "control")
Refused = Mapping[tuple[str, str, str], Mapping[str, str]]  # {(data, model, method): {metric: why it does not vote}}


@dataclass(frozen=True)
class Answer:
    """What one contrast of a question found.

    where: the data, model, method and domain, without the compared column.  first, second: the compared values.
    contrasts: by kind of budget; positive where first is better. Their p is corrected inside that kind.
    p_corrected: of the claim that holds under every kind, the largest p, corrected by Holm over the whole question.
    refused: why the metric does not vote here; then the contrast is open.
    """

    question: Question
    where: dict[str, str]
    first: str
    second: str
    contrasts: dict[str, Contrast]
    p_corrected: float
    refused: str = ""

    @property
    def verdict(self) -> str:
        """What holds under every kind of budget, as in `Contrast`, else "depends on the budget" or "open".

        It depends on the budget where one kind claims a difference, and another kind has the other sign or claims equality.
        """
        if self.refused:
            return "open"
        found = {one.verdict for one in self.contrasts.values()}
        if len(found) == 1:
            [verdict] = found
            claims = verdict in ("better", "worse")
            return "open" if claims and self.p_corrected > 1 - self.question.level else verdict
        signs = {np.sign(one.mean) for one in self.contrasts.values() if np.isfinite(one.mean)}
        contrary = len(signs - {0.0}) > 1 or "equal" in found
        return "depends on the budget" if found & {"better", "worse"} and contrary else "open"

    @property
    def detectable(self) -> float:
        """The smallest mean difference that would have been seen under every kind of budget; NaN where no claim is made."""
        return max((one.detectable for one in self.contrasts.values()), default=np.nan)


def check_table(table: pd.DataFrame) -> pd.DataFrame:
    """`table`, if it is a long table of scores.  Raises: ValueError where columns lack or a number stands there twice."""
    lacking = [name for name in COLUMNS if name not in table]
    if lacking:
        raise ValueError(f"answers: expected a table with the columns {', '.join(COLUMNS)}; it lacks {', '.join(lacking)}.")
    if not pd.api.types.is_numeric_dtype(table["score"]):
        raise TypeError(f"answers: expected numbers as score, got {table['score'].dtype}.")
    texts = [name for name in COLUMNS if name not in ("budget", "score")]
    table = table.assign(**{name: table[name].astype(object).fillna("").astype(str) for name in texts})
    table = table.assign(budget=table["budget"].astype(float).fillna(0.0))
    twice = table.duplicated([name for name in COLUMNS if name not in ("unit", "score")])
    if twice.any():
        row = table[twice].iloc[0]
        where = quoted(", ".join(str(row[name]) for name in ("model", "domain", "metric", "example")))
        raise ValueError(f"answers: expected each number once, but {int(twice.sum())} stand there again, such as {where}.")
    return table


def small_differences(table: pd.DataFrame, least: float) -> pd.DataFrame:
    """The examples whose |f(x) - f(x₀)| is too small for shares of it: columns data, model, example; see `large_enough`."""
    rows = table[table["metric"] == DIFFERENCE].drop_duplicates(["data", "model", "example"])
    groups = [rows.iloc[:0], *(one[~large_enough(one["score"], least=least)] for _, one in rows.groupby(["data", "model"]))]
    return pd.concat(groups)[["data", "model", "example"]]


def differences(table: pd.DataFrame, question: Question, represented: Sequence[str] = ()) -> pd.DataFrame:
    """One paired difference per example, positive where the first value is better.

    Columns: those of the cell, first, second, budget_kind, unit, example, difference. The scores of an example are averaged
    over the budgets; the difference is NaN where one is missing.

    represented: domains that another one stands for, as `near_duplicates` finds them; stars leave them out.
    Raises: ValueError where a value that the question names is not in the table.
    """
    cell = [name for name in _CELL if name != question.compare]
    rows = _asked(table, question, represented)
    keys = [*cell, "budget_kind", "unit", "example"]
    place = rows.groupby(keys, sort=False, dropna=False).ngroup().to_numpy()
    side, values = pd.factorize(rows[question.compare])
    budgets = rows[[question.compare, "budget"]].drop_duplicates()[question.compare].value_counts()[values].to_numpy()
    shape = place.max(initial=-1) + 1, len(values)
    of = place * len(values) + side
    count, total = (np.bincount(of, each, shape[0] * shape[1]).reshape(shape) for each in (None, rows["score"]))
    means = np.where(count == budgets, total / budgets, np.nan)
    own = rows[keys].iloc[np.unique(place, return_index=True)[1]].reset_index(drop=True)
    group = own.groupby(cell, sort=False, dropna=False).ngroup().to_numpy() if cell else np.zeros(len(own), int)
    there = np.zeros((group.max(initial=-1) + 1, len(values)), bool)
    there[group[place], side] = True
    sign = 1 if question.better == "higher" else -1
    found, number = [], {value: place for place, value in enumerate(values)}
    for first, second in _pairs(question, list(values), represented):
        one, other = number[first], number[second]
        with np.errstate(invalid="ignore"):  # of two infinite scores
            both = own.assign(difference=sign * (means[:, one] - means[:, other]))
        found.append(both[there[group, one] & there[group, other]].assign(first=first, second=second))
    empty = pd.DataFrame(columns=[*cell, "budget_kind", "unit", "example", "difference", "first", "second"])
    return pd.concat(found, ignore_index=True) if found else empty


def _asked(table: pd.DataFrame, question: Question, represented: Sequence[str]) -> pd.DataFrame:
    """The rows that the question is about, with NaN as score where f(x) - f(x₀) is too small."""
    kept = (table["metric"] == question.metric) & (table["family"] == question.family)
    within = dict(question.within)
    if question.compare != "control":
        within.setdefault("control", (MAP,))
    if question.compare != "domain" and "domain" not in within:
        kept &= ~table["domain"].isin(list(represented))
    for column, values in within.items():
        kept &= table[column].isin(values)
    for column, some in (("budget", question.budgets), ("budget_kind", question.budget_kinds)):
        kept &= table[column].isin(some) if some else True
    rows = table[kept]
    small = pd.MultiIndex.from_frame(small_differences(table, question.least))
    here = pd.MultiIndex.from_frame(rows[["data", "model", "example"]])
    return rows.assign(score=rows["score"].where(~here.isin(small)))


def _pairs(question: Question, there: Sequence[str], represented: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of values that are compared.  there: the values of the table, in its order."""
    named = [value for value in (*question.first, *question.second) if value != ALL and value not in there]
    if named and there:
        what = f"no {question.compare} {quoted(named[0])} with {question.metric} and family {question.family}"
        raise ValueError(f"question {quoted(question.name)}: the table has {what}; it has {', '.join(there)}."[:300])
    every = [value for value in there if question.compare != "domain" or value not in represented]
    first, second = (every if ALL in side else list(side) for side in (question.first, question.second))
    both = ALL in question.first and ALL in question.second
    pairs = list(itertools.combinations(every, 2) if both else ((a, b) for a in first for b in second if a != b))
    if len(pairs) > MOST:
        raise ValueError(
            f"question {quoted(question.name)}: asks for {len(pairs):,} pairs, at most {MOST:,}; name fewer values."
        )
    return pairs if there else []


def answer(
    table: pd.DataFrame,
    questions: Sequence[Question],
    represented: Sequence[str] = (),
    *,
    seed: int = 0,
    refused: Refused = MappingProxyType({}),
) -> list[Answer]:
    """The answers to all questions, in their order; a question about which the table says nothing has none.

    table: long, with the columns COLUMNS; see `differences` for `represented`.  The unit of all statistics is the column
    unit: examples of one unit are averaged.  refused: metrics that do not vote, and why; their contrasts are open, and still
    count in the correction.  Raises: ValueError or TypeError as `check_table` and `differences`.
    """
    table = check_table(table)
    each = (_answers(differences(table, question, represented), question, seed) for question in questions)
    return [dataclasses.replace(one, refused=_fault(one, refused)) for found in each for one in found]


def _fault(one: Answer, refused: Refused) -> str:
    """Why the metric does not vote in a cell of either side."""
    asked, own = one.question.compare, _own(one.question, refused)
    cells = [one.where | {asked: side} for side in (one.first, one.second)]
    keys = dict.fromkeys((cell["data"], cell["model"], cell["method"]) for cell in cells)
    return "; ".join(f"{key[1] if asked == 'model' else key[2]}: {own[key]}" for key in keys if key in own)


def _own(question: Question, refused: Refused) -> dict[tuple[str, str, str], str]:
    """The cells in which the metric of a question does not vote, and why. All but gains are of the selection error's kind."""
    metric = "gain" if question.metric == "gain" else "selection_error"
    return {key: faults[metric] for key, faults in refused.items() if metric in faults}


def _answers(found: pd.DataFrame, question: Question, seed: int) -> Iterator[Answer]:
    names = [*(name for name in _CELL if name != question.compare), "first", "second"]
    kinds: dict[str, dict[str, Contrast]] = {}
    cells = {str(number): cell for number, (cell, _) in enumerate(found.groupby(names, sort=False, dropna=False))}
    for kind, rows in found.groupby("budget_kind", sort=False, dropna=False):
        parts = rows.groupby(names, sort=False, dropna=False)
        units = {cell: one.groupby("unit", sort=False)["difference"].mean().to_numpy() for cell, one in parts}
        per_cell = {name: units.get(cell, np.zeros(0)) for name, cell in cells.items()}
        kinds[str(kind)] = family(per_cell, level=question.level, rope=question.rope, seed=seed)
    largest = [np.max([kinds[kind][name].p for kind in kinds]) for name in cells]
    for (name, cell), p in zip(cells.items(), holm(largest)):
        where = {column: str(value) for column, value in zip(names[:-2], cell[:-2]) if column != "control"}
        yield Answer(question, where, cell[-2], cell[-1], {kind: kinds[kind][name] for kind in kinds}, float(p))


def frame(answers: Sequence[Answer]) -> pd.DataFrame:
    """A row for each answer and kind of budget. exploratory_q: by Benjamini and Hochberg over all rows, for no claim."""
    rows = [
        {
            "question": one.question.name,
            "metric": one.question.metric,
            **one.where,
            "first": one.first,
            "second": one.second,
            "budget_kind": kind,
        }
        | {"verdict": one.verdict, "refused": one.refused, "p_all_kinds": one.p_corrected}
        | {"verdict_of_kind": part.verdict, **dataclasses.asdict(part)}
        for one in answers
        for kind, part in one.contrasts.items()
    ]
    found = pd.DataFrame(rows)
    return found.assign(exploratory_q=false_discovery(found["p"])) if len(found) else found


def across_models(
    table: pd.DataFrame,
    questions: Sequence[Question],
    represented: Sequence[str] = (),
    *,
    seed: int = 0,
    refused: Refused = MappingProxyType({}),
) -> pd.DataFrame:
    """Where a contrast was made on several models: its mean and interval for other models of their kind and other units.

    A row per question, data, method, domain, pair and kind of budget, with the columns models, units, mean, low, high; see
    `two_level_interval`. The intervals of one question and kind of budget hold together (Bonferroni).  Claims of a question are
    about the models that it lists; this table describes what other models would do, without cells in `refused`.
    """
    table = check_table(table)
    asked = [one for one in questions if one.compare != "model"] if table["model"].nunique() > 1 else []
    found = [_across(_voting(differences(table, one, represented), one, refused), one, seed) for one in asked]
    rows = [row for part in found for row in part]
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["question"])


def _voting(found: pd.DataFrame, question: Question, refused: Refused) -> pd.DataFrame:
    """The differences of cells in which the metric votes, on both sides."""
    sides = [found.assign(**{question.compare: found[side]}) for side in ("first", "second")]
    lost = [pd.MultiIndex.from_frame(one[list(_CELL[:3])]).isin(list(_own(question, refused))) for one in sides]
    return found[~np.any(lost, axis=0)]


def _across(found: pd.DataFrame, question: Question, seed: int) -> list[dict[str, Any]]:
    names = [name for name in (*_CELL, "first", "second", "budget_kind") if name in found and name not in ("model", "control")]
    cells = found.groupby(names, sort=False, dropna=False) if "model" in found else ()
    tables = {
        cell: part.pivot_table(index="model", columns="unit", values="difference", aggfunc="mean") for cell, part in cells
    }
    usable = {cell: units for cell, units in tables.items() if min(units.shape) > 1}
    level = 1 - (1 - question.level) / max(1, len(usable) // max(1, found["budget_kind"].nunique()))
    rows = []
    for cell, units in usable.items():
        mean, low, high = two_level_interval(units.to_numpy(), level=level, seed=seed)
        size = {"models": len(units), "units": units.shape[1], "mean": mean, "low": low, "high": high}
        rows.append({"question": question.name} | dict(zip(names, cell)) | size)
    return rows
