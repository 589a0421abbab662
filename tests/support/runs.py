"""Runs of the tiny model, what they wrote, and whether two of them found the same."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from torch import Tensor

from pullback import studies
from pullback.studies.loaders.models import LoadedModel
from support.tiny import Tiny, settings, tiny


def summary(out: Path, name: str = "summary.json") -> dict[str, Any]:
    return json.loads((out / name).read_text())


class Watched(Tiny):
    """Calls `seen` in each forward."""

    def __init__(self, seen: Any) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, x: Tensor) -> Tensor:
        self.seen()
        return super().forward(x)


def watched(seen: Any) -> LoadedModel:
    return dataclasses.replace(tiny(), module=Watched(seen).eval())


def run(folder: Path, out: Path, **changes: object) -> tuple[int, Any]:
    """The rows that the model evaluates, and the result; in two domains where no others are asked for."""
    model = tiny()
    found = studies.compare(settings(folder, **{"transforms": ("pixel", "dft")} | changes), out, model=model)
    return model.module.rows, found


def alike(numbers: dict[str, Any], others: dict[str, Any]) -> None:
    """The means and intervals are the same, to the rounding of another batch."""
    assert set(numbers) == set(others)
    for name in set(numbers) - {"seconds_stream", "coefficients", "completeness_gap", "relative_gap"}:
        known = {key: value for key, value in others[name].items() if value is not None}  # no interval of few photos
        assert {key: value for key, value in numbers[name].items() if value is not None} == pytest.approx(
            known, rel=1e-3, abs=1e-5
        ), name


def same(found: Any, fresh: Any) -> None:
    """The tables are the same, to the rounding of another batch."""
    tables = [each.table.drop(columns=["seconds_stream"]).reset_index(drop=True) for each in (found, fresh)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-3, atol=1e-5)
