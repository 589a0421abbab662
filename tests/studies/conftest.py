"""Folders of pictures and of models."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.command_line import MODELS, PHOTOS

from pullback.studies.report import figures


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(9):
        Image.fromarray(rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def model_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, the current one, with a state dict, a pickled module, exported programs and functions that make models."""
    small = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 4)).eval()
    torch.save(small.state_dict(), tmp_path / "sd.pt")
    torch.save(small, tmp_path / "pick.pt")
    torch.export.save(torch.export.export(small, (torch.zeros(1, 3, 32, 32),)), tmp_path / "one.pt2")
    (tmp_path / "flat.py").write_text(MODELS)
    (tmp_path / "photos").mkdir()
    Image.open(PHOTOS[0]).save(tmp_path / "photos" / "a.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


OVERVIEW = figures.overview


@pytest.fixture(autouse=True, scope="module")
def without_overview() -> Iterator[None]:
    """The figures about all photos, which take most of the time of a small comparison, are not drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "overview", lambda table, out, texts: [])
        yield


@pytest.fixture
def overview(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are drawn."""
    monkeypatch.setattr(figures, "overview", OVERVIEW)
