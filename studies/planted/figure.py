"""The figure of the study: how often each score names the planted domain."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..report.figures import save
from .rivals import PROTOCOL, SCORES


def draw(table: pd.DataFrame, out: Path) -> str:
    """Draws a panel for each method: tasks as rows, scores as columns, with the share of seeds that are right.

    In negative controls without a planted domain right means that no false claim is made.  Returns the file's name.
    """
    methods, tasks, scores = list(table["method"].unique()), list(table["task"].unique()), (PROTOCOL, *SCORES)
    figure = Figure(figsize=(1.5 + 4.6 * len(methods), 1.9 + 0.3 * len(tasks)), layout="constrained")
    axes = figure.subplots(1, len(methods), squeeze=False, sharey=True)[0]
    for axis, method in zip(axes, methods):
        own = table[table["method"] == method].set_index(["task", "score"])
        share = np.array(
            [[1 - own.loc[(t, s), "false_claims"] / own.loc[(t, s), "seeds"] for s in scores] for t in tasks], float
        )
        named = np.array([[own.loc[(t, s), "right"] / own.loc[(t, s), "seeds"] for s in scores] for t in tasks], float)
        shown = np.where(_without_truth(tasks)[:, None], share, named)
        axis.imshow(shown, vmin=0, vmax=1, cmap="RdYlGn", aspect="auto", alpha=0.6)
        for (row, column), value in np.ndenumerate(shown):
            axis.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7)
        axis.set_xticks(range(len(scores)), scores, rotation=60, ha="right", fontsize=7)
        axis.set_yticks(range(len(tasks)), tasks, fontsize=7)
        axis.set_title(f"{method}: % of seeds that are right", fontsize=8)
    return save(figure, out / "planted.png")


def _without_truth(tasks: list[str]) -> np.ndarray:
    """Tasks in which no compared domain is the planted one."""
    return np.array([any(word in task for word in ("permuted", "off the menu")) for task in tasks])
