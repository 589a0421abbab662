"""A small model on which some pictures act: it answers NaN to black ones, and its process ends where it is told to."""

import os
import signal
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pullback.studies.loaders.models import LoadedModel
from support.tiny import PREPARE, Tiny


class Faulty(Tiny):
    """`Tiny`, but for black pictures; every process that has run it leaves its number in a folder.

    kills: how often a process is killed when it sees a white picture.
    """

    def __init__(self, folder: Path, kills: int) -> None:
        super().__init__()
        self.folder, self.kills = folder, kills

    def forward(self, x: Tensor) -> Tensor:
        (self.folder / f"process-{os.getpid()}").touch()
        rows = x.flatten(1)
        if bool((rows == 1).all(1).any()) and len(done := list(self.folder.glob("kill-*"))) < self.kills:
            (self.folder / f"kill-{len(done)}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        out = super().forward(x)
        return torch.where((rows == -1).all(1, keepdim=True), torch.nan, out)


def faulty(folder: Path, kills: int = 0) -> LoadedModel:
    folder.mkdir(exist_ok=True)
    return LoadedModel("tiny", Faulty(folder, kills).eval(), PREPARE)


def processes(folder: Path) -> list[int]:
    """The numbers of the processes that have run the model."""
    return [int(path.name.partition("-")[2]) for path in folder.glob("process-*")]


def hostile_pictures(folder: Path) -> Path:
    """Twelve pictures: 02 cannot be read, 05 is black, 07 is white, and the others are noise."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(folder / f"{number:02}.png")
    (folder / "02.png").write_text("no picture")
    for number, colour in ((5, "black"), (7, "white")):
        Image.new("RGB", (24, 20), colour).save(folder / f"{number:02}.png")
    return folder
