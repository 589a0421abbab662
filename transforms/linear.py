"""Linear transforms given directly: the signal itself, and any matrix."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..core.checks import check_file, is_number, listed, quoted
from ..core.constant import Constant
from ..core.precision import SINGLE, tolerance
from .base import Transform, TransformClaim
from .layout import Shape, plain_layout, sample_layout
from .registry import add


@add("pixel")
class Pixel(Transform):
    """T = identity: the samples themselves, in one band.

    Source: definition.  Shapes: z has the shape of x.  Raises: TypeError or ValueError if `shape` is not the shape of a signal.

    >>> from pullback.transforms import get
    >>> get("pixel", shape=(3, 4, 4)).claims == TransformClaim.ORTHOGONAL
    True
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape, range(10))
        self.claims = TransformClaim.ORTHOGONAL
        self.layout = sample_layout(self.shape, "pixels")

    def analysis(self, x: Tensor) -> Tensor:
        return x

    def synthesis(self, z: Tensor) -> Tensor:
        return z

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        return [cls((5,)), cls((2, 4)), cls((1, 3, 4)), cls((1, 2, 3, 2))]


@add("linear")
class Linear(Transform):
    """z = A x and x = A⁺ z for a matrix A of full column rank; A⁺ is its pseudo-inverse, A⁻¹ where A is square.

    matrix: (m, n) with m ≥ n, as a tensor, an array, nested lists, or the path of a .npy or .safetensors file (there
    the tensor `matrix`, or the only one). n = channels · Π spatial: A takes the flattened signal and z is (batch, 1, m);
    n = Π spatial: A takes each channel alone and z is (batch, channels, m).
    max_condition: largest σ_max / σ_min that is accepted; beyond about 1e6, T⁻¹T x = x loses more than 6 of 16 digits.

    Claims are read from the singular values: if all are 1 it is a Parseval frame, square matrices are bijective, and both
    together are orthogonal. A tall A is a frame: z is redundant, and A⁺ is its canonical dual.
    The matrix is kept in double precision and cast to the dtype and device of the data.
    Source: Christensen 2016, ch. 1.  Raises: ValueError where A is wide, singular (with its condition number), not finite,
    complex or of another size, and where the file does not exist.

    >>> T = Linear((1, 2), [[1.0, 1.0], [1.0, -1.0]])
    >>> T(torch.tensor([[[3.0, 1.0]]]))
    tensor([[[4., 2.]]])
    >>> T.claims == TransformClaim.LINEAR | TransformClaim.BIJECTIVE
    True
    """

    def __init__(self, shape: Shape, matrix: Any, max_condition: float = 1e6) -> None:
        super().__init__(shape, range(10))
        self.spec = f"linear({str(matrix)!r})" if isinstance(matrix, (str, Path)) else "linear"
        dense = as_matrix("linear", matrix)
        self._lead = _lead(dense, self.shape)
        if not is_number(max_condition) or not max_condition >= 1:
            raise ValueError(f"linear: max_condition must be a number of at least 1, got {quoted(max_condition)}.")
        self.claims, self.condition = _inspect(dense, max_condition)
        self._forward, self._inverse = Constant(dense), Constant(torch.linalg.pinv(dense))
        self.layout = plain_layout((self._lead, len(dense)), len(self.shape) - 1)

    def analysis(self, x: Tensor) -> Tensor:
        return self._signal(x) @ self._forward.like(x).T

    def synthesis(self, z: Tensor) -> Tensor:
        return (z @ self._inverse.like(z).T).reshape(len(z), *self.shape)

    def transpose(self, g: Tensor) -> Tensor:
        return self._signal(g) @ self._inverse.like(g)

    def _signal(self, x: Tensor) -> Tensor:
        """x as vectors for the matrix. Shape: (batch, channels or 1, n)."""
        return x.reshape(len(x), self._lead, self._forward.value.shape[1])

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        generator = torch.Generator().manual_seed(0)
        square, tall = (torch.randn(rows, 6, generator=generator, dtype=SINGLE).double() for rows in (6, 9))
        yield from [cls((1, 6), square), cls((2, 6), square), cls((1, 2, 3), tall)]
        yield from [cls((3, 2), torch.linalg.qr(square)[0]), cls((1, 6), torch.linalg.qr(tall)[0])]


def as_matrix(who: str, source: Any) -> Tensor:
    """`source` as a real, finite matrix in double precision.  Raises: ValueError, beginning with `who`, for anything else."""
    raw = _read(source) if isinstance(source, (str, Path)) else source
    raw = raw if isinstance(raw, Tensor) else torch.as_tensor(_array(raw))
    if raw.is_complex() or raw.ndim != 2 or raw.numel() == 0:
        got = f"{raw.dtype} of shape {tuple(raw.shape)}"
        raise ValueError(f"{who}: expected a real matrix (m, n), got {got}; stack real and imaginary parts as rows.")
    matrix = raw.detach().double().cpu()
    if not bool(matrix.isfinite().all()):
        raise ValueError(f"{who}: the matrix holds NaN or infinity; clean it first.")
    return matrix


def _array(rows: Any) -> np.ndarray:
    """Rows of numbers as an array."""
    whole = rows if isinstance(rows, np.ndarray) else [listed(row) for row in listed(rows) or []]
    try:
        array = np.asarray(whole)
        if array.dtype.kind in "biufc":
            return array
    except (TypeError, ValueError, OverflowError, RecursionError):
        pass  # rows of several lengths, or of things that are no numbers
    raise ValueError(f"linear: expected a matrix as rows of numbers of one length, got {quoted(rows)}.")


def _read(source: str | Path) -> Tensor:
    path = check_file("linear", source, "pass the path of a .npy or .safetensors file, or a matrix")
    if path.suffix not in (".npy", ".safetensors"):
        raise ValueError(f"linear: expected a .npy or .safetensors file, got {quoted(path.name)}.")
    try:
        if path.suffix == ".npy":  # mapped, so that a damaged header allocates nothing
            return torch.as_tensor(np.array(_array(np.load(path, mmap_mode="r", allow_pickle=False))))
        with safe_open(path, "pt") as file:
            tensors = list(file.keys())
            if "matrix" in tensors or len(tensors) == 1:
                return file.get_tensor("matrix" if "matrix" in tensors else tensors[0])
    except (OSError, ValueError, EOFError, SafetensorError) as error:
        raise ValueError(f"linear: {quoted(path.name)} cannot be read as a matrix; {str(error)[:100]}.") from None
    raise ValueError(f"linear: expected one tensor, or one named 'matrix'; {quoted(path.name)} holds {quoted(tensors)}.")


def _lead(matrix: Tensor, shape: Shape) -> int:
    """1 where the matrix takes the flattened signal, the number of channels where it takes each channel alone."""
    flat, channel = math.prod(shape), math.prod(shape[1:])
    if matrix.shape[1] not in (flat, channel):
        wanted = f"{flat} columns (the flattened signal) or {channel} (each channel alone) for signals of shape {shape}"
        raise ValueError(f"linear: expected a matrix with {wanted}, got {matrix.shape[1]}.")
    return 1 if matrix.shape[1] == flat else shape[0]


def _inspect(matrix: Tensor, max_condition: float) -> tuple[TransformClaim, float]:
    """Claims and condition number."""
    rows, columns = matrix.shape
    if rows < columns:
        lost = f"a ({rows}, {columns}) matrix loses {columns - rows} dimensions of the signal"
        raise ValueError(f"linear: {lost}; add rows, so that the signal can be rebuilt.")
    values = torch.linalg.svdvals(matrix)
    largest, smallest = float(values[0]), float(values[-1])
    condition = largest / smallest if smallest > 0 else math.inf
    if condition > max_condition:
        found = f"its condition number is {condition:.3g}, and at most max_condition = {max_condition:.3g} is accepted"
        raise ValueError(f"linear: the matrix is singular or nearly so: {found}; remove dependent columns, or regularise.")
    claims = TransformClaim.LINEAR | (TransformClaim.BIJECTIVE if rows == columns else TransformClaim.RECONSTRUCTS)
    if float((values - 1).abs().max()) <= tolerance(matrix.dtype):
        claims |= TransformClaim.ISOMETRIC
    return claims, condition
