"""Pictures and sounds as data URIs, so that a page needs no other file."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

MEDIA = ("data:image/webp;base64,", "data:image/png;base64,", "data:audio/wav;base64,")  # what a page may hold
QUALITY = 80


def uri(data: bytes, kind: str) -> str:
    """The data URI of a file.

    >>> uri(b"RIFF", "audio/wav")
    'data:audio/wav;base64,UklGRg=='
    """
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def webp(image: np.ndarray, quality: int = QUALITY, lossless: bool = False) -> str:
    """A WebP picture.  image: (h, w), (h, w, 3) or (h, w, 4) in [0, 1]."""
    file = io.BytesIO()
    levels = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
    Image.fromarray(levels).save(file, "WEBP", quality=quality, lossless=lossless, method=2)
    return uri(file.getvalue(), "image/webp")


def smaller(picture: bytes, side: int = 1600) -> str:
    """A picture of any format as WebP with at most `side` columns."""
    with Image.open(io.BytesIO(picture)) as found:
        image = found.convert("RGB")
    image.thumbnail((side, 4 * side))
    file = io.BytesIO()
    image.save(file, "WEBP", quality=QUALITY, method=2)
    return uri(file.getvalue(), "image/webp")


def colored(density: np.ndarray, limit: float) -> np.ndarray:
    """Square-root brightness in 0…limit as RGB, (h, w, 3)."""
    from matplotlib import colormaps

    found: np.ndarray = colormaps["magma"](_level(density, limit))[..., :3]
    return found


def overlay(density: np.ndarray, limit: float) -> np.ndarray:
    """The same as RGBA, transparent where the density is 0: (h, w, 4)."""
    level = _level(density, limit)
    return np.concatenate([colored(density, limit), np.clip(1.6 * level, 0, 1)[..., None]], -1)


def _level(density: np.ndarray, limit: float) -> np.ndarray:
    found: np.ndarray = np.sqrt(np.clip(density / max(limit, 1e-30), 0, 1))
    return found


def mosaic(volume: np.ndarray) -> tuple[np.ndarray, int]:
    """The slices along the first axis side by side, row by row, and how many stand in a row.  volume: (i, j, k).

    >>> mosaic(np.arange(8).reshape(2, 2, 2))[0].tolist()
    [[0, 1, 4, 5], [2, 3, 6, 7]]
    """
    count, height, width = volume.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    padded = np.concatenate([volume, np.zeros((rows * columns - count, height, width), volume.dtype)])
    return padded.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width), columns


def coarse(volume: np.ndarray, side: int) -> np.ndarray:
    """An image or a volume of at most `side` samples along each axis: means of blocks."""
    for axis, size in enumerate(volume.shape):
        step = -(-size // side)
        if step > 1:
            cuts = np.arange(0, size, step)
            counts = np.diff([*cuts, size]).reshape([-1 if other == axis else 1 for other in range(volume.ndim)])
            volume = np.add.reduceat(volume, cuts, axis) / counts
    return volume


def place(density: np.ndarray) -> str:
    """In which ninth of an image (h, w) most of the density lies.

    >>> place(np.eye(9)[:3])
    'the upper left'
    """
    edges = [np.linspace(0, size, 4).astype(int).tolist() for size in density.shape]
    sums = [[density[a:b, c:d].sum() for c, d in _pairs(edges[1])] for a, b in _pairs(edges[0])]
    row, column = np.unravel_index(int(np.argmax(sums)), (3, 3))
    words = (("upper ", "middle ", "lower ")[row] + ("left", "middle", "right")[column]).strip()
    return "the " + {"middle middle": "middle"}.get(words, words)


def _pairs(edges: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(edges, edges[1:]))
