"""What the figures and files of volumes say: scales, planes, places and the names of octaves."""

import base64
import io
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import pullback as pb
from pullback.attribution.plot import band_maps
from pullback.studies.kinds import KINDS, Signal
from pullback.studies.kinds.slices import _place, slices
from pullback.studies.kinds.volume import nifti_bytes
from pullback.studies.report import figures
from pullback.studies.report.views import Drawing, _faces

VOLUME = KINDS["volume"]
AFFINE = np.array([[-0.9, 0, 0, 18.0], [0, 0.9, 0, -21], [0, 0, 2.5, -37], [0, 0, 0, 1]])


def scan(size: tuple[int, ...] = (20, 24, 16)) -> Signal:
    values = 1 + 0.1 * torch.randn(1, *size, generator=torch.Generator().manual_seed(0))
    values[0, 11:14, 5:8, 9:12] = 5.0
    return Signal(values, (0.9, 0.9, 2.5), "mm", "scan", origin=AFFINE)


def maps(signal: Signal, domains: list[str]) -> list[pb.Attribution]:
    power = lambda x: x.flatten(1).square().sum(1)
    found = pb.attribute(power, signal.values[None].double(), method="input_x_gradient", transform=domains)
    return found


def titles(figure: Figure) -> list[str]:
    return [text for axis in figure.axes if (text := axis.get_title())]


def test_octaves_that_are_added_up_are_named_and_their_shares_add_up() -> None:
    signal = scan((128, 4, 4))
    [att] = maps(signal, ["dct"])
    shares = att.importance("octave").iloc[0]
    assert list(shares.index)[:2] == ["coarser", "octave 8"]  # more than are drawn
    drawn = titles(slices(att, band_maps(att)[0], signal, "scan"))[1:6]
    rest = shares[["coarser", "octave 8", "octave 7", "octave 6"]].sum()
    assert drawn[0].startswith(f"coarser and octaves 6–8: {rest:.1%} of")
    assert not any(title.startswith("coarser:") for title in drawn)
    [few] = maps(signal, ["dwt(haar, level=2)"])  # the control: nothing is added up
    own = few.importance("octave").iloc[0]["coarser"]
    assert titles(slices(few, band_maps(few)[0], signal, "scan"))[1].startswith(f"coarser: {own:.1%} of")


def test_titles_have_a_range_for_each_axis_where_they_differ_and_one_where_they_are_equal() -> None:
    signal = scan()
    [att] = maps(signal, ["dwt(haar, level=1)"])
    said = lambda one: " ".join(titles(slices(att, band_maps(att)[0], one, "scan"))[2].split("\n")[1:])
    assert said(signal) == "0.278–0.556 × 0.278–0.556 × 0.1–0.2 cycles/mm (1.8–3.6 × 1.8–3.6 × 5–10 mm)"
    assert said(replace(signal, step=(1.0,) * 3)) == "0.25–0.5 cycles/mm (2–4 mm)"


def test_all_linear_domains_of_a_scan_show_the_same_slices_and_say_which() -> None:
    signal = scan()
    drawn = lambda att, one: titles(slices(att, band_maps(att)[0], one, "scan"))
    heads = [drawn(att, signal) for att in maps(signal, ["pixel", "dwt(haar, level=2)", "dct"])]
    wanted = {
        "volume, axis 1 (sagittal)\nslice 12 of 20 (from 0)",
        "volume, axis 2 (coronal)\nslice 6 of 24 (from 0)",
        "volume, axis 3 (axial)\nslice 10 of 16 (from 0)",
    }
    assert [wanted <= set(head) for head in heads] == [True] * 3
    bare = drawn(maps(signal, ["pixel"])[0], replace(signal, origin=None))
    assert "volume, axis 3\nslice 10 of 16 (from 0)" in bare  # without an affine the planes have no names


def test_the_edge_of_a_scan_is_chosen_only_where_the_largest_average_is() -> None:
    map_ = torch.ones(9, 9, 9)
    assert all(0 < at < 8 for at in _place(map_))  # of equal values none at the edge
    map_[0, 4, 4] = 99.0
    assert _place(map_)[0] == 0


def test_places_of_equal_values_are_not_chosen_by_rounding() -> None:
    map_ = torch.zeros(9, 9, 9)
    map_[2, 4, 4], map_[6, 4, 4] = 1.0, 1 + 1e-6
    assert _place(map_) == (2, 4, 4)


def test_maps_have_a_bar_and_say_that_they_have_no_sign() -> None:
    signal = scan()
    for figure in VOLUME.figures(maps(signal, ["dct"])[0], signal, "scan").values():
        assert "without sign" in figure.get_supxlabel()
        assert "|a| per voxel" in figure.axes[-1].get_ylabel()


def test_a_file_of_octaves_names_each_of_its_volumes(tmp_path: Path) -> None:
    signal = scan()
    [att] = maps(signal, ["dwt(haar, level=2)"])
    read = {}
    for end, data in VOLUME.files(att, signal, 0.1).items():
        (tmp_path / f"a{end}").write_bytes(data)
        read[end] = nibabel.load(tmp_path / f"a{end}")
    octaves = read["-octaves.nii.gz"]
    assert octaves.header["descrip"].item() == b"pullback: signed octaves: coarser, 2, 1"
    [said] = [one for one in octaves.header.extensions if one.get_code() == 6]
    lines = bytes(said.get_content()).rstrip(b"\0").decode().splitlines()
    assert lines[2] == "volume 1: octave 2 0.139–0.278 × 0.139–0.278 × 0.05–0.1 cycles/mm (3.6–7.2 × 3.6–7.2 × 10–20 mm)"
    assert len(lines) == 1 + octaves.shape[3]
    for place, map_ in enumerate(att.heatmap("octave")[0]):
        assert octaves.get_fdata()[..., place] == pytest.approx(map_.numpy(), abs=1e-5)


def test_a_long_description_is_cut_to_what_a_header_holds(tmp_path: Path) -> None:
    for length, held in ((79, b"x" * 79), (80, b"x" * 76 + b"...")):
        (tmp_path / "a.nii.gz").write_bytes(nifti_bytes(torch.zeros(1, 2, 2, 2), scan(), "x" * length))
        assert nibabel.load(tmp_path / "a.nii.gz").header["descrip"].item() == held


def test_comparisons_draw_volumes_in_true_proportions_with_the_head_up() -> None:
    signal = scan()
    named = [("dwt(haar, level=2)", one) for one in maps(signal, ["dwt(haar, level=2)"])]
    drawn = (
        figures._heatmaps(named, "scan", None, signal),
        figures._reconstructions([named[0][1]], ["dwt"], "scan", None, signal),
    )
    for figure in drawn:
        panels = [axis for axis in figure.axes if axis.images]
        assert [axis.get_aspect() for axis in panels] == pytest.approx([2.5 / 0.9] * len(panels))
        assert {"".join(text.get_text() for text in axis.texts) for axis in panels} == {"PASI"}
        assert {axis.images[0].get_array().shape for axis in panels} == {(16, 24)}
        assert "axis 1 (sagittal)" in figure.get_supxlabel()
    picture = figures._heatmaps(named, "scan", None)  # the control: no grid, no sides
    assert not any(axis.texts for axis in picture.axes)


def test_the_picture_at_the_head_of_a_report_has_the_head_up() -> None:
    signal = scan()
    signal.values[:, :, :, -3:] = 20.0  # bright at the top of the head
    shown = Drawing(signal, None, lambda values: {}).shown(signal.values)["image"]
    levels = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.partition(",")[2]))).convert("L"), float)
    assert levels.shape == (3 * 16, 24)
    assert levels[:6].mean() > 200 > 100 > levels[-6:].mean()


def test_large_scans_have_true_proportions_at_the_head_of_a_report_too() -> None:
    signal = Signal(torch.rand(1, 4, 128, 32), (1.0, 1.0, 4.0), "mm", "scan", origin=np.diag([1.0, 1, 4, 1]))
    shown = Drawing(signal, None, lambda values: {}).shown(signal.values)
    assert shown["size"] == [4, 64, 32]  # fewer voxels along one axis only
    picture = Image.open(io.BytesIO(base64.b64decode(shown["image"].partition(",")[2])))
    assert picture.size == (64, 64)  # 128 mm × 128 mm


def test_the_slices_of_a_report_are_turned_as_those_of_figures() -> None:
    turned = np.array([[0, 0, -0.8, 5.0], [0, 1.0, 0, 6], [1.5, 0, 0, 7], [0, 0, 0, 1]])  # slices upwards, rows to the front
    faces = _faces(replace(scan(), origin=turned))
    assert [(one["down"], one["across"], one["up"], one["sides"]) for one in faces] == [
        (1, 2, True, "RLAP"),
        (0, 2, True, "RLSI"),
        (0, 1, True, "PASI"),
    ]
    assert [one["name"] for one in faces] == ["Axis 1 (axial)", "Axis 2 (coronal)", "Axis 3 (sagittal)"]
    assert [(one["down"], one["across"], one["up"]) for one in _faces(scan())] == [(2, 1, True), (2, 0, True), (1, 0, True)]
    bare = _faces(replace(scan(), origin=None))
    assert [(one["down"], one["across"], one["up"], one["sides"]) for one in bare] == [
        (1, 2, False, ""),
        (0, 2, False, ""),
        (0, 1, False, ""),
    ]


@pytest.mark.parametrize("unit", ["", " cycles/mm (3.6–7.2 × 3.6–7.2 × 10–20 mm)"])
def test_the_legend_of_octaves_is_inside_of_the_figure(unit: str) -> None:
    names = [f"octave {number}" for number in range(4, 0, -1)]
    domains = ["dwt(haar, level=4)", "per_axis(pixel, dwt(haar, level=4), dwt(haar, level=4), dwt(haar, level=4))"]
    table = pd.DataFrame([{"transform": domain} | {f"share {name}": 0.25 for name in names} for domain in domains])
    figure = figures._octave_bars(table, dict.fromkeys(names, "0.139–0.278 × 0.139–0.278 × 0.05–0.1" + unit) if unit else {})
    figure.draw_without_rendering()
    [legend] = figure.legends
    box, page = legend.get_window_extent(), figure.bbox
    assert page.x0 <= box.x0 < box.x1 <= page.x1
    assert page.y0 <= box.y0 < box.y1 <= page.y1
    assert figure.axes[0].get_window_extent().width > 0.5 * page.width
    assert [text.get_text().partition(":")[0] for text in legend.get_texts()] == names
