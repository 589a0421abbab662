"""Packaged models and data sets: installed from package registries, or trained here, and never part of this package."""

from collections.abc import Callable

import torch
from torch import nn

from ...core.isolation import random_state
from .animals import ANIMALS
from .brains import BRAIN_REGIONS
from .card import Card, DataSet, Item
from .crepe import crepe, crepe_tiny
from .ct_tissues import ct_tissues
from .digits import DIGITS
from .digits3d import DIGITS3D
from .efficientnet_lite import efficientnet_lite0, efficientnet_lite1, efficientnet_lite2
from .esc50 import ESC50
from .fashion_mnist import FASHION, FASHION_NETS, fashion_transformer
from .head_ct import HEAD_CT
from .lenet import mnist_lenet, mnist_lenet_robust
from .medmnist import MEDMNIST
from .small_nets import brain_regions_net, digits3d_net, digits3d_small_net, gunpoint_net
from .ucr import UCR
from .yamnet import yamnet

_BUILDERS: dict[str, Callable[[], tuple[nn.Module, Card]]] = {
    "efficientnet-lite0": efficientnet_lite0,
    "efficientnet-lite1": efficientnet_lite1,
    "efficientnet-lite2": efficientnet_lite2,
    "yamnet": yamnet,
    "crepe": crepe,
    "crepe-tiny": crepe_tiny,
    "mnist-lenet": mnist_lenet,
    "mnist-lenet-robust": mnist_lenet_robust,
    "digits3d-net": digits3d_net,
    "digits3d-small-net": digits3d_small_net,
    "gunpoint-net": gunpoint_net,
    "ct-tissues": ct_tissues,
    **FASHION_NETS,
    "fashion-transformer": fashion_transformer,
    "brain-regions-net": brain_regions_net,
}


def _undisturbed(build: Callable[[], tuple[nn.Module, Card]]) -> Callable[[], tuple[nn.Module, Card]]:
    """`build`, which leaves the random numbers of the user as they are: a new layer draws weights before it gets its own."""

    def made() -> tuple[nn.Module, Card]:
        with random_state(0, torch.device("cpu")):
            return build()

    return made


MODELS = {name: _undisturbed(build) for name, build in _BUILDERS.items()}
DATA = {each.name: each for each in (ANIMALS, BRAIN_REGIONS, DIGITS, DIGITS3D, ESC50, FASHION, HEAD_CT, MEDMNIST, UCR)}

__all__ = ["DATA", "MODELS", "Card", "DataSet", "Item"]
