"""Transforms along chosen axes of the signal."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..core.checks import listed, quoted, whole
from .base import Chain, Transform
from .get import get
from .layout import Band, Layout, Shape, unknown
from .registry import add
from .shapes import LARGEST_SIGNAL, check_shape, check_size

Inner = str | Transform


@add("along")
class Along(Transform):
    """A transform over some axes of the signal; the others, channels included, are treated like a batch.

    transform: a spec, or a Transform for signals of shape (1, *chosen sizes).
    axes: the axis or axes of one signal, 0 for the channels, 1… for the signal axes, -1 for the last.

    If the transform keeps the number of axes, each stays at its place; else its coefficients come last, after the other
    axes: a packed 2-D pyramid over the axes (1, 3) of (c, a, b, d) gives z (batch, c, b, K).
    Claims and bands are those of the transform. Orientations keep one letter per transformed axis. Source: definition.
    Raises: TypeError where axes are not whole numbers; ValueError where one does not exist or is named twice, or where
    coefficients of one channel have several channels.

    >>> get("along(dct, axes=0)", shape=(4, 10)).layout.shape
    (4, 10)
    >>> get("along(dwt(haar, level=1), axes=[2, 3])", shape=(3, 5, 8, 8)).layout.shape
    (3, 5, 64)
    """

    def __init__(self, shape: Shape, transform: Inner, axes: int | Sequence[int] = 1) -> None:
        super().__init__(shape, range(10))
        self._axes = _check_axes("along", axes, len(self.shape))
        self._others = [axis for axis in range(len(self.shape)) if axis not in self._axes]
        self._order = [0, *(axis + 1 for axis in [*self._others, *self._axes])]  # the batch and the other axes first
        self.inner = get(transform, (1, *(self.shape[axis] for axis in self._axes)))
        one, *coeff = self.inner.layout.shape
        if one != 1:
            raise ValueError(f"along: expected coefficients of one channel, {self.inner.title} gives shape {(one, *coeff)}.")
        self.claims, self._coeff = self.inner.claims, tuple(coeff)
        self.spec = f"along({self.inner.spec}, axes={self._axes[0] if len(self._axes) == 1 else self._axes})"
        self.in_place = len(self._coeff) == len(self._axes)
        self._kept = tuple(self.shape[axis] for axis in self._others)
        check_size("along", "coefficients", (*self._kept, *self._coeff), LARGEST_SIGNAL)
        self.layout = self._layout()

    def analysis(self, x: Tensor) -> Tensor:
        return self._unfold(self.inner.analysis(self._fold(x)), len(x))

    def synthesis(self, z: Tensor) -> Tensor:
        folded = (self._to_end(z) if self.in_place else z).flatten(0, len(self._others))[:, None]
        return self._from_end(self.inner.synthesis(folded).reshape(len(z), *self._kept, *self.inner.shape[1:]))

    def transpose(self, g: Tensor) -> Tensor:
        return self._unfold(self.inner.transpose(self._fold(g)), len(g))

    def ends(self, x: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
        z, origin = self.inner.ends(self._fold(x), self._fold(base))
        return self._unfold(z, len(x)), self._unfold(origin, len(x))

    def _fold(self, x: Tensor) -> Tensor:
        """Signals of the inner transform. Shape: (batch · others, 1, *chosen)."""
        return self._to_end(x).flatten(0, len(self._others))[:, None]

    def _unfold(self, z: Tensor, batch: int) -> Tensor:
        """Coefficients of the inner transform at their places."""
        z = z.reshape(batch, *self._kept, *self._coeff)
        return self._from_end(z) if self.in_place else z

    def _to_end(self, x: Tensor) -> Tensor:
        return x.permute(self._order)

    def _from_end(self, x: Tensor) -> Tensor:
        return x.permute([self._order.index(i) for i in range(x.ndim)]).contiguous()

    def _layout(self) -> Layout:
        """The inner layout at every place of the other axes, whose positions are known."""
        own, dims, whole = self.inner.layout, len(self.shape) - 1, (*self._kept, *self._coeff)
        put: Callable[[Tensor], Tensor] = lambda part: self._unfold(part.expand(whole)[None], 1)[0]
        index = put(own.index[0])
        frequency = unknown((dims, *index.shape))
        position = frequency.clone()
        for row, axis in enumerate(self._axes):
            if axis:  # channels have neither
                frequency[axis - 1], position[axis - 1] = put(own.frequency[row, 0]), put(own.position[row, 0])
        for place, axis in enumerate(self._others):
            if axis:
                position[axis - 1] = put(_along(torch.arange(self.shape[axis]).to(position), place, whole))
        apart = self.in_place and len(self._axes) > 1  # then the axes of a band are not neighbours, and its grid is read from z
        return Layout(own.bands, index, frequency, position, () if apart else tuple(map(self._grid, own.grids)))

    def _grid(self, grid: Shape | None) -> Shape | None:
        """The grid of a band, with the other axes around it."""
        place = self._axes[0] if self.in_place and len(self._axes) == 1 else len(self._kept)
        return grid and (*self._kept[:place], *grid[1:], *self._kept[place:])

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        yield from [cls((3, 5), "dct", 0), cls((2, 7), "dwt(db2, level=1)", 1)]
        yield from [cls((2, 3, 6, 5), "dwt(bior2.2, level=1)", [1, 3]), cls((2, 3, 4), "dft", [0, 2])]
        yield from [cls((2, 3, 4), "dwt(haar, level=1)", [0, 1, 2]), cls((3, 8), "polar", 1)]


@add("per_axis")
class PerAxis(Chain):
    """A different transform for each axis: `per_axis(dct, dwt(db4))` is a DCT over channels and a DWT over time.

    transforms: one for each axis of the signal, channels first; none leaves an axis as it is. Each takes signals (1, n)
    and gives (1, m), so that z has shape (batch, m_0, m_1, …).

    A band is one band of each axis, "a2 × d1", outer axes first. Its scale and frequencies are those of the signal axis
    where they are highest; channels count only where no signal axis is transformed. Source: definition.
    Raises: ValueError unless there is one transform for each axis, and each gives one axis for one.

    >>> [band.name for band in get("per_axis(none, dwt(haar, level=1))", shape=(2, 4)).layout.bands]
    ['a1', 'd1']
    """

    def __init__(self, shape: Shape, *transforms: Inner | None) -> None:
        sizes = check_shape("per_axis", shape, dims=range(0, 10))
        if len(transforms) != len(sizes):
            wanted = f"one transform, or none, for each of the {len(sizes)} axes of shape {sizes}, channels first"
            raise ValueError(f"per_axis: expected {wanted}; got {len(transforms)}.")
        parts: list[Along] = []
        for axis, transform in enumerate(transforms):
            part = Along(parts[-1].layout.shape if parts else sizes, "pixel" if transform is None else transform, axis)
            if not part.in_place:
                raise ValueError(f"per_axis: {part.inner.title} turns one axis into several; use along().")
            parts.append(part)
        super().__init__(parts)
        specs = ("none" if given is None else part.inner.spec for given, part in zip(transforms, parts))
        self.spec = f"per_axis({', '.join(specs)})"
        self.layout = _grid_layout([part.inner.layout for part in parts], parts[-1].layout.shape)

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        yield from [cls((3, 9), "dct", "dwt(db2, level=2)"), cls((2, 6, 5), None, "dft", "dwt(bior2.2, level=1)")]
        yield from [cls((2, 5), None, None), cls((4, 3, 4, 5), "dct", "pixel", None, "dwt(haar, level=1, mode=symmetric)")]


def _grid_layout(layouts: Sequence[Layout], sizes: Shape) -> Layout:
    """The layout of a grid of `sizes` with one layout for each axis."""
    label = torch.zeros(sizes, dtype=torch.long)
    for axis, own in enumerate(layouts):
        label = label * len(own.bands) + _along(own.index, axis, sizes)
    present, index = torch.unique(label, return_inverse=True)
    bands = tuple(_product(_digits(code, layouts)) for code in present.tolist())
    order = sorted(range(len(bands)), key=lambda i: -bands[i].scale)  # coarse to fine
    signal = list(enumerate(layouts))[1:]  # channels have neither frequency nor position
    rows = ([_along(getattr(own, name), axis, sizes) for axis, own in signal] for name in ("frequency", "position"))
    frequency, position = (torch.stack(row) if row else unknown((0, *sizes)) for row in rows)
    return Layout(tuple(bands[i] for i in order), torch.tensor(order).argsort()[index], frequency, position)


def _along(part: Tensor, axis: int, sizes: Shape) -> Tensor:
    """The numbers of `part` along one axis of a grid. Shape: sizes, a view."""
    return part.reshape([-1 if i == axis else 1 for i in range(len(sizes))]).expand(sizes)


def _digits(code: int, layouts: Sequence[Layout]) -> list[Band]:
    """The band of each axis that a combined label stands for."""
    bands = []
    for own in reversed(layouts):
        bands.append(own.bands[code % len(own.bands)])
        code //= len(own.bands)
    return bands[::-1]


def _product(bands: Sequence[Band]) -> Band:
    named = [band for band in bands if band.name != "pixels"] or list(bands[:1])
    scaled = [band for band in bands[1:] if band.scale] or [band for band in bands if band.scale] or named
    finest = max(scaled, key=lambda band: band.high)
    letters = "".join(band.orientation for band in named)
    return replace(finest, name=" × ".join(band.name for band in named), orientation=letters)


def _check_axes(who: str, axes: int | Sequence[int], count: int) -> list[int]:
    """The axes, counted from 0; -1 is the last."""
    given = listed(axes)
    numbers = [whole(axis) for axis in ([axes] if given is None else given)]
    if None in numbers:
        raise TypeError(f"{who}: axes must be a whole number or a list of them, got {quoted(axes)}.")
    chosen = [axis + count if axis < 0 else axis for axis in numbers if axis is not None]
    if not chosen or len(set(chosen)) != len(chosen) or not all(0 <= axis < count for axis in chosen):
        wanted = f"distinct and lie in 0…{count - 1} (0 for the channels, -1 for the last)"
        raise ValueError(f"{who}: axes must be {wanted}, got {quoted(axes)}.")
    return chosen
