"""What a transform that is timed has to do: T⁻¹ undoes T, the adjoint is that of T⁻¹, and T is what it is called."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pywt
import scipy.fft
import torch
from guard import MeasuresNothing, check_input, check_result
from torch import Tensor

from pullback.transforms import Transform, TransformClaim

Coefficients = Callable[[Tensor], np.ndarray]


def check_transform(
    transform: Transform, x: Tensor, z: Tensor, back: Tensor | None = None, adjoint: Tensor | None = None
) -> None:
    """What was found for T x, T⁻¹ z and (T⁻¹)ᵀ x of signals x (batch, *shape) in single precision.

    back: None reads T⁻¹ z here.  adjoint: None where there is none.

    Raises: MeasuresNothing where T⁻¹ z is not x, ‖z‖ not ‖x‖ as claimed, z is x itself, z is not what scipy, PyWavelets or
    torch.fft find (where `coefficients` knows how), or ⟨T⁻¹ ζ, x⟩ = ⟨ζ, adjoint⟩ does not hold for a random ζ.
    """
    check_input(x)
    check_result(transform.inverse(z) if back is None else back, x, 1e-3)
    check_result(z)
    x, z = _ends(x), _ends(z)
    if z[0].numel() == x[0].numel() and _error(z.flatten(1), x.flatten(1)) < 0.05 and transform.name != "pixel":
        raise MeasuresNothing(f"{transform.spec}: the coefficients are the signal itself.")
    if (
        TransformClaim.ISOMETRIC in transform.claims
        and _error(z.flatten(1).norm(dim=1), x.flatten(1).norm(dim=1)) > 1e-3
    ):
        raise MeasuresNothing(f"{transform.spec}: the coefficients have another length than the signal.")
    known = coefficients(transform)
    if known is not None:
        check_result(z.cpu(), torch.from_numpy(np.ascontiguousarray(known(x.cpu()))).reshape(z.shape), 1e-3)
    if adjoint is not None:
        check_adjoint(transform, x, _ends(adjoint))


def _ends(batch: Tensor) -> Tensor:
    """The first and the last entry."""
    return batch[[0, len(batch) - 1]]


def check_adjoint(transform: Transform, g: Tensor, adjoint: Tensor) -> None:
    """⟨T⁻¹ ζ, g⟩ = ⟨ζ, adjoint⟩ for a random ζ for each g: what is no adjoint differs almost surely.

    Raises: MeasuresNothing where they differ by a hundredth of what two vectors of such lengths have by chance.
    """
    zeta = torch.randn(adjoint.shape, generator=torch.Generator().manual_seed(7)).to(adjoint)
    there, g, zeta, back = (value.flatten(1).double() for value in (transform.inverse(zeta), g, zeta, adjoint))
    length = there.norm(dim=1) * g.norm(dim=1) + zeta.norm(dim=1) * back.norm(dim=1)
    off = ((there * g).sum(1) - (zeta * back).sum(1)).abs() / (length / math.sqrt(g.shape[1]))
    if not bool((off < 0.01).all()):
        raise MeasuresNothing(
            f"{transform.spec}: the adjoint is not that of T⁻¹: {float(off.max()):.2g}, allowed is 0.01."
        )


def _error(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).norm() / b.double().norm())


def coefficients(transform: Transform) -> Coefficients | None:
    """x (batch, *shape) -> T x by other people's code, in the order of our packing; None where nobody has the same T."""
    axes = tuple(range(2, len(transform.shape) + 1))
    known: dict[str, Coefficients] = {
        "dct": lambda x: scipy.fft.dctn(x.numpy(), norm="ortho", axes=axes),
        "inverse_of(dct)": lambda x: scipy.fft.idctn(x.numpy(), norm="ortho", axes=axes),
        "along(dct, axes=1)": lambda x: scipy.fft.dct(x.numpy(), norm="ortho", axis=2),
        "hartley": lambda x: (torch.fft.fftn(x, dim=axes, norm="ortho") * (1 + 1j)).real.numpy(),
        "dft": lambda x: packed(torch.fft.fftn(x, dim=axes, norm="ortho")),
    }
    if transform.name == "dwt" and _halves(transform):
        return lambda x: pyramid(transform, x)
    return known.get(transform.spec)


def _halves(transform: Any) -> bool:
    """Whether every level has an even size; PyWavelets lengthens others, and ours keeps their number."""
    padded = transform.mode not in ("periodization", "boundary")
    return padded or (
        transform.mode == "periodization" and all(n % 2**transform.level == 0 for n in transform.shape[1:])
    )


def pyramid(transform: Any, x: Tensor) -> np.ndarray:
    """PyWavelets' coefficients of x (batch, *shape).  Shape: (batch, channels, K)."""
    axes = tuple(range(2, x.ndim))
    return flat(pywt.wavedecn(x.numpy(), transform.wavelet, mode=transform.mode, level=transform.level, axes=axes))


def flat(steps: Any) -> np.ndarray:
    """PyWavelets' pyramid in the order of our packing."""
    low, *steps = steps
    bands = [low, *(step[key] for step in steps for key in sorted(step))]
    return np.concatenate([band.reshape(*band.shape[:2], -1) for band in bands], -1)


def packed(spectrum: Tensor) -> np.ndarray:
    """A unitary spectrum (batch, channels, *sizes) as `dft` packs it: √2 Re X at k and √2 Im X at -k, Re X where k = -k."""
    side = torch.zeros(spectrum.shape[2:])
    for n, axis in zip(spectrum.shape[2:], range(spectrum.ndim - 2)):
        k = torch.fft.fftfreq(n)
        sign = torch.where(k.abs() == 0.5, 0, k.sign())  # by the first frequency that is not its own negative
        side = torch.where(side == 0, sign.reshape([-1] + [1] * (spectrum.ndim - 3 - axis)), side)
    spectrum = spectrum.cpu()
    halves = torch.where(side > 0, spectrum.real, spectrum.imag) * math.sqrt(2)
    return torch.where(side == 0, spectrum.real, halves).numpy()
