"""What the suites run on, and what is noted about a run so that only whole ones are stored."""

import gc
import os
import platform
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.results.stored import suite_of
from benchmarks.subjects.models import QUICK
from pullback.core.allocator import keep_freed_memory
from pullback.studies import load_model, load_photos

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
_PARTIAL = ("keyword", "markexpr", "lf", "deselect")  # options of pytest that leave some benchmarks out

_suites: dict[str, dict[str, Any]] = {}  # by name: wall_s, setup and teardown included; skipped: why, by test
_session: dict[str, Any] = {"began": time.perf_counter()}


@pytest.fixture(scope="session", autouse=True)
def _frozen() -> None:
    """What is imported by now stays: the garbage collector need not visit it between benchmarks."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def keeps_memory() -> None:
    """glibc keeps the memory that a pass freed. Otherwise a pass of 6 photos may get 21,000 new pages from the system, or
    none: equal passes then differ by a tenth."""
    keep_freed_memory()


@pytest.fixture(scope="session")
def device() -> str:
    return DEVICE


@pytest.fixture(scope="session")
def photos(device: str) -> Tensor:
    """Four real photos, (4, 3, 224, 224)."""
    prepare = load_model("efficientnet-lite0", device).prepare
    return torch.stack([prepare(image) for _, image in load_photos("imagenet-sample", 4)]).to(device)


@pytest.fixture(scope="session")
def rounds() -> int:
    """How many pairs are timed where time allows."""
    return 1 if QUICK else int(os.environ.get("PULLBACK_BENCH_ROUNDS", "9"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What changes the process' allocator comes last: the other suites are timed as users find things."""
    items.sort(key=lambda item: "keeps_memory" in getattr(item, "fixturenames", ()))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    suite = _suites.setdefault(suite_of(report.nodeid), {"wall_s": 0.0, "skipped": {}})
    suite["wall_s"] = round(suite["wall_s"] + report.duration, 2)
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        suite["skipped"][report.nodeid.split("::", 1)[1]] = reason.removeprefix("Skipped: ")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(exitstatus: int) -> Iterator[None]:
    """Around pytest-benchmark's own, which writes the file: so that the file says how the session ended."""
    _session["exit_status"] = int(exitstatus)
    return (yield)


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: object, output_json: dict[str, Any]) -> None:
    """How the session and each suite went, and whether benchmarks of a suite were left out."""
    named: Sequence[str] = [argument for argument in config.args if "::" in argument]
    partial = bool(named) or any(config.getoption(option, None) for option in _PARTIAL)
    wall = round(time.perf_counter() - _session["began"], 2)
    output_json.update(suites=_suites, exit_status=_session.get("exit_status"), partial=partial, wall_s=wall)


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Device and versions, so that a stored result says where it comes from."""
    device = torch.cuda.get_device_name() if DEVICE == "cuda" else f"{os.cpu_count()} CPU cores"
    kind = DEVICE + "-kept" * ("MALLOC_TRIM_THRESHOLD_" in os.environ)  # stored apart: its allocator keeps memory
    if DEVICE == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2":  # and so is a processor of short vectors
        device, kind = f"{device} without AVX-512", f"{kind}-avx2"
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    machine_info.clear()
    machine_info.update(device=device, kind=kind, quick=QUICK, **versions, threads=torch.get_num_threads())
