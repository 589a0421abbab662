"""Built-in recordings and a model of closed form: which of four tones does a recording hold?"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..kinds import Signal
from ..loaders.data import Photo, Photos
from ..loaders.models import LoadedModel

TONES = "tones"
RATE, LENGTH, HERTZ, EACH = 4000.0, 0.25, (200.0, 400.0, 800.0, 1600.0), 4
_NAMES = tuple(f"{hertz:.0f} Hz" for hertz in HERTZ)


class ToneNet(nn.Module):
    """f_k(x) = log(10⁻³ + Σ |X|² / n² over half an octave around tone k), X the Fourier transform of x.

    Shapes: (batch, 1, samples) to (batch, 4).

    >>> wave = torch.sin(2 * math.pi * 800 / RATE * torch.arange(1000.0))
    >>> int(ToneNet()(wave[None, None]).argmax())
    2
    """

    def forward(self, x: Tensor) -> Tensor:
        """The four logits."""
        samples = x.shape[-1]
        power = (torch.fft.rfft(x[:, 0]) / samples).abs().square()
        octave = (torch.fft.rfftfreq(samples, 1 / RATE, device=x.device).clamp(min=1e-9)).log2()
        near = torch.stack([(octave - math.log2(hertz)).abs() < 0.25 for hertz in HERTZ]).to(power)
        return (power @ near.T + 1e-3).log()


def tones_model() -> LoadedModel:
    """The model as the studies use it."""
    return LoadedModel(TONES, ToneNet().eval(), classes=_NAMES, kind="audio", rate=RATE)


def tones() -> Photos:
    """Sixteen recordings of a quarter of a second: a tone that swells and fades, with a little noise."""
    return Photos(list(_recordings()), _NAMES)


def _recordings() -> Iterator[Photo]:
    for number in range(EACH * len(HERTZ)):
        values, label = _tone(number, HERTZ[number // EACH]), number // EACH
        name = f"{_NAMES[label]} {number % EACH}"
        signal = Signal(values, (1 / RATE,), "s", name)
        yield Photo(name, label, lambda signal=signal: signal, _NAMES[label])  # type: ignore[misc]


def _tone(number: int, hertz: float) -> Tensor:
    """(1, samples)."""
    generator = torch.Generator().manual_seed(number)
    time = torch.arange(round(LENGTH * RATE)) / RATE
    pitch, phase, middle = torch.rand(3, generator=generator).tolist()
    swell = torch.exp(-((time / LENGTH - 0.3 - 0.4 * middle) ** 2) / 0.05)
    wave = swell * torch.sin(2 * math.pi * (hertz * 2 ** (0.2 * pitch - 0.1) * time + phase))
    return (wave + 0.02 * torch.randn(len(time), generator=generator))[None]
