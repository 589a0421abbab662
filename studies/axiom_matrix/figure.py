"""The matrix as a figure and as an HTML page."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from ..report.page import render
from .matrix import NOT_RUN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = {"kept": "#b5d6b2", "BROKEN": "#e8998d", "UNUSABLE": "#c9a0c9", "not applicable": "#e6e6e6"}
MARKS = {"kept": "✓", "BROKEN": "✗", "UNUSABLE": "!", "not applicable": "–"}


def figure(table: pd.DataFrame) -> "Figure":
    """One panel for each model, with methods as rows and axioms as columns; each cell has a strip for each transform.

    Two marks mean that transforms differ; a frame means that the literature has the opposite verdict.
    """
    from matplotlib.figure import Figure

    table = table[~table["reason"].str.startswith(NOT_RUN)]
    models = list(dict.fromkeys(table["model"]))
    methods, axioms = list(dict.fromkeys(table["method"])), list(dict.fromkeys(table["axiom"]))
    width = 3.6 + 0.72 * len(axioms) * len(models)
    drawing = Figure(figsize=(width, 2.6 + 0.27 * len(methods)), layout="constrained")
    axes = drawing.subplots(1, len(models), squeeze=False, sharey=True)[0]
    for axis, model in zip(axes, models):
        part = table[table["model"] == model]
        transforms = list(dict.fromkeys(part["transform"]))
        _draw(axis, part, methods, axioms, transforms)
        strips = f"{model}; strips in each cell: {', '.join(transforms)}"
        axis.set_title(strips if len(transforms) > 1 else f"{model}, {transforms[0]}", fontsize=9, loc="left")
    _legend(drawing, set(table["verdict"]))
    return drawing


def _draw(axis: Any, part: pd.DataFrame, methods: list[str], axioms: list[str], transforms: list[str]) -> None:
    wide = 0.96 / len(transforms)
    for (method, axiom), cell in part.groupby(["method", "axiom"], sort=False):
        across, down = axioms.index(axiom), methods.index(method)
        for row in cell.itertuples():
            left = across - 0.48 + wide * transforms.index(row.transform)
            axis.bar(left, 0.92, wide, down - 0.46, align="edge", color=COLORS[row.verdict], zorder=2, linewidth=0)
        verdicts = [name for name in dict.fromkeys(cell["verdict"]) if name != "not applicable"] or ["not applicable"]
        axis.text(across, down, "".join(MARKS[name] for name in verdicts), ha="center", va="center", fontsize=8, zorder=4)
        if (cell["agrees"] == False).any():  # noqa: E712  (None is neither)
            axis.bar(across, 0.92, 0.96, down - 0.46, fill=False, edgecolor="black", linewidth=1.4, zorder=5)
    axis.set_xticks(range(len(axioms)), [name.replace("_", " ") for name in axioms], rotation=40, ha="right", fontsize=9)
    axis.set_yticks(range(len(methods)), methods, fontsize=8.5)
    axis.set_xlim(-0.5, len(axioms) - 0.5)
    axis.set_ylim(len(methods) - 0.5, -0.5)
    axis.tick_params(length=0)
    for side in axis.spines.values():
        side.set_visible(False)


def _legend(drawing: "Figure", seen: set[str]) -> None:
    from matplotlib.patches import Patch

    drawn = [verdict for verdict in MARKS if verdict in seen or verdict != "UNUSABLE"]
    handles = [Patch(color=COLORS[verdict], label=f"{MARKS[verdict]} {verdict}") for verdict in drawn]
    handles.append(Patch(fill=False, edgecolor="black", linewidth=1.4, label="the literature says otherwise"))
    drawing.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=9)


def page(table: pd.DataFrame) -> str:
    """One HTML table for each model and transform; the tooltip of a cell has residual, tolerance and reason."""
    tables = []
    for (model, transform), part in table.groupby(["model", "transform"], sort=False):
        rows = [(method, [_cell(one) for one in row.itertuples()]) for method, row in part.groupby("method", sort=False)]
        tables.append((f"{model}, {transform}", rows))
    axioms = [name.replace("_", " ") for name in dict.fromkeys(table["axiom"])]
    return render("matrix.html", axioms=axioms, tables=tables, colors={_kind(name): color for name, color in COLORS.items()})


def _cell(row: Any) -> tuple[str, str, str]:
    """The class, the title and the text of a cell."""
    numbers = "" if row.residual is None or row.residual != row.residual else f"{row.residual:.1e} ≤ {row.tolerance:.1e}; "
    title = f"{row.verdict}: {numbers}{row.reason}" + (f" — {row.why}" if row.why else "")
    return _kind(row.verdict) + (" differs" if row.agrees is False else ""), title, MARKS[row.verdict]


def _kind(verdict: str) -> str:
    """The verdict as a class of the page's style."""
    return verdict.split()[0].lower()
