"""Who keeps what: methods × axioms × domains × models, as a table and a figure, beside what the literature says."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
from torch import Tensor

from ..attribution import names as method_names
from ..attribution.score import Target
from .check import Subject, check
from .foreign import captum_methods
from .literature import expected
from .method_laws import NAMES
from .report import AxiomReport, Finding

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLORS = {"kept": "#b5d6b2", "BROKEN": "#e8998d", "not applicable": "#e6e6e6"}
_MARKS = {"kept": "✓", "BROKEN": "✗", "not applicable": "–"}


@dataclass(frozen=True, eq=False)
class Question:
    """A model and the signals on which methods are judged."""

    model: Callable[..., Any]
    x: Tensor
    target: Target = None


def find_method(name: str) -> Subject:
    """The method of that name: a spec of ours, or one of Captum's as "captum.DeepLift".

    Raises: ValueError that lists Captum's.
    """
    if not name.startswith("captum."):
        return name
    known = captum_methods()
    if name not in known:
        raise ValueError(f"Method {name!r}: expected one of {', '.join(known)}, or a spec of ours.")
    return known[name]


def run(method: str, question: Question, **options: Any) -> AxiomReport:
    """`check` on a question, for a method by name.  options: transform, baseline, axioms, seed, tolerance."""
    return check(find_method(method), question.model, question.x, question.target, **options)


def every_method() -> list[str]:
    """The names of all own estimators that can be built without arguments, and of Captum's methods."""
    return [*(name for name in method_names() if name != "captum"), *captum_methods()]


def matrix(questions: Mapping[str, Question], methods: Sequence[str] | None = None, transforms: Sequence[str] = ("pixel",),
           axioms: str | Sequence[str] = "all", seed: int = 0,
           report: Callable[[AxiomReport], None] | None = None) -> pd.DataFrame:  # fmt: skip
    """One row for each model, transform, method and axiom.

    Columns: model, transform, method, axiom, verdict, holds, residual, tolerance, rows, reason, literature ("kept",
    "BROKEN" or ""), agrees (True, False or None), why (where measurement and literature are known to differ).
    report: called with each finished report, to show progress.
    """
    table: list[dict[str, Any]] = []
    for model, question in questions.items():
        for transform in transforms:
            for method in every_method() if methods is None else methods:
                found = _attempt(method, question, transform, axioms, seed)
                if report is not None:
                    report(found)
                table += [{"model": model, "transform": transform, "method": method, **_row(method, f)} for f in found]
    return pd.DataFrame(table)


def _attempt(method: str, question: Question, transform: str, axioms: str | Sequence[str], seed: int) -> AxiomReport:
    """The report, or one that says of every axiom why it could not be measured."""
    try:
        return run(method, question, transform=transform, axioms=axioms, seed=seed)
    except (ValueError, TypeError, ImportError) as error:
        wanted = NAMES if axioms in ("all", "promised") else [axioms] if isinstance(axioms, str) else axioms
        return AxiomReport(method, tuple(Finding(name, None, None, None, f"{method}: {error}") for name in wanted))


def _row(method: str, f: Finding) -> dict[str, Any]:
    entry = expected(method if method.startswith("captum.") else method.split("(")[0], f.axiom)
    differs = "" if entry is None else entry.differs or entry.may_differ
    agrees = None if entry is None or f.holds is None else entry.holds == f.holds
    return {"axiom": f.axiom, "verdict": f.verdict, "holds": f.holds, "residual": f.residual, "tolerance": f.tolerance,
            "rows": f.rows, "reason": f.reason, "literature": "" if entry is None else "kept" if entry.holds else "BROKEN",
            "agrees": agrees, "why": differs if agrees is False else ""}  # fmt: skip


def figure(table: pd.DataFrame) -> "Figure":
    """One panel for each model and transform: methods down, axioms across; a frame marks what differs from the literature."""
    from matplotlib.figure import Figure

    panels = list(table.groupby(["model", "transform"], sort=False))
    methods, axioms = list(dict.fromkeys(table["method"])), list(dict.fromkeys(table["axiom"]))
    drawing = Figure(figsize=(2.6 + 0.62 * len(axioms) * len(panels), 2.2 + 0.3 * len(methods)), layout="constrained")
    axes = drawing.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, (key, part) in zip(axes, panels):
        _draw(axis, part, methods, axioms)
        axis.set_title(", ".join(map(str, key)), fontsize=9)
    return drawing


def _draw(axis: Any, part: pd.DataFrame, methods: list[str], axioms: list[str]) -> None:
    for row in part.itertuples():
        across, down = axioms.index(row.axiom), methods.index(row.method)
        edge = {"edgecolor": "black", "linewidth": 1.5} if row.agrees is False else {"edgecolor": "white"}
        zorder = 3 if row.agrees is False else 2
        axis.bar(across, 1, 1, down - 0.5, color=_COLORS[row.verdict], zorder=zorder, **edge)
        axis.text(across, down, _MARKS[row.verdict], ha="center", va="center", fontsize=8, zorder=4)
    axis.set_xticks(
        range(len(axioms)), [name.replace("_", " ") for name in axioms], rotation=60, ha="right", fontsize=8
    )
    axis.set_yticks(range(len(methods)), methods, fontsize=8)
    axis.set_xlim(-0.5, len(axioms) - 0.5)
    axis.set_ylim(len(methods) - 0.5, -0.5)
