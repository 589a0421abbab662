"""Orthonormal wavelets of any angles: two-channel filter banks as products of rotations, which can be trained."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...core.checks import choose, listed, quoted
from ..base import Transform, TransformClaim
from ..layout import Shape
from ..registry import add
from .arguments import Level, Wavelet, check_level, find_wavelet
from .boundary_filters import inside
from .containers import Pyramid
from .dwt import merge_pyramid, pyramid_cell, split_pyramid
from .filterbank import ANALYSIS, Bank, step_keys
from .packing import Cell, packed_layout

Angles = Tensor | Sequence[Any]

MODES = ("periodization", "boundary")
LONGEST = 16  # rotations: filters of 32 taps


@add("lattice")
class Lattice(Pyramid):
    """The discrete wavelet transform of an orthonormal two-channel filter bank that is given by its lattice angles.

    A filter of 2m taps is m rotations of neighbouring samples. Rotation j turns the pairs (2k, 2k + 1) where m - j is even
    and the pairs (2k - 1, 2k) where it is odd, by (-1)^(m - j) θ_j; the last one ends in approximation and detail. Every
    choice of angles is orthonormal, and every orthonormal filter bank of that length is such a product. A constant signal
    has no detail (one vanishing moment) exactly where Σ θ = π/4, so m - 1 angles are free and the last one follows.

    angles: the m - 1 free ones, in radians: none is `haar`, and `lattice_angles("db2")` gives those of db2. One list for
    all axes and levels, a list of one list for each level, finest first, or for each level a list of one list for each
    axis. A tensor of 1 to 3 axes that requires gradients makes T and T⁻¹ differentiable in the angles.
    level: the number of halvings, as in `dwt`.
    mode: `periodization`, equal to `dwt` with the same filters; or `boundary`, which leaves the sample at an end as it is
    where its partner is outside: orthonormal too, and the two ends are not joined, but a constant has details at the ends,
    and coefficients near an end have no frequency (NaN). Any size: an odd one passes its last sample to the approximation.
    Sources: Vaidyanathan & Hoang 1988 (the lattice); Daubechies & Sweldens 1998; Herley & Vetterli 1994 (ends).
    Raises: TypeError or ValueError for angles that are not finite numbers of one of these forms, an unknown mode, or a level
    that is too deep.

    >>> from pullback.transforms import get
    >>> x = torch.randn(1, 1, 16, generator=torch.Generator().manual_seed(0))
    >>> torch.allclose(get("lattice(level=2)", (1, 16))(x), get("dwt(haar, level=2)", (1, 16))(x), atol=1e-6)
    True
    """

    def __init__(self, shape: Shape, angles: Angles = (), level: Level = None, mode: str = "periodization") -> None:
        super().__init__(shape)
        self.mode = choose("lattice", "mode", mode, MODES)
        dims, sizes = len(self.shape) - 1, [self.shape[1:]]
        while max(sizes[-1]) > 1:
            sizes.append(tuple((n + 1) // 2 for n in sizes[-1]))
        given = _tensor(angles)
        self.level = check_level("lattice", _stated(given, level), len(sizes) - 1, str(self.shape))
        self.angles = _expanded(given, self.level, dims)
        self.spec = f"lattice(angles={_printed(given)}, level={self.level}, mode={self.mode})"
        self._inputs = sizes[: self.level]
        self._banks = [_Rotations(turns, self.mode == "periodization") for turns in self.angles]
        self._cells = self._grid()
        self.layout = packed_layout(self.shape, self._cells)
        self.claims = TransformClaim.ORTHOGONAL

    def analysis(self, x: Tensor) -> Tensor:
        return split_pyramid(self._banks, x, len(self.shape) - 1, dual=False)

    def synthesis(self, z: Tensor) -> Tensor:
        return merge_pyramid(self._banks, z, self._cells, self._inputs)

    @property
    def filters(self) -> list[list[tuple[Tensor, Tensor]]]:
        """(approximation, detail) filters for each level and axis, as they lie on the signal. Shape of each: (2m,)."""
        return [[_filters(turns) for turns in axes] for axes in self.angles.detach().double()]

    def _grid(self) -> list[Cell]:
        """The bands in the order of z: places and sizes are those of `dwt` in periodization."""
        keys, taps = step_keys(len(self.shape) - 1), 2 * (self.angles.shape[-1] + 1)
        step, inner = 1.0, tuple((0, n) for n in self.shape[1:])
        cells = [pyramid_cell(keys[0], 0, self.shape[1:], 1.0, 0.0)]
        for level, sizes in enumerate(self._inputs, start=1):
            step *= 2
            inner = tuple(inside(start, stop, taps) for start, stop in inner)
            own = [tuple(n // 2 if letter == "d" else (n + 1) // 2 for letter, n in zip(key, sizes)) for key in keys]
            known = {"inner": inner if self.mode == "boundary" else None}
            cells = [pyramid_cell(key, level, n, step, (step - 1) / 2, **known) for key, n in zip(keys, own)] + cells[1:]
        return cells

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        yield from [cls((1, 1), level=0), cls((2, 8)), cls((1, 13), [math.pi / 3], level=2), cls((1, 6, 5), [0.3, -1.1, 2.0])]
        yield cls((2, 16, 12), [[[0.4], [1.0]], [[-0.2], [0.9]]])  # two levels, two axes
        yield from [cls((1, 24), [[0.4, 0.1], [1.0, -0.7]], mode="boundary"), cls((1, 4, 6, 5), [0.5], 1, "boundary")]


class _Rotations(Bank):
    """One level of a lattice.  angles: the free ones of each axis, (dims, m - 1).  ring: whether the two ends are joined."""

    refinements, orthonormal = 0, True

    fixed = False

    def __init__(self, angles: Tensor, ring: bool) -> None:
        free, self._ring = angles.to(torch.promote_types(angles.dtype, torch.double)), ring
        turns = torch.cat([free, math.pi / 4 - free.sum(-1, keepdim=True)], -1)
        signs = (-1.0) ** torch.arange(turns.shape[-1]).flip(0)
        self._cosine, self._sine = turns.cos(), turns.sin() * signs.to(turns)
        self._sign = float(signs[0])  # of the detail, so that it is that of PyWavelets

    def _correlate(self, x: Tensor, filters: int, axis: int) -> Tensor:
        cosine, sine = self._of(x, axis)
        even = x.shape[axis] - x.shape[axis] % 2
        pairs, single = x.movedim(axis, -1).split([even, x.shape[axis] - even], -1)
        for stage in range(len(cosine) - 1):
            pairs = self._rotate(pairs, cosine[stage], sine[stage], (len(cosine) - 1 - stage) % 2)
        one, two = _pairs(pairs)
        low, high = cosine[-1] * one + sine[-1] * two, self._sign * (sine[-1] * one - cosine[-1] * two)
        return torch.cat([low, single, high], -1).movedim(-1, axis)

    def _transpose(self, low: Tensor, high: Tensor, filters: int, axis: int, size: int) -> Tensor:
        cosine, sine = self._of(low, axis)
        low, high = low.movedim(axis, -1), high.movedim(axis, -1) * self._sign
        low, single = low.split([size // 2, size % 2], -1)
        pairs = torch.stack([cosine[-1] * low + sine[-1] * high, sine[-1] * low - cosine[-1] * high], -1).flatten(-2)
        for stage in reversed(range(len(cosine) - 1)):
            pairs = self._rotate(pairs, cosine[stage], -sine[stage], (len(cosine) - 1 - stage) % 2)
        return torch.cat([pairs, single], -1).movedim(-1, axis)

    def _of(self, x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the angles along an axis that is counted from the end. Shapes: (m,)."""
        return self._cosine[axis].to(x), self._sine[axis].to(x)

    def _rotate(self, x: Tensor, cosine: Tensor, sine: Tensor, first: int) -> Tensor:
        """The pairs (first + 2k, first + 2k + 1) of the last axis rotated; of an even number of samples."""
        if first and self._ring:
            return self._rotate(x.roll(-1, -1), cosine, sine, 0).roll(1, -1)
        if first and x.shape[-1]:
            head, middle, tail = x.split([1, x.shape[-1] - 2, 1], -1)
            return torch.cat([head, self._rotate(middle, cosine, sine, 0), tail], -1)
        one, two = _pairs(x)
        return torch.stack([cosine * one + sine * two, cosine * two - sine * one], -1).flatten(-2)


def lattice_angles(wavelet: Wavelet) -> list[float]:
    """The free angles at which `lattice` is an orthonormal wavelet, such as db4: half its taps less one, in radians.

    The outermost rotation is the one that makes the first and the last tap 0; it is taken off, and so on.
    Raises: ValueError where the wavelet is not orthonormal, or has no vanishing moment; as `dwt` for an unknown one.

    >>> [round(angle, 4) for angle in lattice_angles("db2")]
    [0.5236]
    """
    found = find_wavelet("lattice_angles", wavelet)
    if not found.orthogonal:
        raise ValueError(f"lattice_angles: expected an orthonormal wavelet such as db4 or sym8, got {quoted(wavelet)}.")
    taps, angles = torch.tensor(found.dec_lo[::-1], dtype=torch.double), list[float]()
    while len(taps) > 2:
        first, last = taps[:2], torch.stack([-taps[-1], taps[-2]])  # they are parallel; one may be 0
        sine, cosine = (first if first.norm() >= last.norm() else last).tolist()
        turn = math.remainder(math.atan2(-sine, cosine), math.pi)
        angles.append(turn * (-1) ** (len(taps) // 2 - 1))
        one, two = _pairs(taps)
        turned = math.cos(turn) * one + math.sin(turn) * two, math.cos(turn) * two - math.sin(turn) * one
        taps = torch.stack(turned, -1).flatten()[1:-1]
    miss = math.remainder(math.atan2(float(taps[1]), float(taps[0])) + sum(angles) - math.pi / 4, 2 * math.pi)
    if abs(miss) > 1e-6 and abs(abs(miss) - math.pi) > 1e-6:
        raise ValueError(f"lattice_angles: expected a wavelet whose detail of a constant is 0, got {quoted(wavelet)}.")
    return [angles[0] + math.pi, *angles[1:]] if abs(miss) > 1 else angles


def _pairs(x: Tensor) -> tuple[Tensor, Tensor]:
    """The even and the odd samples of the last axis."""
    one, two = x.unflatten(-1, (x.shape[-1] // 2, 2)).unbind(-1)
    return one, two


def _filters(free: Tensor) -> tuple[Tensor, Tensor]:
    """The filters of free angles (m - 1,), read from the response of a long ring to its middle coefficients."""
    taps = 2 * (len(free) + 1)
    units = torch.zeros(2, 4 * taps).to(free)
    units[0, taps], units[1, 3 * taps] = 1, 1
    low, high = units.split(2 * taps, -1)
    rows = _Rotations(free[None], True)._transpose(low, high, ANALYSIS, -1, 4 * taps)
    start = 2 * taps + 1 - taps // 2
    return rows[0, start : start + taps], rows[1, start : start + taps]


def _tensor(angles: Angles) -> Tensor:
    """`angles` as a tensor of 1 to 3 axes."""
    wanted = "lattice: angles must be finite numbers, as a list, one list per level, or per level one list per axis"
    try:
        given = angles if isinstance(angles, Tensor) else torch.tensor(listed(angles), dtype=torch.double)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{wanted}; got {quoted(angles)}.") from None
    if not given.is_floating_point() or not 1 <= given.ndim <= 3 or not bool(given.isfinite().all()):
        raise ValueError(f"{wanted}; got {quoted(angles)}.")
    if given.shape[-1] >= LONGEST:
        raise ValueError(f"lattice: expected at most {LONGEST - 1} free angles, got {given.shape[-1]}.")
    return given


def _stated(angles: Tensor, level: Level) -> Level:
    """The level; where the angles are given per level, their number."""
    if angles.ndim == 1:
        return level
    if level is not None and level != len(angles):
        raise ValueError(f"lattice: angles are given for {len(angles)} levels, got level={quoted(level)}; drop the level.")
    return len(angles)


def _expanded(angles: Tensor, level: int, dims: int) -> Tensor:
    """The free angles of every level and axis, (level, dims, m - 1)."""
    if angles.ndim == 3 and angles.shape[1] != dims:
        raise ValueError(f"lattice: angles must have one list for each of {dims} signal axes, got {angles.shape[1]}.")
    return (angles if angles.ndim == 3 else angles.unsqueeze(-2)).expand(level, dims, angles.shape[-1])


def _printed(angles: Tensor) -> str:
    """The angles as a spec, with every digit."""
    return str(angles.detach().double().tolist())
