"""Small networks that are trained here: two for volumes, one for time series."""

from dataclasses import replace

import torch
from torch import nn

from ..training import brains as brain_recipe
from ..training import series, volumes
from . import brains, digits, ucr
from .card import Card
from .digits3d import TRAINING
from .trained import kept

SOURCE = "studies/training/volumes.py, trained on this machine"
FEW = range(100)  # digits of each class that the small network is trained on


def digits3d_net() -> tuple[nn.Module, Card]:
    """A 3-D convolutional network that names the digits of `digits3d`, trained on 4,000 others.

    Raises: ImportError that says what to install.
    """
    network = kept("digits3d-net", volumes, digits.digits_of(TRAINING))
    card = Card("digits3d-net", "volume", digits.CLASSES, SOURCE, digits.DIGITS.licence, digits.INSTALL)
    return network, replace(card, size=(volumes.SIDE,) * 3)


def digits3d_small_net() -> tuple[nn.Module, Card]:
    """The network of `digits3d_net`, trained in seconds on 1,000 of its digits: for trials.

    Raises: ImportError that says what to install.
    """
    network = kept("digits3d-small-net", volumes, digits.digits_of(FEW), epochs=5)
    card = Card("digits3d-small-net", "volume", digits.CLASSES, SOURCE, digits.DIGITS.licence, digits.INSTALL)
    return network, replace(card, size=(volumes.SIDE,) * 3)


def gunpoint_net() -> tuple[nn.Module, Card]:
    """A 1-D convolutional network that tells the two movements of GunPoint apart, trained on its 50 training series.

    Raises: ImportError that says what to install.
    """
    rows, labels, classes = ucr.series_of("GunPoint", "train")
    x = torch.stack(rows)
    network = kept("gunpoint-net", series, (x, torch.tensor(labels)))
    source, size = "studies/training/series.py, trained on this machine", tuple(x.shape[2:])
    return network, Card("gunpoint-net", "series", classes, source, ucr.UCR.licence, ucr.INSTALL, size=size)


def brain_regions_net() -> tuple[nn.Module, Card]:
    """A 3-D convolutional network that names which of 116 regions of a brain lies in the middle of a part of it.

    It is trained on one brain (Colin27); `brain-regions` are parts of the average of 152 others.
    Raises: ImportError that says what to install.
    """
    network = kept("brain-regions-net", brain_recipe, brains.colin27())
    source, data = "studies/training/brains.py, trained on this machine", brains.BRAIN_REGIONS
    size = (brain_recipe.SIDE,) * 3
    return network, Card("brain-regions-net", "volume", brains.regions(), source, data.licence, data.install, size=size)
