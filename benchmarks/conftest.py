"""What the benchmarks run on, and what is noted about a run so that only whole ones are stored."""

import collections
import gc
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from models import QUICK
from torch import Tensor

from pullback.studies import LoadedModel, load_model, load_photos

__all__ = ["QUICK"]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# suite -> outcome -> how many tests; a suite is a file's name without test_ and .py.
_outcomes: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)


@pytest.fixture(scope="session", autouse=True)
def _frozen() -> None:
    """What is imported by now stays: collecting garbage between benchmarks need not walk through it."""
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


def _suite(nodeid: str) -> str:
    return nodeid.split("::")[0].rsplit("/", 1)[-1].removeprefix("test_").removesuffix(".py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What changes the process' allocator comes last: peers are timed as their users find them."""
    items.sort(key=lambda item: "_steady" in getattr(item, "fixturenames", ()))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        _outcomes[_suite(report.nodeid)][report.outcome] += 1


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        _outcomes[_suite(item.nodeid)]["deselected"] += 1


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: object, output_json: dict[str, Any]) -> None:
    """How each suite went; a test that was named on its own leaves others out."""
    for argument in config.args:
        if "::" in argument:
            _outcomes[_suite(argument)]["deselected"] += 1
    output_json["suites"] = {suite: dict(counts) for suite, counts in _outcomes.items()}


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Device, versions and commit, so that a stored result says where it comes from."""
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else f"{os.cpu_count()} CPU cores"
    machine_info.clear()
    # With glibc told to keep freed memory times are others, and are stored apart.
    kind = DEVICE + "-kept" * ("MALLOC_TRIM_THRESHOLD_" in os.environ)
    machine_info.update(device=name, kind=kind, quick=QUICK, torch=torch.__version__, python=platform.python_version(),
                        commit=_commit(), threads=torch.get_num_threads())  # fmt: skip


def _commit() -> str:
    """Short; with a + where files differ from it. Empty without git."""
    if shutil.which("git") is None:
        return ""
    git = lambda *words: subprocess.run(["git", *words], capture_output=True, text=True).stdout.strip()
    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
