"""Octaves in Hz, and which domain's shares are right where the truth is known."""

import math

import pytest
import torch
from torch import Tensor

import pullback as pb
from pullback.metrics import cancellation

RATE, SAMPLES = 16_000, 8_192
TIMES = torch.arange(SAMPLES, dtype=torch.float64) / RATE
BANDS = ((1000, 2000), (2000, 4000))  # the octaves that the model listens to
DOMAINS = ("stft", "mdct", "dct", "dft")


def levels(x: Tensor) -> list[Tensor]:
    """The mean logarithm of the power of frames in each of two octaves: as the log-mel front end of networks for sound."""
    window = torch.hann_window(512, dtype=x.dtype)
    spectrum = torch.stft(x[:, 0], 512, 256, window=window, return_complex=True, pad_mode="constant").abs().square()
    hertz = torch.fft.rfftfreq(512, 1 / RATE)
    return [(spectrum[:, (hertz >= low) & (hertz < high)].sum(1) + 1e-6).log().mean(1) for low, high in BANDS]


def loud_then_quiet() -> Tensor:
    """A loud tone of 1400 Hz, and then noise of 2400 to 3400 Hz that is 60 dB below it."""
    first = torch.sigmoid((SAMPLES / RATE / 2 - TIMES) * 200)
    noise = torch.randn(SAMPLES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    hertz = torch.fft.rfftfreq(SAMPLES, 1 / RATE)
    high = torch.fft.irfft(torch.fft.rfft(noise) * ((hertz >= 2400) & (hertz < 3400)), SAMPLES)
    return (torch.sin(2 * math.pi * 1400 * TIMES) * first + 1e-3 * high * (1 - first))[None, None]


def test_shares_are_right_where_little_cancels_and_wrong_where_much_does() -> None:
    """Frames of equal weight, loud or quiet: a domain with places in time finds the quiet octave, a global one does not."""
    x = loud_then_quiet()
    true = torch.stack([at - base for at, base in zip(levels(x), levels(torch.zeros_like(x)))]).flatten()
    method = "integrated_gradients(tol=0.02, max_evaluations=400)"
    maps = pb.attribute(lambda x: torch.stack(levels(x)).sum(0), x, method=method, transform=list(DOMAINS))
    factors = [float(cancellation(one)) for one in maps]
    shares = [one.octaves(RATE)["share"] for one in maps]
    quiet = float(true[1] / true.sum())
    wrong = [abs(float(share["octave 2"]) - quiet) for share in shares]
    assert quiet > 0.3
    assert max(factors[:2]) < 4 < 50 < min(factors[2:])
    assert max(wrong[:2]) < 0.2 < 0.3 < min(wrong[2:])
    assert [one.octaves(RATE)["total"].sum() for one in maps] == pytest.approx([float(true.sum())] * 4, rel=1e-3)
    assert torch.tensor(maps[1].octaves(RATE)["total"][["octave 3", "octave 2"]].to_list()) == pytest.approx(true, rel=0.1)


def test_a_linear_model_of_one_octave_gives_its_octave_in_every_domain() -> None:
    noise = torch.randn(2, SAMPLES, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    hertz = torch.fft.rfftfreq(SAMPLES, 1 / RATE)
    weight = torch.fft.irfft(torch.fft.rfft(noise[0]) * ((hertz > 2000) & (hertz < 4000)), SAMPLES)
    for one in pb.attribute(lambda x: (x[:, 0] * weight).sum(1), noise[1][None, None], transform=list(DOMAINS)):
        assert one.octaves(RATE)["share"].idxmax() == "octave 2"
        assert one.octaves(RATE)["share"].max() > 0.9


def test_octaves_have_the_frequencies_of_the_rate() -> None:
    att = pb.attribute(lambda x: x.flatten(1).sum(1), torch.ones(2, 1, 64), transform="dwt(haar, level=2)")
    found = att.octaves(16_000, example=1)
    assert found.index.tolist() == ["coarser", "octave 2", "octave 1"]
    assert found[["low", "high"]].to_numpy().tolist() == [[0, 2000], [2000, 4000], [4000, 8000]]
    assert found["total"].to_list() == pytest.approx([64, 0, 0])
    assert att.octaves()["high"].max() == 0.5
    volume = pb.attribute(lambda x: x.flatten(1).sum(1), torch.ones(1, 1, 8, 8), transform="dwt(haar, level=1)")
    assert volume.octaves((1, 0.5)).columns.tolist() == ["low 1", "high 1", "low 2", "high 2", "share", "total"]
    assert pb.attribute(lambda x: x.sum((1, 2)), torch.ones(1, 1, 8)).octaves(8.0)["low"].isna().all()  # samples have none


@pytest.mark.parametrize("rate", [0, -1.0, math.nan, "16 kHz", (1, 2), None, math.inf])
def test_an_impossible_rate_is_refused(rate: object) -> None:
    att = pb.attribute(lambda x: x.flatten(1).sum(1), torch.ones(1, 1, 8), transform="dct")
    with pytest.raises(ValueError, match="octaves: expected rate as samples per second"):
        att.octaves(rate)  # type: ignore[arg-type]
