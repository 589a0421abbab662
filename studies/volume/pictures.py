"""Pictures of single volumes, as in the paper and as slices, and files for a viewer of volumes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from scipy import ndimage

from ...attribution import Attribution
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


@dataclass(frozen=True)
class Panel:
    """One row of the figure of scales: the volume, the map of each octave, and whether a voxel is inside the object."""

    name: str
    values: np.ndarray
    maps: list[np.ndarray]
    octaves: list[str]
    inside: np.ndarray


def pictured(subject: Subject, out: Path) -> list[str]:
    """Draws and writes the first volumes of a data set, by the first method in the first domain. Returns the files' names.

    scales-MODEL-DATA.png: as the paper's figure. For each volume: slices and projections of each octave, and NIfTI files of the
    volume, the map, the octaves, and the signed distance to the surface.
    """
    first = replace(subject.settings, methods=subject.settings.methods[:1], transforms=subject.settings.transforms[:1])
    subject, files, panels = replace(subject, settings=first), list[str](), list[Panel]()
    for photo, signal in subject.signals(first.pictures):
        try:
            distance, _ = object_of(signal, first.border_of(subject.data))
        except ValueError:  # no surface; the study says so
            continue
        (att,), _, chosen = explained(subject, signal)
        name = f"{photo.name} as {subject.model.class_name(chosen) or f'class {chosen}'}"
        panels.append(_panel(name, signal, att, distance))
        files += _files(subject, att, signal, distance, name, out / f"{stem(subject.name, subject.data)}-{slug(photo.name)}")
    if panels:
        files.insert(0, save(_scales(subject, panels), out / f"scales-{stem(subject.name, subject.data)}.png"))
    return files


def _panel(name: str, signal: Signal, att: Attribution, distance: np.ndarray) -> Panel:
    cells = Cells(att.transform)
    maps = list(cells(att.values.abs())[0].cpu().numpy())
    return Panel(name, signal.values.mean(0).cpu().numpy(), maps, cells.octaves, distance < 0)


def _files(subject: Subject, att: Attribution, signal: Signal, distance: np.ndarray, name: str, path: Path) -> list[str]:
    """The figures and the NIfTI files of one volume.  path: the beginning of their names."""
    title = f"{name}, {subject.settings.methods[0]} in {subject.settings.transforms[0]}"
    figures = subject.model.signals.figures(att, signal, title, subject.model.picture())
    drawn = [save(figure, path.with_name(f"{path.name}{end}.png")) for end, figure in figures.items()]
    return drawn + _niftis(subject, att, signal, distance, path)


def _niftis(subject: Subject, att: Attribution, signal: Signal, distance: np.ndarray, path: Path) -> list[str]:
    made = subject.model.signals.files(att, signal, KEPT)
    field = torch.from_numpy(distance)[None]
    made |= {"-volume.nii.gz": nifti_bytes(signal.values, signal), "-distance.nii.gz": nifti_bytes(field, signal)}
    for end, data in made.items():
        write_whole(path.with_name(f"{path.name}{end}"), lambda place, data=data: Path(place).write_bytes(data))  # type: ignore[misc]
    return [f"{path.name}{end}" for end in made]


def _scales(subject: Subject, panels: Sequence[Panel]) -> Figure:
    """Mean along the first axis of each volume and of each scale's importance, coarse scales yellow and fine ones blue.

    The line is the outline of the object in the middle slice along that axis.
    """
    count = max(len(panel.maps) for panel in panels)
    figure = Figure(figsize=(2.4 * (count + 1), 0.8 + 2.55 * len(panels)), layout="constrained")
    for row, panel in zip(figure.subplots(len(panels), count + 1, squeeze=False), panels):
        _row(row, panel, count)
    about = f"{Path(subject.data).name}: importance of each scale, coarse (yellow) to fine (blue)"
    what = f"{subject.settings.methods[0].partition('(')[0]} in {subject.settings.transforms[0]}"
    figure.suptitle(f"{about}\n{what}; means along axis 1", fontsize=11)
    return figure


def _row(axes: Sequence[Axes], panel: Panel, count: int) -> None:
    flat = [ndimage.gaussian_filter(one.mean(0), _SMOOTH) for one in panel.maps]
    axes[0].imshow(panel.values.mean(0), cmap="gray")
    for number, (axis, one) in enumerate(zip(axes[1:], flat)):
        axis.imshow(one, cmap=_shade(number, count), vmin=0, vmax=max(robust_limit([one]), 1e-30))
    for axis, title in zip(axes, (panel.name.replace(" as ", "\nas "), *panel.octaves)):
        axis.set_title(title, fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
    for axis in axes[1:]:
        axis.contour(panel.inside[len(panel.inside) // 2], [0.5], colors="0.35", linewidths=0.8)


def _shade(number: int, count: int) -> LinearSegmentedColormap:
    """White to the colour of a scale."""
    return LinearSegmentedColormap.from_list("scale", ["white", _colour(number, count)])


def _colour(number: int, count: int) -> str:
    return _COLOURS[round(number * (len(_COLOURS) - 1) / max(1, count - 1))]
