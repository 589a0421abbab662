"""Wavelet packets: detail bands are split again, along any tree."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pywt
import torch
from torch import Tensor

from ...core.checks import choose, quoted
from ..base import Transform, TransformClaim
from ..layout import Band, Shape
from ..reference import Reference
from ..registry import add
from .arguments import Level, Wavelet, check_level, find_wavelet, wavelet_spec
from .dwt import halvings
from .filterbank import FilterBank, step_keys
from .packing import Cell, pack, packed_layout, unpack
from .reference_libraries import wpt_reference

Tree = str | Sequence[str]  # paths of its leaves

ORDERS = ("frequency", "natural")
MOST = 16  # doublings of the number of bands in a full tree: 65,536 bands
ROOT = "root"  # the name of the band that is the signal itself


@add("wpt")
class WPT(Transform):
    """Separable wavelet packet transform over all signal axes, periodic and critically sampled for every size.

    Every node of the tree is split by the two filters along each axis, into 2^dims children; the leaves are the bands.
    A node's path has one letter per axis and level, `a` or `d`, coarse levels last: "ad" is level 2 of one axis and
    level 1 of two. It is orthonormal where the wavelet is, along any tree, and equal to PyWavelets' packets in mode
    periodization for sizes that are even at every level; an odd size passes its last sample to the approximation.

    wavelet: a name of PyWavelets, a `pywt.Wavelet`, or filters [dec_lo, dec_hi, rec_lo, rec_hi].
    level: the full tree of that depth; None takes 3, or as many as the signal allows, "max" the deepest, of at most 65,536
    bands. Level 0 is the signal itself, and a warning says where nothing deeper exists.
    nodes: instead of a level, the leaves of any tree, as a list of paths or one word such as "a+da+dd".
    order: of the bands in z. `frequency` rises along the first axis, then along the next, … (a detail filter mirrors
    the spectrum, so that paths are in Gray code); `natural` is the order of the paths.
    Sources: Coifman, Meyer & Wickerhauser 1992; Wickerhauser 1994, ch. 7; PyWavelets for conventions.
    Raises: ValueError for an unknown wavelet or order, a level that is too deep or given beside nodes, or nodes that are
    not the leaves of a tree; TypeError where level is not a whole number or nodes are not paths.

    >>> from pullback.transforms import get
    >>> [band.name for band in get("wpt(haar, level=2)", shape=(1, 8)).layout.bands]
    ['aa', 'ad', 'dd', 'da']
    >>> get("wpt(haar, nodes=a+da+dd)", shape=(1, 8))(torch.ones(1, 1, 8)).round(decimals=4)
    tensor([[[1.4142, 1.4142, 1.4142, 1.4142, 0.0000, 0.0000, 0.0000, 0.0000]]])
    """

    def __init__(
        self, shape: Shape, wavelet: Wavelet = "haar", level: Level = None, nodes: Tree | None = None, order: str = "frequency"
    ) -> None:
        super().__init__(shape)
        self.wavelet = find_wavelet("wpt", wavelet)
        order = choose("wpt", "order", order, ORDERS)
        if nodes is not None and level is not None:
            raise ValueError(f"wpt: expected a level or nodes, got both ({quoted(level)} and {quoted(nodes)}); drop the level.")
        self._dims = len(self.shape) - 1
        paths = None if nodes is None else check_tree("wpt", nodes, self._dims)
        depth = level if paths is None else max(map(len, paths)) // self._dims
        deepest = halvings(self.shape)
        deepest = min(deepest, MOST // self._dims) if paths is None else deepest
        self.level = check_level("wpt", depth, deepest, str(self.shape))
        leaves = full_tree(self.level, self._dims) if paths is None else paths
        self.nodes = tuple(sorted(leaves, key=self._lowest if order == "frequency" else None))
        full = len(leaves) == 2 ** (self.level * self._dims)
        tree = f"level={self.level}" if full else f"nodes={'+'.join(self.nodes)}"
        self.spec = f"wpt({wavelet_spec(self.wavelet)}, {tree}, order={order})"
        self._bank = FilterBank(self.wavelet)
        self._cells = [self._cell(path) for path in self.nodes]
        self.layout = packed_layout(self.shape, self._cells)
        split = {path[:i] for path in self.nodes for i in range(0, len(path), self._dims)}
        self._inputs = [self._size(path) for path in sorted(split)]
        isometric = all(map(self._bank.isometric, {n for sizes in self._inputs for n in sizes}))
        self.claims = TransformClaim.ORTHOGONAL if isometric else TransformClaim.LINEAR | TransformClaim.BIJECTIVE

    def analysis(self, x: Tensor) -> Tensor:
        return self._decompose(x, dual=False)

    def synthesis(self, z: Tensor) -> Tensor:
        nodes = dict(zip(self.nodes, unpack(z, self._cells)))
        for depth in range(self.level, 0, -1):
            deepest = {path: nodes.pop(path) for path in list(nodes) if len(path) == depth * self._dims}
            nodes |= merge_nodes(self._bank, deepest, self._dims)
        return nodes[""]

    def transpose(self, g: Tensor) -> Tensor:
        return self._decompose(g, dual=True)

    def to_pywt(self, z: Tensor) -> pywt.WaveletPacketND:
        """The leaves as a tree of PyWavelets, of arrays (batch, channels, *grid).  Raises: ValueError or TypeError as `unpack`.

        >>> T = pb.transforms.get("wpt(haar, level=1)", shape=(1, 4))
        >>> T.to_pywt(T(torch.ones(1, 1, 4))).reconstruct(update=False).round(4)
        array([[[1., 1., 1., 1.]]], dtype=float32)
        """
        tree = pywt.WaveletPacketND(None, self.wavelet, "periodization", axes=tuple(range(-self._dims, 0)))
        for path, band in zip(self.nodes, self.unpack(z).values()):
            tree[path] = band.detach().cpu().numpy()
        return tree

    def from_pywt(self, tree: Mapping[str, Any]) -> Tensor:
        """z of a tree of PyWavelets, or of a mapping {path: array}, that holds these leaves.

        Raises: ValueError where a leaf is missing or of another shape.
        """
        leaves = {}
        for path, band in zip(self.nodes, self.layout.bands):
            try:
                leaves[band.name] = torch.as_tensor(getattr(tree[path], "data", tree[path]))
            except (KeyError, ValueError, TypeError, IndexError):
                raise ValueError(f"wpt: expected a tree of PyWavelets with the leaf {path!r}, got {quoted(tree)}.") from None
        return self.pack(leaves)

    def refinement(self, coarse: Transform) -> Callable[[Tensor], Tensor] | None:
        if not isinstance(coarse, WPT) or coarse.shape != self.shape or coarse._filters != self._filters:
            return None
        inner = {path[:i] for path in self.nodes for i in range(0, len(path) + 1, self._dims)}
        deeper = lambda z: self._leaves(dict(zip(coarse.nodes, unpack(z, coarse._cells))))
        return deeper if inner.issuperset(coarse.nodes) else None

    @property
    def _filters(self) -> list[tuple[float, ...]]:
        return [tuple(each) for each in self.wavelet.filter_bank]

    def _decompose(self, x: Tensor, dual: bool) -> Tensor:
        """The leaves of x with the analysis filters, or with the transposed synthesis filters."""
        return self._leaves({"": x}, dual)

    def _leaves(self, nodes: dict[str, Tensor], dual: bool = False) -> Tensor:
        """The leaves from nodes that cover the signal."""
        found, wanted = dict[str, Tensor](), set(self.nodes)
        while nodes:
            found |= {path: nodes.pop(path) for path in list(nodes) if path in wanted}
            nodes = split_nodes(self._bank, nodes, self._dims, dual)
        return pack(found[path] for path in self.nodes)

    def _lowest(self, path: str) -> tuple[float, ...]:
        """The lower end of a node's frequencies along each axis, in cycles/sample."""
        width = 2.0 ** -(len(path) // self._dims + 1)
        return tuple(count * width for count in sequency(path, self._dims))

    def _size(self, path: str) -> Shape:
        size = self.shape[1:]
        for start in range(0, len(path), self._dims):
            size = tuple(n // 2 if letter == "d" else (n + 1) // 2 for letter, n in zip(path[start:], size))
        return size

    def _cell(self, path: str) -> Cell:
        depth = len(path) // self._dims
        centre = tuple(low + 2.0 ** -(depth + 2) for low in self._lowest(path))
        band = _band(path, sequency(path, self._dims), depth)
        return Cell(band, self._size(path), centre, 2.0**depth, (2.0**depth - 1) / 2)

    @property
    def reference(self) -> Reference | str:
        return wpt_reference(self.wavelet, self.nodes, self._inputs, self._cells, not self._bank.refinements)

    @classmethod
    def examples(cls) -> Iterable[Transform]:
        yield from [cls((1, 1), level=0), cls((2, 16), "db4"), cls((1, 13), "db2", level=2, order="natural")]
        yield cls((1, 32), "dmey", nodes="aa+ad+d")
        yield from [cls((2, 9), "sym3", nodes="a+daa+dad+dd"), cls((3, 6, 5), "haar", level=2)]
        yield cls((1, 12, 8), "bior2.2", nodes="aa+ad+dd+daaa+daad+dada+dadd", order="natural")
        yield from [cls((1, 4, 5, 6), "db2", level=1), cls((1, 7), "haar", nodes=[""])]


def _band(path: str, counts: Sequence[int], depth: int) -> Band:
    """The band of a node whose frequencies along each axis are (count, count + 1] of 2^-(depth + 1) cycles/sample.

    As for all separable bands, the axis of highest frequency gives the scale, and an axis is `d` where it lies in the
    same octave: a packet tree that is a pyramid has the pyramid's scales and orientations.
    """
    top, width = max(counts, default=0), 2.0 ** -(depth + 1)
    orientation = "".join("d" if top and count.bit_length() == top.bit_length() else "a" for count in counts)
    return Band(path or ROOT, depth + 1 - top.bit_length(), orientation, top * width, (top + 1) * width)


def split_nodes(bank: FilterBank, nodes: dict[str, Tensor], dims: int, dual: bool = False) -> dict[str, Tensor]:
    """{path: band} of the children of all nodes. Tree of one size are split together, as channels of one signal."""
    children: dict[str, Tensor] = {}
    for paths in _alike({path: node.shape for path, node in nodes.items()}):
        for key, bands in bank.split(_join([nodes[path] for path in paths]), dims, dual).items():
            children |= {path + key: band for path, band in zip(paths, bands.chunk(len(paths), 1))}
    return children


def merge_nodes(bank: FilterBank, children: dict[str, Tensor], dims: int) -> dict[str, Tensor]:
    """{path: band} of the parents of complete families of children: inverse of `split_nodes`."""
    families: dict[str, dict[str, Tensor]] = {}
    for path, band in children.items():
        families.setdefault(path[:-dims], {})[path[-dims:]] = band
    parents: dict[str, Tensor] = {}
    # The sizes of the first and the last child together determine that of the parent.
    sizes = {path: (*family["a" * dims].shape, *family["d" * dims].shape) for path, family in families.items()}
    for paths in _alike(sizes):
        together = {key: _join([families[path][key] for path in paths]) for key in families[paths[0]]}
        whole = [a + d for a, d in zip(together["a" * dims].shape[2:], together["d" * dims].shape[2:])]
        parents |= dict(zip(paths, bank.merge(together, whole).chunk(len(paths), 1)))
    return parents


def _alike(sizes: Mapping[str, Shape]) -> Iterable[list[str]]:
    """Paths in groups of equal size."""
    groups: dict[Shape, list[str]] = {}
    for path, size in sizes.items():
        groups.setdefault(tuple(size), []).append(path)
    return groups.values()


def _join(bands: list[Tensor]) -> Tensor:
    return bands[0] if len(bands) == 1 else torch.cat(bands, 1)


def full_tree(level: int, dims: int) -> list[str]:
    """Paths of all nodes at `level`."""
    return ["".join(path) for path in itertools.product(step_keys(dims), repeat=level)]


def sequency(path: str, dims: int) -> Shape:
    """The rank of a node by frequency among all nodes of its level, along each axis.

    Halving the rate mirrors the spectrum of a detail band, so that the next detail filter takes its lower half.

    >>> [sequency(path, dims=1) for path in ("aa", "ad", "dd", "da")]
    [(0,), (1,), (2,), (3,)]
    """
    counts = [0] * dims
    for i, letter in enumerate(path):
        counts[i % dims] = 2 * counts[i % dims] + ((letter == "d") ^ (counts[i % dims] & 1))
    return tuple(counts)


def check_tree(who: str, nodes: Tree, dims: int) -> list[str]:
    """The leaves, sorted, if each part of the signal is in exactly one.  Raises: TypeError or ValueError, with the fault."""
    keys, example = step_keys(dims), "+".join(step_keys(dims))
    paths = nodes.split("+") if isinstance(nodes, str) else nodes
    if not isinstance(paths, Sequence) or not all(isinstance(path, str) for path in paths) or not paths:
        raise TypeError(f"{who}: nodes must be paths such as {example!r} or {keys}, got {quoted(nodes)}.")
    leaves = sorted("" if path == ROOT else path for path in paths)
    for path in leaves:
        if len(path) % dims or set(path) - {"a", "d"}:
            wanted = f"{dims} of the letters a and d for each level, such as {keys[-1] + keys[0]!r}"
            raise ValueError(f"{who}: a path has {wanted}; got {quoted(path)}.")
    twice = [path for path, count in Counter(leaves).items() if count > 1]
    inner = {path[:i] for path in leaves for i in range(0, len(path), dims)}
    inside = [path for path in leaves if path in inner]
    missing = sorted({path + key for path in inner for key in keys} - inner - {*leaves})
    for wrong, fault in ((twice, "given twice"), (inside, "given beside its own children"), (missing, "missing")):
        if wrong:
            wanted = f"the leaves of one tree, with all children of a node ({example}) or none"
            raise ValueError(f"{who}: nodes must be {wanted}; {quoted(wrong[0] or ROOT)} is {fault}.")
    return leaves
