"""What pictures show: whole lines, true scales, even columns, photos as people see them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from pullback import attribute
from pullback.attribution.plot import draw_signal, plot
from pullback.studies.loaders.models import LoadedModel, Preparation
from pullback.studies.report import figures


def network() -> nn.Module:
    """A classifier of 16 × 16 pictures."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 5), nn.Tanh()).eval()


def test_panels_of_maps_say_all_of_their_shares() -> None:
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for spec, names in (("dwt(haar, level=2)", ["coarser", "octave 2", "octave 1"]), ("dct", ["coarser", "octave 1"])):
        one = attribute(network(), x, 0, transform=spec)
        shares = figures._merged_shares(one, names)
        octaves = one.importance("octave").iloc[0]
        assert shares["octave 1"] == pytest.approx(octaves["octave 1"])
        assert shares["coarser"] == pytest.approx(octaves.sum() - sum(octaves[name] for name in names[1:]))


def test_lines_are_not_cut_off_and_their_scale_is_said() -> None:
    x = torch.randn(1, 1, 256, generator=torch.Generator().manual_seed(0))
    figure = plot(attribute(lambda x: x.flatten(1).pow(2).sum(1), x, transform="dwt(haar, level=2)"))
    panels = figure.axes[1:-1]
    tops = [panel.collections[0].get_paths()[0].vertices[:, 1].max() for panel in panels]
    assert all(panel.get_ylim()[1] > max(tops) for panel in panels)
    assert len({panel.get_ylim() for panel in panels}) == 1
    assert "one linear scale" in figure.get_supxlabel()
    assert "√" not in figure.get_supxlabel()


def test_volumes_say_that_they_are_means_and_images_that_they_are_on_a_root_scale() -> None:
    for shape, said in (((1, 1, 4, 8, 8), True), ((1, 1, 8, 8), False)):
        x = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
        figure = plot(attribute(lambda x: x.flatten(1).pow(2).sum(1), x, transform="dwt(haar, level=1)"))
        assert ("mean over axis 1" in figure.get_supxlabel()) == said
        assert ("mean over axis 1" in figure.axes[0].get_title()) == said
        assert "one √ scale" in figure.get_supxlabel()


def test_the_columns_of_a_figure_are_evenly_spaced() -> None:
    x = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    figure = plot(attribute(lambda x: x.flatten(1).pow(2).sum(1), x, transform="dct"))
    figure.canvas.draw()
    lefts = sorted({round(axis.get_position().x0, 3) for axis in figure.axes if len(axis.images)})
    steps = np.diff(lefts)
    assert len(lefts) == 6
    assert steps.max() - steps.min() < 0.1 * steps.mean()


def test_photos_are_drawn_as_they_were_read_where_the_preparation_is_known(tmp_path: Path) -> None:
    """A dull green is neither stretched to white and black nor tinted by mean and std."""
    green = Image.new("RGB", (20, 20), (90, 140, 80))
    for prepare, known in ((Preparation(16), True), (lambda image: Preparation(16)(image), False)):
        model = LoadedModel("tiny", network(), prepare)
        x = model.prepare(green)[None]
        axis = Figure().subplots()
        draw_signal(axis, x[0], show=model.picture())
        drawn = np.asarray(axis.images[0].get_array())
        assert np.allclose(drawn, np.array([90, 140, 80]) / 255, atol=1e-6) == known
    seen: list[np.ndarray] = []
    one = attribute(network(), x, 0, method="gradient")
    figure = plot(one, show=lambda x: x * 0 + 0.25)
    seen.append(np.asarray(figure.axes[0].images[0].get_array()))
    figure = figures._reconstructions([one], ["pixel"], "the photo", lambda x: x * 0 + 0.25)
    seen += [np.asarray(axis.images[0].get_array()) for axis in figure.axes]
    assert all(np.allclose(image, 0.25) for image in seen)
