"""Wavelet packets along single axes and in parts of the signal: tilings of space and frequency by rectangles."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from ...core.checks import quoted
from ..base import Transform, TransformClaim
from ..layout import Band, Shape
from ..registry import add
from .arguments import Wavelet, find_wavelet, wavelet_spec
from .filterbank import FilterBank
from .packing import Cell, pack, packed_layout, unpack

AXES = "ijk"  # letters of the signal axes
LEAF = "."


@dataclass(frozen=True)
class Split:
    """An inner node of a tree: its axis, counted from 0, whether it is split in space, and its two children."""

    axis: int
    space: bool
    children: tuple["Tree", "Tree"]


Tree = Split | None  # None is a leaf


@dataclass(frozen=True)
class Side:
    """The range of a node along one axis: its part of the signal from `start`, and the band `count` of 2^depth by frequency.

    samples: coefficients along the axis.  part: samples of the part of the signal; None where it is not halved in frequency.
    """

    start: int
    samples: int
    depth: int = 0
    count: int = 0
    part: int | None = None

    def half(self, space: bool, second: int) -> "Side":
        """The first or the second half in space or in frequency; a detail filter mirrors the spectrum."""
        size = self.samples // 2 if second else (self.samples + 1) // 2
        if space:
            return replace(self, start=self.start + second * ((self.samples + 1) // 2), samples=size)
        count = 2 * self.count + (second ^ (self.count & 1))
        return replace(self, samples=size, depth=self.depth + 1, count=count, part=self.part or self.samples)

    @property
    def low(self) -> float:
        """The lower end of the band, in cycles/sample."""
        return self.count * 2.0 ** -(self.depth + 1)

    @property
    def high(self) -> float:
        """The upper end of the band, in cycles/sample."""
        return (self.count + 1) * 2.0 ** -(self.depth + 1)


@add("tiling")
class Tiling(Transform):
    """An orthonormal tree in which every node is halved along one axis, in frequency or in space.

    In frequency the two filters of the wavelet halve a node, periodic and critically sampled as in `wpt`, whose trees split
    all axes at once; in space a node is cut into its first and its second half. So bands may be narrow along one axis only
    (anisotropic packets), and other frequencies may be split in each part of the signal (space-frequency tiling). An odd
    number of samples passes its last one to the approximation, or gives the first half one more.

    wavelet: an orthonormal one of PyWavelets.
    tree: from the root, a letter for each node and then its two children: `i`, `j`, `k` for halves in frequency along the
    first, second and third axis, `I`, `J`, `K` for halves in space, and `.` for a leaf. "ii..." is level 2 of one axis.
    Coefficients come in the order of the leaves. A band is named by its path: "iajd" is the detail along the second axis of
    the approximation along the first, and "I2ia" the approximation in the second half.
    Sources: Herley, Kovačević, Ramchandran & Vetterli 1993 (time-frequency tilings); Herley et al. 1997 (space-frequency);
    Bennett 2000 (anisotropic packets).
    Raises: ValueError for a wavelet that is not orthonormal, or a tree that is none, or deeper than the signal allows.

    >>> from pullback.transforms import get
    >>> [band.name for band in get("tiling(haar, tree=ij..J..)", shape=(1, 4, 4)).layout.bands]
    ['iaja', 'iajd', 'idJ1', 'idJ2']
    """

    def __init__(self, shape: Shape, wavelet: Wavelet = "haar", tree: str = LEAF) -> None:
        super().__init__(shape)
        found = find_wavelet("tiling", wavelet)
        self._bank = FilterBank(found)
        if not self._bank.orthonormal:
            raise ValueError(f"tiling: wavelet must be orthonormal, such as db4, sym8 or haar, got {quoted(wavelet)}.")
        sides = tuple(Side(0, n) for n in self.shape[1:])
        self._root = _read(tree, sides)
        self.tree = tree
        self.spec = f"tiling({wavelet_spec(found)}, tree={quoted_leaf(tree)})"
        self._cells = [_cell(name, leaf) for name, leaf in _leaves(self._root, sides)]
        self.layout = packed_layout(self.shape, self._cells)
        self.claims = TransformClaim.ORTHOGONAL

    def analysis(self, x: Tensor) -> Tensor:
        return pack(self._split(x, self._root))

    def synthesis(self, z: Tensor) -> Tensor:
        return self._merge(iter(unpack(z, self._cells)), self._root)

    def _split(self, x: Tensor, node: Tree) -> list[Tensor]:
        if node is None:
            return [x]
        axis = self._axis(node)
        halves = in_two(x, axis) if node.space else self._bank.split_axis(x, axis)
        return [leaf for half, child in zip(halves, node.children) for leaf in self._split(half, child)]

    def _merge(self, leaves: Iterator[Tensor], node: Tree) -> Tensor:
        if node is None:
            return next(leaves)
        halves, axis = [self._merge(leaves, child) for child in node.children], self._axis(node)
        size = sum(half.shape[axis] for half in halves)
        return torch.cat(halves, axis) if node.space else self._bank.merge_axis(halves[0], halves[1], axis, size)

    def _axis(self, node: Split) -> int:
        """The axis of a node, counted from the end."""
        return node.axis - len(self.shape) + 1

    @property
    def areas(self) -> list[tuple[Side, ...]]:
        """The range of each leaf along each axis."""
        return [leaf for _, leaf in _leaves(self._root, tuple(Side(0, n) for n in self.shape[1:]))]

    @property
    def reference(self) -> str:
        return "no library has such trees"

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        yield from [cls((1, 4)), cls((2, 16), "db2", "iI..i.."), cls((1, 13), "db4", "Iii...i..")]
        yield from [cls((1, 8, 12), "db2", "ij.i..J.j.."), cls((2, 7, 6), "haar", "jj...")]
        yield cls((1, 4, 5, 6), "db2", "ik.K..j..")


def in_two(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The first and the second half of an axis; the first has one more of an odd number."""
    n = x.shape[axis]
    return x.narrow(axis, 0, (n + 1) // 2), x.narrow(axis, (n + 1) // 2, n // 2)


def quoted_leaf(tree: str) -> str:
    """The tree as a spec has it: a word, unless it is a leaf alone."""
    return tree if tree != LEAF else f"'{LEAF}'"


def written(node: Tree) -> str:
    """The text of a tree, as `Tiling` reads it.

    >>> written(Split(0, False, (None, Split(1, True, (None, None)))))
    'i.J..'
    """
    if node is None:
        return LEAF
    letter = AXES[node.axis]
    return (letter.upper() if node.space else letter) + "".join(map(written, node.children))


def _read(tree: str, sides: tuple[Side, ...]) -> Tree:
    """The tree of a text.  Raises: TypeError or ValueError that names the fault."""
    wanted = f"letters {', '.join(AXES[: len(sides)])} or capitals with two children each, and {LEAF!r} for a leaf"
    if not isinstance(tree, str):
        raise TypeError(f"tiling: tree must be a text of {wanted}; got {quoted(tree)}.")
    letters = iter(tree)
    found = _node(letters, sides, f"tiling: tree must be {wanted}; {quoted(tree)} ")
    if (rest := "".join(letters)) != "":
        raise ValueError(f"tiling: tree must be {wanted}; {quoted(tree)} goes on with {quoted(rest)} after its last leaf.")
    return found


def _node(letters: Iterator[str], sides: tuple[Side, ...], wanted: str) -> Tree:
    letter = next(letters, None)
    if letter is None:
        raise ValueError(f"{wanted}ends before all leaves are there.")
    if letter == LEAF:
        return None
    axis = AXES.find(letter.lower())
    if not 0 <= axis < len(sides):
        raise ValueError(f"{wanted}has {quoted(letter)}.")
    if sides[axis].samples < 2:
        raise ValueError(f"{wanted}halves a single sample along {letter.lower()}.")
    children = (_node(letters, _moved(sides, axis, letter.isupper(), second), wanted) for second in (0, 1))
    return Split(axis, letter.isupper(), cast(tuple[Tree, Tree], tuple(children)))


def _moved(sides: tuple[Side, ...], axis: int, space: bool, second: int) -> tuple[Side, ...]:
    return (*sides[:axis], sides[axis].half(space, second), *sides[axis + 1 :])


def _leaves(node: Tree, sides: tuple[Side, ...], path: str = "") -> Iterator[tuple[str, tuple[Side, ...]]]:
    """(name, ranges) of every leaf."""
    if node is None:
        yield path or "root", sides
        return
    for second, child in enumerate(node.children):
        step = AXES[node.axis].upper() + "12"[second] if node.space else AXES[node.axis] + "ad"[second]
        yield from _leaves(child, _moved(sides, node.axis, node.space, second), path + step)


def _cell(name: str, sides: tuple[Side, ...]) -> Cell:
    """The band of a leaf and its grid. Its range is that of the largest frequency of any axis."""
    low, high = max((side.low for side in sides), default=0.0), max((side.high for side in sides), default=0.5)
    kinds = "".join("d" if side.low > 0 and _octave(side.high) == _octave(high) else "a" for side in sides)
    steps = tuple(2.0**side.depth for side in sides)
    offsets = tuple(side.start + (step - 1) / 2 for side, step in zip(sides, steps))
    centre = tuple((side.low + side.high) / 2 for side in sides)
    return Cell(Band(name, _octave(high), kinds, low, high), tuple(side.samples for side in sides), centre, steps, offsets)


def _octave(high: float) -> int:
    """The number of the octave whose upper end is the next one from `high` on, in cycles/sample."""
    return math.floor(-math.log2(high))
