"""The tree of least cost among those that halve one axis at a time, in frequency or in space."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ..core.checks import choose
from ..transforms import Tiling
from ..transforms.wavelets.arguments import find_wavelet
from ..transforms.wavelets.filterbank import FilterBank
from ..transforms.wavelets.tiling import Split, Tree, in_two, written
from .pairs import Pairs

COSTS = ("entropy", "l1")
Node = tuple[tuple[str, str], ...]  # for each axis the halves in space and those in frequency


def best_tiling(pairs: Pairs, wavelet: str = "db4", level: int = 3, space: int = 0, cost: str = "entropy") -> Tiling:
    """The tree of least Σ c(|a| / ‖x - x₀‖ ‖ḡ‖) over examples and coefficients, c(q) = -q ln q or q.

    A node is halved where the best costs of its halves sum to less than its own; halves along different axes commute, so that
    every node is computed once (dynamic programming). All halves in space come before those in frequency.

    level: the most halves along one axis, in space and frequency together.  space: of these in space.  cost: entropy or l1.
    Sources: Coifman & Wickerhauser 1992; Bennett 2000 for single axes; Herley et al. 1993 (double tree) for space.

    >>> x = torch.randn(8, 1, 16, generator=torch.Generator().manual_seed(0))
    >>> end = lambda x: pb.transforms.get("wpt(haar, level=2)", (1, 8))(x[..., 8:])[:, 0, 4:].pow(2).sum(1)
    >>> best_tiling(Pairs.of(pb.attribute(end, x)), "haar", level=3, space=1, cost="l1").tree[:2]
    'I.'
    """
    return best_tilings(pairs, wavelet, level, space)[choose("best_tiling", "cost", cost, COSTS)]


def best_tilings(pairs: Pairs, wavelet: str = "db4", level: int = 3, space: int = 0) -> dict[str, Tiling]:
    """{cost: `best_tiling`} of both costs, for which every node is computed once."""
    depths = [min(level, int(math.log2(n))) for n in pairs.shape[1:]]
    bank = FilterBank(find_wavelet("best_tiling", wavelet))
    costs: dict[str, dict[Node, float]] = {cost: {} for cost in COSTS}
    for part in pairs.blocks:
        scale = part.scale.where(part.scale > 0, 1)[:, None]
        for node, both in _nodes(torch.cat([part.displacement, part.covector]), bank, depths, space):
            y, g = both.flatten(1).chunk(2)
            q = (y * g).abs() / scale
            for cost, each in zip(COSTS, (torch.special.entr(q), q)):
                costs[cost][node] = costs[cost].get(node, 0.0) + float(each.sum(dtype=torch.double))
    root: Node = tuple(("", "") for _ in depths)
    return {cost: Tiling(pairs.shape, wavelet, written(_cheapest(root, known, {})[1])) for cost, known in costs.items()}


def _nodes(x: Tensor, bank: FilterBank, depths: list[int], space: int) -> Iterator[tuple[Node, Tensor]]:
    """Every node of every tree, and its coefficients."""
    parts: dict[Node, Tensor] = {(): x}
    for axis, depth in enumerate(depths, start=-len(depths)):
        parts = {
            (*node, (path, "")): half
            for node, whole in parts.items()
            for path, half in _halved(whole, axis, min(depth, space), "12", None)
        }
    for node, part in parts.items():
        yield from _bands(part, node, 0, bank, depths)


def _bands(x: Tensor, node: Node, axis: int, bank: FilterBank, depths: list[int]) -> Iterator[tuple[Node, Tensor]]:
    """The bands of a part of the signal along this axis and the next ones."""
    if axis == len(depths):
        yield node, x
        return
    place = node[axis][0]
    for path, band in _halved(x, axis - len(depths), depths[axis] - len(place), "ad", bank):
        yield from _bands(band, (*node[:axis], (place, path), *node[axis + 1 :]), axis + 1, bank, depths)


def _halved(
    x: Tensor, axis: int, depth: int, letters: str, bank: FilterBank | None, path: str = ""
) -> Iterator[tuple[str, Tensor]]:
    """x and its halves along an axis, down to a depth; without a bank, in space."""
    yield path, x
    if len(path) < depth and x.shape[axis] > 1:
        halves = in_two(x, axis) if bank is None else bank.split_axis(x, axis)
        for letter, half in zip(letters, halves):
            yield from _halved(half, axis, depth, letters, bank, path + letter)


def _cheapest(node: Node, costs: dict[Node, float], known: dict[Node, tuple[float, Tree]]) -> tuple[float, Tree]:
    """The least cost of a node, and the tree that has it."""
    if node not in known:
        best: tuple[float, Tree] = costs[node], None
        for axis, in_space, halves in _splits(node, costs):
            (one, low), (two, high) = (_cheapest(half, costs, known) for half in halves)
            if one + two < best[0]:
                best = one + two, Split(axis, in_space, (low, high))
        known[node] = best
    return known[node]


def _splits(node: Node, costs: dict[Node, float]) -> Iterator[tuple[int, bool, list[Node]]]:
    """(axis, whether in space, halves) of a node, as far as they were computed."""
    whole = not any(band for _, band in node)
    for axis, (place, band) in enumerate(node):
        sides = [(False, [(place, band + letter) for letter in "ad"])]
        if whole:
            sides.append((True, [(place + letter, "") for letter in "12"]))
        for in_space, pair in sides:
            halves = [(*node[:axis], side, *node[axis + 1 :]) for side in pair]
            if halves[0] in costs:
                yield axis, in_space, halves
