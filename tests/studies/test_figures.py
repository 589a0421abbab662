"""What pictures show: whole lines, true scales, even columns, photos as people see them."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from pullback import attribute
from pullback.attribution.plot import POINTS, SIDE, draw_signal, extremes, plot, shrunk
from pullback.core.imports import import_matplotlib
from pullback.studies.axiom_matrix.figure import figure as matrix_figure
from pullback.studies.loaders.models import LoadedModel
from pullback.studies.loaders.preparation import Preparation
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


# Long signals ------------------------------------------------------------------------------------------------------------


def test_a_long_line_is_drawn_by_the_extremes_of_its_blocks() -> None:
    """Every peak and every trough stays at its place; a short line stays whole."""
    line = np.random.default_rng(0).normal(size=441_000)
    line[[17, 250_001, 440_999]] = 40, -50, 60
    places, values = extremes(line)
    assert len(places) <= POINTS
    assert (np.diff(places) >= 0).all()
    assert (line[places] == values).all()
    assert {17, 250_001, 440_999} < set(places)
    for block in np.array_split(np.arange(441_000), 700):  # any block of a pixel's width has its extremes within a pixel
        near = values[(places >= block[0] - 700) & (places <= block[-1] + 700)]
        assert near.max() >= line[block].max()
        assert near.min() <= line[block].min()
    for length in (1, 2, POINTS - 1, POINTS):
        assert extremes(line[:length])[1].tolist() == line[:length].tolist()
    for length in (POINTS + 1, 2 * POINTS + 1, 3 * POINTS - 1):
        places, values = extremes(line[:length])
        assert (values.max(), values.min()) == (line[:length].max(), line[:length].min())
        assert places.max() < length


def test_a_large_image_is_drawn_by_the_largest_of_its_blocks() -> None:
    image = np.zeros((2_501, 40))
    image[2_500, 39] = 7
    small = shrunk(image, np.max)
    assert small.shape == (834, 40)
    assert small.max() == small[-1, -1] == 7
    assert shrunk(np.ones((30, 2_000, 3)), np.mean).shape == (30, 1_000, 3)
    assert shrunk(image[:900], np.max).shape == (900, 40)


@pytest.mark.parametrize("shape", [(1, 1, 60_000), (1, 40, 5_000), (1, 1, 8, 5_000)], ids=str)
def test_a_figure_has_no_more_points_than_pixels_whatever_the_signal(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    figure = plot(attribute(lambda x: x.flatten(1).pow(2).sum(1), x, method="gradient", transform="dwt(haar, level=1)"))
    lines = [line for axis in figure.axes for line in axis.lines]
    areas = [path for axis in figure.axes for area in axis.collections for path in area.get_paths()]
    images = [image.get_array() for axis in figure.axes for image in axis.images]
    assert all(len(line.get_xdata()) <= POINTS for line in lines)
    assert all(len(path.vertices) <= 2 * POINTS + 3 for path in areas)
    assert all(max(image.shape[:2]) <= SIDE for image in images)
    assert len(lines) + len(images) > 0
    if lines:
        assert max(line.get_ydata().max() for line in lines) == x.max()
    for axis in figure.axes:
        if axis.images:
            assert axis.images[0].get_extent() == [-0.5, shape[-1] - 0.5, shape[-2] - 0.5, -0.5]


def test_no_text_of_a_figure_is_a_formula(tmp_path: Path) -> None:
    """The names of domains, models and classes may hold dollar signs; the control shows that they would be formulas."""
    wrong = "a_b^c$\\frac$ x"
    drawn = Figure()
    axis = drawn.subplots()
    axis.barh([wrong, "pixel"], [1, 2], label=wrong)
    axis.set_title(wrong)
    axis.legend()
    drawn.suptitle(wrong)
    with pytest.raises(ValueError, match="frac"):
        drawn.savefig(tmp_path / "control.png")
    assert figures.save(drawn, tmp_path / "a.png") == "a.png"
    names = dict.fromkeys(("model", "transform", "method", "axiom"), wrong)
    table = pd.DataFrame([names | {"verdict": "kept", "agrees": None, "reason": ""}])
    assert figures.save(matrix_figure(table), tmp_path / "b.png") == "b.png"
    with Image.open(tmp_path / "b.png") as image:
        assert image.size[0] > 100


# Without a screen ------------------------------------------------------------------------------------------------------


@pytest.fixture
def without_matplotlib() -> Iterator[None]:
    """Inside, matplotlib is imported anew."""
    names = [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]
    kept = {name: sys.modules.pop(name) for name in names}
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            del sys.modules[name]
        sys.modules.update(kept)


@pytest.mark.parametrize(("backend", "kept"), [("no such backend", False), ("svg", True), ("", False)])
def test_figures_need_no_backend(backend: str, kept: bool, without_matplotlib: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", backend)
    import_matplotlib()
    assert os.environ["MPLBACKEND"] == backend
    import matplotlib

    assert (matplotlib.get_backend(auto_select=False) == backend) == kept
