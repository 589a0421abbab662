"""Fashion-MNIST, 70,000 pictures of ten kinds of clothes, from a Debian package; and networks that are trained on it."""

import gzip
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from ..kinds import Signal
from ..training import adversarial, transformer
from .card import Card, DataSet, Item
from .packages import debian_install, debian_needed
from .trained import kept

_PACKAGE, _FOLDER = "dataset-fashion-mnist", "usr/share/datasets/fashion-mnist"
CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
SIDE, TRAINING, SEEDS = 28, 20_000, 3  # pixels, pictures that the networks are trained on, networks of each recipe
_HEADER = {"images": 16, "labels": 8}  # bytes before the values in a file of the IDX format
_UNIT = 255  # grey levels above black


def fashion_of(part: str, count: int) -> tuple[Tensor, Tensor]:
    """The first pictures of a part in [0, 1], (count, 1, 28, 28), and the class of each, (count,).

    part: "train" (60,000) or "t10k" (the 10,000 of the test).  Raises: ImportError that says what to install.
    """
    folder = debian_needed("fashion-mnist", _PACKAGE, _FOLDER)
    found = {}
    for what, rank in (("images", 3), ("labels", 1)):
        with gzip.open(folder / f"{part}-{what}-idx{rank}-ubyte.gz") as file:
            file.seek(_HEADER[what])
            found[what] = torch.from_numpy(np.frombuffer(file.read(count * SIDE ** (rank - 1)), np.uint8).copy())
    return (found["images"] / _UNIT).reshape(-1, 1, SIDE, SIDE), found["labels"].long()


def _fashion() -> Iterator[Item]:
    """The 10,000 pictures of the test, none of which a packaged network was trained on."""
    values, labels = fashion_of("t10k", 10_000)
    for number, (value, label) in enumerate(zip(values, labels.tolist())):
        picture = Signal(value, (1.0, 1.0), "pixel", f"{number:05}")
        yield Item(picture.name, lambda picture=picture: picture, label, CLASSES[label])  # type: ignore[misc]


FASHION = DataSet("fashion-mnist", "image", _fashion, "MIT", debian_install(_PACKAGE))


def _net(recipe: str, seed: int) -> tuple[nn.Module, Card]:
    """A small residual network, trained on 20,000 pictures.  Raises: ImportError that says what to install."""
    name = f"fashion-{recipe}-seed{seed}"
    network = kept(name, adversarial, fashion_of("train", TRAINING), recipe=recipe, seed=seed)
    source = f"studies/training/adversarial.py, recipe {recipe}, seed {seed}, trained on this machine"
    install = FASHION.install.splitlines()[0]
    return network, Card(name, "image", CLASSES, source, FASHION.licence, install, size=(SIDE, SIDE))


def fashion_transformer() -> tuple[nn.Module, Card]:
    """A small vision transformer, trained on 20,000 pictures.  Raises: ImportError that says what to install."""
    network = kept("fashion-transformer", transformer, fashion_of("train", TRAINING))
    source, install = "studies/training/transformer.py, trained on this machine", FASHION.install.splitlines()[0]
    return network, Card("fashion-transformer", "image", CLASSES, source, FASHION.licence, install, size=(SIDE, SIDE))


def _builder(recipe: str, seed: int) -> Callable[[], tuple[nn.Module, Card]]:
    return lambda: _net(recipe, seed)


FASHION_NETS = {
    f"fashion-{recipe}-seed{seed}": _builder(recipe, seed) for recipe in adversarial.RECIPES for seed in range(SEEDS)
}
