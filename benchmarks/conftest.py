"""What the benchmarks run on, and what is noted about a run so that only whole ones are stored."""

import collections
import gc
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest
import torch
from models import QUICK
from stored import suite_of
from torch import Tensor

from pullback.studies import LoadedModel, load_model, load_photos

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@dataclass
class Suite:
    """How the tests of one file went.  skipped: why, by name.  wall_s: seconds in them, setup and teardown included."""

    collected: int = 0
    passed: int = 0
    failed: int = 0
    deselected: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    wall_s: float = 0.0


_suites: dict[str, Suite] = collections.defaultdict(Suite)
_session: dict[str, float] = {"began": time.perf_counter()}


@pytest.fixture(scope="session", autouse=True)
def _frozen() -> None:
    """What is imported by now stays: collecting garbage between benchmarks need not evaluator through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _noted(request: pytest.FixtureRequest) -> Iterator[None]:
    """Adds what a benchmark noted to the file that PULLBACK_BENCH_NOTES names: a run that is cut off leaves something."""
    place = os.environ.get("PULLBACK_BENCH_NOTES")
    # Asked for first, so that it still stands when this fixture ends.
    benchmark = request.getfixturevalue("benchmark") if place and "benchmark" in request.fixturenames else None
    yield
    if place and benchmark is not None:
        with open(place, "a") as notes:
            notes.write(json.dumps({"name": request.node.name, "extra_info": benchmark.extra_info}) + "\n")


@pytest.fixture(scope="session")
def device() -> str:
    return DEVICE


@pytest.fixture(scope="session")
def efficientnet(device: str) -> LoadedModel:
    return load_model("efficientnet-lite0", device)


@pytest.fixture(scope="session")
def photos(efficientnet: LoadedModel, device: str) -> Tensor:
    """Four real photos, (4, 3, 224, 224)."""
    return torch.stack([efficientnet.prepare(image) for _, image in load_photos("imagenet-sample", 4)]).to(device)


@pytest.fixture(scope="session")
def rounds() -> int:
    """How many pairs are timed where time allows."""
    return 1 if QUICK else 9


@pytest.fixture(scope="session")
def samples() -> int:
    return 3 if QUICK else 25


def pytest_itemcollected(item: pytest.Item) -> None:
    """Before any is left out."""
    _suites[suite_of(item.nodeid)].collected += 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What changes the process' allocator comes last: peers are timed as their users find them."""
    items.sort(key=lambda item: "_steady" in getattr(item, "fixturenames", ()))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    suite = _suites[suite_of(report.nodeid)]
    suite.wall_s += report.duration
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        suite.skipped[report.nodeid.split("::", 1)[1]] = reason.removeprefix("Skipped: ")
    elif report.failed:
        suite.failed += 1
    elif report.when == "call":
        suite.passed += 1


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        _suites[suite_of(item.nodeid)].deselected += 1


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(exitstatus: int) -> Iterator[None]:
    """Around pytest-benchmark's own, which writes the file: so that it can say how the session ended."""
    _session["exit_status"] = int(exitstatus)
    return (yield)


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: object, output_json: dict[str, Any]) -> None:
    """How each suite and the session went. What was named on its own, or failed last, leaves others uncollected."""
    alone = [suite_of(argument) for argument in config.args if "::" in argument]
    for suite in [*alone, *(_suites if config.getoption("lf", False) else ())]:
        _suites[suite].deselected += 1
    output_json["suites"] = {
        name: asdict(suite) | {"wall_s": round(suite.wall_s, 2)} for name, suite in _suites.items()
    }
    output_json["exit_status"] = _session.get("exit_status")
    output_json["wall_s"] = round(time.perf_counter() - _session["began"], 2)


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Device, versions and commit, so that a stored result says where it comes from."""
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else f"{os.cpu_count()} CPU cores"
    machine_info.clear()
    # With glibc told to keep freed memory times are others, and are stored apart.
    kind = DEVICE + "-kept" * ("MALLOC_TRIM_THRESHOLD_" in os.environ)
    machine_info.update(
        device=name,
        kind=kind,
        quick=QUICK,
        torch=torch.__version__,
        python=platform.python_version(),
        commit=_commit(),
        threads=torch.get_num_threads(),
    )


def _commit() -> str:
    """Short; with a + where files differ from it. Empty without git."""
    if shutil.which("git") is None:
        return ""
    git = lambda *words: subprocess.run(["git", *words], capture_output=True, text=True).stdout.strip()
    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
