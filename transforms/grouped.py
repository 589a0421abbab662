"""Orthogonal matrices on groups of coefficients: the base of `block_linear` and `subband_linear`."""

import abc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..core.checks import check_file, quoted
from ..core.constant import Constant
from ..core.precision import SINGLE, tolerance
from .base import Transform
from .linear import as_matrix


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
        >>> T = pb.transforms.BlockLinear((1, 4), torch.tensor([[0.6, 0.8], [0.8, -0.6]]), block=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     T.save(f"{folder}/atoms.safetensors")
        ...     pb.transforms.get(T.spec_of(f"{folder}/atoms.safetensors"), (1, 4))(torch.ones(1, 1, 4))
        tensor([[[1.4000, 0.2000, 1.4000, 0.2000]]])
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


def read_matrices(who: str, path: str | Path) -> dict[str, Tensor]:
    """{kind: matrix} of a file that `save` wrote."""
    try:
        with safe_open(check_file(who, path, "write one with T.save(path)"), "pt") as file:
            return {kind: file.get_tensor(kind) for kind in file.keys()}  # noqa: SIM118  (it is no mapping)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{who}: {quoted(str(path))} is not a file that save wrote ({type(error).__name__}).") from None


def random_basis(size: int) -> Tensor:
    """A random orthogonal matrix for the examples."""
    drawn = torch.randn(size, size, generator=torch.Generator().manual_seed(size), dtype=SINGLE).double()
    return torch.linalg.qr(drawn)[0]
