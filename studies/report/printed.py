"""Results as the command line prints them."""

import math
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.table import Table

from ...core import terminal
from ...core.files import plain
from ...core.terminal import show, show_files, show_table
from .page import cell, means, narrow


def print_explanation(model: str, found: Any, out: Path) -> None:
    """An `Explanation`: the class and its score, a table for each domain, notes, and the names of the files."""
    name = f" ({found.class_name})" if found.class_name else ""
    said = f"score {found.score:.3f}"
    if not math.isnan(found.probability):
        said = f"class {found.target}{name}, {said}, probability {found.probability:.1%}"
    show(plain(f"{model}: {found.image}: {said}"))
    for spec, shares in found.shares.items():
        texts = found.frequencies[spec]
        rows = [(str(name), texts[name], f"{share:.1%}") for name, share in shares.items()]
        show_table(spec, ("octave", "frequencies", "share of Σ|a|"), rows)
    if found.not_converged:
        advice = "the method missed its tolerance; give it more evaluations or a larger tolerance"
        show(f"{len(found.not_converged)} of {len(found.shares)} maps did not converge: {advice}")
    if found.notes:
        show(f"note: {'; '.join(found.notes)}")
    show_files(out, found.files)


def print_status(found: Sequence[Any], missing: Sequence[str]) -> None:
    """A row for each `Status`, their sum, what was skipped, and which shards no folder holds."""
    show_table(None, ("folder", "shard", "state", "done", "skipped", "left"), [_status_row(one) for one in found])
    if len(found) > 1:
        show(f"{sum(one.done for one in found)} of {sum(one.planned for one in found)} photos are done")
    for name, reason in dict.fromkeys(pair for one in found for pair in one.skipped):
        show(plain(f"skipped: {name}: {reason}"))
    if missing:
        show(f"no folder holds {'shard' if len(missing) == 1 else 'shards'} {', '.join(missing)}")


def _status_row(one: Any) -> tuple[str, ...]:
    left = "" if one.seconds_left is None else str(timedelta(seconds=round(one.seconds_left)))
    return plain(one.folder), one.shard, one.state, f"{one.done} of {one.planned}", str(len(one.skipped)), left


def print_comparison(found: Any, findings: Sequence[str]) -> None:
    """A `Comparison`: of each cell a row for each domain; what it says, and the names of the files."""
    groups = found.table.groupby(["model", "data", "method"], sort=False)
    for label, table in groups:
        _print_means(table, ", ".join(label) + ": " if len(groups) > 1 else "")
    for sentence in findings:
        terminal.console.print(plain(f"• {sentence}"))
    cells = found.summary.get("cells", [found.summary])
    for kind, said in (("skipped", "skipped"), ("notes", "read with a change")):
        named = list(dict.fromkeys(entry["file"] for cell in cells for entry in cell[kind]))
        if named:
            shown = ", ".join(named[:5]) + (", …" if len(named) > 5 else "")
            show(f"{said}: {shown} ({len(named)} in all; reasons: summary.json)")
    show_files(found.out, found.files)


def _print_means(found: Any, where: str) -> None:
    """The means of one cell."""
    width = min(max(len(str(domain)) for domain in ["domain", *found["transform"]]), terminal.console.width // 3)
    columns = narrow(terminal.console.width - width - 4)
    gap = " (gap: median)" if "relative_gap" in [name for name, _, _ in columns] else ""
    table = Table(title=plain(f"{where}means over all examples{gap}"))
    table.add_column("domain", width=width, overflow="fold")
    for _, title, _ in columns:
        table.add_column(title, justify="right", no_wrap=True)
    for domain, values in means(found).iterrows():
        table.add_row(plain(domain), *(cell(name, values[name]) for name, _, _ in columns))
    terminal.console.print(table)
