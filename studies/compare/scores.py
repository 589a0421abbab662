"""The scores of photos as plain data, as curves of the protocol, and as the long table of a run."""

import json
import math
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...core.files import write_parquet, write_text
from ...core.imports import needs
from ...metrics.protocol.errors import Cell
from ...metrics.protocol.run import Scored
from ...metrics.protocol.settings import Protocol
from ...metrics.protocol.table import COLUMNS, Block, rows
from .settings import Settings

SCORES, SCHEMA = "scores.parquet", "scores.schema.json"
ABOUT = {
    "data": "the data set",
    "model": "the model",
    "method": "the attribution method, with its baseline where that is not zero",
    "domain": "the transform whose coefficients are ranked; empty for numbers that belong to no domain",
    "family": "how the removed part is replaced: own, by the baseline's coefficients; else the domain whose units are removed; "
    "away is the mean over the families that are not the domain's own",
    "budget_kind": "what the budget is a share of: count, of the samples; energy, of the signal; bits, of the code length",
    "budget": "the share that is selected",
    "control": "the ranking that selects: attribution is the map itself",
    "metric": "see `pullback metrics`; kept_share, removed_share: shares of f(x) - f(x₀); score_difference: f(x) - f(x₀). "
    "infidelity, max_sensitivity: of one map, since they are equal in all orthonormal domains; infidelity_relative: over the "
    "mean squared change of the score",
    "example": "the photo or other signal",
    "unit": "what counts as one in statistics: examples of one unit are averaged",
    "score": "the number",
}


def as_data(found: Scored, example: int) -> dict[str, Any]:
    """The scores of one example of a batch."""
    return {
        "families": list(found.families),
        "answers": list(found.answers),
        "cells": [[c.domain, c.control, c.family, c.by, c.answer] for c in found.curves],
        "curves": [curve[example].tolist() for curve in found.curves.values()],
        "differences": {name: float(value[example]) for name, value in found.differences.items()},
        "cosines": found.cosines[example].tolist(),
        "several": list(found.several),
    }


def as_scored(parts: Sequence[dict[str, Any]], protocol: Protocol) -> Scored:
    """The scores of several examples, from what `as_data` made of them."""
    first = parts[0]
    names = [Cell(*cell) for cell in first["cells"]]
    curves = {cell: np.array([part["curves"][place] for part in parts]) for place, cell in enumerate(names)}
    differences = {name: np.array([part["differences"][name] for part in parts]) for name in first["differences"]}
    cosines = np.array([part["cosines"] for part in parts])
    families, answers, several = (tuple(first[name]) for name in ("families", "answers", "several"))
    return Scored(protocol, families, answers, curves, differences, cosines, several)


def long_table(found: Scored, cell: Settings, names: Sequence[Hashable], units: Sequence[Hashable]) -> pd.DataFrame:
    """The rows of one cell.  names, units: of the examples."""
    where = {"data": cell.data[0], "model": cell.model[0], "method": cell.method_label}
    block = Block(found.curves, found.answers[0], found.differences, where, found.protocol.budgets, names, units)
    table = rows(block)[list(COLUMNS)]
    return table[~table["control"].str.startswith("noise ")]


def write(table: pd.DataFrame, out: Path) -> list[str]:
    """Writes the long table, and what its columns mean."""
    with needs("pullback compare", "'pullback[cli]'"):
        import pyarrow  # noqa: F401
    texts = [name for name in COLUMNS if name not in ("budget", "score")]
    small = table.astype(dict.fromkeys(texts, "category"))
    write_parquet(out / SCORES, small)
    write_text(out / SCHEMA, json.dumps({"rows": len(table), "columns": ABOUT}, indent=1, ensure_ascii=False) + "\n")
    return [SCORES, SCHEMA]


def read(out: Path) -> pd.DataFrame:
    """The long table of a folder.  Raises: ValueError where there is none."""
    path = out / SCORES
    if not path.is_file():
        raise ValueError(f"{out}: holds no {SCORES}; expected the folder of a comparison.")
    with path.open("rb") as file:
        table = pd.read_parquet(file)
    return table.astype({name: object for name in COLUMNS if name not in ("budget", "score")})


def kept(found: Scored, domain: str, ranking: str) -> dict[str, list[float]]:
    """{budget in per cent: the share of f(x) - f(x₀) of each example that the first coefficients of a ranking keep}."""
    curve = found.curves[Cell(domain, ranking, "own", found.protocol.kinds[0], "score")][..., 0]
    difference = found.differences["score"]
    shares = 1 + curve / np.where(difference == 0, math.nan, difference)[:, None]
    return {f"{round(100 * budget)}": shares[:, place].tolist() for place, budget in enumerate(found.protocol.budgets)}
