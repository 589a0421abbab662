"""The numbers of a comparison do not depend on how its work is divided: bit by bit, where the model treats each row alone.

Shards are in test_shards.py, workers of a cluster in test_ray.py, tar files and tables in test_members.py.
"""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from support.tiny import PREPARE, Tiny, settings
from torch import Tensor

from pullback import studies
from pullback.studies.compare import cell, found
from pullback.studies.loaders.models import LoadedModel


class RowWise(Tiny):
    """`Tiny` without a product of matrices, whose rounding depends on the number of its rows."""

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        return torch.tanh(torch.stack([(x.flatten(1) * one).sum(1) for one in self.weight], 1)) * 3


def row_wise() -> LoadedModel:
    return LoadedModel("tiny", RowWise().eval(), PREPARE)


def asked(folder: Path, **changes: object) -> studies.Settings:
    return dataclasses.replace(settings(folder), transforms=("pixel", "dct"), pictures=0, **changes)


@pytest.fixture
def few(pictures: Path) -> Path:
    (pictures / "6.png").write_text("no picture")
    for number in (7, 8):
        (pictures / f"{number}.png").unlink()
    shutil.copy(pictures / "1.png", pictures / "9.png")
    return pictures


def numbers(run: studies.Comparison) -> pd.DataFrame:
    return run.table.drop(columns=["seconds_stream", "data"]).sort_values(["image", "transform"], ignore_index=True)


def test_any_batch_size_gives_the_same_numbers(few: Path, tmp_path: Path) -> None:
    whole = studies.compare(asked(few), tmp_path / "auto", model=row_wise())
    for size in (1, 3):
        run = studies.compare(asked(few, batch_size=size), tmp_path / str(size), model=row_wise())
        pd.testing.assert_frame_equal(numbers(whole), numbers(run), check_exact=True)
        assert (run.out / "scores.parquet").read_bytes() == (whole.out / "scores.parquet").read_bytes()


def test_any_order_gives_the_same_numbers(few: Path, tmp_path: Path) -> None:
    """Each photo beside others: the last ones come first."""
    whole = studies.compare(asked(few), tmp_path / "1", model=row_wise())
    turned = tmp_path / "turned"
    turned.mkdir()
    names = sorted(path.name for path in few.iterdir())
    for name, other in zip(names, reversed(names)):
        shutil.copy(few / name, turned / other)
    run = studies.compare(asked(turned), tmp_path / "2", model=row_wise())
    back = run.table.assign(image=run.table["image"].map(dict(zip(reversed(names), names))))
    left, right = (
        table.drop(columns=["seconds_stream", "data", "copy_of", "unit"]).sort_values(["image", "transform"], ignore_index=True)
        for table in (whole.table, back)
    )
    pd.testing.assert_frame_equal(left, right, check_exact=True)


def test_parts_that_are_read_in_small_blocks_say_the_same(few: Path, tmp_path: Path) -> None:
    """Also where a column has numbers in one block and nothing in another."""
    run = studies.compare(asked(few), tmp_path / "o", model=row_wise())
    [one] = cell.read_plan(run.out)
    path = one.store(run.out).path(one.keys[3])
    part = json.loads(path.read_text())
    for record in part["records"]:
        record |= {"label": 1, "predicted_name": "cat", "correct": True}
    path.write_text(json.dumps(part))
    whole, apart = (found.gathered(one, run.out, together) for together in (100, 1))
    pd.testing.assert_frame_equal(whole.table, apart.table, check_exact=True)
    assert whole.table["copy_of"].notna().sum() == 2
    for name in ("names", "skipped", "notes", "evaluations", "pictures"):
        assert getattr(whole, name) == getattr(apart, name)
    pd.testing.assert_frame_equal(whole.scores()[0], apart.scores()[0], check_exact=True)
    assert whole.scores()[1] == apart.scores()[1]
    assert [name for name, _ in whole.skipped] == ["6.png"]
    assert whole.scored is not None
    assert len(whole.names) == len(np.unique(whole.names)) == 6
