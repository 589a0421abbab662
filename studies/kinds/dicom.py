"""A DICOM series: the slices of a volume, each in a file of its own, or one file with several frames."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...core.files import plain
from ...core.imports import needs
from .base import check_size
from .signal import sizes

UNEVEN = 0.01  # the largest relative difference of two distances of slices
TO_RAS = np.array([-1.0, -1.0, 1.0])  # DICOM's patient axes point to the left and back, those of NIfTI to the right and front


def read_dicom(path: Path) -> tuple[np.ndarray, np.ndarray | None, tuple[float, ...], list[str]]:
    """Values (slices, rows, columns), the affine to NIfTI's millimetres if it is known, the three steps in mm, and notes.

    path: a folder with the files of a series, or one file.  Values are scaled with the slope and intercept of the file.
    Raises: ValueError with one sentence.
    """
    with needs("Reading DICOM", "'pullback[volume]'"):
        import pydicom
    notes: list[str] = []
    slices, others = _slices(pydicom, path)
    if not slices:
        raise ValueError(f"{plain(path.name)}: holds no DICOM file with a picture.")
    if others:
        notes.append(f"{others} files without a DICOM picture left out")
    slices = _one_series(slices, notes)
    shapes = Counter((int(each["Rows"].value), int(each["Columns"].value)) for each in slices)
    if len(shapes) > 1:
        found = " and ".join(sizes(shape) for shape, _ in shapes.most_common(2))
        raise ValueError(f"{plain(path.name)}: its slices have {len(shapes)} sizes ({found}); keep those of one size.")
    frames = int(getattr(slices[0], "NumberOfFrames", 1) or 1)
    if frames > 1 and len(slices) > 1:
        raise ValueError(f"{plain(path.name)}: holds several files of several frames each; take one file.")
    check_size(path.name, (len(slices) * frames, *next(iter(shapes))))
    slices, affine, step = _placed(path, slices, frames, notes)
    values = np.concatenate([_values(path, each) for each in slices])
    return values, affine, step, notes


def _slices(pydicom: Any, path: Path) -> tuple[list[Any], int]:
    """The files with a picture, and how many others there are."""
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    found = []
    for file in files:
        try:
            one = pydicom.dcmread(file)
        except (pydicom.errors.InvalidDicomError, EOFError, OSError, ValueError, AttributeError, KeyError):
            continue
        if "PixelData" in one and "Rows" in one and "Columns" in one:
            found.append(one)
    return found, len(files) - len(found)


def _one_series(slices: Sequence[Any], notes: list[str]) -> list[Any]:
    """The slices of the series with the most of them."""
    counts = Counter(str(getattr(each, "SeriesInstanceUID", "")) for each in slices)
    chosen = counts.most_common(1)[0][0]
    if len(counts) > 1:
        notes.append(f"the longest of {len(counts)} series: {counts[chosen]} of {len(slices)} slices")
    return [each for each in slices if str(getattr(each, "SeriesInstanceUID", "")) == chosen]


def _placed(
    path: Path, slices: list[Any], frames: int, notes: list[str]
) -> tuple[list[Any], np.ndarray | None, tuple[float, ...]]:
    """The slices in their order, the affine, and the steps. Places that are not known are taken as a unit apart."""
    first = slices[0]
    rows, columns = (float(size) for size in getattr(first, "PixelSpacing", None) or (1.0, 1.0))
    thick = float(getattr(first, "SpacingBetweenSlices", None) or getattr(first, "SliceThickness", None) or 1.0)
    cosines = getattr(first, "ImageOrientationPatient", None)
    places = [getattr(each, "ImagePositionPatient", None) for each in slices]
    if frames > 1 or cosines is None or any(place is None for place in places):
        slices = sorted(slices, key=lambda each: int(getattr(each, "InstanceNumber", 0) or 0))
        notes.append("the files do not say where slices are; their order is that of their numbers")
        return slices, None, (thick, rows, columns)
    across, down = np.array(cosines, float).reshape(2, 3)
    normal = np.cross(across, down)
    points = np.array([[float(value) for value in place] for place in places if place is not None])
    order = np.argsort(points @ normal, kind="stable")
    slices, points = [slices[i] for i in order], points[order]
    gaps = np.diff(points @ normal)
    if len(gaps) and (gaps.min() <= 0 or np.ptp(gaps) > UNEVEN * gaps.mean()):
        what = "two slices are at one place" if gaps.min() <= 0 else f"{gaps.min():.3g} to {gaps.max():.3g} mm apart"
        raise ValueError(f"{plain(path.name)}: expected slices at even distances, but {what}; drop or resample some.")
    step = (float(gaps.mean()) if len(gaps) else thick, rows, columns)
    affine = np.eye(4)
    between = (points[-1] - points[0]) / (len(points) - 1) if len(points) > 1 else normal * thick
    affine[:3, :3] = np.stack([between, down * rows, across * columns], 1) * TO_RAS[:, None]
    affine[:3, 3] = points[0] * TO_RAS
    return slices, affine, step


def _values(path: Path, one: Any) -> np.ndarray:
    """(frames, rows, columns) of one file."""
    try:
        stored = one.pixel_array
    except Exception as error:  # pydicom raises many kinds of errors for damaged data and for compression that it lacks
        raise ValueError(f"{plain(path.name)}: a slice cannot be read ({plain(str(error))[:120].rstrip('.')}).") from None
    if int(getattr(one, "SamplesPerPixel", 1)) > 1:
        raise ValueError(f"{plain(path.name)}: expected grey slices, it holds colours.")
    slope, intercept = float(getattr(one, "RescaleSlope", 1)), float(getattr(one, "RescaleIntercept", 0))
    found: np.ndarray = np.asarray(stored, dtype=np.float32) * np.float32(slope) + np.float32(intercept)
    return found.reshape(-1, *found.shape[-2:])
