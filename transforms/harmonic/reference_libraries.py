"""The harmonic transforms by torch-dct, torch.fft and SciPy, for the law `reference`."""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..reference import Reference
from .blocks import Runs


def dct_reference(type: int, dims: int) -> Reference:
    """Types 2 and 3 by torch-dct, 1 and 4 by SciPy."""
    name, call = ("dct", "dct_2d", "dct_3d")[dims - 1], functools.partial
    if type in (1, 4):
        return Reference("scipy.fft.dctn", call(_scipy_dct, "dctn", type), call(_scipy_dct, "idctn", type))
    forward, inverse = (name, f"i{name}") if type == 2 else (f"i{name}", name)
    return Reference(f"torch_dct.{forward}", call(_torch_dct, forward), call(_torch_dct, inverse))


def _torch_dct(name: str, x: Tensor) -> Tensor:
    import torch_dct

    return getattr(torch_dct, name)(x, norm="ortho")


def _scipy_dct(name: str, type: int, x: np.ndarray | Tensor) -> np.ndarray:
    import scipy.fft

    return getattr(scipy.fft, name)(np.asarray(x), type, axes=range(2, x.ndim), norm="ortho", orthogonalize=True)


def block_dct_reference(runs: Sequence[Runs]) -> Reference:
    """SciPy's DCT-II of every block by itself."""
    edges = [np.cumsum([0, *(length for length, count in axis for _ in range(count))]).tolist() for axis in runs]
    axes = [[slice(*pair) for pair in itertools.pairwise(axis)] for axis in edges]
    blocks: list[Any] = [(..., *block) for block in itertools.product(*axes)]

    def each(name: str, x: Tensor) -> np.ndarray:
        out = np.empty_like(x.numpy())
        for block in blocks:
            out[block] = _scipy_dct(name, 2, x.numpy()[block])
        return out

    return Reference("scipy.fft.dctn", functools.partial(each, "dctn"), functools.partial(each, "idctn"))


def dft_reference(weights: Tensor) -> Reference:
    """Real and imaginary parts of torch.fft.fftn; weights: r + i s of `DFT`."""
    return Reference("torch.fft.fftn", lambda x: (weights.conj() * _fftn(x)).real, lambda z: _ifftn(weights * z))


def hartley_reference() -> Reference:
    """Real minus imaginary part of torch.fft.fftn, its own inverse."""
    cas = lambda x: _fftn(x).real - _fftn(x).imag
    return Reference("torch.fft.fftn", cas, cas)


def _fftn(x: Tensor) -> Tensor:
    return torch.fft.fftn(x, dim=tuple(range(2, x.ndim)), norm="ortho")


def _ifftn(spectrum: Tensor) -> Tensor:
    return torch.fft.ifftn(spectrum, dim=tuple(range(2, spectrum.ndim)), norm="ortho").real


def hadamard_reference(runs: Sequence[Runs]) -> Reference:
    """Rows of scipy.linalg.hadamard, ordered by their number of sign changes, for each part of each axis."""

    def walsh(x: Tensor) -> np.ndarray:
        import scipy.linalg

        z = x.numpy()
        for axis, parts in enumerate(runs, start=2):
            rows = [scipy.linalg.hadamard(length) / math.sqrt(length) for length, _ in parts]
            matrix = scipy.linalg.block_diag(*(part[np.diff(part > 0, axis=1).sum(1).argsort()] for part in rows))
            z = np.moveaxis(np.moveaxis(z, axis, -1) @ matrix.T, -1, axis)
        return z

    return Reference("scipy.linalg.hadamard", walsh, walsh)


def stft_reference(taps: Tensor, scale: Tensor, hop: int, starts: Sequence[int], n: int) -> Reference:
    """torch.stft and torch.istft.  taps, scale: as in `STFT`, of each coefficient.  starts: first sample of each frame."""
    size = len(taps)
    options: dict[str, Any] = {"n_fft": size, "hop_length": hop, "window": taps, "normalized": True}
    real = [0, *range(2, size + 1)]  # the imaginary part at frequency 0, and that at Nyquist, are 0 and not kept

    def forward(x: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(x.flatten(0, 1), (-starts[0], starts[-1] + size - n))
        spectrum = torch.stft(padded, center=False, return_complex=True, **options)
        return (torch.view_as_real(spectrum.mT).flatten(-2)[..., real] * scale).unflatten(0, x.shape[:2])

    def inverse(z: Tensor) -> Tensor:
        pairs = z.new_zeros(*z.shape[:-1], 2 * (size // 2 + 1))
        pairs[..., real] = z / scale
        spectrum = torch.view_as_complex(pairs.unflatten(-1, (-1, 2))).flatten(0, 1)
        before = -starts[0] - size // 2  # samples before the signal that torch.istft keeps
        return torch.istft(spectrum.mT, length=before + n, **options)[..., before:].unflatten(0, z.shape[:2])

    return Reference("torch.stft", forward, inverse)
