"""The dual-tree complex wavelet transform."""

import functools
import itertools
import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pywt
import torch
from torch import Tensor

from ...core.checks import quoted, whole
from ..base import Transform, TransformClaim
from ..layout import Band, Shape
from ..registry import add
from .arguments import Level, Wavelet, check_level, find_wavelet, wavelet_spec
from .dwt import halvings, pyramid_band, pyramid_cell
from .filterbank import FilterBank, split_each, step_keys
from .packing import Cell, blockwise, pack, packed_layout, unpack

# Low-pass filters of quarter-sample delay as published, to 8 decimals: Kingsbury 2000 (10 taps, 6 of them not zero) and
# Kingsbury 2001, table 2 (14 taps).
QSHIFT: dict[int, list[float]] = {
    10: [0.03516384, 0.0, -0.08832942, 0.23389032, 0.76027237, 0.58751830, 0.0, -0.11430184, 0.0, 0.0],
    14: [
        *(0.00325314, -0.00388321, 0.03466035, -0.03887280, -0.11720389, 0.27529538, 0.75614564),
        *(0.56881042, 0.01186609, -0.10671180, 0.02382538, 0.01702522, -0.00543948, -0.00455690),
    ],
}

_ANGLES = {"da": 15, "dd": 45, "ad": 75}


@add("dtcwt")
class DTCWT(Transform):
    """Dual-tree complex wavelet transform over one or two signal axes, as real pairs; a Parseval frame for every size.

    Two orthonormal trees along each axis, whose wavelets are close to a Hilbert pair, ψb ≈ H ψa: after level 1, tree b
    has the q-shift filters of tree a reversed in time; at level 1 both have the filter `first`, one sample apart.
    With one axis z holds (a + i b)/√2. With two axes the four products of trees, each scaled by ½, are rotated to two
    complex bands per pair of letters, so that each level has six orientations: ±15°, ±45°, ±75°, the angle of a stripe
    against the first row, counter-clockwise. T⁻¹ = Tᵀ, with 2^dims coefficients per sample.

    |z| of a pair hardly changes when x is shifted, and a band holds frequencies of one sign only. At level 1 both hold
    less well, as for every dual tree. An odd size passes its last sample to the approximation unchanged.

    taps: of the q-shift filter, 10 or 14.  first: any orthonormal wavelet, as in `dwt`.
    level: None takes 3, or as many as the signal allows, "max" the deepest; a warning says where that is 0, the signal itself.
    Bands: "aa3" holds the four real approximations, "d3+15" the complex details, coarse to fine.
    Sources: Kingsbury 2000; Kingsbury 2001, §4 and table 2; Selesnick, Baraniuk & Kingsbury 2005.
    Raises: ValueError for other taps, a wavelet that is not orthonormal, a level that is too deep or three signal axes;
    TypeError where level is not a whole number.

    >>> from pullback.transforms import get
    >>> [band.name for band in get("dtcwt(level=1)", shape=(1, 8, 8)).layout.bands]
    ['aa1', 'd1+75', 'd1-75', 'd1+15', 'd1-15', 'd1+45', 'd1-45']
    """

    def __init__(self, shape: Shape, taps: int = 14, level: Level = None, first: Wavelet = "sym5") -> None:
        super().__init__(shape, (1, 2))
        if whole(taps) not in QSHIFT:
            raise ValueError(f"dtcwt: expected taps in {', '.join(map(str, QSHIFT))}; got {quoted(taps)}.")
        self.level = check_level("dtcwt", level, halvings(self.shape), str(self.shape))
        wavelet = find_wavelet("dtcwt", first)
        self.spec = f"dtcwt(taps={int(taps)}, level={self.level}, first={wavelet_spec(wavelet)})"
        self._dims = len(self.shape) - 1
        self._first, self._later = _first_banks(wavelet), _later_banks(int(taps))
        self._low, *self._details = step_keys(self._dims)
        self._cells = self._grid()
        self.layout = packed_layout(self.shape, self._cells)
        self.claims = TransformClaim.PARSEVAL

    def analysis(self, x: Tensor) -> Tensor:
        return blockwise(self._decompose, x, self.layout.shape)

    def synthesis(self, z: Tensor) -> Tensor:
        return blockwise(self._compose, z, self.shape)

    def transpose(self, g: Tensor) -> Tensor:
        return self.analysis(g)  # T⁻¹ = Tᵀ

    def _decompose(self, x: Tensor) -> Tensor:
        low = [x * 2 ** (-self._dims / 2)]
        parts: list[Tensor] = []
        for level in range(1, self.level + 1):
            steps = self._split(low, self._later if level > 1 else self._first)
            low = [step[self._low] for step in steps]
            details = [_to_complex([step[key] for step in steps]) for key in self._details]
            parts = [half for detail in details for half in detail.split(2, 2)] + parts
        return pack([torch.stack(low * (2**self._dims // len(low)), 2), *parts])

    def _compose(self, z: Tensor) -> Tensor:
        stacked, *parts = unpack(z, self._cells)
        low = list(stacked.unbind(2))
        per_key = 2 ** (self._dims - 1)
        for level in range(self.level, 0, -1):
            steps: list[dict[str, Tensor]] = [{self._low: band} for band in low]
            for key in self._details:
                for step, band in zip(steps, _to_trees(parts[:per_key])):
                    step[key] = band
                parts = parts[per_key:]
            low = self._merge(steps, self._later if level > 1 else self._first, together=level == 1)
        return torch.stack(low).sum(0) * 2 ** (-self._dims / 2)

    def complex(self, z: Tensor) -> dict[str, Tensor]:
        """{band name: complex coefficients (batch, channels, *size)} of the detail bands of z (batch, channels, K).

        >>> T = DTCWT((1, 32), level=2)
        >>> {name: tuple(c.shape) for name, c in T.complex(T(torch.ones(1, 1, 32))).items()}
        {'d2': (1, 1, 8), 'd1': (1, 1, 16)}
        """
        details = list(zip(self._cells, unpack(z, self._cells)))[1:]
        return {cell.band.name: torch.complex(*part.unbind(2)) for cell, part in details}

    def _split(self, low: list[Tensor], pair: tuple[FilterBank, FilterBank]) -> list[dict[str, Tensor]]:
        """The bands of each tree (aa, ab, ba, bb), from the approximations of the trees, or at level 1 from one signal."""
        steps = [{"": band} for band in low]
        for axis in range(self._dims):
            if len(low) == 1:  # the trees separate here
                chosen = [(step, bank) for step in steps for bank in pair]
            else:
                chosen = list(zip(steps, self._banks(pair, axis, self._dims)))
            steps = [split_each(step, functools.partial(bank.split_axis, axis=axis - self._dims)) for step, bank in chosen]
        return steps

    def _merge(self, steps: list[dict[str, Tensor]], pair: tuple[FilterBank, FilterBank], together: bool) -> list[Tensor]:
        """Transpose of `_split`: the approximations of the trees, or their sum if they come `together`."""
        for axis in reversed(range(self._dims)):
            banks = self._banks(pair, axis, axis + 1 if together else self._dims)
            place, key = axis - self._dims, "a" * axis
            size = sum(steps[0][key + letter].shape[place] for letter in "ad")
            steps = [bank.merge_each(step, place, size) for bank, step in zip(banks, steps)]
            if together:
                steps = [{key: a[key] + b[key] for key in a} for a, b in zip(steps[::2], steps[1::2])]
        return [step[""] for step in steps]

    @staticmethod
    def _banks(pair: tuple[FilterBank, FilterBank], axis: int, depth: int) -> list[FilterBank]:
        """The bank of each tree along one axis, for trees that have separated on `depth` axes."""
        return [pair[tree[axis]] for tree in itertools.product((0, 1), repeat=depth)]

    def _grid(self) -> list[Cell]:
        size, details = self.shape[1:], list[Cell]()
        for level in range(1, self.level + 1):
            halves = {"a": tuple((n + 1) // 2 for n in size), "d": tuple(n // 2 for n in size)}
            made = []
            for key in self._details:
                own = tuple(halves[letter][axis] for axis, letter in enumerate(key))
                made += [replace(_cell(key, level, own, 2), band=band) for band in _oriented(key, level)]
            size, details = halves["a"], made + details
        return [_cell(self._low, self.level, size, 2**self._dims), *details]

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        yield from [cls((1, 1), level=0), cls((2, 16)), cls((1, 13), taps=10, level=2, first="db2")]
        yield from [cls((2, 6, 5), level=2), cls((1, 16, 12), taps=10, level=3)]


def _cell(key: str, level: int, size: Shape, copies: int) -> Cell:
    late = 0.5 if level else 0.0  # tree b is one sample late at level 1; a pair lies between its trees
    return pyramid_cell(key, level, size, 2.0**level, (2.0**level - 1) / 2 + late, copies=copies)


def _oriented(key: str, level: int) -> list[Band]:
    """The complex bands of a band of a pyramid: itself with one axis, two orientations with two."""
    band = pyramid_band(key, level)
    if len(key) == 1:
        return [band]
    angles = [f"{sign}{_ANGLES[key]}" for sign in "+-"]
    return [replace(band, name=f"d{level}{angle}", orientation=angle) for angle in angles]


def _to_complex(trees: list[Tensor]) -> Tensor:
    """Bands of the trees, (a, b) or (aa, ab, ba, bb), as re and im of each complex band: (batch, channels, trees, …).

    With two axes, (ψa + iψb)(y) (ψa ± iψb)(x): re± = (aa ∓ bb)/√2, im± = (ba ± ab)/√2, an orthonormal rotation.
    """
    if len(trees) == 2:
        return torch.stack(trees, 2)
    aa, ab, ba, bb = trees
    return torch.stack([aa - bb, ba + ab, aa + bb, ba - ab], 2).mul_(math.sqrt(0.5))


def _to_trees(parts: list[Tensor]) -> list[Tensor]:
    """Inverse, and transpose, of `_to_complex`; parts: (batch, channels, 2, …) of each complex band."""
    if len(parts) == 1:
        return list(parts[0].unbind(2))
    (first, second), (third, fourth) = (part.unbind(2) for part in parts)
    trees = [first + third, second - fourth, second + fourth, third - first]
    return [tree.mul_(math.sqrt(0.5)) for tree in trees]


def _first_banks(filters: pywt.Wavelet) -> tuple[FilterBank, FilterBank]:
    """Level 1: the same orthonormal filters, those of tree b one sample later."""
    if not FilterBank(filters).orthonormal:
        raise ValueError(f"dtcwt: first must be an orthonormal wavelet such as sym5, db4 or coif2, got {quoted(filters.name)}.")
    banks = []
    for late in (0, 1):
        before, after = [0.0] * (1 + late), [0.0] * (1 - late)
        analysis = [[*after, *taps, *before] for taps in (filters.dec_lo, filters.dec_hi)]
        synthesis = [[*before, *taps, *after] for taps in (filters.rec_lo, filters.rec_hi)]
        banks.append(FilterBank(pywt.Wavelet(f"{filters.name} {'ab'[late]}", filter_bank=[*analysis, *synthesis])))
    return banks[0], banks[1]


def _later_banks(taps: int) -> tuple[FilterBank, FilterBank]:
    """Levels from 2: the q-shift filter, and its reverse in time."""
    h = qshift(taps)
    filters = [pywt.orthogonal_filter_bank(lowpass) for lowpass in (h, h[::-1])]
    tree_a, tree_b = (FilterBank(pywt.Wavelet(f"qshift{taps}", filter_bank=bank)) for bank in filters)
    return tree_a, tree_b


def qshift(taps: int) -> np.ndarray:
    """The published filter, corrected to the nearest one that is orthonormal to rounding. Shape: (taps,).

    Gauss-Newton steps of least norm on Σ_n h[n] h[n + 2k] = δ_k and H(-1) = 0; taps that are 0 stay 0. No tap
    changes by more than 3e-9 (10 taps) or 1.3e-7 (14 taps).
    """
    h = np.array(QSHIFT[taps])
    free = np.flatnonzero(h)
    for _ in range(4):
        shifted = [np.concatenate([h[2 * k :], np.zeros(2 * k)]) for k in range(taps // 2)]
        back = [np.concatenate([np.zeros(2 * k), h[: taps - 2 * k]]) for k in range(taps // 2)]
        signs = (-1.0) ** np.arange(taps)
        error = np.array([h @ part - (k == 0) for k, part in enumerate(shifted)] + [signs @ h])
        slope = np.stack([one + other for one, other in zip(shifted, back)] + [signs])
        h[free] -= np.linalg.lstsq(slope[:, free], error, rcond=1e-10)[0]
    return h
