"""Explanations and states of runs as the command line prints them."""

import math
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.table import Table

from ...core import terminal
from ...core.files import plain
from ...core.terminal import show, show_files, show_table, show_wrapped
from .cautions import cautions

WIDE = 140  # characters of a terminal from which on metrics are a table
COMPARED = {
    "domains, methods": "Compare domains and methods",
    "methods": "Compare methods only: equal in some domains, or not meant for them",
    "nothing": "Describe a map; no value is better",
}


def print_explanation(model: str, found: Any, out: Path) -> None:
    """An `Explanation`: the class and its score, a table for each domain, what its numbers mean, notes, and the files."""
    name = f" ({found.class_name})" if found.class_name else ""
    said = f"score {found.score:.3f}"
    if not math.isnan(found.probability):
        said = f"class {found.target}{name}, {said}, probability {found.probability:.1%}"
    show(plain(f"{model}: {found.image}: {said}"))
    if found.notes:  # before the numbers: of a silent recording they mean nothing
        show_wrapped(f"note: {'; '.join(found.notes)}")
    for spec in found.shares:
        _print_octaves(spec, found)
    for line in cautions(found.score, found.score_difference, found.cancellation, found.not_converged, len(found.shares)):
        show_wrapped(line)
    show_files(out, found.files)


def _print_octaves(spec: str, found: Any) -> None:
    """The octaves of one domain: frequencies, shares, and, where values can be added, totals with their sum."""
    totals, texts = found.totals.get(spec), found.frequencies[spec]
    rows = [[str(name), texts[name], f"{share:.1%}"] for name, share in found.shares[spec].items()]
    head = ["octave", "frequencies", "share of Σ|a|"]
    if totals is not None:
        rows = [[*row, f"{total:+.3g}"] for row, total in zip(rows, totals.values())]
        head.append("total Σ a")
    show_table(spec, head, rows)
    if totals is not None:
        factor = found.cancellation[spec]
        size = f"; Σ|a| is {factor:,.3g} × |f(x) - f(x₀)|" if math.isfinite(factor) else ""
        show(f"explains {sum(totals.values()):+.3g} of f(x) - f(x₀) = {found.score_difference:+.3g}{size}")


def print_metrics(rows: Sequence[dict[str, Any]]) -> None:
    """Rows of `metric_rows`: a table where there is room, else a paragraph for each, in groups by what they compare."""
    if terminal.console.width >= WIDE:
        cells = [[", ".join(v) if isinstance(v, list) else "-" if v is None else str(v) for v in row.values()] for row in rows]
        show_table(None, tuple(rows[0]), cells)
        return
    width = max(len(row["name"]) for row in rows)
    for compared, heading in COMPARED.items():
        show(f"{heading}:")
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=width + 2, no_wrap=True)
        for row in (each for each in rows if each["compares"] == compared):
            grid.add_row(f"  {plain(row['name'])}", f"{plain(row['formula'])}. {_about_metric(row)}")
        terminal.console.print(grid)
    show("pullback metrics NAME shows one in full.")


def _about_metric(row: dict[str, Any]) -> str:
    """What is better, the cost, and what a metric needs, in half a line."""
    said = [] if row["better"] == "neither" else [f"{row['better'].capitalize()} is better"]
    count = row["evaluations"]
    said.append(f"{count} evaluation{'s' if count != 1 else ''}" if said else f"{count} evaluations")
    return "; ".join([*said, *([f"needs {', '.join(row['needs'])}"] if row["needs"] else [])])


def print_status(found: Sequence[Any], missing: Sequence[str]) -> None:
    """A row for each `Status`, their sum, what was skipped, and which shards no folder holds."""
    show_table(None, ("folder", "shard", "state", "done", "skipped", "left"), [_status_row(one) for one in found])
    if len(found) > 1:
        show(f"{sum(one.done for one in found)} of {sum(one.planned for one in found)} examples or pieces are done")
    for name, reason in dict.fromkeys(pair for one in found for pair in one.skipped):
        show(plain(f"skipped: {name}: {reason}"))
    if missing:
        show(f"no folder holds {'shard' if len(missing) == 1 else 'shards'} {', '.join(missing)}")


def _status_row(one: Any) -> tuple[str, ...]:
    left = "" if one.seconds_left is None else str(timedelta(seconds=round(one.seconds_left)))
    return plain(one.folder), one.shard, one.state, f"{one.done} of {one.planned}", str(len(one.skipped)), left
