"""Orthogonal matrices on groups of coefficients: all blocks of a signal, or all sub-bands of a wavelet transform at a place."""

import abc
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..core.checks import check_count, check_file, listed, quoted
from ..core.constant import Constant
from ..core.precision import SINGLE, tolerance
from .axes import Inner
from .base import Transform, TransformClaim
from .get import get
from .harmonic.cosine import DCT2, DCT4
from .layout import Band, Layout, Shape, spread, unknown
from .linear import as_matrix
from .pca import rank_layout
from .registry import add
from .wavelets.containers import Pyramid


class Grouped(Transform, abc.ABC):
    """z = A y in each of many groups of the coefficients y of a first step, with one orthogonal A for all groups of a kind.

    tables: {kind: places of its groups in the flattened y, (groups, m)}.  matrices: {kind: A, (m, m) or (k, m)}. A matrix
    of k < m orthonormal rows is completed by k Householder reflections: its rows are the first k atoms, and the others stay
    as near to single coefficients as they can. No m × m matrix is then made.
    """

    tables: dict[str, Tensor]

    def _set_groups(self, tables: Mapping[str, Tensor], matrices: Mapping[str, Any]) -> None:
        """Sets `tables` and the matrices.  Raises: ValueError where a matrix is missing, of another size, or not orthogonal."""
        if set(matrices) != set(tables):
            raise ValueError(f"{self.name}: expected a matrix for each of {', '.join(tables)}; got {quoted(list(matrices))}.")
        self.tables = dict(tables)
        self._atoms = {kind: _Atoms(self.name, kind, matrices[kind], table.shape[1]) for kind, table in tables.items()}
        self._back = torch.cat([table.flatten() for table in tables.values()]).argsort()

    @property
    def matrices(self) -> dict[str, Tensor]:
        """{kind: A}, atoms as rows, in double precision."""
        return {kind: atoms.matrix for kind, atoms in self._atoms.items()}

    @abc.abstractmethod
    def with_matrices(self, matrices: Mapping[str, Any]) -> "Grouped":
        """The transform with the same groups and other matrices."""

    @abc.abstractmethod
    def first(self, x: Tensor) -> Tensor:
        """y of x: the first step. Shape: (batch, *layout.shape)."""

    @abc.abstractmethod
    def undo_first(self, y: Tensor) -> Tensor:
        """Inverse of `first`."""

    def analysis(self, x: Tensor) -> Tensor:
        return self._mix(self.first(x), inverse=False)

    def synthesis(self, z: Tensor) -> Tensor:
        return self.undo_first(self._mix(z, inverse=True))

    def _mix(self, y: Tensor, inverse: bool) -> Tensor:
        flat = y.flatten(1)
        parts = [atoms(flat[:, self.tables[kind].to(y.device)], inverse) for kind, atoms in self._atoms.items()]
        return torch.cat([part.flatten(1) for part in parts], 1)[:, self._back.to(y.device)].reshape(y.shape)

    @abc.abstractmethod
    def spec_of(self, path: str | Path) -> str:
        """The spec that builds this transform from a file that `save` wrote."""

    def save(self, path: str | Path) -> None:
        """Writes the matrices into one .safetensors file; `spec_of` says how a spec builds this transform from it.

        >>> import tempfile
        >>> T = BlockLinear((1, 4), torch.tensor([[0.6, 0.8], [0.8, -0.6]]), block=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     T.save(f"{folder}/atoms.safetensors")
        ...     get(T.spec_of(f"{folder}/atoms.safetensors"), (1, 4))(torch.ones(1, 1, 4))
        tensor([[[ 1.4000, -0.2000,  1.4000, -0.2000]]])
        """
        save_file({kind: matrix.contiguous() for kind, matrix in self.matrices.items()}, path)


class _Atoms:
    """Rows (…, m) to their coefficients (…, m) in the basis that the rows of a matrix begin."""

    def __init__(self, who: str, kind: str, matrix: Any, size: int) -> None:
        dense = as_matrix(who, matrix)
        if dense.shape[1] != size or len(dense) > size:
            shape = tuple(dense.shape)
            raise ValueError(f"{who}: {kind} has {size} coefficients in a group, so a matrix ({size}, {size}); got {shape}.")
        error = float((dense @ dense.T - torch.eye(len(dense)).to(dense)).abs().max())
        if error > tolerance(SINGLE):
            advice = "orthonormalise them, for example with torch.linalg.qr"
            raise ValueError(f"{who}: the rows of {kind} must be orthonormal, they miss it by {error:.2g}; {advice}.")
        self.matrix = dense
        if error > tolerance(dense.dtype) / 10:  # rounded to single precision
            left, _, right = torch.linalg.svd(dense, full_matrices=False)
            self.matrix = left @ right
        self._whole = Constant(self.matrix)
        self._reflectors = None if len(dense) == size else _reflectors(self.matrix)

    def __call__(self, rows: Tensor, inverse: bool) -> Tensor:
        if self._reflectors is None:
            whole = self._whole.like(rows)
            return rows @ (whole if inverse else whole.T)
        vectors, mixing, signs = (part.like(rows) for part in self._reflectors)
        if inverse:
            return rows * signs - (rows * signs) @ vectors @ mixing.T @ vectors.T
        return (rows - rows @ vectors @ mixing @ vectors.T) * signs


def _reflectors(rows: Tensor) -> tuple[Constant, Constant, Constant]:
    """(V, W, signs): Q = I - V W Vᵀ is orthogonal, and its first columns times signs are the rows.

    Source: Schreiber & Van Loan 1989 (compact WY form); LAPACK's larft.
    """
    packed, scale = torch.geqrf(rows.T)
    size, count = packed.shape
    vectors = packed.tril(-1) + torch.eye(size, count).to(packed)
    signs = torch.ones(size).to(packed)
    signs[:count] = packed.diagonal().sign()
    inverse = (vectors.T @ vectors).triu(1) + torch.diag(1 / scale.where(scale != 0, 1))
    kept = vectors * (scale != 0)  # a column that needs no reflection
    return Constant(kept), Constant(torch.linalg.inv(inverse)), Constant(signs)


@add("block_linear")
class BlockLinear(Grouped):
    """One orthogonal matrix on every block of the signal, all channels together: z_block = A y_block.

    matrix: (m, m), or its first k rows (k, m), m = channels · Π block; rows are atoms. As a tensor, an array, nested
    lists, or the path of a file that `save` wrote. The samples of a block are in the order of the signal, channels first.
    block: samples along each axis; one number, or one for each axis. Each axis must hold a whole number of blocks.
    overlap: True for an orthogonal lapped transform, whose atoms reach over half of the neighbouring blocks: y is x with the
    samples on either side of each edge between blocks mixed first, by ½ [I J; J -I] [I 0; 0 V] [I J; J -I], where J mirrors
    and V = J C_IIᵀ C_IV J. A constant stays constant, and with the DCT for A it is the fast lapped transform of type II.
    Block sizes are then even.

    Coefficient k of a block takes the place of sample k, and has the centre of its block as position and no frequency.
    Bands are octaves of the rank of the atom: "atom 1", …, and the finest holds the last half.
    Shapes: z has the shape of x. Sources: Malvar & Staelin 1989; Tran, Liang & Tu 2003, §IV (the step before the blocks).
    Raises: TypeError or ValueError for blocks that do not fill the signal, or a matrix that is of another size, not
    orthogonal, or not in the file.

    >>> haar = torch.tensor([[1.0, 1.0], [1.0, -1.0]]) / 2**0.5
    >>> BlockLinear((1, 4), haar, block=2)(torch.tensor([[[3.0, 1.0, 2.0, 2.0]]])).round(decimals=4)
    tensor([[[2.8284, 1.4142, 2.8284, 0.0000]]])
    """

    def __init__(self, shape: Shape, matrix: Any, block: int | Sequence[int] = 8, overlap: bool = False) -> None:
        super().__init__(shape)
        self.block = _blocks(block, self.shape, overlap)
        self.overlap = bool(overlap)
        given, matrix = (matrix, _read(self.name, matrix)) if isinstance(matrix, (str, Path)) else (None, {"block": matrix})
        self.spec = "block_linear" if given is None else self.spec_of(given)
        self._edges = [Constant(_edge(size)) for size in self.block] if overlap else []
        self._set_groups({"block": _block_table(self.shape, self.block)}, matrix)
        self.claims = TransformClaim.ORTHOGONAL
        self.layout = self._layout()

    @classmethod
    def identity(cls, shape: Shape, block: int | Sequence[int] = 8, overlap: bool = False) -> "BlockLinear":
        """The transform whose matrix is the identity: the groups alone.

        >>> BlockLinear.identity((3, 8, 8), 4).tables["block"].shape
        torch.Size([4, 48])
        """
        return cls(shape, torch.eye(shape[0] * math.prod(_blocks(block, tuple(shape), overlap))), block, overlap)

    def with_matrices(self, matrices: Mapping[str, Any]) -> "BlockLinear":
        return BlockLinear(self.shape, matrices["block"], self.block, self.overlap)

    def spec_of(self, path: str | Path) -> str:
        block = self.block[0] if len(set(self.block)) == 1 else list(self.block)
        return f"block_linear({str(path)!r}, block={block}{', overlap=true' if self.overlap else ''})"

    @property
    def atoms(self) -> Tensor:
        """The atoms as blocks, without the overlap. Shape: (k, channels, *block), double precision."""
        return self.matrices["block"].reshape(-1, self.shape[0], *self.block)

    def first(self, x: Tensor) -> Tensor:
        for axis, edge in enumerate(self._edges, start=2):
            x = _over_edges(x, axis, edge.like(x))
        return x

    def undo_first(self, y: Tensor) -> Tensor:
        for axis, edge in enumerate(self._edges, start=2):
            y = _over_edges(y, axis, edge.like(y).T)
        return y

    def _layout(self) -> Layout:
        ranks, table = rank_layout(math.prod(self.block) * self.shape[0], "atom"), self.tables["block"]
        index = torch.empty(math.prod(self.shape), dtype=torch.long)
        index[table] = ranks.index.expand(table.shape)
        starts = [torch.arange(n, dtype=SINGLE) // size * size for n, size in zip(self.shape[1:], self.block)]
        centres = [start + (size - 1) / 2 for start, size in zip(starts, self.block)]
        nowhere = unknown((len(self.block), *self.shape))
        return Layout(ranks.bands, index.reshape(self.shape), nowhere, spread(centres, self.shape), (None,) * len(ranks.bands))

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        yield from [cls((1, 6), _random(2), 2), cls((2, 4, 6), _random(12), [2, 3]), cls((1, 4, 4, 2), _random(8), 2)]
        yield from [cls((2, 12), _random(8), 4, True), cls((1, 4, 8), _random(16), 4, True), cls((1, 8), _random(8)[:3], 8)]


@add("subband_linear")
class SubbandLinear(Grouped):
    """A wavelet transform whose channels and orientations are mixed: one orthogonal matrix for each scale.

    At each place of a scale the coefficients of all orientations and channels are one vector y, orientation first (in the
    order of the bands of the transform) and channels within, and z = A y. Places and scales stay.

    matrices: {band: A}, with the bands "a3", "d3", "d2", "d1" of three levels, or the path of a file that `save` wrote. A
    is (m, m), m = channels · orientations of the scale; rows are atoms.
    transform: a spec, or a Transform: `dwt`, `lattice` or `swt` whose bands of a scale have one size.
    Claims are those of the transform. A band is all atoms of a scale.
    Raises: TypeError or ValueError where the transform is another one, and as `block_linear` for the matrices.

    >>> swap = torch.tensor([[0.0, 1.0], [1.0, 0.0]])  # the two channels of the detail
    >>> T = SubbandLinear((2, 2), {"a1": torch.eye(2), "d1": swap}, "dwt(haar, level=1)")
    >>> T(torch.tensor([[[1.0, -1.0], [0.0, 0.0]]])).round(decimals=4)
    tensor([[[0.0000, 0.0000],
             [0.0000, 1.4142]]])
    """

    def __init__(self, shape: Shape, matrices: str | Path | Mapping[str, Any], transform: Inner = "dwt(db4, level=3)") -> None:
        super().__init__(shape)
        self.inner = get(transform, self.shape)
        if not isinstance(self.inner, Pyramid):
            raise ValueError(f"subband_linear: expected dwt, lattice or swt as the transform, got {self.inner.title}.")
        given = matrices if isinstance(matrices, (str, Path)) else None
        tables, bands = _scales(self.inner)
        self._set_groups(tables, _read(self.name, given) if given is not None else dict(matrices))  # type: ignore[arg-type]
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
        yield cls((2, 8), {"a2": _random(2), "d2": _random(2), "d1": _random(2)}, "dwt(db2, level=2)")
        yield cls((2, 4, 6), {"a1": _random(2), "d1": _random(6)}, "lattice(angles=[0.4], level=1)")
        yield cls((1, 4, 6), {"a1": _random(1), "d1": _random(3)}, "swt(haar, level=1)")


def _blocks(block: int | Sequence[int], shape: Shape, overlap: bool) -> Shape:
    """The block size of each signal axis."""
    given, sizes = listed(block), shape[1:]
    wanted = [block] * len(sizes) if given is None else given
    if len(wanted) != len(sizes):
        raise ValueError(f"block_linear: block must be one number or one for each of {len(sizes)} axes, got {quoted(block)}.")
    blocks = tuple(check_count("block_linear", "block", size, multiple=2 if overlap else 1) for size in wanted)
    if any(n % size for n, size in zip(sizes, blocks)):
        advice = "take a block that divides every axis, or restrict(block_linear(…), crop=…)"
        raise ValueError(f"block_linear: a signal of {sizes} does not hold whole blocks of {blocks}; {advice}.")
    return blocks


def _block_table(shape: Shape, block: Shape) -> Tensor:
    """The places of the samples of each block in the flattened signal, (blocks, channels · Π block)."""
    places = torch.arange(math.prod(shape)).reshape(shape)
    for axis, size in enumerate(block, start=1):
        places = places.unfold(axis, size, size)
    return places.movedim(0, len(block)).flatten(0, len(block) - 1).flatten(1)


def _scales(transform: Transform) -> tuple[dict[str, Tensor], tuple[Band, ...]]:
    """({band: places}, bands) of the scales of a pyramid, coarse to fine."""
    layout, groups = transform.layout, dict[int, list[int]]()
    for number, band in enumerate(layout.bands):
        groups.setdefault(band.scale, []).append(number)
    tables, bands, index = {}, [], layout.index.flatten()
    for scale, numbers in groups.items():
        members = [(index == number).nonzero()[:, 0].reshape(transform.shape[0], -1) for number in numbers]
        if len({part.shape for part in members}) > 1:
            raise ValueError(f"subband_linear: {transform.title} has bands of several sizes at a scale; take sizes that halve.")
        one = layout.bands[numbers[0]]
        name = one.orientation[:1].replace("a", "d") if len(numbers) > 1 or "d" in one.orientation else "a"
        band = Band(f"{name}{scale - (name == 'a')}", scale, "", one.low, one.high)
        tables[band.name], bands = torch.cat(members).T, [*bands, band]
    return tables, tuple(bands)


def _read(who: str, path: str | Path) -> dict[str, Tensor]:
    """{kind: matrix} of a file that `save` wrote."""
    try:
        with safe_open(check_file(who, path, "write one with T.save(path)"), "pt") as file:
            return {kind: file.get_tensor(kind) for kind in file.keys()}  # noqa: SIM118  (it is no mapping)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{who}: {quoted(str(path))} is not a file that save wrote ({type(error).__name__}).") from None


def _edge(size: int) -> Tensor:
    """The orthogonal matrix that mixes the `size` samples about an edge between blocks. Shape: (size, size)."""
    half = torch.eye(size // 2, dtype=torch.double)
    mirror = half.flip(0)
    turn = mirror @ DCT2(size // 2).forward(half) @ DCT4(size // 2)(half) @ mirror
    sums = torch.cat([torch.cat([half, mirror], 1), torch.cat([mirror, -half], 1)])
    return sums @ torch.block_diag(half, turn) @ sums / 2


def _over_edges(x: Tensor, axis: int, matrix: Tensor) -> Tensor:
    """The matrix on the samples about each edge between blocks along an axis; the two half blocks at the ends stay."""
    size, n = len(matrix), x.shape[axis]
    head, middle, tail = x.movedim(axis, -1).split([size // 2, n - size, size // 2], -1)
    mixed = (middle.unflatten(-1, (n // size - 1, size)) @ matrix.T).flatten(-2)
    return torch.cat([head, mixed, tail], -1).movedim(-1, axis)


def _random(size: int) -> Tensor:
    """A random orthogonal matrix for the examples."""
    drawn = torch.randn(size, size, generator=torch.Generator().manual_seed(size), dtype=SINGLE).double()
    return torch.linalg.qr(drawn)[0]
