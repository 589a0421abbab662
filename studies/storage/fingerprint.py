"""Digests of models and photos: whether stored work belongs to the same ones."""

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ...core.files import plain
from ..kinds import Signal
from ..loaders.data import Photo


def weights(model: Callable[..., Any]) -> str:
    """A digest of every parameter and buffer of a module: name, dtype, shape and bytes; "" for other callables.

    >>> line, other = nn.Linear(2, 1), nn.Linear(2, 1)
    >>> weights(line) == weights(line), weights(line) == weights(other), weights(torch.tanh)
    (True, False, '')
    """
    if not isinstance(model, nn.Module):
        return ""
    found = hashlib.blake2b(digest_size=12)
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor) or value.is_quantized or value.layout is not torch.strided:
            continue  # a change of these shows in `answer` only
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def answer(out: Tensor) -> list[float]:
    """‖f(x)‖, min f(x) and max f(x) to four digits, which the order of sums does not change. Reveals changed code.

    >>> answer(torch.tensor([[1.0, 4.0]]))
    [4.123, 1.0, 4.0]
    """
    return [float(f"{float(number):.4g}") for number in (out.double().norm(), out.min(), out.max())]


def content(photo: Photo) -> str:
    """A digest of a photo: of the bytes of its file or inside one, or of the pixels where it has none.

    >>> from PIL import Image
    >>> red, blue = (Photo("a", None, lambda color=color: Image.new("RGB", (2, 2), color)) for color in ("red", "blue"))
    >>> content(red) == content(red), content(red) == content(blue)
    (True, False)
    """
    try:
        if photo.data is not None:
            return hashlib.blake2b(photo.data()).hexdigest()
        if photo.path is not None and photo.path.is_dir():
            whole = hashlib.blake2b()
            for path in sorted(path for path in photo.path.iterdir() if path.is_file()):
                whole.update(hashlib.blake2b(path.read_bytes()).digest())
            return whole.hexdigest()
        if photo.path is not None:
            with photo.path.open("rb") as file:
                return hashlib.file_digest(file, "blake2b").hexdigest()
        if isinstance(found := photo.open(), Signal):
            values = found.values.contiguous().numpy()
            return hashlib.blake2b(repr((values.shape, found.step, found.unit)).encode() + values.tobytes()).hexdigest()
        with found as image:
            return hashlib.blake2b(repr((image.mode, image.size)).encode() + image.tobytes()).hexdigest()
    except Exception as error:  # the photo will be skipped, with this reason
        return plain(error)
