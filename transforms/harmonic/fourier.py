"""Fourier transforms, as real coefficients."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from ...core.constant import Constant
from ...core.precision import SINGLE
from ..base import Transform, TransformClaim
from ..layout import Shape, octave_layout
from ..reference import Reference
from ..registry import add
from .reference_libraries import dft_reference, hartley_reference


@add("dft")
class DFT(Transform):
    """Orthonormal real DFT over all signal axes: cosines and sines as one real tensor of the shape of x.

    With X = F x the unitary DFT, a real x has X_{-k} = conj(X_k). Each pair {k, -k} keeps √2 Re X at one of its two
    places and √2 Im X at the other; a frequency that is its own partner (0, Nyquist) keeps Re X. So

        z = r ⊙ Re(F x) + s ⊙ Im(F x),    T⁻¹ z = Tᵀ z = Re F*((r + i s) ⊙ z),

    with (r, s) = (1, 0), (√2, 0) or (0, √2): ‖z‖ = ‖x‖ for odd and even sizes, and no coefficient is stored twice.
    The place k has centre frequency |k| / N (wrapped) cycles/sample, as in `torch.fft.fftfreq`.
    Source: Sorensen, Jones, Heideman & Burrus 1987, of DFTs of real signals.
    Raises: ValueError unless the signal has one to three axes.

    >>> from pullback.transforms import get
    >>> get("dft", shape=(1, 4))(torch.tensor([[[1.0, 0.0, -1.0, 0.0]]])).round(decimals=4).abs()
    tensor([[[0.0000, 1.4142, 0.0000, 0.0000]]])
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.claims = TransformClaim.ORTHOGONAL
        self.layout = octave_layout(self.shape, wave_frequencies(self.shape))
        self._axes = tuple(range(-1, -len(self.shape), -1))  # the first signal axis last, because that one is halved
        self._planes = slice(0, None, self.shape[1] // 2) if self.shape[1] % 2 == 0 else slice(0, 1)
        half = half_space(self.shape[1:])[: self.shape[1] // 2 + 1][self._planes]
        self._weights = Constant(_weights(half))

    def analysis(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfftn(x, dim=self._axes, norm="ortho")
        cosines = math.sqrt(2) * spectrum.real
        # If the first frequency is its own negative, the other frequencies decide which of a pair holds the cosine.
        own, weights = spectrum[:, :, self._planes], self._weights.like(x)
        cosines[:, :, self._planes] = own.real * weights.real + own.imag * weights.imag
        sines = -math.sqrt(2) * spectrum.imag[:, :, 1 : (x.shape[2] + 1) // 2]
        return torch.cat([cosines, _negated(sines.flip(2), 3)], 2)

    def synthesis(self, z: Tensor) -> Tensor:
        n = z.shape[2]
        sines = _negated(z[:, :, n // 2 + 1 :].flip(2), 3)
        spectrum = torch.complex(z[:, :, : n // 2 + 1], torch.zeros_like(z[:, :, : n // 2 + 1]))
        spectrum[:, :, 1 : (n + 1) // 2] -= 1j * sines
        spectrum = spectrum / math.sqrt(2)
        own = z[:, :, : n // 2 + 1][:, :, self._planes] * self._weights.like(z)
        spectrum[:, :, self._planes] = (own + _negated(own, 3).conj()) / 2
        return torch.fft.irfftn(spectrum, [z.shape[axis] for axis in self._axes], dim=self._axes, norm="ortho")

    @property
    def reference(self) -> Reference:
        return dft_reference(_weights(half_space(self.shape[1:])))

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        return [cls(shape) for shape in _EXAMPLES]


@add("hartley")
class Hartley(Transform):
    """Orthonormal discrete Hartley transform over all signal axes; T⁻¹ = T.

    z_k = N^-½ Σ_n x_n cas(2π Σ_i k_i n_i / N_i) = Re(F x)_k - Im(F x)_k, with cas t = cos t + sin t, N the number of
    samples and F the unitary DFT. In 2-D and 3-D this is the plane-wave definition and not the product of 1-D
    transforms: a coefficient is one wave in one direction, of centre frequency |k_i| / N_i (wrapped) cycles/sample.
    Shapes: z has the shape of x. Sources: Bracewell 1983; Bracewell et al. 1986 for several axes.
    Raises: ValueError unless the signal has one to three axes.

    >>> from pullback.transforms import get
    >>> get("hartley", shape=(1, 4))(torch.tensor([[[1.0, 0.0, -1.0, 0.0]]]))
    tensor([[[0., 1., 0., 1.]]])
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.claims = TransformClaim.ORTHOGONAL
        self.layout = octave_layout(self.shape, wave_frequencies(self.shape))

    def analysis(self, x: Tensor) -> Tensor:
        axes = tuple(range(2, x.ndim))
        half = torch.fft.rfftn(x, dim=axes, norm="ortho")  # the other half holds the conjugates, at -k
        mirrored = (half.real + half.imag)[..., 1 : (x.shape[-1] + 1) // 2].flip(axes)
        mirrored = mirrored.roll([1] * (len(axes) - 1), axes[:-1]) if len(axes) > 1 else mirrored
        return torch.cat([half.real - half.imag, mirrored], -1)

    def synthesis(self, z: Tensor) -> Tensor:
        return self.analysis(z)

    @property
    def reference(self) -> Reference:
        return hartley_reference()

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        return [cls(shape) for shape in _EXAMPLES]


_EXAMPLES = [(1, 1), (2, 8), (1, 9), (3, 6, 5), (1, 4, 4), (1, 4, 3, 6)]


def wave_frequencies(shape: Shape) -> list[Tensor]:
    """|k| / n (wrapped), in cycles/sample, of each place along each signal axis."""
    return [torch.fft.fftfreq(n, dtype=SINGLE).abs() for n in shape[1:]]


def _weights(half: Tensor) -> Tensor:
    """r + i s of `DFT` for `half` as in `half_space`. Shape: as half."""
    half = half.double()
    return torch.complex(torch.where(half > 0, math.sqrt(2) * half, 1 + half), math.sqrt(2) * half.clamp(max=0).abs())


def _negated(x: Tensor, first: int) -> Tensor:
    """The values at -k, moved to k, for the frequencies along axis `first` and those after it."""
    axes = tuple(range(first, x.ndim))
    return x.flip(axes).roll([1] * len(axes), axes) if axes else x


def half_space(sizes: Shape) -> Tensor:
    """1 where the place holds a cosine, -1 where it holds a sine, 0 where k = -k. Shape: sizes, int8.

    A pair {k, -k} is split by the sign of its first wrapped frequency that is not its own negative.
    """
    half = torch.zeros(sizes, dtype=torch.int8)
    for axis, n in enumerate(sizes):
        k = torch.arange(n)
        sign = torch.sign((-k) % n - k).to(torch.int8)  # 1 for 0 < k < n/2, -1 for k > n/2, else 0
        half = torch.where(half == 0, sign.reshape([-1] + [1] * (len(sizes) - 1 - axis)), half)
    return half
