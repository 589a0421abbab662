"""The long table: one row per number."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .errors import Cell, Curves, errors
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
Numbers = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]  # of one length


@dataclass(frozen=True, eq=False)
class Block:
    """The curves of one model, method and baseline, and what the rows say about them.

    main: the answer that decides.  differences: f(x) - f(x₀) by answer, (examples,).  where: data, model and method.
    example, unit: of each example.
    """

    curves: Mapping[Cell, Curves]
    main: str
    differences: Mapping[Any, Numbers]
    where: Mapping[str, str]
    budgets: Sequence[float]
    example: Sequence[Hashable]
    unit: Sequence[Hashable]


def rows(block: Block) -> pd.DataFrame:
    """A row for each cell, example and budget.

    metric: "selection_error" of the answer that decides, "selection_error(answer=probability)" of the probability, and "gain",
    the error of |z - z₀| less that of the map.  family: "away" is the mean over the families that are not the selection's own.
    "kept_share" and "removed_share" are (f - f(x₀)) / (f(x) - f(x₀)) where the selection alone is kept, or alone removed, to
    the baseline.  "score_difference" is f(x) - f(x₀), of the score.
    """
    main = block.main
    scored = {cell: errors(curve, block.differences[cell.answer]) for cell, curve in block.curves.items()}
    found = [(cell, _metric(cell.answer, main), score) for cell, score in (*scored.items(), *_away(scored))]
    found += [(cell, "gain", score) for cell, score in _gains(scored, main)]
    found += _shares(block)
    parts = [*(_part(block, *each) for each in found), _differences(block)]
    table = pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    return table[(table["control"] != "oracle") | table["score"].notna()]  # it knows the first examples and budgets only


def _shares(block: Block) -> list[tuple[Cell, str, Numbers]]:
    """What is left of f(x) - f(x₀), of selections in their own family."""
    difference, found = block.differences["score"][:, None], list[tuple[Cell, str, Numbers]]()
    with np.errstate(divide="ignore", invalid="ignore"):  # examples with f(x) = f(x₀) have no shares
        for cell, curve in block.curves.items():
            if cell.family == OWN and cell.answer == "score":
                found.append((cell, "kept_share", 1 + curve[..., 0] / difference))
                found.append((cell, "removed_share", curve[..., 1] / difference))
    return found


def _differences(block: Block) -> Columns:
    """f(x) - f(x₀) of each example."""
    score, where = block.differences["score"], {"domain": "", "family": "", "budget_kind": "", "control": ""}
    about = {"budget": np.full(len(score), np.nan), "example": _objects(block.example), "unit": _objects(block.unit)}
    return about | {"score": score} | _repeated(where | {"metric": "score_difference"} | dict(block.where), len(score))


def _metric(answer: str, main: str) -> str:
    return "selection_error" if answer == main else f"selection_error(answer={answer})"


def _away(scores: Mapping[Cell, Numbers]) -> list[tuple[Cell, Numbers]]:
    """The mean over foreign families."""
    groups: dict[Cell, list[Numbers]] = {}
    for cell, score in scores.items():
        if cell.family != OWN and cell.control == "attribution":  # controls are not scored in all families
            groups.setdefault(Cell(cell.domain, cell.control, AWAY, cell.by, cell.answer), []).append(score)
    return [(cell, np.mean(each, 0)) for cell, each in groups.items()]


def _gains(scores: Mapping[Cell, Numbers], main: str) -> list[tuple[Cell, Numbers]]:
    """E of |z - z₀| less E of the map, where both are known."""
    found = []
    for cell, score in scores.items():
        blind = Cell(cell.domain, "coefficient", cell.family, cell.by, cell.answer)
        if cell.control == "attribution" and cell.answer == main and blind in scores:
            with np.errstate(invalid="ignore"):  # both are infinite where the score never changes: no gain is known
                found.append((cell, scores[blind] - score))
    return found


def _part(block: Block, cell: Cell, metric: str, score: Numbers) -> Columns:
    """The rows of one cell."""
    number, count = score.shape
    varying = {
        "budget": np.tile(block.budgets, number),
        "example": np.repeat(_objects(block.example), count),
        "unit": np.repeat(_objects(block.unit), count),
        "score": score.reshape(-1),
    }
    fixed = {"domain": cell.domain, "family": cell.family, "budget_kind": cell.by, "control": cell.control, "metric": metric}
    return varying | _repeated(fixed | dict(block.where), score.size)


def _objects(values: Sequence[Hashable]) -> NDArray[Any]:
    return np.asarray(values, dtype=object)


def _repeated(values: Mapping[str, str], length: int) -> Columns:
    """Columns of one text each."""
    return {name: np.full(length, value, dtype=object) for name, value in values.items()}
