"""Labelled time series of the UCR and UEA archives that come in a Python package."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ...core.checks import check_choice
from ...core.imports import package_folder
from ..kinds import Signal
from ..kinds.tables import ts_classes, ts_rows
from .card import DataSet, Item

INSTALL = "pip install --no-deps aeon==1.6.0"
_ENDS = {"train": "_TRAIN.ts", "test": "_TEST.ts"}


def series_of(name: str, part: str) -> tuple[list[Tensor], list[int], tuple[str, ...]]:
    """The series (channels, samples) of one part, the class of each, and the names of the classes.

    name: as GunPoint.  part: "train" or "test".
    Raises: ValueError that lists the names; ImportError that says what to install.
    """
    check_choice("ucr", "part", part, _ENDS)
    folder = package_folder("aeon", "--no-deps aeon==1.6.0") / "datasets" / "data"
    files = {path.name.removesuffix(_ENDS[part]): path for path in sorted(folder.glob(f"*/*{_ENDS[part]}"))}
    labelled = {each: path for each, path in files.items() if ts_classes(path)}
    check_choice("ucr", "a name", name, labelled)
    classes, rows = ts_classes(labelled[name]), ts_rows(labelled[name])
    series = [torch.from_numpy(np.stack([_numbers(channel) for channel in row[:-1]])) for row in rows]
    return series, [classes.index(row[-1]) for row in rows], classes


def _numbers(channel: str) -> np.ndarray:
    """The samples of one channel; "?" stands for one that is missing."""
    return np.array(channel.replace("?", "nan").split(","), dtype=np.float32)


def _ucr(name: str, part: str = "test") -> Iterator[Item]:
    """The series of one part of the data set `name`."""
    series, labels, classes = series_of(name, part)
    for number, (values, label) in enumerate(zip(series, labels)):
        one = Signal(values, (1.0,), "sample", f"{name}/{part}/{number:04}")
        yield Item(one.name, lambda one=one: one, label, classes[label])  # type: ignore[misc]


UCR = DataSet("ucr", "series", _ucr, "UCR and UEA archives, free for research; package aeon: BSD-3", INSTALL, "NAME")
