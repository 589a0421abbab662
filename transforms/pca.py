"""Principal components and ZCA: a basis learned from data."""

import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..core.checks import check_file, check_finite, check_number, quoted, whole
from ..core.constant import Constant
from ..core.precision import SINGLE
from .base import Transform, TransformClaim
from .layout import Band, Layout, Shape, octave_layout, sample_layout, signal_position, unknown
from .registry import add
from .shapes import MOST_AXES, check_shape
from .streaming_moments import Moments, Sketch

Whiten = bool | str

LARGEST = 8_192  # samples of one signal with a dense covariance, which takes 0.5 GiB, and as much again to decompose


@add("pca")
class PCA(Transform):
    """z = Vᵀ x: the principal axes V of the data that it was fitted on, by falling variance λ. Build it with `PCA.fit`.

    whiten=False: z = Vᵀ x, orthogonal. whiten=True: z = Λ^(-1/2) Vᵀ x. whiten="zca": z = V Λ^(-1/2) Vᵀ x, the whitening
    that stays closest to the signal. Smaller variances are raised to `floor` · λ_max, so that T is invertible even where
    the data do not fill the space; its condition number is at most floor^(-1/2).

    components=k keeps the first k axes and carries what they leave out, (I - V_k V_kᵀ) x, in a band "rest" of the
    signal's size: k + n coefficients, a Parseval frame without whitening. Nothing of the signal is lost.

    The transform does not subtract the mean: Vᵀ(x - mean) is affine and not linear, and as attributions depend only on
    z - z₀, centring would only move the baseline. To explain departures from the mean pass baseline=T.mean.
    Shapes: z is (batch, 1, n), with components (batch, 1, k + n), with ZCA that of x. V is held in double precision.
    Bands are octaves of the rank: of n components, "components 1", …, and the finest holds the last half.
    path: a file that `save` wrote; so a spec is "pca('faces.safetensors')".
    Sources: Pearson 1901; Bell & Sejnowski 1997 (ZCA).
    Raises: ValueError where it was not fitted, or the file does not fit the shape.

    >>> data = torch.tensor([[[1.0, 1.0]], [[2.0, 2.0]], [[-3.0, -3.0]]])
    >>> PCA.fit(data)(torch.tensor([[[1.0, 1.0]]])).abs().round(decimals=4)
    tensor([[[1.4142, 0.0000]]])
    """

    def __init__(self, shape: Shape, path: str | Path | None = None) -> None:
        if path is None:
            raise ValueError("pca: not fitted yet. Fit it with PCA.fit(data), or name a file that `save` wrote: pca('path').")
        fitted = PCA.load(path)
        if fitted.shape != check_shape("pca", shape, dims=range(0, 10)):
            raise ValueError(f"pca: {quoted(path)} was fitted on signals of shape {fitted.shape}, got {quoted(tuple(shape))}.")
        self.__dict__ = fitted.__dict__

    @classmethod
    def fit(
        cls, data: Tensor | Iterable[Tensor], components: int | None = None, whiten: Whiten = False, floor: float = 1e-6
    ) -> "PCA":
        """The principal axes of `data`: (examples, *shape), or an iterable of such batches, read once and not kept.

        Memory does not grow with the number of examples. Up to n = 8,192 samples it is that of the n × n covariance, and
        the axes are exact. Beyond, an orthonormal basis of all n axes would itself be n × n: pass components=k. Then 2k
        axes are carried from batch to batch, 2k · n numbers: exact if the data have at most 2k dimensions, else close.
        T keeps its claims in either case.
        Raises: ValueError or TypeError for fewer than two examples, batches of different shapes, NaN, integers, an
        unknown `whiten`, components outside 1…n - 1, or more of them than directions in which the data vary.
        """
        moments, shape = _stream(data, components)
        variances, basis = moments.principal()
        # The sign of an eigenvector is free: here its entry of largest magnitude is positive, on every machine.
        basis = basis * torch.sign(basis.gather(0, basis.abs().argmax(0, keepdim=True)))
        kept = _count(components, len(basis), len(variances))
        fitted = basis[:, :kept], variances[:kept], moments.mean
        return cls.__new__(cls)._set("pca", shape, fitted, components is not None, whiten, floor)

    def _set(self, spec: str, shape: Shape, fitted: Sequence[Tensor], rest: bool, whiten: Whiten, floor: float) -> "PCA":
        """This transform with fitted = (basis V (n, components), variances, mean)."""
        _check_options(whiten, floor, rest)
        super().__init__()
        variances = fitted[1]
        self.shape, self.spec = shape, spec
        self.whiten, self._rest, self._floor = whiten, rest, floor
        self._basis, self._variances, self._mean = map(Constant, fitted)
        largest = float(variances.max())  # 0 where the data do not vary at all
        scale = variances.clamp(min=floor * largest).sqrt() if whiten and largest > 0 else torch.ones_like(variances)
        self._scale = Constant(scale)  # T⁻¹ multiplies each coefficient by it
        self.layout = _layout(shape, len(variances), rest, whiten)
        self.claims = TransformClaim.LINEAR | (TransformClaim.RECONSTRUCTS if rest else TransformClaim.BIJECTIVE)
        if bool((scale == 1).all()):
            self.claims |= TransformClaim.ISOMETRIC
        return self

    @property
    def mean(self) -> Tensor:
        """Mean of the data. Shape: (*shape), double precision."""
        return self._mean.value.reshape(self.shape)

    @property
    def variances(self) -> Tensor:
        """Variance of the data along each axis, falling. Shape: (components,), double precision."""
        return self._variances.value

    @property
    def axes(self) -> Tensor:
        """The principal axes as signals. Shape: (components, *shape), double precision."""
        return self._basis.value.T.reshape(-1, *self.shape)

    def analysis(self, x: Tensor) -> Tensor:
        return self._encode(x, 1 / self._scale.like(x))

    def synthesis(self, z: Tensor) -> Tensor:
        scale, basis, flat = self._scale.like(z), self._basis.like(z), z.flatten(1)
        if self.whiten == "zca":
            return (flat @ basis * scale @ basis.T).reshape(z.shape)
        part, rest = flat.split([len(scale), flat.shape[1] - len(scale)], 1)
        x = part * scale @ basis.T
        if self._rest:  # only what lies outside the axes: the pseudo-inverse counts nothing twice
            x = x + rest - rest @ basis @ basis.T
        return x.reshape(len(z), *self.shape)

    def transpose(self, g: Tensor) -> Tensor:
        return self._encode(g, self._scale.like(g))

    def _encode(self, x: Tensor, scale: Tensor) -> Tensor:
        flat, basis = x.flatten(1), self._basis.like(x)
        part = flat @ basis
        if self.whiten == "zca":
            return (part * scale @ basis.T).reshape(x.shape)
        rest = [flat - part @ basis.T] if self._rest else []
        return torch.cat([part * scale, *rest], 1)[:, None]

    def save(self, path: str | Path) -> None:
        """Writes one .safetensors file, which `load` and the spec "pca('path')" read.

        >>> import tempfile
        >>> fitted = PCA.fit(torch.tensor([[[1.0, 1.0]], [[2.0, 2.0]], [[-3.0, -3.0]]]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     fitted.save(f"{folder}/line.safetensors")
        ...     torch.equal(PCA.load(f"{folder}/line.safetensors").axes, fitted.axes)
        True
        """
        tensors = {"basis": self._basis.value, "variances": self._variances.value, "mean": self._mean.value}
        options = {"shape": self.shape, "rest": self._rest, "whiten": self.whiten, "floor": self._floor}
        save_file({name: value.contiguous() for name, value in tensors.items()}, path, {"pca": json.dumps(options)})

    @classmethod
    def load(cls, path: str | Path) -> "PCA":
        """Reads a file that `save` wrote.  Raises: ValueError where the file is missing, or was not written by `save`."""
        try:
            with safe_open(check_file("pca", path, "write one with PCA.fit(data).save(path)"), "pt") as file:
                options = json.loads((file.metadata() or {})["pca"])
                fitted = [file.get_tensor(name).double() for name in ("basis", "variances", "mean")]
            shape = check_shape("pca", options.pop("shape"), range(MOST_AXES))
            sizes = [tuple(part.shape) for part in fitted]
            if sizes != [(math.prod(shape), *sizes[1]), sizes[1], (math.prod(shape),)]:
                raise KeyError("shapes")
            return cls.__new__(cls)._set(f"pca({str(path)!r})", shape, fitted, **options)
        except (KeyError, TypeError, AttributeError, RecursionError, json.JSONDecodeError, SafetensorError) as error:
            advice = f"write one with PCA.fit(data).save(path) ({type(error).__name__})"
            raise ValueError(f"pca: {quoted(os.fspath(path))} is not a file that PCA.save wrote; {advice}.") from None

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        generator = torch.Generator().manual_seed(0)
        data = torch.randn(40, 2, 3, 2, generator=generator, dtype=SINGLE).double().cumsum(2)
        for whiten in (False, True, "zca"):
            yield from [cls.fit(data, whiten=whiten), cls.fit(data[:, :1, :, 0], whiten=whiten)]
        yield from [cls.fit(data.flatten(2).split(7), components=5), cls.fit(data.flatten(1), components=1, whiten=True)]


def _stream(data: Tensor | Iterable[Tensor], components: int | None) -> tuple[Moments | Sketch, Shape]:
    moments: Moments | Sketch | None = None
    shape: Shape = ()
    if not isinstance(data, Iterable) or isinstance(data, np.ndarray):
        raise TypeError(f"PCA.fit: expected a tensor (examples, *shape) or an iterable of them, got {quoted(data)}.")
    for batch in [data] if isinstance(data, Tensor) else data:
        _check_batch(batch, shape)
        flat, shape = batch.detach().double().flatten(1), tuple(batch.shape[1:])
        moments = (moments or _no_moments(flat[0], components, shape)).merge(flat)
    if moments is None or moments.count < 2:
        raise ValueError(f"PCA.fit: expected at least two examples, got {moments.count if moments else 0}.")
    return moments, shape


def _no_moments(like: Tensor, components: int | None, shape: Shape) -> Moments | Sketch:
    if len(like) <= LARGEST:
        return Moments.none(like)
    if components is None:
        found = f"signals of shape {shape} have more than {LARGEST:,} samples, too many for a dense matrix of all axes"
        advice = 'pass components=64, say (what lies outside them goes into the band "rest"), or fit on smaller signals'
        raise ValueError(f"PCA.fit: {found}; {advice}.")
    return Sketch.none(like, 2 * _count(components, len(like), len(like)))


def _check_batch(batch: Tensor, shape: Shape) -> None:
    if not isinstance(batch, Tensor):
        got = f"{type(batch).__name__}; pass (x for x, y in loader), for example"
        raise TypeError(f"PCA.fit: expected tensors (examples, *shape), got {got}.")
    if not batch.is_floating_point() or batch.ndim < 2 or batch.numel() == 0:
        wanted, got = "real floating-point batches (examples, *shape) that are not empty", tuple(batch.shape)
        raise ValueError(f"PCA.fit: expected {wanted}, got {batch.dtype} of shape {got}.")
    if shape and tuple(batch.shape[1:]) != shape:
        raise ValueError(f"PCA.fit: expected every signal of the shape of the first, {shape}, got {tuple(batch.shape[1:])}.")
    check_finite("PCA.fit: a batch", batch)


def _count(components: int | None, n: int, found: int) -> int:
    """The number of axes to keep, of `found` ones, for signals of n samples."""
    if components is None:
        return n
    count = whole(components)
    if count is None or not 1 <= count < n:
        wanted = f"a whole number in 1…{n - 1}, or None for all {n}"
        raise ValueError(f"PCA.fit: components must be {wanted}; got {quoted(components)}.")
    components = count
    if components > found:
        raise ValueError(f"PCA.fit: the data vary in {found} directions only, got components={components}; give more data.")
    return components


def _check_options(whiten: Whiten, floor: float, rest: bool) -> None:
    if not isinstance(whiten, (bool, np.bool_)) and not (isinstance(whiten, str) and whiten == "zca"):
        raise ValueError(f"PCA.fit: expected whiten in False, True, 'zca'; got {quoted(whiten)}.")
    if rest and whiten == "zca":
        raise ValueError("PCA.fit: ZCA needs every axis to turn back; pass components=None, or whiten=True.")
    if not check_number("PCA.fit", "floor", floor, 0, 1):
        raise ValueError(f"PCA.fit: floor must lie in (0, 1], got {quoted(floor)}.")


def _layout(shape: Shape, count: int, rest: bool, whiten: Whiten) -> Layout:
    if whiten == "zca":
        return sample_layout(shape, "whitened samples")
    ranks = rank_layout(count, "component")
    bands = ranks.bands
    size = math.prod(shape) if rest else 0
    places = signal_position(shape).flatten(1)[:, None, :size]
    nowhere = unknown((len(shape) - 1, 1, count))
    index = torch.cat([ranks.index, torch.full((1, size), len(bands))], 1)
    position = torch.cat([nowhere, places], 2)
    frequency, grids = torch.full_like(position, math.nan), [ranks.grid(number) for number in range(len(bands))]
    last = [(Band("rest"), shape)] if rest else []
    named = [*zip(bands, grids), *last]
    return Layout(tuple(band for band, _ in named), index, frequency, position, tuple(grid for _, grid in named))


def rank_layout(count: int, what: str) -> Layout:
    """The layout (1, count) of things in an order: "components 5-8", counted from 1, is an octave of the rank."""
    ranks = octave_layout((1, count), [torch.arange(count, dtype=SINGLE) / (2 * count)])
    return replace(ranks, bands=tuple(_rank_band(band, ranks, number, what) for number, band in enumerate(ranks.bands)))


def _rank_band(band: Band, ranks: Layout, number: int, what: str) -> Band:
    members = (ranks.index[0] == number).nonzero()[:, 0] + 1
    first, last = int(members[0]), int(members[-1])
    name = f"{what}s {first}-{last}" if last > first else f"{what} {first}"
    return replace(band, name=name, orientation="", unit=f"rank/(2 {what}s)")
