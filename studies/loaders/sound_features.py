"""The spectrograms that models of transformers take, as modules that gradients pass through."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...core.precision import SINGLE
from ..zoo.log_mel import mel_bands

FRAME, HOP, FFT = 400, 160, 512  # samples, of `ASTFeatures`: 25 and 10 ms at 16 kHz
LOWEST, EMPHASIS = 20.0, 0.97  # Hz; the part of the sample before that is taken away
RANGE, FLOOR = 8.0, 1e-10  # of `WhisperFeatures`: powers of ten below the peak that are kept, and the smallest power


class ASTFeatures(nn.Module):
    """(log max(M |rfft(w ⊙ p)|², ε) - mean) / (2 std): what the `ASTFeatureExtractor` of transformers makes of a wave.

    p: a frame of 400 samples, every 160 samples, less its mean, then p[i] - 0.97 p[i - 1].  w: a symmetric Hann window.
    M: triangles in mel from 20 Hz to half the rate.  ε: 2⁻²³.
    Before it is normalised, the spectrogram is filled with zeros, or cut, to the number of frames that the model takes.
    A wave shorter than one frame is filled with zeros.

    extractor: names rate, num_mel_bins, max_length, do_normalize, mean and std.
    longest: the number of samples after which a wave is cut.  Shapes: (batch, samples) to (batch, max_length, num_mel_bins).
    Source: Gong, Chung & Glass 2021, section 2; Kaldi's compute-fbank-feats.
    """

    window: Tensor
    bands: Tensor

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        self.frames, rate = extractor.max_length, extractor.sampling_rate
        normal: tuple[float, float] = (extractor.mean, 2 * extractor.std) if extractor.do_normalize else (0.0, 1.0)
        self.mean, self.scale = normal
        self.longest = (self.frames - 1) * HOP + FRAME
        self.register_buffer("window", torch.hann_window(FRAME, periodic=False), persistent=False)
        bands = mel_bands(extractor.num_mel_bins, LOWEST, float(rate // 2), rate, FFT)
        self.register_buffer("bands", bands.to(self.window), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The features of each wave."""
        frames = functional.pad(x, (0, max(0, FRAME - x.shape[-1]))).unfold(-1, FRAME, HOP)[:, : self.frames]
        frames = frames - frames.mean(-1, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], -1)
        spectrum = torch.fft.rfft((frames - EMPHASIS * before) * self.window, FFT)
        loudness = (_power(spectrum) @ self.bands).clamp(min=torch.finfo(SINGLE).eps).log()
        filled = functional.pad(loudness, (0, 0, 0, self.frames - loudness.shape[1]))
        return (filled - self.mean) / self.scale


class WhisperFeatures(nn.Module):
    """(max(L, max L - 8) + 4) / 4 with L = log₁₀ max(M |STFT x|², 10⁻¹⁰): what the `WhisperFeatureExtractor` makes of a wave.

    The wave is filled up, mostly with zeros, or cut, to 30 s, and mirrored at its ends.  STFT: frames of n_fft samples around
    every hop_length-th sample, under a periodic Hann window.  M: the extractor's own matrix, triangles on Slaney's mel scale.

    extractor: names n_fft, hop_length, n_samples, padding_value and mel_filters.
    longest: the number of samples after which a wave is cut.  Shapes: (batch, samples) to (batch, feature_size, frames).
    Source: Radford et al. 2023, section 2.2, and its code.
    """

    window: Tensor
    bands: Tensor

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        self.longest, self.filling = extractor.n_samples, extractor.padding_value
        self.fft, self.hop = extractor.n_fft, extractor.hop_length
        self.register_buffer("window", torch.hann_window(self.fft), persistent=False)
        self.register_buffer("bands", torch.as_tensor(extractor.mel_filters).T.to(self.window), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The features of each wave."""
        filled = functional.pad(x, (0, self.longest - x.shape[-1]), value=self.filling)
        spectrum = torch.stft(filled, self.fft, self.hop, window=self.window, return_complex=True)[..., :-1]
        loudness = (self.bands @ _power(spectrum)).clamp(min=FLOOR).log10()
        return (torch.maximum(loudness, loudness.amax((1, 2), keepdim=True) - RANGE) + 4) / 4


FEATURES: dict[str, type[ASTFeatures] | type[WhisperFeatures]] = {
    "ASTFeatureExtractor": ASTFeatures,
    "WhisperFeatureExtractor": WhisperFeatures,
}


def _power(spectrum: Tensor) -> Tensor:
    """|z|², whose gradient at 0 is 0."""
    return torch.view_as_real(spectrum).square().sum(-1)
