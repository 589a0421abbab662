"""Volumes: a head, a protein or a digit on a grid of three axes, with the distances of its voxels."""

import gzip
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...attribution import Attribution
from ...attribution.plot import Show, band_maps
from ...core.files import plain
from ...core.imports import needs
from ...transforms import TransformClaim
from ...transforms.units import band_texts, short
from .base import Kind, Part, check_size
from .dicom import read_dicom
from .frames import deepest
from .signal import Signal, sizes
from .slices import projections, slices
from .tables import load_array, pick_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MILLIMETRES = {"mm": 1.0, "meter": 1000.0, "micron": 1e-3, "unknown": 1.0}
TINY = 1e-30  # mm³, less than any voxel
DESCRIBED = 79  # characters of a description in the header of a NIfTI file
FASTEST = 1  # of gzip; the slowest takes 4 times as long, and saves 3 % of a map
NIFTI = (".nii", ".nii.gz", ".hdr", ".img", ".mgz", ".mgh")


class Volume(Kind):
    """(channels, i, j, k). Steps are in mm; `origin` is the affine from voxels to mm, None where a file has none."""

    name, what, plural, axes = "volume", "a volume", "volumes", 3
    folders = True
    caption = "Slices through the place with the most attribution, or means along each axis: the volume, and each octave's map."
    suffixes = (*NIFTI, ".dcm", ".npy", ".npz")

    def read(self, path: Path, part: Part | None = None) -> Signal:
        if part is not None:
            raise ValueError(f"{plain(path.name)}: --start and --seconds take a part of a recording, not of a volume.")
        lower = path.name.lower()
        if path.is_dir() or lower.endswith(".dcm"):
            values, affine, step, notes = read_dicom(path)
            return _signal(path, values[None], step, "mm", notes, affine)
        if not path.is_file():
            raise ValueError(f"{plain(path.name)}: expected a file or a folder of DICOM slices.")
        if lower.endswith((".npy", ".npz")):
            return _array(path)
        if lower.endswith(NIFTI):
            return _nifti(path)
        raise ValueError(f"{plain(path.name)}: expected a volume: {', '.join(self.suffixes)}, or a folder of DICOM slices.")

    def gather(self, files: Iterable[Any]) -> Iterator[Any]:
        folders: dict[Path, Any] = {}
        for one in files:
            if one.path.suffix.lower() == ".dcm":
                name = one.name.rpartition("/")[0]
                folders.setdefault(one.path.parent, replace(one, name=name, path=one.path.parent) if name else one)
            else:
                yield one
        yield from folders.values()

    def regrid(self, signal: Signal, values: Tensor) -> Signal:
        if values.shape[1:] == signal.values.shape[1:]:
            return signal.but(values=values)
        grids = f"{sizes(signal.values.shape[1:])} to {sizes(values.shape[1:])}"
        lost = f"prepare changed the grid from {grids}, so that mm are unknown; let it return a Signal to keep them"
        return signal.but(lost if signal.unit == "mm" else "", values=values, step=(1.0,) * 3, unit="voxel", origin=None)

    def domains(self, shape: Sequence[int]) -> tuple[str, ...]:
        level: Callable[[int], int] = lambda taps: deepest(min(shape[1:]), taps, 4)
        own = ", ".join(f"dwt(haar, level={deepest(size, 2, 4)})" for size in shape[1:])  # each axis has its own scales
        return (
            "pixel",
            f"dwt(haar, level={level(2)})",
            f"dwt(db2, level={level(4)})",
            f"dwt(bior2.2, level={level(6)})",
            f"per_axis(pixel, {own})",
            "dct",
            "dft",
        )

    def explained(self, shape: Sequence[int]) -> tuple[str, ...]:
        return self.domains(shape)[2], "dct"

    def figures(self, att: Attribution, signal: Signal, title: str, show: Show | None = None) -> dict[str, "Figure"]:
        if not _is_linear(att):
            return {"": slices(att, None, signal, title)}
        projected = projections(att.heatmap()[0], signal, title)
        return {"": slices(att, band_maps(att)[0], signal, title), "-projections": projected}

    def files(self, att: Attribution, signal: Signal, keep: float) -> dict[str, bytes]:
        write: Callable[..., bytes] = lambda values, *said: nifti_bytes(values, signal, *said)
        best = f"pullback: the {100 * keep:g} % of coefficients with the largest |a|"
        found = {f"-top{round(100 * keep)}.nii.gz": write(att.signal(keep)[0], best)}
        if _is_linear(att):
            octaves, names = att.heatmap("octave")[0], [band.name for band in att.layout.group("octave").bands]
            texts = band_texts(att.layout, signal.step, signal.unit)
            each = [f"volume {i}: {name} {texts[name]}".strip() for i, name in enumerate(names)]
            said = f"{att.transform.spec}: the signed map of each octave, along the fourth axis from 0 on\n" + "\n".join(each)
            found["-map.nii.gz"] = write(octaves.sum(0, keepdim=True), "pullback: signed map in voxels")
            found["-octaves.nii.gz"] = write(
                octaves, f"pullback: signed octaves: {', '.join(names).replace('octave ', '')}", said
            )
        return found


def _is_linear(att: Attribution) -> bool:
    return TransformClaim.LINEAR in att.transform.claims


def _nifti(path: Path) -> Signal:
    with needs("Reading NIfTI", "'pullback[volume]'"):
        import nibabel
    try:
        image: Any = nibabel.load(path)
        shape = tuple(int(size) for size in image.shape)
        check_size(path.name, shape)
        values = np.asanyarray(image.dataobj)
    except ValueError as error:
        raise error if str(error).startswith(plain(path.name)) else _unreadable(path, error) from None
    except Exception as error:  # nibabel raises errors of many kinds for damaged files
        raise _unreadable(path, error) from None
    if values.dtype.kind not in "buif":
        raise ValueError(f"{plain(path.name)}: expected real numbers, it holds {str(values.dtype)[:60]}.")
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim not in (3, 4):
        raise ValueError(
            f"{plain(path.name)}: expected three spatial axes and perhaps one of channels, got {sizes(values.shape)}."
        )
    channels = values[None] if values.ndim == 3 else np.moveaxis(values, -1, 0)
    notes = [f"its fourth axis read as {len(channels)} channels"] if values.ndim == 4 else []
    scale = MILLIMETRES.get(_unit(image), 1.0)
    step = tuple(float(size) * scale for size in image.header.get_zooms()[:3])
    affine = np.diag([scale, scale, scale, 1.0]) @ np.array(image.affine, float)
    return _signal(path, channels, step, "mm", notes, affine)


def _unreadable(path: Path, error: Exception) -> ValueError:
    why = " ".join(str(error).split())[:120].rstrip(".") or type(error).__name__
    return ValueError(f"{plain(path.name)}: no volume that can be read: damaged, or a header without voxels ({plain(why)}).")


def _unit(image: Any) -> str:
    """The name of the unit of lengths in the header; only NIfTI has one."""
    units = getattr(image.header, "get_xyzt_units", None)
    try:
        return str(units()[0]) if units is not None else "mm"
    except KeyError:
        return "unknown"


def _array(path: Path) -> Signal:
    """An .npy or .npz file; of the latter the arrays "spacing", three numbers in mm, and "affine" are read as well."""
    arrays = load_array(path)
    values = pick_array(path, arrays, ("values", "volume", "data"))
    if values.ndim not in (3, 4):
        raise ValueError(f"{plain(path.name)}: expected (i, j, k) or (channels, i, j, k), got {sizes(values.shape)}.")
    check_size(path.name, values.shape)
    channels, affine = values[None] if values.ndim == 3 else values, arrays.get("affine")
    if affine is not None and affine.shape != (4, 4):
        raise ValueError(f"{plain(path.name)}: expected an affine of 4 × 4, got {sizes(affine.shape)}.")
    spacing = arrays.get("spacing")
    if spacing is None and affine is not None:
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if spacing is None or np.asarray(spacing).dtype.kind not in "uif":
        if spacing is not None:
            raise ValueError(f"{plain(path.name)}: expected numbers as spacing, it holds {np.asarray(spacing).dtype}.")
        return _signal(path, channels, (1.0,) * 3, "voxel", [], None)
    return _signal(path, channels, tuple(map(float, np.ravel(spacing))), "mm", [], affine)


def _signal(
    path: Path, values: np.ndarray, step: tuple[float, ...], unit: str, notes: Sequence[str], affine: np.ndarray | None
) -> Signal:
    """A checked signal; voxels that are NaN become 0, as they often stand for the outside.

    An affine that cannot be inverted is left out. Where its distances of voxels are others than `step`, they are taken.
    """
    notes = list(notes)
    if affine is not None and (not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < TINY):
        notes.append("its affine has no inverse, and is left out")
        affine = None
    own = step if affine is None else tuple(np.linalg.norm(affine[:3, :3], axis=0).tolist())
    if len(step) == 3 and not np.allclose(own, step, rtol=1e-2, atol=0, equal_nan=True):
        apart = f"{sizes(map(short, own))} mm apart, not {sizes(map(short, step))}"
        notes.append(f"its voxels are {apart}: its affine and its spacing differ, and the affine is taken")
        step = own
    if len(step) != 3 or not all(np.isfinite(step)) or min(step) <= 0:
        raise ValueError(f"{plain(path.name)}: expected three positive distances of voxels, got {step}.")
    with np.errstate(over="ignore"):
        found = np.array(values, dtype=np.float32)
    wrong = ~np.isfinite(found)
    if wrong.all():
        raise ValueError(f"{plain(path.name)}: none of its voxels is a finite number.")
    found[wrong] = 0
    told = [f"{int(wrong.sum())} voxels are NaN or infinite, and read as 0"] if wrong.any() else []
    return Signal(torch.from_numpy(found), step, unit, path.name, (*notes, *told), affine)


def nifti_bytes(values: Tensor, signal: Signal, what: str = "pullback", comment: str = "") -> bytes:
    """A compressed NIfTI file with the affine of the signal.  values: (channels, i, j, k).

    what: for the header, of which 79 bytes are kept; where it is longer it ends with "...".  comment: an extension of code 6.
    """
    with needs("Writing NIfTI", "'pullback[volume]'"):
        import nibabel
    array = values.detach().cpu().numpy().astype(np.float32)
    stored = array[0] if len(array) == 1 else np.moveaxis(array, 0, -1)
    affine = np.diag([*signal.step, 1.0]) if signal.origin is None else _scaled(signal.origin, signal.step)
    image: Any = nibabel.Nifti1Image(stored, affine)  # type: ignore[no-untyped-call]
    image.header.set_xyzt_units("mm" if signal.unit == "mm" else "unknown")
    short_ = what if len(what) <= DESCRIBED else what[: DESCRIBED - 3] + "..."
    image.header["descrip"] = short_.encode("ascii", "replace")
    if comment:
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", comment.encode()))
    return gzip.compress(image.to_bytes(), FASTEST, mtime=0)


def _scaled(affine: np.ndarray, step: Sequence[float]) -> np.ndarray:
    """The affine with these distances of voxels, about the centre of the first voxel; as it is where it has them."""
    own = np.linalg.norm(affine[:3, :3], axis=0)
    if np.allclose(own, step, rtol=1e-3):
        return affine
    found = np.array(affine, float)
    found[:3, :3] *= np.asarray(step) / own
    return found
