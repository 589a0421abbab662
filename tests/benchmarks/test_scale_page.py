"""What large comparisons cost: the arithmetic of the page, on rates and sizes that are known."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import ROOT

from benchmarks.scripts import scale_page
from benchmarks.scripts.tables import NothingStored
from pullback import studies
from pullback.studies.compare.cells import _identities
from pullback.studies.loaders.data import Photo

PHOTO = {"evaluations": 100, "other_s": 0.01, "rows": 50.0, "part_bytes": 2000.0, "table_bytes": 300.0, "domains": 10}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with the stored rates, and made-up sizes."""
    folder = tmp_path / "benchmarks" / "results"
    folder.mkdir(parents=True)
    for path in (ROOT / "benchmarks" / "results").glob("*-c*.json"):
        shutil.copy(path, folder)
    write(tmp_path, photo={"quick": PHOTO, "default": PHOTO | {"evaluations": 300}}, memory={"peak_of_tables": 400, "rows": 10})
    return tmp_path


def write(root: Path, **held: Any) -> None:
    (root / "benchmarks" / "results" / "distributed.json").write_text(json.dumps(held))


def test_the_cost_of_a_photo_is_that_of_its_rows() -> None:
    """By hand: 10 gradients and 4 forwards of the method, 100 forwards of the scores; controls explain a second model."""
    rate, methods = scale_page.Rate("machine", "net", 20.0, 50.0), {"one": (10.0, 4.0), "two": (0.0, 0.0)}
    photo = {"quick": PHOTO, "default": PHOTO}
    assert scale_page.seconds(rate, "quick", photo, methods) == pytest.approx((10 / 20 + 104 / 50 + 100 / 50, 2.0))
    assert scale_page.seconds(rate, "default", photo, methods) == pytest.approx((20 / 20 + 108 / 50 + 100 / 50, 2.0))


def test_the_table_is_a_thousand_photos_and_four_networks_are_four_means(root: Path) -> None:
    rates = scale_page.rates(root)
    assert {rate.network for rate in rates} == {"efficientnet-lite0", "resnet50", "vit-b16"}
    assert all(rate.forwards > rate.gradients > 0 for rate in rates)
    lines = [line.strip("| ").split(" | ") for line in scale_page.cost(root).splitlines()[2:]]
    machines = {rate.device for rate in rates}
    assert len(lines) == 2 * (len(rates) + len(machines))
    photo = {"quick": PHOTO, "default": PHOTO | {"evaluations": 300}}
    own, beside = scale_page.seconds(rates[0], "quick", photo, scale_page.rows_of(root))
    [shown] = [line for line in lines if line[:3] == [rates[0].device, "quick", rates[0].network]]
    assert float(shown[3].replace(",", "")) == pytest.approx(own / 3.6, abs=0.06)
    assert float(shown[4].replace(",", "")) == pytest.approx(beside / 3.6, abs=0.06)
    for machine in machines:
        alike = [line for line in lines if line[:2] == [machine, "quick"]]
        totals = {line[2]: float(line[5].replace(",", "")) for line in alike}
        whole = totals.pop("4 networks")
        assert whole == pytest.approx(4 * np.mean(list(totals.values())), rel=0.02)


def test_the_batches_of_shards_are_those_that_a_comparison_measures() -> None:
    photos = [Photo(str(number), None, lambda: None) for number in range(90)]
    places = [_identities(photos, studies.Settings(shard=f"{number}/7"), 0)[2] for number in range(1, 8)]
    assert scale_page.batches_of(90, 7) == [len({place // 4 for place in one}) for one in places]
    assert sum(scale_page.batches_of(1_000_000, 333)) == 250_000


def test_the_plan_says_bytes_and_memory(root: Path) -> None:
    said = scale_page.plan(root)
    assert "250,000 batches of 4" in said
    assert "The parts take 2 GB in 1,000,000 files" in said
    assert "50 million rows in 0 GB" in said
    assert "40 bytes for a row: 2 GB" in said


def test_the_other_studies_take_minutes() -> None:
    """Which is why they are not divided."""
    minutes = [float(line.strip("| ").split(" | ")[1]) for line in scale_page.others(ROOT).splitlines()[2:]]
    assert len(minutes) == 5
    assert 0 < min(minutes) < max(minutes) < 60


def test_what_was_not_measured_is_not_said(root: Path) -> None:
    write(root, overhead={"ratio": 1.02, "low": 1.0, "high": 1.04})
    assert scale_page.measured(root).count("\n") == 0
    assert "1.020 × the time of a loop" in scale_page.measured(root)
    for section in (scale_page.cost, scale_page.plan):
        with pytest.raises(NothingStored):
            section(root)
