"""A comparison as the command line prints it: for each cell the verdict, selection errors with their controls, and gains."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd
from rich.table import Table

from ...core import terminal
from ...core.files import plain
from ...core.terminal import show, show_files, show_wrapped
from ...metrics.protocol.conclusion import NEUTRAL, ROTATION
from ...metrics.statistics import ENOUGH
from .page import OF_GAINS, VERDICTS, cell, means, narrow

MOST_NAMED, WIDEST = 4, 40  # contrasts in a line; characters of a domain
SHOWN_AS_ERRORS = ("kept10_coefficient", "kept10_random")  # whose place in this table E has
_ERROR = {"metric": "selection_error"}
COLUMNS = (  # title, the rows of the long table, and what the number means
    (
        "E",
        _ERROR | {"control": "attribution", "family": "away"},
        "selection error of the map: how far the score moves when only what the map ranks first is kept, and when that "
        "alone is taken out. 0 %: the selection is the whole decision. Verdicts are about E",
    ),
    (
        "by |z|",
        _ERROR | {"control": "coefficient", "family": NEUTRAL},
        "control: E of the largest coefficients, no model asked, in one family: the gain, not E, compares it",
    ),
    ("random", _ERROR | {"control": "random", "family": "own"}, "control: E of coefficients in random order"),
    (
        "gain",
        {"metric": "gain", "control": "attribution", "family": NEUTRAL},
        "how much smaller E is than by |z|. Near 0 the map ranks as |z| does: it shows how the transform compacts the "
        "signal, not what the model reads. A large gain does not make a domain the better one: its E can be the largest",
    ),
)
GAIN = "gain"
KEPT = "kept10_attribution"
_ABOUT_KEPT = "of f(x) - f(x₀), what the top 10 % of coefficients keep: 100 % is all, more or less is worse"


def print_comparison(found: Any) -> None:
    """A `Comparison`: of each cell the verdict and the errors; the answers, what else was found, and where the files are."""
    scores, cells = found.scores, found.summary.get("cells", [found.summary])
    verdicts, answers = (found.summary.get(f"{name}_sentences", []) for name in ("conclusion", "answer"))
    for line in verdicts:
        show_wrapped(f"Verdict. {line}")
    groups = list(found.table.groupby(["data", "model", "method"], sort=False))
    for label, rows in groups:
        own = scores[(scores["data"] == label[0]) & (scores["model"] == label[1]) & (scores["method"] == label[2])]
        _print_cell(rows, own, ", ".join(label) + ": " if len(groups) > 1 else "")
    _print_meanings(dict.fromkeys(column for _, rows in groups for column in _further(rows)))
    words = cells[0].get("signals", {})
    several = words.get("units", words.get("several", "examples"))
    for line in brief(found.summary.get("answers") or [], several):
        show_wrapped(f"• {line}")
    for line in [one for one in found.summary["sentences"] if one not in {*verdicts, *answers}]:
        show_wrapped(f"• {line}")
    for kind, said in (("skipped", "skipped"), ("notes", "read with a change")):
        named = list(dict.fromkeys(entry["file"] for each in cells for entry in each[kind]))
        if named:
            shown = ", ".join(named[:5]) + (", …" if len(named) > 5 else "")
            show(f"{said}: {shown} ({len(named)} in all; reasons: summary.json)")
    show_files(found.out, found.files)


def domain_errors(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean E, its controls and the gain, a row for each domain in the order of the table; a random rotation is left out."""
    rows = scores[(scores["domain"] != "") & (scores["domain"] != ROTATION)]
    units = [rows[_chosen(rows, which)].groupby(["domain", "unit"], sort=False)["score"].mean() for _, which, _ in COLUMNS]
    columns = {title: one.groupby("domain", sort=False).mean() for (title, _, _), one in zip(COLUMNS, units)}
    return pd.DataFrame(columns).reindex(dict.fromkeys(rows["domain"]))


def _chosen(rows: pd.DataFrame, which: dict[str, str]) -> Any:
    kept = rows["score"].notna()
    for name, value in which.items():
        kept &= rows[name] == value
    return kept


def _print_cell(rows: Any, scores: pd.DataFrame, where: str) -> None:
    """The errors of one cell, and columns that describe the maps as far as there is room."""
    errors, described, width, further = domain_errors(scores), means(rows), _width(rows), _further(rows)
    table = Table(title=plain(f"{where}selection error E of each domain, lower is better; means"), title_justify="left")
    table.add_column("domain", width=width, overflow="fold")
    for title in [*errors.columns, *(title for _, title, _ in further)]:
        table.add_column(title, justify="right", no_wrap=True)
    for domain, values in described.iterrows():
        own = errors.loc[domain] if domain in errors.index else dict.fromkeys(errors.columns, float("nan"))
        shown = [cell(KEPT, own[title]) for title in errors.columns]
        table.add_row(plain(domain), *shown, *(cell(name, values[name]) for name, _, _ in further))
    terminal.console.print(table)


def _room() -> int:
    """Characters of a line beside the errors."""
    return terminal.console.width - 4 - sum(max(7, len(title)) + 3 for title, _, _ in COLUMNS)


def _width(rows: Any) -> int:
    """Of the column of domains."""
    longest = max(len(str(domain)) for domain in ["domain", *rows["transform"]])
    return min(longest, max(_room(), WIDEST // 2), WIDEST)


def _further(rows: Any) -> list[tuple[str, str, str]]:
    """The columns that describe the maps and for which there is room."""
    return [one for one in narrow(_room() - _width(rows)) if one[0] not in SHOWN_AS_ERRORS]


def _print_meanings(further: Iterable[tuple[str, str, str]]) -> None:
    """A line for each column.  further: those that describe the maps, and are shown."""
    grid = Table.grid(padding=(0, 2))
    for title, _, about in COLUMNS:
        grid.add_row(title, about)
    for name, title, about in further:
        grid.add_row(title, _ABOUT_KEPT if name == KEPT else about)
    terminal.console.print(grid)


def brief(answers: Sequence[dict[str, Any]], several: str = "examples") -> Iterator[str]:
    """A line for each question: how many contrasts are claimed, and the largest ones; the report has all of them.

    answers: as in summary.json.  several: what the examples are called.
    """
    table = pd.DataFrame(answers)
    if table.empty:
        return
    names = [name for name in ("data", "model", "method", "domain", "first", "second") if name in table]
    for question, rows in table.groupby("question", sort=False):
        whole = rows.drop_duplicates(names)  # a row for each kind of budget has the same verdict
        most = int(rows["units"].max())
        few = f"{most} {several} are too few for a claim; at least {ENOUGH} are needed."
        yield f"{question}: {few if most < ENOUGH else _counted(whole) + _named(whole)}"


def _counted(rows: pd.DataFrame) -> str:
    gains = "metric" in rows and bool((rows["metric"] == GAIN).all())
    counts = rows["verdict"].replace(OF_GAINS if gains else {}).value_counts()
    said = [f"{verdict} {counts[verdict]}" for verdict in (*VERDICTS, *OF_GAINS.values()) if verdict in counts]
    refused = int((rows["refused"] != "").sum()) if "refused" in rows else 0
    lost = f" ({refused} since the metric does not vote there)" if refused else ""
    return f"of {len(rows)} contrast{'s' * (len(rows) > 1)} {', '.join(said)}{lost}"


def _named(rows: pd.DataFrame) -> str:
    """The largest claimed differences."""
    claimed = rows[rows["verdict"].isin(["better", "worse"])]
    if claimed.empty:
        return "."
    largest = claimed.reindex(claimed["mean"].abs().sort_values(ascending=False, kind="stable").index)
    places = [name for name in ("data", "model", "method", "domain") if name in rows and rows[name].nunique() > 1]
    several = len(rows[["first", "second"]].drop_duplicates()) > 1
    shown = [f"{_label(row, places, several)} {100 * row['mean']:+.0f}" for _, row in largest.head(MOST_NAMED).iterrows()]
    more = f", and {len(claimed) - MOST_NAMED} more in the report" if len(claimed) > MOST_NAMED else ""
    return f". In points: {'; '.join(shown)}{more}."


def _label(row: Any, places: Sequence[str], several: bool) -> str:
    """What a contrast is about.  places: columns that differ between contrasts.  several: whether its two sides differ too."""
    where = ", ".join(row[name] for name in places)
    if not several:
        return where or str(row["first"])
    return f"{row['first']} against {row['second']}" + (f" in {where}" if where else "")
