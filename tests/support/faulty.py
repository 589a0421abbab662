"""A small model on which some pictures act: it answers NaN to black ones, and its process ends where it is told to."""

import errno
import os
import resource
import signal
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pullback.core import files
from pullback.studies.loaders.models import LoadedModel
from support.tiny import PREPARE, Tiny


class Faulty(Tiny):
    """`Tiny`, but for black pictures; every process that has run it leaves its number in a folder.

    kills: how often a process is killed when it sees a white picture.  hungry: its gradient needs more memory than there is.
    full: there is no room on the disk for what follows a white picture.  black: the answer to black ones.
    """

    def __init__(self, folder: Path, kills: int, hungry: bool, full: bool, black: float) -> None:
        super().__init__()
        self.folder, self.kills, self.hungry, self.full, self.black = folder, kills, hungry, full, black

    def forward(self, x: Tensor) -> Tensor:
        (self.folder / f"process-{os.getpid()}").touch()
        rows = x.flatten(1)
        if bool((rows == 1).all(1).any()) and len(done := list(self.folder.glob("kill-*"))) < self.kills:
            (self.folder / f"kill-{len(done)}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        white = bool((rows == 1).all(1).any())
        bright = bool(((rows == rows[:, :1]) & (rows > 0)).all(1).any())  # a white picture, or one on the way to it
        if self.hungry and bright and torch.is_grad_enabled():
            exhaust()
        if self.full and white:
            files._sync = no_room
        out = super().forward(x)
        return torch.where((rows == -1).all(1, keepdim=True), self.black, out)


def exhaust() -> None:
    """Asks for more memory than this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, hard))
    try:
        torch.empty(2**28)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def no_room(path: Path, flags: int) -> None:
    """In place of `core.files._sync`: what was written does not fit on the disk."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def faulty(folder: Path, kills: int = 0, hungry: bool = False, full: bool = False, black: float = torch.nan) -> LoadedModel:
    folder.mkdir(exist_ok=True)
    return LoadedModel("tiny", Faulty(folder, kills, hungry, full, black).eval(), PREPARE)


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
