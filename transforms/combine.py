"""Transforms made from another one: applied to a part of the signal, and inverted."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..core.checks import listed, quoted, whole
from .axes import Inner
from .base import Transform, TransformClaim, check_transform
from .get import get
from .layout import Band, Layout, Shape, sample_layout, signal_position
from .registry import add

Crop = Sequence[Sequence[int] | None]  # [start, stop] of each signal axis, or None for a whole axis


@add("restrict")
class Restrict(Transform):
    """A transform of one part of the signal; the rest is kept as it is, in one more band "rest".

    transform: a spec, or a Transform for signals of the shape of the part.
    crop: [start, stop] for each signal axis, as in slices, none for a whole axis; None takes all axes whole.
    channels: the channels of the part; None takes all. Negative places count from the end.

    z is (batch, 1, coefficients of the part + samples of the rest). Claims are those of the transform. Source: definition.
    Raises: ValueError where the part is empty or leaves the signal.

    >>> T = get("restrict(dct, crop=[[2, 6]], channels=[0])", shape=(2, 8))
    >>> [band.name for band in T.layout.bands], T.layout.sizes.tolist()
    (['a3', 'd3', 'd2', 'd1', 'rest'], [1, 1, 1, 1, 12])
    """

    def __init__(self, shape: Shape, transform: Inner, crop: Crop | None = None, channels: Sequence[int] | None = None) -> None:
        super().__init__(shape, range(10))
        grids = [_check_channels(channels, self.shape[0]), *_check_crop(crop, self.shape[1:])]
        inside = torch.zeros(self.shape, dtype=torch.bool)
        inside[torch.meshgrid(*grids, indexing="ij")] = True
        self._inside = inside.flatten().nonzero()[:, 0]
        self._outside = (~inside).flatten().nonzero()[:, 0]
        self._back = torch.cat([self._inside, self._outside]).argsort()
        self.inner = get(transform, tuple(len(grid) for grid in grids))
        self.claims = self.inner.claims
        ends = [[int(grid[0]), int(grid[-1]) + 1] for grid in grids[1:]]
        parts = [None if part is None else own for part, own in zip(crop, ends)] if crop is not None else None
        given = {"crop": parts, "channels": None if channels is None else grids[0].tolist()}
        options = [f"{name}={value}" for name, value in given.items() if value is not None]
        self.spec = f"restrict({', '.join([self.inner.spec, *options])})"
        self.layout = self._layout([int(grid[0]) for grid in grids[1:]])

    def analysis(self, x: Tensor) -> Tensor:
        return self._pack(x, self.inner.analysis(self._part(x)))

    def synthesis(self, z: Tensor) -> Tensor:
        flat, count = z.flatten(1), math.prod(self.inner.layout.shape)
        part = self.inner.synthesis(flat[:, :count].reshape(len(z), *self.inner.layout.shape))
        x = torch.cat([part.flatten(1), flat[:, count:]], 1)
        return x[:, self._back.to(z.device)].reshape(len(z), *self.shape)

    def transpose(self, g: Tensor) -> Tensor:
        return self._pack(g, self.inner.transpose(self._part(g)))

    def ends(self, x: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
        z, origin = self.inner.ends(self._part(x), self._part(base))
        return self._pack(x, z), self._pack(base, origin)

    def _part(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, self._inside.to(x.device)].reshape(len(x), *self.inner.shape)

    def _pack(self, x: Tensor, coefficients: Tensor) -> Tensor:
        return torch.cat([coefficients.flatten(1), x.flatten(1)[:, self._outside.to(x.device)]], 1)[:, None]

    def _layout(self, start: list[int]) -> Layout:
        own, dims = self.inner.layout, len(self.shape) - 1
        shift = torch.tensor(start).to(own.position).reshape(-1, *[1] * own.index.ndim)
        places = signal_position(self.shape).reshape(dims, -1)[:, self._outside]
        index = torch.cat([own.index.flatten(), torch.full((len(self._outside),), len(own.bands))])[None]
        position = torch.cat([(own.position + shift).reshape(dims, -1), places], 1)[:, None]
        frequency = torch.cat([own.frequency.reshape(dims, -1), torch.full_like(places, math.nan)], 1)[:, None]
        count = len(self._outside)
        rest = [(Band("rest"), (1, count))] if count else []
        named = [*zip(own.bands, map(own.grid, range(len(own.bands)))), *rest]
        return Layout(tuple(band for band, _ in named), index, frequency, position, tuple(grid for _, grid in named))

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        yield from [cls((2, 9), "dct", [[3, 8]]), cls((3, 5, 6), "dwt(bior2.2, level=1)", [[0, 4], None], [0, 2])]
        yield from [cls((2, 3), "dft", None, [1]), cls((1, 6), "dct"), cls((1, 12), "polar", [[2, 10]])]


def _check_channels(channels: Sequence[int] | None, count: int) -> Tensor:
    chosen = list(range(count)) if channels is None else [_place(c, count) for c in listed(channels) or []]
    if not chosen or None in chosen or sorted(set(chosen)) != chosen or not 0 <= chosen[0] <= chosen[-1] < count:
        raise ValueError(f"restrict: channels must be rising, distinct and in 0…{count - 1}, got {quoted(channels)}.")
    return torch.tensor(chosen)


def _check_crop(crop: Crop | None, sizes: Shape) -> list[Tensor]:
    parts = [None] * len(sizes) if crop is None else listed(crop) or []
    if len(parts) != len(sizes):
        raise ValueError(
            f"restrict: crop needs [start, stop] or none for each of {len(sizes)} signal axes, got {quoted(crop)}."
        )
    ranges = []
    for part, n in zip(parts, sizes):
        ends = [0, n] if part is None else [_place(end, n) for end in listed(part) or []]
        if len(ends) != 2 or None in ends or not 0 <= ends[0] < ends[1] <= n:
            raise ValueError(f"restrict: crop must be [start, stop] with 0 ≤ start < stop ≤ {n}, or none, got {quoted(part)}.")
        ranges.append(torch.arange(*ends))
    return ranges


def _place(value: Any, count: int) -> Any:
    """A place as a number from 0, counted from the end where it is negative, or None."""
    place = whole(value)
    return place + count if place is not None and place < 0 else place


@add("inverse_of")
class InverseOf(Transform):
    """T and T⁻¹ exchanged: analysis is T⁻¹ and synthesis is T. Its coefficients are samples, in one band.

    transform: a Transform, or a spec; shape is that of its coefficients.
    signal: shape of the signals of T, for a spec whose coefficients have another shape than its signals.

    It claims RECONSTRUCTS where T claims SURJECTIVE, and the other way round; ISOMETRIC where T claims that and SURJECTIVE.
    Source: definition.  Raises: ValueError where the coefficients of T do not have the given shape.

    >>> get("inverse_of(dct)", shape=(1, 4))(torch.tensor([[[2.0, 0.0, 0.0, 0.0]]]))
    tensor([[[1., 1., 1., 1.]]])
    """

    def __init__(self, shape: Shape, transform: Inner, signal: Shape | None = None) -> None:
        super().__init__(shape, range(10))
        inner = transform if isinstance(transform, Transform) else get(transform, self.shape if signal is None else signal)
        if inner.layout.shape != self.shape:
            wanted = f"the shape of the coefficients of {inner.title}, {inner.layout.shape}, got {self.shape}"
            raise ValueError(f"inverse_of: expected {wanted}; give the shape of its signals as signal=[…].")
        self.inner, self.claims = inner, _inverse_claims(inner.claims)
        signals = "" if inner.shape == self.shape else f", signal={list(inner.shape)}"
        self.spec = f"inverse_of({inner.spec}{signals})"
        self.layout = sample_layout(inner.shape, "samples")

    def analysis(self, x: Tensor) -> Tensor:
        return self.inner.synthesis(x)

    def synthesis(self, z: Tensor) -> Tensor:
        return self.inner.analysis(z)

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        yield inverse_of(get("dct", (2, 5)))
        yield inverse_of(get("dwt(bior2.2, level=1)", (1, 4, 6)))
        yield cls((2, 8), "dwt(haar, level=2)")


def inverse_of(transform: Transform) -> InverseOf:
    """`transform` with T and T⁻¹ exchanged.

    x has the shape of the coefficients of T, and z = T⁻¹ x that of its signals; z is in one band.
    Raises: TypeError where `transform` is not a Transform.

    >>> T = pb.transforms.get("dct", shape=(1, 4))
    >>> x = torch.arange(4.0).reshape(1, 1, 4)
    >>> torch.equal(pb.transforms.inverse_of(T)(x), T.inverse(x))
    True
    """
    return InverseOf(check_transform("inverse_of", transform).layout.shape, transform)


def _inverse_claims(claims: TransformClaim) -> TransformClaim:
    found = claims & TransformClaim.LINEAR
    if TransformClaim.RECONSTRUCTS in claims:
        found |= TransformClaim.SURJECTIVE
    if TransformClaim.SURJECTIVE in claims:
        found |= TransformClaim.RECONSTRUCTS | (claims & TransformClaim.ISOMETRIC)
    return found
