"""Comparisons on a cluster of Ray: the numbers of one process, whatever dies in between."""

import dataclasses
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from support.faulty import faulty, hostile_pictures, processes
from support.tiny import settings

from pullback import studies
from pullback.core.files import is_alive
from pullback.studies.compare import cluster

# It is not imported here: a cluster keeps to the loopback address only where it is started first.
LACKING = importlib.util.find_spec("ray") is None
pytestmark = pytest.mark.skipif(LACKING, reason="Ray is not installed (pip install 'pullback[scale]').")

DRIVER = """
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
from pullback import studies
from support.faulty import faulty
if __name__ == "__main__":
    how = studies.Ray(address={address!r}, workers=1)
    studies.compare(studies.Settings.read({settings!r}), {out!r}, model=faulty(Path({folder!r})), engine=how)
"""


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A cluster with two processors, which all tests use."""
    with cluster.connected(studies.Ray(workers=2)) as found:
        yield found


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_pictures(tmp_path_factory.mktemp("ray") / "pictures")


@pytest.fixture(scope="module")
def whole(pictures: Path) -> studies.Comparison:
    """The comparison in this process."""
    return studies.compare(asked(pictures), pictures.parent / "whole", model=faulty(pictures.parent / "one"))


def asked(folder: Path) -> studies.Settings:
    return dataclasses.replace(settings(folder), transforms=("pixel", "dct"), pictures=1)


def test_two_workers_give_the_numbers_of_one_process_though_one_is_killed(
    ray: Any, whole: studies.Comparison, pictures: Path, tmp_path: Path
) -> None:
    """One file is damaged, the model answers NaN to one picture, and a worker is killed in the middle of a batch."""
    folder, steps = tmp_path / "processes", []
    model, how = faulty(folder, kills=1), studies.Ray(workers=2)
    found = studies.compare(asked(pictures), tmp_path / "o", lambda *step: steps.append(step), model=model, engine=how)
    assert ray.util.get_node_ip_address() == cluster.LOOPBACK
    assert len(list(folder.glob("kill-*"))) == 1
    assert os.getpid() not in processes(folder)
    assert len(processes(folder)) >= 2
    assert steps[-1] == (12, 12)
    same(whole, found)
    reasons = {one["file"]: one["reason"] for one in found.summary["skipped"]}
    assert set(reasons) == {"02.png", "05.png"}
    assert "NaN" in reasons["05.png"]


def same(first: studies.Comparison, second: studies.Comparison) -> None:
    pd.testing.assert_frame_equal(*(one.table.drop(columns="seconds_stream") for one in (first, second)), check_exact=True)
    assert (first.out / "scores.parquet").read_bytes() == (second.out / "scores.parquet").read_bytes()
    assert [name for name in first.files if name.endswith("png")] == [name for name in second.files if name.endswith("png")]


@pytest.mark.parametrize("drawn", [1, 12])
def test_a_photo_that_ends_every_process_is_skipped_by_name(
    ray: Any, whole: studies.Comparison, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn: int
) -> None:
    """Here after a try of its batch and one of its own. The others have the numbers of the whole run, but for rounding.

    Also where later photos are drawn, whose names count those before them: no other worker may meet it for that.
    """
    monkeypatch.setattr(cluster, "TRIES", 1)
    folder = tmp_path / "processes"
    chosen, how = dataclasses.replace(asked(pictures), pictures=drawn), studies.Ray(workers=2)
    found = studies.compare(chosen, tmp_path / "o", model=faulty(folder, kills=99), engine=how)
    assert len(list(folder.glob("kill-*"))) == 2
    names = sorted(name for name in found.files if name.startswith("top10-"))
    assert [int(name.split("-")[1]) for name in names] == list(range(min(drawn, 9)))
    (reason,) = (one["reason"] for one in found.summary["skipped"] if one["file"] == "07.png")
    assert "the process of the worker has ended each of 2 times" in reason
    expected = whole.table[whole.table["image"] != "07.png"].reset_index(drop=True)
    exact = [name for name in expected if name not in ("seconds_stream", "completeness_gap", "relative_gap")]
    pd.testing.assert_frame_equal(expected[exact], found.table[exact], rtol=1e-3, atol=1e-5)


def test_a_batch_is_measured_again_where_it_must_draw_since_a_photo_before_it_cannot_be_read(
    ray: Any, pictures: Path, tmp_path: Path
) -> None:
    """Four pictures: the first batch has three that can be read, and the second one has begun beside it."""
    chosen = dataclasses.replace(asked(pictures), pictures=4)
    one = studies.compare(chosen, tmp_path / "one", model=faulty(tmp_path / "p"))
    two = studies.compare(chosen, tmp_path / "two", model=faulty(tmp_path / "p"), engine=studies.Ray(workers=2))
    same(one, two)
    drawn = [path.name for path in sorted(two.out.glob("top10-*.png"))]
    assert drawn == ["top10-000-00.png", "top10-001-01.png", "top10-002-03.png", "top10-003-04.png"]


def test_a_killed_driver_leaves_what_is_finished_and_no_worker(
    ray: Any, whole: studies.Comparison, pictures: Path, tmp_path: Path
) -> None:
    """The same command goes on in one process; no finished part is written again."""
    out, folder = tmp_path / "o", tmp_path / "processes"
    places = [str(Path(__file__).parents[1]), *sys.path]
    told = {"paths": places, "address": ray.get_runtime_context().gcs_address, "settings": asked(pictures).plain()}
    text = DRIVER.format(**told, out=str(out), folder=str(folder))
    driver = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait(lambda: len(list((out / ".parts").glob("[!.]*.json"))) >= 4 or driver.poll() is not None)
    driver.kill()
    driver.wait()
    wait(lambda: not any(map(is_alive, processes(folder))))
    finished = {path: path.stat().st_mtime_ns for path in (out / ".parts").glob("[!.]*.json")}
    assert len(finished) >= 4
    assert not (out / "results.csv").exists()
    same(whole, studies.compare(asked(pictures), out, model=faulty(folder)))
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


def wait(found: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_wrong_clusters_are_refused(ray: Any, pictures: Path, tmp_path: Path) -> None:
    """An error of a worker is that of the caller."""
    with pytest.raises(ValueError, match="workers"):
        studies.Ray(workers=0)
    with pytest.raises(ValueError, match="a worker needs 999 CPU; the cluster of Ray has"):
        studies.compare(asked(pictures), tmp_path / "o", model=faulty(tmp_path / "p"), engine=studies.Ray(cpus=999))
    wrong = dataclasses.replace(asked(pictures), transforms=("no_domain",))
    with pytest.raises(ValueError, match="no_domain"):
        studies.compare(wrong, tmp_path / "o", model=faulty(tmp_path / "p"), engine=studies.Ray(workers=1))
    assert not (tmp_path / "o").exists()


def test_an_address_where_nothing_listens_is_refused_at_once() -> None:
    for address in (f"{cluster.LOOPBACK}:9", "nowhere", "host:port"):
        with pytest.raises(ValueError, match="nothing answers at"):
            cluster._check_answers(address)


@pytest.mark.parametrize("own", [None, "1"])
def test_a_new_cluster_has_no_dashboard_and_tells_its_makers_nothing(monkeypatch: pytest.MonkeyPatch, own: str | None) -> None:
    """Unless the user has set the variable; afterwards the environment is as before."""
    seen: dict[str, Any] = {}
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    monkeypatch.delenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", raising=False)
    if own is not None:
        monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", own)

    def init(**options: Any) -> None:
        known = {"usage": "RAY_USAGE_STATS_ENABLED", "local": "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"}
        seen.update(options, **{name: os.environ.get(variable) for name, variable in known.items()})

    fake: Any = ModuleType("ray")
    fake.init, fake.is_initialized, fake.shutdown = init, lambda: False, lambda: seen.update(shut=True)
    fake.util = SimpleNamespace(get_node_ip_address=lambda: seen["address_of_node"])
    monkeypatch.setitem(sys.modules, "ray", fake)
    seen["address_of_node"] = cluster.LOOPBACK
    with cluster.connected(studies.Ray(workers=2)):
        assert (seen["address"], seen["include_dashboard"]) == ("local", False)
        assert (seen["usage"], seen["local"]) == (own or "0", "0")
    assert seen["shut"]
    assert os.environ.get("RAY_USAGE_STATS_ENABLED") == own
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in os.environ
    seen["address_of_node"] = "192.0.2.1"
    with pytest.raises(RuntimeError, match=r"a new cluster would listen on 192\.0\.2\.1"), cluster.connected(studies.Ray()):
        pytest.fail("a cluster that others can reach was used")
    with cluster.connected(studies.Ray(address="auto")):  # one that the user names is used as it is
        assert (seen["address"], seen["local"]) == ("auto", None)
