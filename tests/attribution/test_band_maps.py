"""Maps that figures draw: their sums are the bars beside them, and each lies where its own octave is read."""

import math

import pytest
import torch
from torch import Tensor

import pullback as pb
from pullback.attribution.plot import as_shares, band_maps, plot

PLACE = torch.arange(256, dtype=torch.float64)
FINE, COARSE = torch.cos(2 * math.pi * 0.35 * PLACE), torch.cos(2 * math.pi * 0.05 * PLACE)
LEFT = torch.sigmoid((100 - PLACE) / 4)
RIGHT = torch.sigmoid((PLACE - 156) / 4)
WEIGHT = FINE * LEFT + COARSE * RIGHT  # the model reads fine waves on the left, and coarse ones on the right
DOMAINS = ("dct", "dft", "dwt(db8, level=3)", "dwt(bior2.2, level=3)", "stft(size=16)")


def reads_left_and_right(domain: str, method: str = "input_x_gradient") -> pb.Attribution:
    x = (FINE + COARSE)[None, None]  # which has both everywhere
    return pb.attribute(lambda x: (x[:, 0] * WEIGHT).sum(1), x, method=method, transform=domain)


def left(maps: Tensor) -> float:
    return float(maps[:128].abs().sum() / maps.abs().sum())


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("method", ["input_x_gradient", "gradient", "occlusion"])
def test_a_map_sums_to_its_bar(domain: str, method: str) -> None:
    att = reads_left_and_right(domain, method)
    maps = band_maps(att)
    assert maps.min() >= 0
    share = as_shares(maps)[0].sum(1).numpy()
    assert share == pytest.approx(att.importance("octave").iloc[0].to_numpy(), abs=1e-10)
    assert float(maps.sum()) == pytest.approx(float(att.values.abs().sum()), rel=1e-10)


@pytest.mark.parametrize("domain", DOMAINS)
def test_an_octave_is_drawn_where_the_model_reads_it(domain: str) -> None:
    """The control is |heatmap|, which multiplies by the gradient of all octaves and so shows the fine one on both sides."""
    att = reads_left_and_right(domain)
    names = [band.name for band in att.layout.group("octave").bands]
    fine, own = names.index("octave 1"), band_maps(att)[0]
    assert left(own[fine]) > 0.9
    assert left(own[: names.index("octave 3") + 1].sum(0)) < 0.25
    assert left(att.heatmap("octave")[0, fine]) < 0.7


def test_the_note_of_a_figure_says_what_is_drawn() -> None:
    figure = plot(reads_left_and_right("dct"))
    assert "the sum of a map is its bar" in str(figure.get_supxlabel())


def test_a_score_that_never_changes_has_empty_maps() -> None:
    att = pb.attribute(lambda x: 0 * x.flatten(1).sum(1), torch.ones(2, 1, 8, 8), transform="dct")
    assert not band_maps(att).any()
    assert not as_shares(band_maps(att)).any()
