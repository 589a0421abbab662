"""Two LeNets for the digits of MNIST, one trained as usual and one against attacks."""

import functools

import torch
from torch import nn

from ...core.imports import package_folder
from .card import Card
from .digits import CLASSES, SIDE

INSTALL = "pip install --no-deps advertorch==0.2.3"


def _lenet(name: str, weights: str, training: str) -> tuple[nn.Module, Card]:
    """A network of two convolutions and two linear layers, 648,226 parameters; the input is in [0, 1].

    Raises: ImportError that says what to install.
    """
    folder = package_folder("advertorch_examples", "--no-deps advertorch==0.2.3") / "trained_models"
    stored = torch.load(folder / weights, map_location=torch.get_default_device(), weights_only=True)
    first = (nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    second = (nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    network = nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(3136, 200), nn.ReLU(), nn.Linear(200, 10))
    network.load_state_dict(dict(zip(network.state_dict(), stored.values(), strict=True)))
    source = f"advertorch_examples/trained_models/{weights}: {training}"
    return network.eval(), Card(name, "image", CLASSES, source, "LGPL-3", INSTALL, size=(SIDE, SIDE))


mnist_lenet = functools.partial(_lenet, "mnist-lenet", "mnist_lenet5_clntrained.pt", "trained as usual")
mnist_lenet_robust = functools.partial(
    _lenet, "mnist-lenet-robust", "mnist_lenet5_advtrained.pt", "trained against PGD of 40 steps of 0.01, within 0.3 per pixel"
)
