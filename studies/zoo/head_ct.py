"""A computed tomography of a head, from a Debian package."""

import functools
import plistlib
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from ..kinds import Signal
from .card import DataSet, Item
from .packages import debian_install, debian_needed

_PACKAGE, _FOLDER = "invesalius-examples", "usr/share/doc/invesalius-examples/examples"


def _head_ct() -> Iterator[Item]:
    """One volume of (108, 256, 256) voxels of 1.5 × 0.957 × 0.957 mm, in Hounsfield units: -1,000 is air, 0 water.

    The axes run from the base of the skull upwards, from the back of the head to the face, and from the patient's right to the
    left. The last is not stated in the file; it is that of the rows of DICOM slices, which the program that wrote it keeps.

    Raises: ImportError that says what to install.
    """
    path = debian_needed("head-ct", _PACKAGE, _FOLDER) / "Cranium.inv3"
    yield Item("ProMED CT 0051", functools.partial(_read, path))


def _read(path: Path) -> Signal:
    with tarfile.open(path) as packed:
        parts = {name.split("/")[-1]: packed.extractfile(name) for name in packed.getnames()}
        main = plistlib.loads(parts["main.plist"].read())  # type: ignore[union-attr]
        numbers = np.frombuffer(parts["matrix.dat"].read(), main["matrix"]["dtype"])  # type: ignore[union-attr]
    volume = torch.from_numpy(numbers.astype(np.float32).reshape(1, *main["matrix"]["shape"]))
    up, front, across = step = tuple(reversed(main["spacing"]))
    affine = np.array([[0, 0, -across, 0], [0, front, 0, 0], [up, 0, 0, 0], [0, 0, 0, 1]])
    return Signal(volume, step, "mm", main["name"], origin=affine)


HEAD_CT = DataSet("head-ct", "volume", _head_ct, "GPL-2, as the package", debian_install(_PACKAGE))
