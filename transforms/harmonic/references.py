"""The harmonic transforms by torch-dct, torch.fft and SciPy."""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..reference import Reference
from .blocks import Runs


def dct_reference(type: int, dims: int) -> Reference:
    """Types 2 and 3 by torch-dct, 1 and 4 by SciPy."""
    if type in (1, 4):
        return Reference(
            "scipy.fft.dctn", functools.partial(_dctn, "dctn", type), functools.partial(_dctn, "idctn", type)
        )
    name = ("dct", "dct_2d", "dct_3d")[dims - 1]
    forward, inverse = functools.partial(_torch_dct, name), functools.partial(_torch_dct, f"i{name}")
    return (
        Reference(f"torch_dct.{name}", forward, inverse)
        if type == 2
        else Reference(f"torch_dct.i{name}", inverse, forward)
    )


def _torch_dct(name: str, x: Tensor) -> Tensor:
    import torch_dct

    return getattr(torch_dct, name)(x, norm="ortho")


def _dctn(name: str, type: int, x: np.ndarray | Tensor) -> np.ndarray:
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
            out[block] = _dctn(name, 2, x.numpy()[block])
        return out

    return Reference("scipy.fft.dctn", functools.partial(each, "dctn"), functools.partial(each, "idctn"))


def dft_reference(half: Tensor) -> Reference:
    """Real and imaginary parts of torch.fft.fftn, at the places that hold cosines (half ≥ 0) and sines (half < 0)."""
    root = math.sqrt(2) * torch.ones(half.shape).double()
    weights = torch.where(half > 0, root, (half == 0).to(root)) + 1j * torch.where(half < 0, root, 0)

    def forward(x: Tensor) -> Tensor:
        spectrum = _fftn(x)
        return weights.real * spectrum.real + weights.imag * spectrum.imag

    return Reference("torch.fft.fftn", forward, lambda z: _ifftn(weights * z))


def hartley_reference() -> Reference:
    """Real minus imaginary part of torch.fft.fftn, which is its own inverse."""
    cas = lambda x: _fftn(x).real - _fftn(x).imag
    return Reference("torch.fft.fftn", cas, cas)


def polar_reference(half: Tensor, unit: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor]) -> Reference:
    """Absolute value and angle of torch.fft.fftn.  unit, back: a magnitude as it is kept in z, and the inverse."""
    axes = tuple(range(2, 2 + half.ndim))

    def forward(x: Tensor) -> Tensor:
        spectrum = _fftn(x)
        phase = spectrum.angle().flip(axes).roll([1] * len(axes), axes)
        return torch.where(half == 0, spectrum.real, torch.where(half > 0, unit(math.sqrt(2) * spectrum.abs()), phase))

    def inverse(z: Tensor) -> Tensor:
        phase = z.flip(axes).roll([1] * len(axes), axes)
        turned = math.sqrt(2) * back(z.where(half > 0, 0)) * torch.exp(1j * phase)
        return _ifftn(torch.where(half == 0, z.to(turned.dtype), turned.where(half > 0, 0)))

    return Reference("torch.fft.fftn", forward, inverse)


def _fftn(x: Tensor) -> Tensor:
    return torch.fft.fftn(x, dim=tuple(range(2, x.ndim)), norm="ortho")


def _ifftn(spectrum: Tensor) -> Tensor:
    return torch.fft.ifftn(spectrum, dim=tuple(range(2, spectrum.ndim)), norm="ortho").real


def hadamard_reference(runs: Sequence[Runs]) -> Reference:
    """Rows of scipy.linalg.hadamard, by their number of sign changes, for each part of each axis."""

    def walsh(x: Tensor) -> np.ndarray:
        import scipy.linalg

        z = x.numpy()
        for axis, parts in enumerate(runs, start=2):
            rows = [scipy.linalg.hadamard(length) / math.sqrt(length) for length, _ in parts]
            matrix = scipy.linalg.block_diag(*(part[(np.diff(part > 0, axis=1)).sum(1).argsort()] for part in rows))
            z = np.moveaxis(np.moveaxis(z, axis, -1) @ matrix.T, -1, axis)
        return z

    return Reference("scipy.linalg.hadamard", walsh, walsh)


def stft_reference(taps: Tensor, hop: int, starts: Sequence[int], n: int) -> Reference:
    """torch.stft and torch.istft with the tight window.  starts: first sample of each frame."""
    size = len(taps)
    scale = math.sqrt(2) * torch.ones(size // 2 + 1).double()
    scale[[0, -1] if size % 2 == 0 else [0]] = 1

    def forward(x: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(x.flatten(0, 1), (-starts[0], starts[-1] + size - n))
        spectrum = torch.stft(padded, size, hop, window=taps.to(x), center=False, normalized=True, return_complex=True)
        pairs = torch.view_as_real(spectrum.mT * scale).flatten(-2)
        return torch.cat([pairs[..., :1], pairs[..., 2 : size + 1]], -1).unflatten(0, x.shape[:2])

    def inverse(z: Tensor) -> Tensor:
        parts = [z[..., :1], torch.zeros_like(z[..., :1]), z[..., 1:], torch.zeros_like(z[..., : 1 - size % 2])]
        spectrum = torch.view_as_complex(torch.cat(parts, -1).double().unflatten(-1, (-1, 2))) / scale
        before = -starts[0] - size // 2  # samples before the signal that torch.istft keeps
        x = torch.istft(spectrum.flatten(0, 1).mT, size, hop, window=taps, normalized=True, length=before + n)
        return x[..., before:].unflatten(0, z.shape[:2])

    return Reference("torch.stft", forward, inverse)
