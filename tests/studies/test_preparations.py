"""Preparations of pictures: changed in parts, and checked in what they return."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from pullback import studies
from pullback.studies.loaders.models import LoadedModel


def test_a_preparation_changes_in_the_parts_that_are_given() -> None:
    own = studies.Preparation(224, (127 / 255,) * 3, (128 / 255,) * 3, crop=False)
    model = LoadedModel("net", nn.Flatten(), own)
    assert model.prepared(size=None, mean=None) is model
    assert model.prepared(size=32).prepare == studies.Preparation(32, own.mean, own.std, crop=False)
    assert model.prepared(mean=(0.5,), crop=True).prepare == studies.Preparation(224, (0.5,) * 3, own.std)
    assert studies.Preparation().changed(channels=1).mean == (0.449,)
    assert studies.Preparation(8, (0.5,), (0.2,)).changed(channels=3).std == (0.2, 0.2, 0.2)
    assert studies.Preparation(8, (0.5,), (0.2,)).changed(mean=(0.1, 0.2, 0.3)).std == (0.2, 0.2, 0.2)

    class Theirs:
        mean, std = torch.tensor([0.5, 0.25, 0.5]), [0.5, 0.5, 0.5]

        def __call__(self, image: Image.Image) -> Tensor:
            return torch.zeros(3, 8, 8)

    theirs = LoadedModel("net", nn.Flatten(), Theirs())
    assert theirs.prepared(size=16).prepare == studies.Preparation(16, (0.5, 0.25, 0.5), (0.5,) * 3)
    said = theirs.preparation()
    assert said["mean"] == (0.5, 0.25, 0.5)
    assert "0x" not in said["prepare"]
    for wrong in (
        {"size": 0},
        {"channels": 2},
        {"mean": (0.1, 0.2)},
        {"std": (0.0,)},
        {"mean": (float("nan"),)},
        {"std": (-1.0,)},
    ):
        with pytest.raises(ValueError, match=r"Preparation|channels|mean"):
            studies.Preparation().changed(**wrong)


def test_what_prepare_returns_is_checked(tmp_path: Path) -> None:
    for prepare in (
        lambda image: np.zeros((3, 8, 8)),
        lambda image: torch.zeros(8, 8),
        lambda image: torch.zeros(3, 8, 8).byte(),
    ):
        with pytest.raises(ValueError, match=r"net: expected prepare to return floats \(channels, height, width\)"):
            LoadedModel("net", nn.Flatten(), prepare).input(Image.new("RGB", (8, 8)))
    for width in (4, 8):
        Image.new("RGB", (width, 6)).save(tmp_path / f"{width}.png")
    sized = LoadedModel("net", nn.AdaptiveAvgPool2d(1), lambda image: torch.zeros(3, image.height, image.width))
    asked = studies.Settings("net", tmp_path, "gradient", ("pixel",))
    pooled = LoadedModel("net", nn.Sequential(sized.module, nn.Flatten()), sized.prepare)
    with pytest.raises(ValueError, match=r"'4\.png' 3 × 6 × 4 and '8\.png' 3 × 6 × 8; resize them to one"):
        studies.compare(asked, tmp_path / "o", model=pooled)
