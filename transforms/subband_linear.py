"""A wavelet transform whose channels and orientations are mixed by orthogonal matrices."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.checks import quoted
from .axes import Inner
from .base import Transform
from .get import get
from .grouped import Grouped, random_basis, read_matrices
from .layout import Band, Layout, Shape
from .registry import add
from .wavelets.containers import Pyramid


@add("subband_linear")
class SubbandLinear(Grouped):
    """A wavelet transform whose channels and orientations are mixed: one orthogonal matrix for each scale.

    At each place of a scale the coefficients of all orientations and channels are one vector y, orientation first (in the
    order of the bands of the transform) and channels within, and z = A y. Places and scales stay.

    matrices: {band: A}, with the bands "a3", "d3", "d2", "d1" of three levels, or the path of a file that `save` wrote. A
    is (m, m), m = channels · orientations of the scale; rows are atoms.
    transform: a spec, or a Transform: `dwt`, `lattice` or `swt` whose bands of a scale have one size.
    Claims are those of the transform. A band is all atoms of a scale. Source: definition.
    Raises: TypeError or ValueError where the transform is another one, and as `block_linear` for the matrices.

    >>> swap = torch.tensor([[0.0, 1.0], [1.0, 0.0]])  # the two channels of the detail
    >>> T = SubbandLinear((2, 2), {"a1": torch.eye(2), "d1": swap}, "dwt(haar, level=1)")
    >>> T(torch.tensor([[[1.0, -1.0], [0.0, 0.0]]])).round(decimals=4)
    tensor([[[0.0000, 0.0000],
             [0.0000, 1.4142]]])
    """

    def __init__(self, shape: Shape, matrices: Any, transform: Inner = "dwt(db4, level=3)") -> None:
        super().__init__(shape)
        self.inner = get(transform, self.shape)
        if not isinstance(self.inner, Pyramid):
            raise ValueError(f"subband_linear: expected dwt, lattice or swt as the transform, got {self.inner.title}.")
        given = matrices if isinstance(matrices, (str, Path)) else None
        if given is None and not isinstance(matrices, Mapping):
            wanted = "a mapping of bands to matrices, or the path of a file"
            raise TypeError(f"subband_linear: expected {wanted}, got {quoted(matrices)}.")
        tables, bands = _scales(self.inner)
        self._set_groups(tables, read_matrices(self.name, given) if given is not None else dict(matrices))
        self.spec = "subband_linear" if given is None else self.spec_of(given)
        self.claims = self.inner.claims
        own, lookup = self.inner.layout, {band.scale: number for number, band in enumerate(bands)}
        index = torch.tensor([lookup[band.scale] for band in own.bands])[own.index]
        self.layout = Layout(bands, index, torch.full_like(own.frequency, math.nan), own.position)

    @classmethod
    def identity(cls, shape: Shape, transform: Inner = "dwt(db4, level=3)") -> "SubbandLinear":
        """The transform whose matrices are identities: the groups alone.

        >>> SubbandLinear.identity((3, 8), "dwt(haar, level=1)").tables["d1"].shape
        torch.Size([4, 3])
        """
        inner = get(transform, shape)
        return cls(shape, {name: torch.eye(table.shape[1]) for name, table in _scales(inner)[0].items()}, inner)

    def with_matrices(self, matrices: Mapping[str, Any]) -> "SubbandLinear":
        return SubbandLinear(self.shape, matrices, self.inner)

    def spec_of(self, path: str | Path) -> str:
        return f"subband_linear({str(path)!r}, transform={self.inner.spec})"

    def first(self, x: Tensor) -> Tensor:
        return self.inner.analysis(x)

    def undo_first(self, y: Tensor) -> Tensor:
        return self.inner.synthesis(y)

    def transpose(self, g: Tensor) -> Tensor:
        return self._mix(self.inner.transpose(g), inverse=False)

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        yield cls((2, 8), {"a2": random_basis(2), "d2": random_basis(2), "d1": random_basis(2)}, "dwt(db2, level=2)")
        yield cls((2, 4, 6), {"a1": random_basis(2), "d1": random_basis(6)}, "lattice(angles=[0.4], level=1)")
        yield cls((1, 4, 6), {"a1": random_basis(1), "d1": random_basis(3)}, "swt(haar, level=1)")


def _scales(transform: Transform) -> tuple[dict[str, Tensor], tuple[Band, ...]]:
    """({band: places}, bands) of the scales of a pyramid, coarse to fine."""
    layout, groups = transform.layout, dict[int, list[int]]()
    for number, band in enumerate(layout.bands):
        groups.setdefault(band.scale, []).append(number)
    tables, bands, index = dict[str, Tensor](), list[Band](), layout.index.flatten()
    for scale, numbers in groups.items():
        members = [(index == number).nonzero()[:, 0].reshape(transform.shape[0], -1) for number in numbers]
        if len({part.shape for part in members}) > 1:
            raise ValueError(f"subband_linear: {transform.title} has bands of several sizes at a scale; take sizes that halve.")
        one = layout.bands[numbers[0]]
        name = one.orientation[:1].replace("a", "d") if len(numbers) > 1 or "d" in one.orientation else "a"
        band = Band(f"{name}{scale - (name == 'a')}", scale, "", one.low, one.high)
        tables[band.name], bands = torch.cat(members).T, [*bands, band]
    return tables, tuple(bands)
