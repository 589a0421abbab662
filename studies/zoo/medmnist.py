"""MedMNIST: medical images and volumes, from a file that the user has."""

import functools
from collections.abc import Iterator

import numpy as np
import torch

from ..kinds import Signal
from .card import DataSet, Item

INSTALL = "MedMNIST comes in no package: get a file such as bloodmnist.npz from medmnist.com"


def _medmnist(file: str, part: str = "test") -> Iterator[Item]:
    """One part of a file, with values in [0, 1]; several labels for one image count as none.

    Raises: ValueError where the file is no MedMNIST file.
    """
    try:
        with np.load(file, allow_pickle=False) as stored:
            images, labels = stored[f"{part}_images"], stored[f"{part}_labels"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        wanted = f"{part}_images and {part}_labels"
        raise ValueError(f"medmnist: {file[:80]!r} holds no {wanted}: {str(error)[:80]}. {INSTALL}.") from None
    coloured = images.ndim == 4 and images.shape[-1] == 3
    for number, (image, label) in enumerate(zip(images, labels.reshape(len(images), -1).tolist())):
        own = int(label[0]) if len(label) == 1 else None
        name = "" if own is None else str(own)
        axes = image.ndim - coloured
        step, unit = (1.0,) * axes, "voxel" if axes == 3 else "pixel"
        signal = functools.partial(_signal, image, coloured, step, unit, f"{part}/{number:05}")
        yield Item(f"{part}/{number:05}", signal, own, name)


def _signal(image: np.ndarray, coloured: bool, step: tuple[float, ...], unit: str, name: str) -> Signal:
    scaled = torch.from_numpy(image.astype(np.float32) / np.iinfo(np.uint8).max)
    return Signal(scaled.movedim(-1, 0) if coloured else scaled[None], step, unit, name)


MEDMNIST = DataSet("medmnist", None, _medmnist, "CC BY 4.0; DermaMNIST CC BY-NC 4.0", INSTALL, "FILE.npz")
