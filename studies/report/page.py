"""The columns of the table of a comparison, and the templates of pages."""

import itertools
import math
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from .charts import percent, signed_number

COLUMNS = (
    ("relative_gap", "gap / |Δf|", "completeness residual; the same in every linear domain"),
    ("map_error", "map error", "the relative error of the map as the method estimates it, if it does"),
    ("gini", "Gini", "sparseness of |a|, from 0 (all equal) to 1; compare domains with equally many coefficients"),
    ("samples90", "holds 90 %", "how many |a| hold 90 % of Σ|a|, in % of the number of samples; above 100 in some frames"),
    ("kept1_attribution", "top 1 %", "share of f(x) - f(x₀) kept by the largest |a|, as many as 1 % of the samples"),
    ("kept5_attribution", "top 5 %", "the same for 5 %"),
    ("kept10_attribution", "top 10 %", "the same for 10 %"),
    ("kept10_coefficient", "by |z|", "control: the same for the largest |coefficient|, without the model"),
    ("kept10_random", "random", "control: the same for random coefficients"),
)
PERCENT = {"relative_gap", "map_error", "samples90"} | {name for name, _, _ in COLUMNS if name.startswith("kept")}
VERDICTS = ("better", "worse", "equal", "depends on the budget", "open")
OF_GAINS = {"better": "larger", "worse": "smaller"}  # a domain whose map gains more over |z| may have the larger error
SMALL = 0.05  # of the larger of |f(x)| and |f(x₀)|: shares of a smaller difference have large errors
MOST_TELLING = ("kept10_attribution", "kept10_coefficient", "kept10_random", "samples90")
_TEMPLATES = jinja2.Environment(loader=jinja2.PackageLoader(__package__ or ""), autoescape=True)


def render(template: str, **values: Any) -> str:
    """A page of the folder `templates` with these values."""
    return _TEMPLATES.get_template(template).render(values)


def distinct(table: pd.DataFrame) -> pd.DataFrame:
    """The rows without those of copies of a picture, which would count it several times.

    >>> len(distinct(pd.DataFrame({"image": ["a", "b"], "copy_of": [None, "a"]})))
    1
    """
    return table[table["copy_of"].isna()] if "copy_of" in table else table


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over photos of the columns that are shown, a row per domain; the median for the gap, whose tail is long."""
    groups = distinct(table).groupby("transform", sort=False)
    shown = groups[[name for name, _, _ in COLUMNS]].mean()
    return shown.assign(relative_gap=groups["relative_gap"].median())


def cell(column: str, value: float) -> str:
    """A number as the tables print it."""
    if np.isnan(value):
        return "–"
    return f"{100 * value:.1f} %" if column in PERCENT else f"{value:.3f}"


def narrow(width: int) -> tuple[tuple[str, str, str], ...]:
    """The columns that fit into `width` characters; the most telling ones are taken first."""
    order = sorted(COLUMNS, key=lambda column: column[0] not in MOST_TELLING)
    ends = itertools.accumulate(max(7, len(title)) + 3 for _, title, _ in order)
    fitting = [column for column, end in zip(order, ends) if end <= width]
    return tuple(column for column in COLUMNS if column in fitting)


def _points(value: Any, signed: bool = True) -> str:
    """A difference in points, hundredths of the unit of the score."""
    if value is None or not math.isfinite(value):
        return "–"
    return signed_number(100 * value) if signed else signed_number(100 * value).lstrip("+-")


def _small(p: Any) -> str:
    """A p value."""
    if p is None or not math.isfinite(p):
        return "–"
    return f"{p:.2g}" if p >= 1e-3 else "< .001"


def _pair_row(pair: dict[str, Any]) -> dict[str, Any]:
    """A pair of domains as a row of contrasts; near-duplicates have no numbers."""
    empty = dict.fromkeys(("mean", "low", "high", "p_corrected", "detectable", "units"))
    alike = "" if pair.get("contrast") else " (near duplicates)"
    label = {"label": f"{pair['first']} − {pair['second']}{alike}", "verdict": pair["verdict"], "source": pair.get("source")}
    return empty | dict(pair.get("contrast") or {}) | label


def _is_wide(row: Any) -> bool:
    """Whether a difference is claimed although its interval contains 0."""
    ends = row.get("low"), row.get("high")
    return row.get("verdict") in ("better", "worse") and None not in ends and ends[0] <= 0 <= ends[1]


_TEMPLATES.tests["wide"] = _is_wide
_TEMPLATES.filters |= {"wide": _is_wide, "points": _points, "small": _small, "pair_row": _pair_row, "percent": percent}
