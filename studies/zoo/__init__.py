"""Packaged models and data sets: installed from package registries, or trained here, and never part of this package."""

from .animals import ANIMALS
from .card import Card, DataSet, Item
from .crepe import crepe, crepe_tiny
from .ct_tissues import ct_tissues
from .digits import DIGITS
from .digits3d import DIGITS3D
from .efficientnet_lite import efficientnet_lite0, efficientnet_lite1, efficientnet_lite2
from .esc50 import ESC50
from .head_ct import HEAD_CT
from .lenet import mnist_lenet, mnist_lenet_robust
from .medmnist import MEDMNIST
from .small_nets import digits3d_net, gunpoint_net
from .ucr import UCR
from .yamnet import yamnet

MODELS = {
    "efficientnet-lite0": efficientnet_lite0,
    "efficientnet-lite1": efficientnet_lite1,
    "efficientnet-lite2": efficientnet_lite2,
    "yamnet": yamnet,
    "crepe": crepe,
    "crepe-tiny": crepe_tiny,
    "mnist-lenet": mnist_lenet,
    "mnist-lenet-robust": mnist_lenet_robust,
    "digits3d-net": digits3d_net,
    "gunpoint-net": gunpoint_net,
    "ct-tissues": ct_tissues,
}
DATA = {each.name: each for each in (ANIMALS, DIGITS, DIGITS3D, ESC50, HEAD_CT, MEDMNIST, UCR)}

__all__ = ["DATA", "MODELS", "Card", "DataSet", "Item"]
