"""Pyramids as PyWavelets and ptwt hold them, and back."""

import abc
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...core.checks import quoted
from ..base import Transform
from .filterbank import step_keys

PLANE = ("da", "ad", "dd")  # horizontal, vertical and diagonal details of PyWavelets


class Pyramid(Transform, abc.ABC):
    """A transform whose bands are one approximation and, at each level, a detail for each combination of letters."""

    level: int

    def to_pywt(self, z: Tensor) -> list[Any]:
        """The coefficients as PyWavelets' `wavedec`, `wavedec2` or `wavedecn` return them, for 1, 2 or 3 signal axes.

        [cA, cD_n, …, cD_1], [cA, (cH_n, cV_n, cD_n), …] with cH = "da", cV = "ad" and cD = "dd", or [cA, {"aad": …}, …]:
        NumPy arrays (batch, channels, *grid), coarse to fine; within z, the bands of a level are in the order "ad", "da",
        "dd". The signal's axes are the last ones, as in `pywt.waverec2(c, wavelet, mode, axes=(-2, -1))`. The order of
        `pywt.coeffs_to_array(c, axes=(-2, -1))` is cA at the top left, cV to its right, cH below it, cD at the diagonal.
        Those of `swt` are `pywt.swt(norm=True, trim_approx=True)`. Raises: ValueError or TypeError as `unpack`.

        >>> import pywt
        >>> T = pb.transforms.get("dwt(db2, level=2, mode=symmetric)", shape=(1, 12, 10))
        >>> c = T.to_pywt(T(torch.ones(1, 1, 12, 10)))
        >>> bool(abs(pywt.waverec2(c, "db2", "symmetric", axes=(-2, -1)) - 1).max() < 1e-5)
        True
        """
        bands = {name: band.detach().cpu().numpy() for name, band in self.unpack(z).items()}
        return list(self._container(bands, lambda step: tuple(map(step.__getitem__, PLANE))))

    def from_pywt(self, coefficients: Sequence[Any]) -> Tensor:
        """z (batch, *layout.shape) of what `to_pywt` or PyWavelets returns; None among the details stands for zeros.

        Arrays (batch, channels, *grid), or (*grid) of one signal of one channel.
        Raises: ValueError where a band is missing or of another shape; TypeError where it is no array.

        >>> import pywt
        >>> c = pywt.wavedec([1.0, 3.0, 5.0, 5.0], "haar", "periodization", level=1)
        >>> pb.transforms.get("dwt(haar, level=1)", shape=(1, 4)).from_pywt(c).round(decimals=4)
        tensor([[[ 2.8284,  7.0711, -1.4142,  0.0000]]], dtype=torch.float64)
        """
        return self._from_container(coefficients, PLANE)

    def _container(self, bands: Mapping[str, Any], plane: Callable[[dict[str, Any]], Any]) -> Iterable[Any]:
        """The approximation, then the details of each level; plane: makes three details of a plane one object."""
        low, *keys = step_keys(len(self.shape) - 1)
        yield bands[f"{low}{self.level}"]
        for level in range(self.level, 0, -1):
            step = {key: bands[f"{key}{level}"] for key in keys}
            yield step["d"] if len(keys) == 1 else plane(step) if len(keys) == 3 else step

    def _from_container(self, coefficients: Sequence[Any], letters: Sequence[str]) -> Tensor:
        """z of a container whose three details of a plane have these letters."""
        if not isinstance(coefficients, Sequence) or len(coefficients) != self.level + 1:
            wanted = f"an approximation and the details of {self.level} levels, as PyWavelets holds them"
            raise ValueError(f"{self.name}: expected {wanted}, got {quoted(coefficients)}.")
        first, *steps = coefficients
        low, *keys = step_keys(len(self.shape) - 1)
        found = {f"{low}{self.level}": first}
        for level, step in zip(range(self.level, 0, -1), steps):
            found |= {f"{key}{level}": band for key, band in _details(step, keys, letters).items()}
        like = self._band(low, first)
        grids = {band.name: (*like.shape[:1], *(grid or ())) for band, grid in zip(self.layout.bands, self.layout.grids)}
        empty = {name: like.new_zeros(grids[name]) for name, band in found.items() if band is None and name in grids}
        return self.pack({name: self._band(name, band) for name, band in found.items() if band is not None} | empty)

    def _band(self, name: str, band: Any) -> Tensor:
        try:
            values = torch.as_tensor(band)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"{self.name}: band {name} must be an array, got {type(band).__name__}.") from None
        return values[None, None] if self.shape[0] == 1 and values.ndim == len(self.shape) - 1 else values


def _details(step: Any, keys: Sequence[str], letters: Sequence[str]) -> Mapping[str, Any]:
    """{letters: detail} of one level."""
    if step is None:
        return dict.fromkeys(keys)
    if isinstance(step, Mapping):
        return step
    if len(keys) == 1:
        return {"d": step}
    return dict(zip(letters, step)) if isinstance(step, Sequence) and len(step) == len(letters) == len(keys) else {"": step}
