"""Changes of a signal that take away either how its parts are arranged or what its parts are like, and harmless ones."""

import functools
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from ...attribution.engine.random import Keyed
from ..loaders.models import LoadedModel

WHOLE = "unchanged"
HARMLESS = ("shifted 1/16", "mirrored")  # arrangement and parts stay
ARRANGEMENT = tuple(f"shuffled {n} per axis" for n in (2, 4, 8))  # parts stay; the arrangement, and so every large shape, goes
PARTS = ("low-pass 1/8", "low-pass 1/16", "edges")  # the arrangement stays; fine texture goes
GROUPS = {"harmless": HARMLESS, "arrangement": ARRANGEMENT, "parts": PARTS}  # what is tested: the mean over each group
DRAWS = 5  # permutations for each grid
_BRIGHT = 0.99  # quantile of the slopes that is white in a picture of edges


def changes(model: LoadedModel, x: Tensor, seed: int) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
    """The changes that suit signals like x (1, channels, *spatial), by name; each maps (rows, channels, *spatial) to the same.

    unchanged: none.  shifted: by a sixteenth of the last axis, around the end.  mirrored: pictures only.
    shuffled n per axis: every axis is cut into n parts, and the cells change places so that none stays; `DRAWS` permutations,
    which depend on x and the seed alone, so that every version of x is shuffled alike.  Samples that fill no part stay.
    low-pass: without frequencies above so many cycles/sample.  edges: how steep the brightness is, as a grey picture.
    """
    yield WHOLE, torch.clone
    yield HARMLESS[0], lambda rows: rows.roll(max(1, rows.shape[-1] // 16), -1)
    if model.signals.resized:
        yield HARMLESS[1], lambda rows: rows.flip(-1)
    yield from _shuffles(x, Keyed(x, seed).generator(0, "shuffled"))
    for name in PARTS[:2]:
        yield name, functools.partial(low_pass, cut=1 / int(name.partition("/")[2]))
    if (show := model.picture()) is not None and model.signals.resized:
        yield PARTS[2], lambda rows: _edges(rows, show)


def _shuffles(x: Tensor, generator: np.random.Generator) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
    for n, name in zip((2, 4, 8), ARRANGEMENT):
        if min(x.shape[2:]) >= 2 * n:
            for _ in range(DRAWS):
                yield name, functools.partial(shuffled, n=n, order=_without_fixed(n ** (x.ndim - 2), generator))


def _without_fixed(count: int, generator: np.random.Generator) -> np.ndarray:
    """A random cyclic permutation: no cell stays.  Source: Sattolo 1986."""
    order = np.arange(count)
    for place in range(count - 1, 0, -1):
        other = int(generator.integers(place))
        order[[place, other]] = order[[other, place]]
    return order


def shuffled(rows: Tensor, n: int, order: np.ndarray) -> Tensor:
    """Each spatial axis cut into n parts; cell i of the result is cell order[i].  rows: (rows, channels, *spatial).

    >>> shuffled(torch.arange(5.0).reshape(1, 1, 5), 2, np.array([1, 0]))
    tensor([[[2., 3., 0., 1., 4.]]])
    """
    sides = [size // n for size in rows.shape[2:]]
    inner = (slice(None), slice(None), *[slice(0, n * side) for side in sides])
    cut = rows[inner].reshape(*rows.shape[:2], *[part for side in sides for part in (n, side)])
    first = [2 + 2 * axis for axis in range(len(sides))]
    there = (0, 1, *first, *[place + 1 for place in first])
    cells = cut.permute(there).reshape(*rows.shape[:2], n ** len(sides), *sides)[:, :, torch.from_numpy(order).to(rows.device)]
    back = cells.reshape(*rows.shape[:2], *[n] * len(sides), *sides).permute(*map(int, np.argsort(there)))
    found = rows.clone()
    found[inner] = back.reshape(rows[inner].shape)
    return found


def low_pass(rows: Tensor, cut: float) -> Tensor:
    """The signal without frequencies above `cut` cycles/sample, by radius.

    >>> wave = torch.cos(torch.pi * torch.arange(8.0)).reshape(1, 1, 8) + 1
    >>> low_pass(wave, 0.25)
    tensor([[[1., 1., 1., 1., 1., 1., 1., 1.]]])
    """
    axes = tuple(range(2, rows.ndim))
    parts = torch.meshgrid(*(torch.fft.fftfreq(rows.shape[axis]) for axis in axes), indexing="ij")
    radius = torch.stack(parts).norm(dim=0).to(rows)
    return torch.fft.ifftn(torch.fft.fftn(rows, dim=axes) * (radius <= cut), dim=axes).real.to(rows)


def _edges(rows: Tensor, show: Callable[[Tensor], Tensor]) -> Tensor:
    """Pictures of edges, as inputs of the model: black where the brightness is flat, white where it is steepest."""
    grey = show(rows).mean(1, keepdim=True)
    steep = torch.stack([torch.from_numpy(slope(one[0].double().cpu().numpy())) for one in grey])[:, None].to(rows)
    white = steep.flatten(1).quantile(_BRIGHT, dim=1).reshape(-1, *[1] * (rows.ndim - 1))
    drawn = torch.where(white > 0, steep / white.where(white > 0, 1), steep).clamp(0, 1)
    zero = show(torch.zeros_like(rows))
    return (drawn - zero) / (show(torch.ones_like(rows)) - zero)


def slope(values: np.ndarray) -> np.ndarray:
    """The size of the gradient, by Sobel's filters, per sample; values: (*spatial).

    >>> slope(np.array([0.0, 1.0, 2.0, 3.0]))[1:3]
    array([1., 1.])
    """
    if values.ndim == 1:
        return np.abs(np.asarray(ndimage.sobel(values))) / 2
    found = ndimage.generic_gradient_magnitude(values, ndimage.sobel)
    return np.asarray(found) / (2 * math.prod([4] * (values.ndim - 1)))
