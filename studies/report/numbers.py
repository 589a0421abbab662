"""The means that a report shows, with their intervals, and which rows of a file each is made of."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from ...metrics.protocol.conclusion import NEUTRAL
from ...metrics.statistics import ENOUGH
from .folder import GROUP, WIDE

Numbers = NDArray[Any]
CELL = (*GROUP, "domain")
MOST_RANGES = 40  # in an address
LEVEL = 0.95


class Column(NamedTuple):
    """A column of the table of domains.

    which: the values of columns of the long table.  about: how to read it.  better: "lower" or "higher", whichever mean
    is best, or "".  percent: whether it is shown in per cent.
    """

    key: str
    title: str
    about: str
    which: dict[str, Any]
    better: str = ""
    percent: bool = True


def columns(scores: pd.DataFrame) -> list[Column]:
    """The columns for which there are numbers."""
    kept = scores.query("metric == 'kept_share' and budget_kind == 'count'")["budget"].dropna()
    budget = float(min(kept, key=lambda one: abs(one - 0.1))) if len(kept) else np.nan
    much = f"{100 * budget:.3g} %"
    share = {"metric": "kept_share", "family": "own", "budget_kind": "count", "budget": budget}
    error = {"metric": "selection_error"}
    found = [
        Column("error", "selection error", _ERROR, error | {"control": "attribution", "family": "away"}, "lower"),
        Column("size", "error by |z|", _SIZE, error | {"control": "coefficient", "family": NEUTRAL}),
        Column("chance", "error at random", _CHANCE, error | {"control": "random", "family": "own"}),
        Column("gain", "gain over |z|", _GAIN, {"metric": "gain", "control": "attribution", "family": NEUTRAL}, "higher"),
        Column("kept", f"kept by top {much}", _kept(much), share | {"control": "attribution"}),
        Column("blind", "the same by |z|", _BLIND, share | {"control": "coefficient"}),
        Column("random", "the same at random", _RANDOM, share | {"control": "random"}),
        Column("samples90", "90 % held by", _HOLD, {"metric": "samples90"}, "lower"),
        Column("gini", "Gini", _GINI, {"metric": "gini"}, percent=False),
        Column("gap", "completeness gap", _GAP, {"metric": "relative_gap"}),
    ]
    return [column for column in found if _rows(scores, column)["score"].notna().any()]


_ERROR = (
    "How far the answer moves when only the coefficients that the map ranks first are kept, and when they alone are removed; "
    "what is taken out is replaced in foreign domains. 0 %: the selection is the whole decision. "
    "Mean over budgets. Lower is better."
)
_CHANCE = (
    "Control: the selection error of coefficients in random order, where what is taken out has the baseline's values. "
    "A map that means something lies well below."
)
_SIZE = "Control: the error of the largest |z|, found without the model, in one foreign domain. The gain compares it."
_GAIN = (
    "By how much the map's error is smaller than that of the largest coefficients, found without the model. Near 0 the map "
    "ranks as |z| does: it shows how the transform compacts the signal, and not what the model reads. A domain with a large "
    "gain can have the largest error: which domain is better, the error says."
)
_BLIND = "Control: the same share for the coefficients with the largest |z|, found without the model."
_RANDOM = "Control: the same share for coefficients in random order."
_HOLD = "How many coefficients hold 90 % of Σ|a|, in % of the number of samples. Fewer: the map is more concentrated."
_GINI = "How unequal the attributions are: 0 all equal, 1 all in one coefficient. Compare domains of equal size only."
_GAP = (
    "By how much Σ a misses f(x) − f(x₀), relative to it. It is the same in all linear domains and cannot rank them. "
    "The command line prints its median."
)


def _kept(much: str) -> str:
    return (
        "Share of f(x) − f(x₀) that is left when only the coefficients with the largest |a| are kept, "
        f"as many as {much} of the samples. 100 %: the model answers as before; more or less is worse. "
        "No mean is bold: one near 100 % can be of examples far above and far below."
    )


def _rows(scores: pd.DataFrame, column: Column) -> pd.DataFrame:
    kept = np.ones(len(scores), bool)
    for name, value in column.which.items():
        kept &= np.isclose(scores[name].astype(float), value) if name == "budget" else (scores[name] == value).to_numpy()
    return scores[kept]


class Mean(NamedTuple):
    """A mean over units, and the rows that it is made of.

    low, high: Student's t interval at 95 %; NaN for fewer than 20 units.  file, rows: where the numbers stand, from 0 on.
    """

    mean: float
    low: float
    high: float
    units: int
    file: str
    rows: tuple[int, ...]

    @property
    def fragment(self) -> str:
        """The rows as the fragment of an address, as RFC 7111 names rows of CSV files (header: row 1); "" if too many."""
        ranges = _ranges(self.rows, 2 if self.file == WIDE else 0)
        return "#row=" + ";".join(ranges) if len(ranges) <= MOST_RANGES else ""

    @property
    def row_text(self) -> str:
        """The same in words, the first rows only."""
        ranges = _ranges(self.rows, 2 if self.file == WIDE else 0)
        return ", ".join(one.replace("-", "–") for one in ranges[:8]) + (", …" if len(ranges) > 8 else "")


def _ranges(rows: Sequence[int], first: int) -> list[str]:
    """Runs of rows as "2-4".

    >>> _ranges([0, 1, 2, 7], 2)
    ['2-4', '9']
    """
    found = np.unique(np.asarray(rows, int)) + first
    runs = np.split(found, np.flatnonzero(np.diff(found) > 1) + 1) if len(found) else []
    return [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]


def means(scores: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """mean, low, high and units of each combination of `keys`: means over units, and Student's t interval from 20 units on."""
    rows = scores[scores["score"].notna()]
    cell = rows.groupby(list(keys), sort=False, dropna=False).ngroup().to_numpy()
    unit = pd.factorize(rows["unit"], use_na_sentinel=False)[0]
    mean, std, count = _over_units(cell, unit, rows["score"].to_numpy(float))
    many = np.where(count >= ENOUGH, count, np.nan)
    half = stats.t.isf((1 - LEVEL) / 2, many - 1) * std / np.sqrt(many)
    found = rows[list(keys)].iloc[np.unique(cell, return_index=True)[1]].reset_index(drop=True)
    return found.assign(mean=mean, std=std, count=count, low=mean - half, high=mean + half, units=count)


def _over_units(cell: Numbers, unit: Numbers, score: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """(mean, standard deviation, number) over the units of each cell, of the units' means; without units that have none."""
    each, place = np.unique(np.stack([cell, unit]), axis=1, return_inverse=True)
    cells = cell.max(initial=-1) + 1
    with np.errstate(divide="ignore", invalid="ignore"):  # infinite scores, and one unit has no spread
        held = np.bincount(place.ravel(), score) / np.bincount(place.ravel())
        own, held = each[0][known := ~np.isnan(held)], held[known]
        count = np.bincount(own, minlength=cells)
        mean = np.bincount(own, held, cells) / count
        return mean, np.sqrt(np.bincount(own, (held - mean[own]) ** 2, cells) / np.where(count > 1, count - 1, np.nan)), count


class Row(NamedTuple):
    """A row of the table of domains: run, data, model, method and domain, and a mean for each column, or None."""

    where: dict[str, str]
    cells: tuple[Mean | None, ...]


def table(scores: pd.DataFrame, shown: Sequence[Column]) -> list[Row]:
    """A row for each domain, method, model, data and run, in the order of the table."""
    parts = [_column(scores, column) for column in shown]
    order = list(dict.fromkeys(scores[scores["domain"] != ""][list(CELL)].itertuples(index=False, name=None)))
    found = [Row(dict(zip(CELL, key)), tuple(part.get(key) for part in parts)) for key in order]
    return [row for row in found if any(row.cells)]


def _column(scores: pd.DataFrame, column: Column) -> dict[tuple[str, ...], Mean]:
    rows = _rows(scores, column)
    cell = rows.groupby(list(CELL), sort=False, dropna=False).ngroup().to_numpy()
    order = np.argsort(cell, kind="stable")
    places = np.split(order, np.flatnonzero(np.diff(cell[order])) + 1) if len(rows) else []
    first = rows[list(CELL)].iloc[[place[0] for place in places]].itertuples(index=False, name=None)
    keys = dict(zip(first, places))
    number, file = rows["row"].to_numpy(), rows["file"].to_numpy()
    found = {}
    for one in means(rows, CELL).itertuples():
        place = keys[key := tuple(getattr(one, name) for name in CELL)]
        found[key] = Mean(one.mean, one.low, one.high, one.units, file[place[0]], tuple(number[place]))
    return found


class Curve(NamedTuple):
    """A curve over budgets: mean, low and high of each, and the numbers of every unit where they are too few for intervals."""

    name: str
    budgets: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    units: int


def curves(scores: pd.DataFrame, metric: str, family: str, by: str) -> dict[tuple[str, str], Curve]:
    """{(domain, control): curve} of one group.  family: as in the long table; a control that lacks it has its other one."""
    rows = scores[(scores["metric"] == metric) & (scores["budget_kind"] == by)]
    parts: dict[tuple[str, str], dict[str, list[Any]]] = {}
    for one in means(rows, ("domain", "control", "family", "budget")).itertuples():
        parts.setdefault((str(one.domain), str(one.control)), {}).setdefault(str(one.family), []).append(one)
    return {
        (domain, control): _curve(
            domain if control == "attribution" else control, found.get(family, next(iter(found.values())))
        )
        for (domain, control), found in parts.items()
    }


def _curve(name: str, points: Sequence[Any]) -> Curve:
    points = sorted(points, key=lambda one: float(one.budget))
    budgets, mean, low, high = (tuple(float(getattr(one, of)) for one in points) for of in ("budget", "mean", "low", "high"))
    return Curve(name, budgets, mean, low, high, int(max(one.units for one in points)))


def groups(scores: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """Each run × data × model × method, and its numbers."""
    for key, part in scores[scores["domain"] != ""].groupby(list(GROUP), sort=False):
        yield dict(zip(GROUP, key)), part
