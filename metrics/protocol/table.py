"""The long table: one row per number."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .errors import Cell, Curves
from .families import OWN

COLUMNS = (
    "data",
    "model",
    "method",
    "domain",
    "family",
    "budget_kind",
    "budget",
    "control",
    "metric",
    "example",
    "unit",
    "score",
)
AWAY = "away"


@dataclass(frozen=True, eq=False)
class Block:
    """The curves of one model, method and baseline, and what the rows say about them.

    where: data, model and method.  example, unit: of each example.
    """

    curves: Mapping[Cell, Curves]
    where: Mapping[str, str]
    budgets: Sequence[float]
    example: Sequence[Hashable]
    unit: Sequence[Hashable]


def rows(block: Block) -> pd.DataFrame:
    """A row for each cell, example and budget.

    metric: "selection_error" of the answer that decides, "selection_error(answer=probability)" of the probability, and "gain",
    the error of |z - z₀| less that of the map.  family: "away" is the mean over the families that are not the selection's own.
    """
    main = next(iter(block.curves)).answer
    found = [(cell, _metric(cell.answer, main), curve) for cell, curve in (*block.curves.items(), *_away(block.curves))]
    found += [(cell, "gain", curve) for cell, curve in _gains(block.curves, main)]
    return pd.concat([_part(block, cell, metric, curve) for cell, metric, curve in found])


def _metric(answer: str, main: str) -> str:
    return "selection_error" if answer == main else f"selection_error(answer={answer})"


def _away(curves: Mapping[Cell, Curves]) -> list[tuple[Cell, Curves]]:
    """The mean over foreign families."""
    groups: dict[Cell, list[Curves]] = {}
    for cell, curve in curves.items():
        if cell.family != OWN:
            groups.setdefault(Cell(cell.domain, cell.control, AWAY, cell.by, cell.answer), []).append(curve)
    return [(cell, np.mean(each, 0)) for cell, each in groups.items()]


def _gains(curves: Mapping[Cell, Curves], main: str) -> list[tuple[Cell, Curves]]:
    """E of |z - z₀| less E of the map, where both are known."""
    found = []
    for cell, curve in curves.items():
        blind = Cell(cell.domain, "coefficient", cell.family, cell.by, cell.answer)
        if cell.control == "attribution" and cell.answer == main and blind in curves:
            found.append((cell, curves[blind] - curve))
    return found


def _part(block: Block, cell: Cell, metric: str, curve: Curves) -> pd.DataFrame:
    """The rows of one cell."""
    number, count = curve.shape  # of the oracle, the first examples and budgets only
    varying = {
        "budget": np.tile(block.budgets[:count], number),
        "example": np.repeat(np.asarray(block.example[:number], dtype=object), count),
        "unit": np.repeat(np.asarray(block.unit[:number], dtype=object), count),
        "score": curve.reshape(-1),
    }
    fixed = {"domain": cell.domain, "family": cell.family, "budget_kind": cell.by, "control": cell.control, "metric": metric}
    return pd.DataFrame(varying | fixed | dict(block.where))
