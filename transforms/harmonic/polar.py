"""Fourier magnitude and phase: coordinates that are not linear."""

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ...core.checks import check_number, quoted
from ..base import Transform, TransformClaim
from ..layout import Layout, Shape, octave_layout
from ..registry import add
from .fourier import half_space, wave_frequencies

_LARGE = 1e20  # of magnitude / floor, beyond which 1 is nothing beside it


@add("polar")
class Polar(Transform):
    """Magnitude and phase of the DFT over all signal axes, as one real tensor of the shape of x.

    With X = F x the unitary DFT, a pair {k, -k} of conjugate frequencies has one magnitude and one phase:

        z_k = √2 |X_k|,    z_{-k} = arg X_k ∈ (-π, π],

    and a frequency that is its own partner (0, Nyquist) keeps the real number X_k with its sign. So Σ of the squared
    magnitudes and real numbers is ‖x‖², for odd and even sizes, and z has as many numbers as x. The magnitude lies where
    "dft" keeps the cosine, and the phase where it keeps the sine.

    log: magnitudes as log(1 + √2 |X_k| / floor), in units where silence is 0; real numbers stay as they are.

    Not linear, hence without an adjoint: attributions run on f∘T⁻¹ by automatic differentiation. T⁻¹T x = x, but not
    every z is a T x: phases wrap, and a negative magnitude is the same signal as its phase turned by π. If every
    frequency is its own partner (sizes 1 and 2) it is the DFT, and claims what that claims.
    The phase of silence is 0. Gradients there, and of pairs whose magnitude is below the reciprocal of the largest number,
    3e-39 in single and 6e-309 in double precision, are 0 and not NaN. A round trip is exact up to where x, or its sum, leaves
    the range of its dtype.

    Bands are octaves, each with its magnitudes ("d1 magnitude", real numbers included) and phases ("d1 phase", in rad).
    Source: Oppenheim & Lim 1981.  Raises: ValueError where floor is not positive, TypeError where log is not true or false.

    >>> from pullback.transforms import get
    >>> get("polar", shape=(1, 4))(torch.tensor([[[0.0, 1.0, 0.0, -1.0]]])).round(decimals=4)
    tensor([[[ 0.0000,  1.4142,  0.0000, -1.5708]]])
    """

    def __init__(self, shape: Shape, log: bool = False, floor: float = 1e-3) -> None:
        super().__init__(shape)
        if not check_number("polar", "floor", floor, 0):
            raise ValueError(f"polar: floor must be a positive number, got {quoted(floor)}.")
        if not isinstance(log, bool | np.bool_):
            raise TypeError(f"polar: log must be true or false, got {quoted(log)}.")
        self.log, self.floor = bool(log), float(floor)
        self.spec = f"polar(log=true, floor={self.floor})" if log else "polar"
        self._half, self._axes = half_space(self.shape[1:]), tuple(range(1 - len(self.shape), 0))
        self.claims = TransformClaim.RECONSTRUCTS if bool((self._half != 0).any()) else TransformClaim.ORTHOGONAL
        self.layout = _layout(self.shape, self._half)

    def analysis(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.fftn(x, dim=self._axes, norm="ortho")
        half = self._half.to(x.device)
        magnitude, phase = _polar(spectrum.real, spectrum.imag)
        # The place -k keeps the phase of X_k, which is minus that of X_-k; π has no negative in (-π, π].
        phase = torch.where(phase < math.pi, -phase, phase)
        magnitude = math.sqrt(2) * magnitude
        magnitude = _log(magnitude, self.floor) if self.log else magnitude
        return torch.where(half == 0, spectrum.real, torch.where(half > 0, magnitude, phase))

    def synthesis(self, z: Tensor) -> Tensor:
        half = self._half.to(z.device)
        magnitude = torch.where(half > 0, z, 0)  # before expm1, which would make large real numbers infinite
        magnitude = _exp(magnitude, self.floor) if self.log else magnitude
        phase = z.flip(self._axes).roll([1] * len(self._axes), self._axes)  # from -k to k
        # Only one of each pair is filled, with twice its number: the real part of the inverse is the same.
        real = torch.where(half == 0, z, math.sqrt(2) * magnitude * torch.cos(phase))
        spectrum = torch.complex(real, math.sqrt(2) * magnitude * torch.sin(phase))
        return torch.fft.ifftn(spectrum, dim=self._axes, norm="ortho").real

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        for log in (False, True):
            yield from (cls(shape, log=log) for shape in [(2, 8), (1, 9), (3, 6, 5), (1, 4, 3, 6)])
        yield from [cls((1, 1)), cls((2, 2, 2))]


def _polar(real: Tensor, imaginary: Tensor) -> tuple[Tensor, Tensor]:
    """(|X|, arg X); their gradients are 0 if X is 0, or too small for the reciprocal that its gradient needs."""
    larger = torch.maximum(real.abs(), imaginary.abs()).detach()
    sound = larger > 1 / torch.finfo(real.dtype).max
    lift = torch.finfo(real.dtype).tiny ** -0.5  # a power of two, with which squares of the smallest numbers do not vanish
    faint = torch.hypot(real.detach() * lift, imaginary.detach() * lift) / lift
    angle = torch.where(larger > 0, torch.atan2(imaginary.detach(), real.detach()), 0)
    # Squares of X / larger neither overflow nor vanish. The branch of `where` that is not used must not divide by zero.
    scale = larger.where(sound, torch.ones_like(larger))
    real, imaginary = torch.where(sound, real / scale, 1), torch.where(sound, imaginary / scale, 0)
    magnitude = torch.where(sound, (real.square() + imaginary.square()).sqrt() * scale, faint)
    return magnitude, torch.where(sound, torch.atan2(imaginary, real), angle)


def _log(magnitude: Tensor, floor: float) -> Tensor:
    """log(1 + magnitude / floor), also where the quotient is too large for its dtype."""
    large = magnitude > floor * _LARGE
    quotient = torch.where(large, 0, magnitude) / floor
    return torch.where(large, torch.where(large, magnitude, 1).log() - math.log(floor), torch.log1p(quotient))


def _exp(log: Tensor, floor: float) -> Tensor:
    """Inverse of `_log`: floor · (eᶻ - 1)."""
    large = log > math.log(_LARGE)
    return torch.where(large, torch.exp(log + math.log(floor)), floor * torch.expm1(torch.where(large, 0, log)))


def _layout(shape: Shape, half: Tensor) -> Layout:
    """The octaves of the DFT, each split into magnitudes and phases."""
    octaves = octave_layout(shape, wave_frequencies(shape))
    present, index = torch.unique(2 * octaves.index + (half < 0), return_inverse=True)
    split = [(octaves.bands[code // 2], "phase" if code % 2 else "magnitude") for code in present.tolist()]
    return replace(octaves, bands=tuple(replace(band, name=f"{band.name} {part}") for band, part in split), index=index)
