"""Pictures of single volumes, as in the paper and as slices, and files for a viewer of volumes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from scipy import ndimage
from torch import Tensor

from ...attribution.plot import robust_limit
from ...core.files import slug, write_whole
from ..kinds import Signal
from ..kinds.volume import nifti_bytes
from ..report.figures import save
from .maps import Cells
from .settings import stem
from .subject import Subject, explained, object_of

KEPT = 0.1  # of the coefficients, in the signals that are written
_COLOURS = ("#e6b800", "#e8762b", "#7a4fb5", "#1f5fbf")  # coarse (yellow) to fine (blue), as in the paper
_SMOOTH = 0.7  # voxels
Panel = tuple[str, np.ndarray, list[np.ndarray], list[str], np.ndarray, float]


def pictured(subject: Subject, out: Path) -> list[str]:
    """Draws and writes the first volumes of a data set, by the first method in the first domain. Returns the files' names.

    scales-MODEL-DATA.png: as the paper's figure. For each volume: slices and projections of each octave, and NIfTI files of the
    volume, the map, the octaves, and the signed distance to the surface.
    """
    settings, files, panels = subject.settings, list[str](), list[Panel]()
    name = stem(subject.name, subject.data)
    for photo, signal in subject.signals(settings.pictures):
        try:
            distance, border = object_of(signal, settings.border_of(subject.data))
        except ValueError:  # no surface; the study says so
            continue
        (att, *_), _, chosen = explained(subject, signal)
        cells = Cells(att.transform)
        maps = list(cells(att.values.abs())[0].cpu().numpy())
        shown = subject.model.class_name(chosen) or f"class {chosen}"
        panels.append((f"{photo.name}: {shown}", signal.values.mean(0).cpu().numpy(), maps, cells.octaves, distance, border))
        title = f"{photo.name} as {shown}: {settings.methods[0]} in {settings.transforms[0]}"
        own = f"{name}-{slug(photo.name)}"
        figures = subject.model.signals.figures(att, signal, title, subject.model.picture())
        files += [save(figure, out / f"{own}{end}.png") for end, figure in figures.items()]
        files += _niftis(subject, att, signal, distance, out, own)
    if panels:
        files.insert(0, save(_scales(subject, panels), out / f"scales-{name}.png"))
    return files


def _niftis(subject: Subject, att: Any, signal: Signal, distance: np.ndarray, out: Path, own: str) -> list[str]:
    made = subject.model.signals.files(att, signal, KEPT)
    field: Tensor = torch.from_numpy(distance)[None]
    made |= {"-volume.nii.gz": nifti_bytes(signal.values, signal), "-distance.nii.gz": nifti_bytes(field, signal)}
    for end, data in made.items():
        write_whole(out / f"{own}{end}", lambda path, data=data: Path(path).write_bytes(data))  # type: ignore[misc]
    return [f"{own}{end}" for end in made]


def _scales(subject: Subject, panels: Sequence[Panel]) -> Figure:
    """Mean along the first axis of each volume and of each scale's importance, coarse scales yellow and fine ones blue.

    The line is the outline of the object in the same projection.
    """
    count = max(len(maps) for _, _, maps, _, _, _ in panels)
    figure = Figure(figsize=(2.2 * (count + 2), 0.7 + 2.35 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), count + 2, squeeze=False)
    for row, (name, values, maps, octaves, distance, _) in zip(axes, panels):
        outline = (distance < 0).any(0)
        row[0].imshow(values.mean(0), cmap="gray_r" if subject.data == "digits3d" else "gray")
        row[0].set_title(name[:34], fontsize=8)
        flat = [ndimage.gaussian_filter(one.mean(0), _SMOOTH) for one in maps]
        for number, (axis, one, octave) in enumerate(zip(row[1:], flat, octaves)):
            axis.imshow(one, cmap=_shade(number, count), vmin=0, vmax=max(robust_limit([one]), 1e-30))
            axis.contour(outline, [0.5], colors="0.5", linewidths=0.6)
            axis.set_title(octave, fontsize=8)
        row[-1].imshow(_together(flat, count))
        row[-1].contour(outline, [0.5], colors="0.5", linewidths=0.6)
        row[-1].set_title("details together", fontsize=8)
    for axis in axes.ravel():
        axis.set_xticks([])
        axis.set_yticks([])
    what = f"{subject.settings.methods[0].partition('(')[0]} in {subject.settings.transforms[0]}"
    figure.suptitle(
        f"{Path(subject.data).name}: importance of each scale, coarse (yellow) to fine (blue)\n{what}; means along axis 1",
        fontsize=9,
    )
    return figure


def _shade(number: int, count: int) -> LinearSegmentedColormap:
    """White to the colour of a scale."""
    return LinearSegmentedColormap.from_list("scale", ["white", _colour(number, count)])


def _colour(number: int, count: int) -> str:
    return _COLOURS[round(number * (len(_COLOURS) - 1) / max(1, count - 1))]


def _together(flat: Sequence[np.ndarray], count: int) -> np.ndarray:
    """The details in their colours over each other: each colour as deep as its scale is important at a place."""
    picture = np.ones((*flat[0].shape, 3))
    for number, one in list(enumerate(flat))[1:]:
        depth = np.clip(one / max(robust_limit([one]), 1e-30), 0, 1)[..., None]
        picture *= 1 - depth * (1 - np.array(_shade(number, count)(1.0)[:3]))
    return picture
