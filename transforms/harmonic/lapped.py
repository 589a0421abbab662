"""Transforms of overlapping windows, for signals of one axis."""

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...core.checks import check_count, check_number, choose, quoted
from ...core.precision import SINGLE
from ..base import Transform, TransformClaim
from ..layout import Layout, Shape, octave_layout, spread
from ..reference import Reference
from ..registry import add
from ..shapes import LARGEST_SIGNAL, check_size
from .blocks import Runs, balanced_size, block_layout
from .cosine import DCT4
from .reference_libraries import stft_reference

# w_m = Σ_j (-1)^j a_j cos(2π j m / size)
_COSINE_SUMS = {"hann": (0.5, 0.5), "hamming": (0.54, 0.46), "blackman": (0.42, 0.5, 0.08), "rectangular": (1.0,)}
_WINDOWS = (*_COSINE_SUMS, "sine")
_SLOPES = ("sine", "kbd")


@add("stft")
class STFT(Transform):
    """Short-time Fourier transform of a signal of one axis: a Parseval frame, as one real tensor.

    Frame p is the orthonormal real DFT of the `size` samples from p·hop - ⌊size/2⌋ on (zeros outside the signal), times

        g_m = w_m / √(Σ_p w²_{m + p·hop}),

    the canonical tight window of w. As Σ_p g²(n - p·hop) = 1 at every sample, ‖z‖ = ‖x‖ and T⁻¹ = Tᵀ: inverse transform,
    window, overlap and add. Every frame that touches the signal is kept, so T⁻¹ has the exact length for any length.
    With the unitary DFT X_p of windowed frame p, z[p] = (X_p0, √2 Re X_p1, √2 Im X_p1, √2 Re X_p2, …); for even sizes
    X_p,size/2 is the last. T is redundant, and T T⁻¹ not the identity, unless there are as many coefficients as samples.

    window: hann, hamming, blackman, rectangular or sine, periodic as in spectral analysis.
    size: samples of the window; None takes a power of two near 2√n, at most 1024.
    hop: samples from one window to the next; None takes half the size. The redundancy is size / hop.
    Shapes: (channels, n) -> (channels, frames, size). Coefficient j of a frame has centre frequency ⌈j/2⌉ / size
    cycles/sample, and the centre p·hop of its frame, moved into the signal, as position. Bands are octaves.
    Sources: Allen & Rabiner 1977; Daubechies, Grossmann & Meyer 1986 for tight windows.
    Raises: ValueError for an unknown window, a size or hop below 1, or a window that with this hop leaves samples
    uncovered; TypeError where size or hop is not a whole number.

    >>> from pullback.transforms import get
    >>> get("stft(window=hann, size=64, hop=16)", shape=(1, 1000)).layout.shape
    (1, 66, 64)
    """

    def __init__(self, shape: Shape, window: str = "hann", size: int | None = None, hop: int | None = None) -> None:
        super().__init__(shape, (1,))
        self.window = window = choose("stft", "window", window, _WINDOWS)
        self.size = balanced_size(self.shape[1], 2) if size is None else check_count("stft", "size", size)
        self.hop = max(1, self.size // 2) if hop is None else check_count("stft", "hop", hop)
        self.spec = f"stft(window={window}, size={self.size}, hop={self.hop})"
        _check_frames(self.shape, self.size, self.hop)
        taps = tight_window(window, self.size, self.hop)
        self._taps = torch.from_numpy(taps)
        self._starts = _starts(taps, self.hop, self.shape[1])
        self._turns = -(-self.size // self.hop)  # hops in a frame
        scale = np.full(self.size, math.sqrt(2))
        scale[[0, -1] if self.size % 2 == 0 else [0]] = 1
        self._scale = torch.from_numpy(scale)
        self.layout = self._layout()
        square = len(self._starts) * self.size == self.shape[1]
        self.claims = TransformClaim.ORTHOGONAL if square else TransformClaim.PARSEVAL

    def analysis(self, x: Tensor) -> Tensor:
        before = -self._starts[0]
        after = (len(self._starts) - 1 + self._turns) * self.hop - before - x.shape[-1]
        frames = functional.pad(x, (before, after)).unfold(-1, self.size, self.hop)
        spectrum = torch.fft.rfft(frames * self._taps.to(x), norm="ortho")
        pairs = torch.view_as_real(spectrum).flatten(-2)  # the imaginary parts at 0 and Nyquist are 0 and not kept
        return torch.cat([pairs[..., :1], pairs[..., 2 : self.size + 1]], -1) * self._scale.to(x)

    def synthesis(self, z: Tensor) -> Tensor:
        z = z / self._scale.to(z)
        parts = [z[..., :1], torch.zeros_like(z[..., :1]), z[..., 1:], torch.zeros_like(z[..., : 1 - self.size % 2])]
        pairs = torch.cat(parts, -1).unflatten(-1, (-1, 2))
        frames = torch.fft.irfft(torch.view_as_complex(pairs), self.size, norm="ortho") * self._taps.to(z)
        return self._overlap_add(frames).narrow(-1, -self._starts[0], self.shape[1])

    def transpose(self, g: Tensor) -> Tensor:
        return self.analysis(g)  # T⁻¹ = Tᵀ

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """Σ of the frames, each at its place.  frames: (batch, channels, frames, size) -> (batch, channels, samples)."""
        count = frames.shape[-2]
        frames = functional.pad(frames, (0, self._turns * self.hop - self.size)).unflatten(-1, (self._turns, self.hop))
        out = frames.new_zeros(*frames.shape[:2], count + self._turns - 1, self.hop)
        for turn in range(self._turns):
            out[..., turn : turn + count, :] += frames[..., turn, :]
        return out.flatten(-2)

    def _layout(self) -> Layout:
        frames = len(self._starts)
        frequency = (torch.arange(self.size, dtype=SINGLE) + 1).div(2, rounding_mode="floor") / self.size
        flat = octave_layout((self.shape[0], frames * self.size), [frequency.repeat(frames)])
        centres = (torch.tensor(self._starts) + self.size // 2).clamp(0, self.shape[1] - 1)
        position = spread([centres.to(frequency).repeat_interleave(self.size)], flat.shape)
        index, *places = (part.unflatten(-1, (frames, self.size)) for part in (flat.index, flat.frequency, position))
        return Layout(flat.bands, index, *places)

    @property
    def reference(self) -> Reference:
        return stft_reference(self._taps, self._scale, self.hop, self._starts, self.shape[1])

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        yield from (cls(shape) for shape in [(1, 1), (2, 16), (1, 21)])
        yield from [cls((1, 12), "rectangular", 4, 4), cls((1, 13), "rectangular", 4, 4)]
        yield from [cls((2, 10), "blackman", 5, 2), cls((1, 3), "sine", 8, 6), cls((1, 9), "hamming", 6, 4)]


def _check_frames(shape: Shape, size: int, hop: int) -> None:
    if hop > size:
        found = f"a window of {quoted(size)} samples every {quoted(hop)} leaves samples under no window, so no inverse exists"
        raise ValueError(f"stft: {found}; take a hop of at most the size of the window.")
    check_size("stft", "coefficients", (shape[0], (shape[1] + 2 * size) // hop + 1, size), LARGEST_SIGNAL)


def tight_window(window: str, size: int, hop: int) -> np.ndarray:
    """The canonical tight window w / √(Σ_p w²(· - p·hop)), (size,).  Raises: ValueError where a sample lies under no window."""
    if window == "sine":
        taps = np.sin(np.pi * (np.arange(size) + 0.5) / size)
    else:
        angle = 2 * np.pi * np.arange(size) / size
        taps = sum((-1) ** j * a * np.cos(j * angle) for j, a in enumerate(_COSINE_SUMS[window]))
    taps[np.abs(taps) < 1e-12] = 0  # the first tap of blackman is 0 except for rounding
    energy = np.pad(taps**2, (0, -size % hop)).reshape(-1, hop).sum(0)
    bare = int((energy <= 1e-10 * energy.max()).sum())
    if bare:
        found = f"a {window} window of {size} samples every {hop} leaves {bare} of every {hop} samples under no window"
        advice = "take a smaller hop (half the size, say) or a window without zeros"
        raise ValueError(f"stft: {found}, so no inverse exists; {advice}.")
    return taps / np.sqrt(np.resize(energy, size))


def _starts(taps: np.ndarray, hop: int, n: int) -> list[int]:
    """First sample of every frame that touches the n samples with a tap other than 0."""
    first, last = np.flatnonzero(taps)[[0, -1]].tolist()
    middle = len(taps) // 2
    return [p * hop - middle for p in range(-((last - middle) // hop), (n - 1 - first + middle) // hop + 1)]


@add("mdct")
class MDCT(Transform):
    """Modified DCT of a signal of one axis: lapped, orthonormal and critically sampled for every length.

    A window of `size` = 2M samples every M samples, M coefficients each. Inside the signal frame t, whose block starts at
    sample tM, is

        z[tM + k] = √(2/M) Σ_{n=0}^{2M-1} w_n x[tM - M/2 + n] cos(π/M (n + ½ + M/2)(k + ½)),

    with w_n² + w_{n+M}² = 1, so that the aliasing of neighbouring windows cancels. It is computed as a rotation of
    the samples that mirror each other about the edges of blocks, and one DCT-IV for each block.

    At the two ends of the signal the window does not overlap: it is 0 outside and 1 for the first (last) M/2 samples
    inside. If M does not divide the length, the rest joins the last block, which then has B = M … 2M - 1 samples and
    coefficients; a signal shorter than 2M is one block.

    window: sine, or kbd (Kaiser-Bessel-derived, with `alpha`, larger for steeper stop bands).
    size: samples of the window, a multiple of 4; None takes a power of two near 2√n, at most 1024.
    Shapes: z has the shape of x. Coefficient k of a block of B samples has centre frequency (2k + 1) / 4B cycles/sample,
    and the centre of its block as position (NaN if there is only one block). Bands are octaves; the lowest coefficients
    of the blocks are the coarsest.
    Sources: Princen, Johnson & Bradley 1987; Princen & Bradley 1986 (aliasing); Fielder et al. 1996 (kbd).
    Raises: TypeError or ValueError for an unknown window, or an impossible size or alpha.

    >>> from pullback.transforms import get
    >>> get("mdct(window=kbd, size=8)", shape=(1, 18)).layout.position[0, 0, ::4]
    tensor([ 1.5000,  5.5000,  9.5000, 14.5000, 14.5000])
    """

    def __init__(self, shape: Shape, window: str = "sine", size: int | None = None, alpha: float = 4.0) -> None:
        super().__init__(shape, (1,))
        self.window = window = choose("mdct", "window", window, _SLOPES)
        self.size = balanced_size(self.shape[1], 4) if size is None else check_count("mdct", "size", size, 4, 4)
        alpha = check_number("mdct", "alpha", alpha, 0, 100)
        self.claims = TransformClaim.ORTHOGONAL
        self.spec = f"mdct(window={window}, size={self.size}" + (f", alpha={alpha})" if window == "kbd" else ")")
        self._runs = _whole_blocks(self.shape[1], self.size // 2)
        self._dcts = [DCT4(length) for length, _ in self._runs]
        hop = self.size // 2 if sum(count for _, count in self._runs) > 1 else 0  # one block is not mixed with another
        self._cosine, self._sine = (torch.from_numpy(part) for part in _rotation(_slope(window, hop, alpha)))
        self.layout = block_layout(self.shape, [self._runs], lambda n: (2 * torch.arange(n, dtype=SINGLE) + 1) / (4 * n))

    def analysis(self, x: Tensor) -> Tensor:
        return torch.cat([-dct(part.flip(-1)).flatten(-2) for dct, part in self._parts(self._rotate(x, 1))], -1)

    def synthesis(self, z: Tensor) -> Tensor:
        folded = [-dct(part).flip(-1).flatten(-2) for dct, part in self._parts(z)]
        return self._rotate(torch.cat(folded, -1), -1)

    def _parts(self, x: Tensor) -> list[tuple[DCT4, Tensor]]:
        """The blocks (batch, channels, count, length) of each length, and the DCT for them."""
        parts = x.split([length * count for length, count in self._runs], -1)
        return [(dct, part.unflatten(-1, (-1, dct.n))) for dct, part in zip(self._dcts, parts)]

    def _rotate(self, x: Tensor, direction: int) -> Tensor:
        """Mixes the samples at equal distance on either side of each edge between blocks; -1 undoes 1."""
        edges, hop = sum(count for _, count in self._runs) - 1, self.size // 2
        if edges == 0:
            return x
        head, middle, tail = x.tensor_split([hop // 2, hop // 2 + edges * hop], -1)
        middle = middle.unflatten(-1, (edges, hop))
        middle = middle * self._cosine.to(x) + middle.flip(-1) * (direction * self._sine.to(x))
        return torch.cat([head, middle.flatten(-2), tail], -1)

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        yield from (cls(shape) for shape in [(1, 1), (2, 16), (1, 21)])
        yield from [cls((1, 24), "kbd", 8), cls((2, 17), "kbd", 12, 2.5), cls((1, 10), "sine", 16)]


def _whole_blocks(n: int, hop: int) -> Runs:
    """n samples as blocks of `hop`; the last one takes the rest."""
    count = max(1, n // hop)
    last = n - (count - 1) * hop
    return ((hop, count),) if last == hop else ((hop, count - 1), (last, 1)) if count > 1 else ((last, 1),)


def _slope(window: str, hop: int, alpha: float) -> np.ndarray:
    """The rising half of the window, with w_m² + w_{hop-1-m}² = 1. Shape: (hop,)."""
    if window == "sine":
        return np.sin(np.pi * (np.arange(hop) + 0.5) / (2 * hop))
    total = np.cumsum(np.kaiser(hop + 1, np.pi * alpha))
    return np.sqrt(total[:-1] / total[-1])


def _rotation(rising: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(c, s) such that c x + s flip(x) rotates each pair of samples about an edge. Shapes: (hop,)."""
    half = len(rising) // 2
    sine = np.concatenate([rising[:half], -rising[:half][::-1]])
    return np.concatenate([rising[half:][::-1], rising[half:]]), sine
