"""The spectrogram that YAMNet takes, as a module that gradients pass through."""

import torch
from torch import Tensor, nn

from ..kinds.frames import in_parts

RATE = 16_000  # Hz
WINDOW, HOP, FFT = 400, 160, 512  # samples
BANDS, LOWEST, HIGHEST, OFFSET = 64, 125.0, 7500.0, 0.001  # mel bands, Hz, Hz, added before the logarithm
FRAMES, STRIDE = 96, 48  # of a patch, in frames
AT_ONCE = 128 * STRIDE  # frames of a recording in memory, a minute of sound
FEWEST = (FRAMES - 1) * HOP + WINDOW  # samples of one patch


class LogMelPatches(nn.Module):
    """log(M |rfft(w ⊙ frame)| + 0.001), cut into patches of 96 frames that begin at most 48 frames apart.

    w: a periodic Hann window of 400 samples, every 160 samples, filled with zeros to 512.  M: triangles in mel, `mel_bands`.
    The first patch begins with the sound, and the last one ends with it. A sound shorter than a patch is filled with zeros.
    Shapes: (batch, 1, samples) to (batch, patches, 96, 64).
    Source: tensorflow/models, research/audioset/yamnet/features.py. There patches begin 48 frames apart and zeros fill the last
    one, which takes part of the probability from sounds that end soon after a patch begins.

    >>> LogMelPatches()(torch.zeros(2, 1, 32_000)).shape
    torch.Size([2, 4, 96, 64])
    """

    window: Tensor
    bands: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        self.register_buffer("bands", mel_bands().to(self.window), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The patches of each waveform."""
        padded = nn.functional.pad(x[:, 0], (0, max(0, FEWEST - x.shape[-1])))
        loudness: Tensor = in_parts(self._loudness, padded.unfold(-1, WINDOW, HOP), AT_ONCE)
        return loudness[:, _places(loudness.shape[1]).to(x.device)]

    def _loudness(self, frames: Tensor) -> Tensor:
        """The logarithm of each band in each frame, (rows, 400) to (rows, 64)."""
        return (torch.fft.rfft(frames * self.window, FFT).abs() @ self.bands + OFFSET).log()


def _places(frames: int) -> Tensor:
    """The frames of each patch, (patches, 96)."""
    last = frames - FRAMES
    starts = torch.linspace(0, last, -(-last // STRIDE) + 1).round().long()
    return starts[:, None] + torch.arange(FRAMES)


def mel_bands(
    bands: int = BANDS, lowest: float = LOWEST, highest: float = HIGHEST, rate: float = RATE, fft: int = FFT
) -> Tensor:
    """The weight of each frequency of an FFT in each band: triangles whose sides are straight in mel, (fft / 2 + 1, bands).

    mel(f) = 1127 ln(1 + f / 700), as in HTK and Kaldi. The corners lie evenly in mel from `lowest` to `highest`, in Hz.
    Source: tf.signal.linear_to_mel_weight_matrix.

    >>> mel_bands().argmax(0)[[0, 63]] * RATE / FFT
    tensor([ 156.2500, 7218.7500])
    """
    frequency = _mel(torch.linspace(0, rate / 2, fft // 2 + 1, dtype=torch.double))[:, None]
    ends = _mel(torch.tensor([lowest, highest], dtype=torch.double))
    corners = torch.linspace(float(ends[0]), float(ends[1]), bands + 2, dtype=torch.double)
    low, middle, high = corners[:-2], corners[1:-1], corners[2:]
    rising, falling = (frequency - low) / (middle - low), (high - frequency) / (high - middle)
    return torch.minimum(rising, falling).clamp(min=0)


def _mel(frequency: Tensor) -> Tensor:
    return 1127 * (1 + frequency / 700).log()
