"""Families of domains: from examples to candidates that are fitted to them."""

import abc
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..attribution import best_basis
from ..core.checks import check_choice, check_count, check_number, quoted
from ..core.registry import Registry
from ..core.spec import parse
from ..transforms import BlockLinear, Compose, Lattice, SubbandLinear, Transform, TransformClaim, get, lattice_angles
from .moments import Moments, Weights
from .objectives import Objective
from .pairs import Pairs
from .tilings import COSTS, best_tilings

WAVELETS = ("haar", "db2", "db4", "sym8")
TREES = ("isotropic", "anisotropic", "space_frequency")
LONG = 2048  # samples of a signal of one axis
SPACE = 2  # halves of an axis in space, at most
# From the attribution KLT alone to the KLT of the data alone, and mixtures with the moment of the gradients.
WEIGHTS: tuple[Weights, ...] = (
    (1, 0, 0),
    (3, 1, 0),
    (1, 1, 0),
    (1, 3, 0),
    (1, 9, 0),
    (0, 1, 0),
    (0, 3, 1),
    (0, 1, 1),
    (1, 1, 1),
)
BLIND: tuple[Weights, ...] = ((0, 1, 0),)
Candidate = tuple[str, Transform]


class Family(abc.ABC):
    """A set of domains, and how its members are fitted."""

    name: str

    @abc.abstractmethod
    def candidates(self, pairs: Pairs, objective: Objective, seed: int = 0) -> Iterable[Candidate]:
        """(how it was made, transform) of linear transforms of signals of `pairs.shape`, each fitted on these examples."""

    def prepared(self, shape: tuple[int, ...]) -> "Family":
        """The same family, with what all searches in signals of `shape` share made once."""
        return self


families: Registry[Family] = Registry("family", "pullback.families")


@families.register("menu")
@dataclass(frozen=True)
class Menu(Family):
    """The registered orthonormal domains with levels and modes; nothing is fitted, one is chosen.

    specs: instead of these, specs or transforms.
    """

    specs: Sequence[str | Transform] = ()

    def candidates(self, pairs: Pairs, objective: Objective, seed: int = 0) -> Iterable[Candidate]:
        return ((transform.spec, transform) for transform in self._built(pairs.shape))

    def prepared(self, shape: tuple[int, ...]) -> Family:
        return replace(self, specs=tuple(self._built(shape)))

    def _built(self, shape: tuple[int, ...]) -> Iterator[Transform]:
        return (get(spec, shape) for spec in self.specs) if self.specs else menu(shape)


@families.register("packets")
@dataclass(frozen=True)
class Packets(Family):
    """The wavelet packet trees of least cost, one for each wavelet, kind of tree and cost.

    wavelets: names of orthonormal ones.  level: of the deepest nodes; None takes 5, or what the signal allows.
    trees: isotropic, all axes halved at once (`best_basis`); anisotropic, one axis at a time; space_frequency, anisotropic in
    each part of the signal, which is cut too (`best_tiling`). Their halves of an axis are at most 3 where level is None.
    before: a spec of an orthogonal transform that keeps the shape, such as "color(opponent)", of which the packets are taken.
    """

    wavelets: Sequence[str] = WAVELETS
    level: int | None = None
    trees: Sequence[str] = TREES
    before: str = ""

    def __post_init__(self) -> None:
        for tree in self.trees:
            check_choice("packets", "trees", tree, TREES)

    def candidates(self, pairs: Pairs, objective: Objective, seed: int = 0) -> Iterator[Candidate]:
        start, pairs = _before(self.before, pairs)
        costs = COSTS[:1] if pairs.blind else COSTS  # by l1, Σ z² is the same in all of them
        for tree, wavelet in itertools.product(self.trees, self.wavelets):
            for cost, found in self._best(tree, wavelet, costs, pairs).items():
                yield f"{tree} by {cost}, {self.before}{found.spec}", _after(start, found)

    def _best(self, tree: str, wavelet: str, costs: Sequence[str], pairs: Pairs) -> Mapping[str, Transform]:
        if tree == "isotropic":
            att = [part.as_attribution() for part in pairs.blocks]
            return {cost: best_basis(att, cost, wavelet=wavelet, level=self.level) for cost in costs}
        made = best_tilings(pairs, wavelet, 3 if self.level is None else self.level, 0 if tree == "anisotropic" else SPACE)
        return {cost: made[cost] for cost in costs}


@families.register("block_klt")
@dataclass(frozen=True)
class BlockKLT(Family):
    """`block_linear` with the eigenvectors of the moments of all blocks, see `attribution_klt`.

    block: sizes to try, each one number or one for each axis. None takes, of the sizes that divide every axis, the largest of
    at most 64 and 256 samples of series and recordings, 8 pixels, or 4 voxels.
    overlap: whether to try the lapped form too.  weights: mixtures of the moments to try.
    separable: whether to try, too, the products of one matrix for the channels and for each axis, which have fewer numbers.
    """

    block: int | Sequence[int | Sequence[int]] | None = None
    overlap: bool = True
    weights: Sequence[Weights] = WEIGHTS
    separable: bool = True

    def candidates(self, pairs: Pairs, objective: Objective, seed: int = 0) -> Iterator[Candidate]:
        for block in self._blocks(pairs.shape):
            sizes = [block] * len(pairs.shape[1:]) if isinstance(block, int) else list(block)
            if len(sizes) == len(pairs.shape[1:]) and not any(n % size for n, size in zip(pairs.shape[1:], sizes)):
                for overlap in (False, True) if self.overlap and all(size % 2 == 0 for size in sizes) else (False,):
                    how = f"block={block}{', overlap' if overlap else ''}"
                    yield from self._klts(BlockLinear.identity(pairs.shape, sizes, overlap), pairs, how)

    def _klts(self, groups: BlockLinear, pairs: Pairs, how: str) -> Iterator[Candidate]:
        moments = Moments.none(groups).merge(pairs)
        yield from _klts(moments, pairs, self.weights, how)
        if self.separable and sum(n > 1 for n in groups.factors) > 1:
            yield from _klts(moments, pairs, self.weights, f"{how}, separable", groups.factors)

    def _blocks(self, shape: tuple[int, ...]) -> Sequence[int | Sequence[int]]:
        if self.block is not None:
            return [self.block] if isinstance(self.block, int) else self.block
        most = {1: (64, 256), 2: (8,)}.get(len(shape) - 1, (4,))
        fits = lambda size: all(n % size == 0 for n in shape[1:])
        return sorted({max(filter(fits, range(1, top + 1))) for top in most} - {1})


@families.register("subband_klt")
@dataclass(frozen=True)
class SubbandKLT(Family):
    """`subband_linear` with the eigenvectors of the moments of each scale: a KLT across channels and orientations.

    wavelets: names of orthonormal ones.  levels: to try.  weights: mixtures of the moments to try.
    """

    wavelets: Sequence[str] = ("haar", "db4")
    levels: Sequence[int] = (3, 5)
    weights: Sequence[Weights] = WEIGHTS

    def candidates(self, pairs: Pairs, objective: Objective, seed: int = 0) -> Iterator[Candidate]:
        for wavelet, level in itertools.product(self.wavelets, self.levels):
            if all(n % 2**level == 0 for n in pairs.shape[1:]):
                inner = f"dwt({wavelet}, level={level})"
                groups = SubbandLinear.identity(pairs.shape, inner)
                yield from _klts(Moments.none(groups).merge(pairs), pairs, self.weights, inner)


@families.register("lattice")
@dataclass(frozen=True)
class Trained(Family):
    """`lattice` with angles that are trained by Adam on the objective, from the angles of Daubechies' wavelets.

    wavelets: to start from; their lengths are kept.  level: of the transform.  steps: of Adam, each on `batch` examples.
    each: "all", the same angles everywhere; "level", or "axis", others for each level, or for each level and axis.
    before: as in `packets`.
    """

    wavelets: Sequence[str] = ("db2", "db3", "db4", "db6")
    level: int = 4
    steps: int = 40
    batch: int = 8
    rate: float = 0.05
    each: str = "level"
    before: str = ""

    def __post_init__(self) -> None:
        for what in ("level", "steps", "batch"):
            check_count("lattice", what, getattr(self, what))
        check_number("lattice", "rate", self.rate, 0)
        check_choice("lattice", "each", self.each, ("all", "level", "axis"))

    def candidates(self, pairs: Pairs, objective: Objective, seed: int = 0) -> Iterator[Candidate]:
        first, pairs = _before(self.before, pairs)
        level = min(self.level, int(math.log2(min(pairs.shape[1:]))))
        for wavelet in self.wavelets:
            start = torch.tensor(lattice_angles(wavelet), dtype=torch.double)
            sizes = {"all": (), "level": (level, 1), "axis": (level, len(pairs.shape) - 1, 1)}[self.each]
            start = start.expand(*sizes[:-1], len(start)).clone()
            build: Callable[[Tensor], Transform] = lambda angles: Lattice(pairs.shape, angles, level)
            yield f"{self.before}{wavelet}", _after(first, build(start))
            found = trained(build, start, pairs, objective, self.steps, self.batch, self.rate, seed)
            yield f"{self.before}{wavelet}, trained", _after(first, build(found))


def trained(
    build: Callable[[Tensor], Transform],
    start: Tensor,
    pairs: Pairs,
    objective: Objective,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
) -> Tensor:
    """The parameters after some steps of Adam on the smooth objective of random examples. Shape: as start.

    build: makes the transform of some parameters, differentiably.
    """
    parameters, generator = start.clone().requires_grad_(), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam([parameters], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        rows = torch.randperm(len(pairs), generator=generator)[:batch].to(pairs.group.device)
        optimizer.zero_grad()
        objective.smooth(build(parameters), pairs[rows]).backward()
        optimizer.step()
        schedule.step()
    return parameters.detach()


def _klts(
    moments: Moments, pairs: Pairs, weights: Sequence[Weights], how: str, factors: Sequence[int] = ()
) -> Iterator[Candidate]:
    blends = BLIND if pairs.blind else weights
    return ((f"{how}, weights={tuple(each)}", moments.klt(each, factors)) for each in blends)


def _before(spec: str, pairs: Pairs) -> tuple[Transform | None, Pairs]:
    """The transform of a spec, and the pairs in its coordinates; None for an empty spec."""
    if not spec:
        return None, pairs
    found = get(spec, pairs.shape)
    if TransformClaim.ORTHOGONAL not in found.claims or found.layout.shape != pairs.shape:
        raise ValueError(f"family: before must be orthogonal and keep the shape {pairs.shape}, got {quoted(spec)}.")
    return found, pairs.moved(found)


def _after(start: Transform | None, found: Transform) -> Transform:
    return found if start is None else Compose(start, found)


def menu(shape: tuple[int, ...]) -> Iterator[Transform]:
    """The orthonormal domains of the menu that exist for signals of `shape`; colour images also in opponent colours.

    Series and recordings have longer blocks and windows, and deeper levels.
    """
    long = len(shape) == 2 and shape[1] >= LONG
    specs = ["pixel", "dct", "dft", "hartley", *(f"block_dct(block={size})" for size in (4, 8, 16, 32)), "mdct"]
    specs += [f"{name}={size})" for name in ("block_dct(block", "mdct(size") for size in ((64, 256, 1024) if long else ())]
    specs += [
        f"dwt({wavelet}, level={level})" for wavelet in (*WAVELETS, "coif2") for level in (2, 3, 4, 5, *((8,) if long else ()))
    ]
    specs += [f"dwt({wavelet}, level={level}, mode=boundary)" for wavelet in ("db2", "db4") for level in (2, 3)]
    specs += [f"wpt({wavelet}, level={level})" for wavelet in ("haar", "db4") for level in (2, 3, *((5, 7) if long else ()))]
    colors = ("", "color(opponent) >> ") if shape[0] == 3 else ("",)
    for color, spec in itertools.product(colors, specs):
        transform = _found(color + spec, shape)
        if transform is not None and TransformClaim.ORTHOGONAL in transform.claims:
            yield transform


def _found(spec: str, shape: tuple[int, ...]) -> Transform | None:
    try:
        return get(spec, shape)
    except ValueError:  # too deep, or for signals of another number of axes
        return None


def get_family(family: str | Family) -> Family:
    """The family that a spec such as "block_klt(block=4)" describes.  Raises: TypeError or ValueError."""
    if isinstance(family, Family):
        return family
    if not isinstance(family, str):
        return Menu(tuple(family))
    calls = parse(family)
    if len(calls) != 1:
        raise ValueError(f"family: expected one family such as 'block_klt(block=8)', got {quoted(family)}.")
    return families.build(calls[0])
