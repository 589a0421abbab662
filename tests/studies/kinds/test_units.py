"""A band that is said to hold some Hz or cycles/mm holds them."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage
from support import ROOT
from torch import Tensor

import pullback as pb
from pullback.attribution.plot import density
from pullback.studies.explain import shares
from pullback.studies.kinds import KINDS, Signal
from pullback.studies.kinds.plane import tiles
from pullback.transforms.units import band_texts, frequency_unit, steps_of

RATE = 22_050


def energy(signal: Signal, domain: str) -> tuple[pb.Attribution, dict[str, object]]:
    """Shares of ‖x‖², whose attribution to an orthogonal z is z², and the whole frame's for the others."""
    power = lambda x: x.flatten(1).square().sum(1)
    att = pb.attribute(power, signal.values[None], method="input_x_gradient", transform=domain)
    return att, shares(att, signal)


def tone(hertz: float, rate: float = RATE, samples: int = 8192) -> Signal:
    times = torch.arange(samples, dtype=torch.float64) / rate
    return Signal(torch.sin(2 * math.pi * hertz * times)[None], (1 / rate,), "s", "tone")


DOMAINS = ("dwt(db8, level=6)", "wpt(db8, level=5)", "stft", "mdct", "dct", "dft")


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_tone_of_1_khz_is_in_the_bands_that_hold_1_khz(domain: str) -> None:
    _, found = energy(tone(1000), domain)
    assert found["unit"] == "Hz"
    for kind, least in (("octaves", 0.8), ("bands", 0.65)):  # packets of db8 overlap
        largest = max(found[kind], key=lambda band: band["share"])
        ((low, high),) = largest["frequencies"]
        assert low < 1000 <= high
        assert largest["share"] > least
        edges = sorted(tuple(band["frequencies"][0]) for band in found[kind])
        assert edges[0][0] == 0
        assert edges[-1][1] == RATE / 2
        assert all(below[1] == pytest.approx(above[0]) for below, above in pairwise(edges))


def test_a_wrong_rate_is_seen() -> None:
    """The control: a tone that is read at twice its rate is in a band that does not hold 1 kHz."""
    wrong = tone(1000).but(step=(0.5 / RATE,))
    _, found = energy(wrong, "dct")
    ((low, high),) = max(found["octaves"], key=lambda band: band["share"])["frequencies"]
    assert not low < 1000 <= high


@pytest.mark.parametrize("domain", [domain for domain in DOMAINS if domain not in ("dct", "dft")])
def test_a_plane_shows_a_tone_at_its_frequency_and_time(domain: str) -> None:
    signal = tone(1000)
    values = signal.values.clone()
    values[:, :4096] = 0
    att, _ = energy(signal.but(values=values), domain)
    plane = tiles(att.values[0].abs(), att.layout, 8192)
    assert plane is not None
    assert plane.image.sum() == pytest.approx(float(att.values.abs().sum()))
    row = int(plane.image.sum(1).argmax())
    width = plane.frequency[row + 1] - plane.frequency[row]
    assert plane.frequency[row] * RATE - width * RATE / 2 <= 1000 <= plane.frequency[row + 1] * RATE + width * RATE / 2
    times = plane.image.sum(0)
    late = plane.time[:-1] >= 4096 - 256
    assert times[late].sum() > 0.98 * times.sum()


STEPS = (1.5, 1.0, 0.8)  # mm


def grating(axis: int, period: float = 4.0) -> Signal:
    sizes = (32, 40, 48)
    place = torch.arange(sizes[axis], dtype=torch.float64) * STEPS[axis]
    wave = torch.sin(2 * math.pi * place / period).reshape([-1 if other == axis else 1 for other in range(3)])
    return Signal(wave.expand(sizes)[None].clone(), STEPS, "mm", "grating")


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("domain", ["dwt(db2, level=2)", "dwt(bior2.2, level=2)", "dct", "dft"])
def test_a_grating_of_4_mm_is_in_the_band_that_holds_a_quarter_cycle_per_mm_along_its_axis(axis: int, domain: str) -> None:
    _, found = energy(grating(axis), domain)
    assert found["unit"] == "cycles/mm"
    largest = max(found["bands"], key=lambda band: band["share"])
    low, high = largest["frequencies"][axis]
    assert low * (1 - 1e-9) <= 0.25 <= high * (1 + 1e-9)
    assert largest["share"] > 0.5
    assert all(low == 0 for other, (low, _) in enumerate(largest["frequencies"]) if other != axis)


def test_frequencies_that_belong_to_channels_are_not_called_hz() -> None:
    for domain in ("along(dct, axes=0)", "per_axis(dct, dwt(db4, level=2))", "pixel"):
        layout = pb.transforms.get(domain, (4, 64)).layout
        assert steps_of(layout, (0.01,)) is None
        assert not any("Hz" in text for text in band_texts(layout, (0.01,), "s").values())
    over_time = pb.transforms.get("per_axis(pixel, dct)", (4, 64)).layout
    assert band_texts(over_time, (0.01,), "s")["octave 1"] == "25–50 Hz"


def test_one_axis_of_a_volume_has_the_step_of_that_axis() -> None:
    layout = pb.transforms.get("along(dct, axes=2)", (1, 8, 8, 8)).layout
    assert band_texts(layout, (1.0, 2.0, 4.0), "mm")["octave 1"] == "0.125–0.25 cycles/mm (4–8 mm)"


def test_a_range_per_mm_has_its_periods_in_mm_and_no_other_unit_has() -> None:
    layout = pb.transforms.get("dct", (1, 8, 8, 8)).layout
    texts = band_texts(layout, (0.5, 0.5, 2.0), "mm")
    assert texts["octave 1"] == "0.5–1 × 0.5–1 × 0.125–0.25 cycles/mm (1–2 × 1–2 × 4–8 mm)"
    assert texts["coarser"].endswith("cycles/mm (≥ 16 × ≥ 16 × ≥ 64 mm)")
    assert band_texts(layout, (0.5, 0.5, 0.5), "mm")["octave 1"] == "0.5–1 cycles/mm (1–2 mm)"
    assert not any("(" in text for text in band_texts(layout, (1.0, 1.0, 1.0), "voxel").values())


def test_units_of_all_kinds() -> None:
    assert [frequency_unit(unit) for unit in ("s", "mm", "pixel", "sample")] == [
        "Hz",
        "cycles/mm",
        "cycles/pixel",
        "cycles/sample",
    ]
    picture = pb.transforms.get("dct", (3, 8, 8)).layout
    assert band_texts(picture, (1.0, 1.0), "pixel")["octave 1"] == "0.25–0.5 cycles/pixel"


@pytest.mark.parametrize("name", KINDS)
def test_every_default_domain_can_be_built_also_for_small_signals(name: str) -> None:
    kind = KINDS[name]
    for size in (8, 33):
        shape = (3 if name == "image" else 1, *[size + axis for axis in range(kind.axes)])
        for domain in {*kind.domains(shape), *kind.explained(shape)} if name != "image" else kind.explained((3, 64, 64)):
            transform = pb.transforms.get(domain, shape if name != "image" else (3, 64, 64))
            x: Tensor = torch.randn(1, *transform.shape, generator=torch.Generator().manual_seed(0))
            assert torch.allclose(transform.inverse(transform(x)), x, atol=1e-5)


@pytest.mark.parametrize("samples", [40, 3001, 120_000])
def test_a_long_line_is_averaged_as_a_short_one_in_little_time(samples: int) -> None:
    line = torch.randn(samples, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    line[: samples // 2] = 0
    radius = max(17.0, samples / 400)
    found, wanted = density(line, radius), ndimage.gaussian_filter(line.abs().numpy(), radius)
    assert np.abs(found - wanted).max() < 1e-12
    assert found.min() >= 0


@pytest.mark.parametrize(
    ("name", "shape"), [("image", (3, 224, 224)), ("audio", (1, 160_000)), ("volume", (1, 64, 64, 64)), ("series", (3, 1000))]
)
def test_the_guide_lists_the_default_domains(name: str, shape: tuple[int, ...]) -> None:
    """Of signals of a usual size; Haar wavelets with levels of their own along each axis are named in words."""
    page = (ROOT / "docs" / "command-line.md").read_text()
    [row] = [line for line in page.splitlines() if line.startswith(f"| {name} |") and "`pixel`" in line]
    compared, explained = row.split("|")[2:4]
    named = [f"`{spec}`" for spec in KINDS[name].domains(shape) if not spec.startswith("per_axis(pixel")]
    assert [spec for spec in named if spec not in compared] == []
    assert [spec for spec in KINDS[name].explained(shape) if f"`{spec}`" not in explained] == []
    assert compared.count("`") == 2 * len(named)
