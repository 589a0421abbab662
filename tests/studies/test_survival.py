"""A comparison on full disks and with too little memory: in this process, and on workers of a cluster that loses a node."""

import dataclasses
import errno
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.faulty import faulty, hostile_pictures, no_room, processes
from support.tiny import settings, tiny

from pullback import studies
from pullback.core import files
from pullback.studies.compare import cluster

LACKING = importlib.util.find_spec("ray") is None
on_ray = pytest.mark.skipif(LACKING, reason="Ray is not installed (pip install 'pullback[scale]').")


def asked(folder: Path) -> studies.Settings:
    return dataclasses.replace(settings(folder), transforms=("pixel", "dct"), pictures=0)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_pictures(tmp_path_factory.mktemp("survival") / "pictures")


@pytest.fixture(scope="module")
def whole(pictures: Path) -> studies.Comparison:
    return studies.compare(asked(pictures), pictures.parent / "whole", model=faulty(pictures.parent / "one"))


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A cluster of two nodes on this machine, with a processor each."""
    with cluster.quiet(None):
        from ray.cluster_utils import Cluster

        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        found.second = found.add_node(num_cpus=1)
    yield found
    found.shutdown()


def stored(out: Path) -> dict[Path, int]:
    """The finished parts. A worker may be writing others."""
    return {path: path.stat().st_mtime_ns for path in (out / ".parts").iterdir() if ".tmp." not in path.name}


def test_a_full_disk_is_one_error_and_the_same_command_goes_on(
    pictures: Path, whole: studies.Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing half written is left, whichever file did not fit, and nothing that is stored is measured again."""
    real, written, out = files._sync, [0], tmp_path / "o"

    def sync(path: Path, flags: int, most: int) -> None:
        real(path, flags)
        written[0] += flags == os.O_RDWR  # a file, and not its folder
        if written[0] > most:
            no_room(path, flags)

    faults: list[OSError] = []
    for most in range(0, 100, 4):
        before = stored(out) if (out / ".parts").exists() else {}
        written[0] = 0
        try:
            with monkeypatch.context() as patched:
                patched.setattr(files, "_sync", lambda path, flags, most=most: sync(path, flags, most))
                found = studies.compare(asked(pictures), out, model=faulty(tmp_path / "p"))
        except OSError as error:
            faults.append(error)
        else:
            break
        assert not list(out.rglob("*.tmp*"))
        assert before.items() <= (stored(out) if before else {}).items()
    assert len(faults) >= 3
    assert {fault.errno for fault in faults} == {errno.ENOSPC}
    assert all(str(fault.filename).startswith(str(out)) for fault in faults)
    assert len(before) >= 8
    same(whole, found)


def same(first: studies.Comparison, second: studies.Comparison) -> None:
    pd.testing.assert_frame_equal(*(one.table.drop(columns="seconds_stream") for one in (first, second)), check_exact=True)
    assert (first.out / "scores.parquet").read_bytes() == (second.out / "scores.parquet").read_bytes()


def nearly_same(whole: studies.Comparison, found: studies.Comparison) -> None:
    """The numbers of the others, of which those of the same batch were measured one by one."""
    expected = whole.table[whole.table["image"] != "07.png"].reset_index(drop=True)
    exact = [name for name in expected if name not in ("seconds_stream", "completeness_gap", "relative_gap")]
    pd.testing.assert_frame_equal(expected[exact], found.table[exact], rtol=1e-3, atol=1e-5)
    [reason] = (one["reason"] for one in found.summary["skipped"] if one["file"] == "07.png")
    assert "too little memory to measure it, also alone" in reason


def test_a_photo_that_needs_too_much_memory_is_skipped_by_name(
    pictures: Path, whole: studies.Comparison, tmp_path: Path
) -> None:
    found = studies.compare(asked(pictures), tmp_path / "o", model=faulty(tmp_path / "p", hungry=True))
    nearly_same(whole, found)
    assert len(found.summary["skipped"]) == 3
    once = tiny()
    again = studies.compare(asked(pictures), found.out, model=once)
    assert again.summary["skipped"] == found.summary["skipped"]


@on_ray
def test_workers_bear_too_little_memory_and_a_full_disk(
    nodes: Any, pictures: Path, whole: studies.Comparison, tmp_path: Path
) -> None:
    """A worker whose disk is full ends the command with one error; the next command measures only what is missing."""
    how = studies.Ray(address=nodes.address, workers=2)
    out, folder = tmp_path / "o", tmp_path / "p"
    with pytest.raises(OSError, match="No space left on device"):
        studies.compare(asked(pictures), out, model=faulty(folder, full=True), engine=how)
    before = stored(out)
    assert not list(out.rglob("*.tmp*"))
    assert not (out / "results.csv").exists()
    found = studies.compare(asked(pictures), out, model=faulty(folder, hungry=True), engine=how)
    nearly_same(whole, found)
    assert before.items() <= stored(out).items()


@on_ray
def test_a_node_that_is_killed_loses_nothing(nodes: Any, pictures: Path, whole: studies.Comparison, tmp_path: Path) -> None:
    """Each node has a worker; one is killed after the first batch, with all its processes. No finished part is made again."""
    out, folder, before = tmp_path / "o", tmp_path / "p", dict[Path, int]()

    def progress(done: int, planned: int) -> None:
        if not before:
            before.update(stored(out))
            nodes.remove_node(nodes.second, allow_graceful=False)

    how = studies.Ray(address=nodes.address, workers=2)
    found = studies.compare(asked(pictures), out, progress, model=faulty(folder), engine=how)
    same(whole, found)
    assert len(before) >= 4
    assert before.items() <= stored(out).items()
    assert processes(folder)
