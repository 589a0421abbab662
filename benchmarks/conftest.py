"""What the benchmarks run on, and how results are stored."""

import gc
import os
import platform
import subprocess
from typing import Any

import pytest
import torch
from models import QUICK
from torch import Tensor

from pullback.studies import LoadedModel, load_model, load_photos

__all__ = ["QUICK"]


@pytest.fixture(scope="session", autouse=True)
def _frozen() -> None:
    """What is imported by now stays: collecting garbage between benchmarks need not walk through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


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


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Device, versions and commit, so that a stored result says where it comes from."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"
    machine_info.clear()
    machine_info.update(device=name, torch=torch.__version__, python=platform.python_version(), commit=commit,
                        threads=torch.get_num_threads())  # fmt: skip
