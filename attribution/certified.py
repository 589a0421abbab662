"""Integrated gradients that know their error: nested grids, chosen per example, and a certificate.

Two errors are told apart. The residual of completeness is exact, on every part of the path too, since the score comes
free with each gradient: ∫_a^b ⟨∇f, Δ⟩ dα = f(b) - f(a). The error of the map itself is estimated, from the same rule on
every other node. Small changes of the weights move a residual to zero; it says nothing of the map then.

The grid is made in nested levels. A pilot shows how much the gradient changes over each of its gaps; for a gradient that
moves like a random walk, as those of deep ReLU networks do, the expected squared error of a gap of width h is
‖change‖² h² / 12, and the next level puts its nodes where they lower the total most. All later levels halve every gap, so
that old weights are halved too, and a running sum takes the place of the gradients.

Kept per example are a few sums of the signal's size, and a sketch of each gradient: random signed sums that keep
distances within some percent. Distances between whole maps, however their nodes are weighted, are read off the sketches.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .estimator import Estimate, Walk
from .index import on_host, runs
from .quadrature import every_other, halve, levels, pilot, refine, spline_weights, trapezoid_weights

_SKETCH = 1024  # numbers kept of each gradient; about 2 % of relative error in distances
_PARTS = 4  # of the path, each of which the correction weights by itself
_LINEAR, _CUBIC = 0, 1  # two of the running sums; those of the correction follow
_RANDOM, _SMOOTH = 3**0.5, 3.0  # how much further than its error a rule moves when every other node is left out


@dataclass(frozen=True, eq=False)
class Grid:
    """Nodes from 0 to 1, the weights of a piecewise linear and of a cubic rule, and where the path's parts meet."""

    nodes: np.ndarray
    linear: np.ndarray
    cubic: np.ndarray
    edges: np.ndarray

    @classmethod
    def on(cls, nodes: np.ndarray) -> "Grid":
        edges = np.quantile(nodes, np.linspace(0, 1, _PARTS + 1)[1:-1], method="lower")
        return cls(nodes, trapezoid_weights(nodes), spline_weights(nodes), edges)

    def halved(self, count: int) -> tuple["Grid", np.ndarray, float]:
        """The next level, of `count` nodes; its new nodes; and what node 0 weighs more than half of what it did.

        The linear rule halves old weights. The cubic one is Simpson's, (4 · linear - old linear) / 3 on all middles, so
        that an old node has a third of its old linear weight.
        """
        new, shift = halve(self.nodes, count)
        nodes = np.sort(np.concatenate([self.nodes, new]))
        plain = np.sort(np.concatenate([self.nodes, new[: len(self.nodes) - 1]]))
        cubic = np.zeros(count)
        cubic[np.isin(nodes, plain)] = 4 / 3 * trapezoid_weights(plain)
        cubic[np.isin(nodes, self.nodes)] -= self.linear / 3
        return Grid(nodes, trapezoid_weights(nodes), cubic, self.edges), new, shift


@dataclass(frozen=True, eq=False)
class Path:
    """What is known of one example's path: numbers on the host, no gradient.

    score: f at each node.  slope: F = ⟨∇f, Δ⟩.  square: ‖∇f ⊙ Δ‖².  sketch: of ∇f ⊙ Δ, (nodes, sketch).
    """

    grid: Grid
    score: np.ndarray
    slope: np.ndarray
    square: np.ndarray
    sketch: np.ndarray
    size: int = 1  # how many numbers ∇f has

    @classmethod
    def of(cls, grid: Grid, facts: np.ndarray, size: int = 1) -> "Path":
        return cls(grid, facts[:, 0], facts[:, 1], facts[:, 2], facts[:, 3:], size)

    def grown(self, grid: Grid, new: np.ndarray, facts: np.ndarray) -> "Path":
        """The path on `grid`, whose nodes are those of this path and `new`, of which `facts` are known."""
        old = np.column_stack([self.score, self.slope, self.square, self.sketch])
        order = np.argsort(np.concatenate([self.grid.nodes, new]), kind="stable")
        return Path.of(grid, np.concatenate([old, facts])[order], self.size)

    def parts(self) -> np.ndarray:
        """`pulls` of all nodes. Shape: (nodes, parts)."""
        return pulls(self.grid, self.grid.nodes, self.slope, self.square)

    def length(self, weights: np.ndarray) -> float:
        """‖Σ w ∇f ⊙ Δ‖, from the sketches."""
        return float(np.linalg.norm(weights @ self.sketch))

    def changes(self, floor: float) -> np.ndarray:
        """Squared change of the gradient over each gap; what rounding alone could make is one level for all."""
        change: np.ndarray = (np.diff(self.sketch, axis=0) ** 2).sum(1)
        return np.maximum(change, floor * self.square.mean())


def pulls(grid: Grid, nodes: np.ndarray, slope: np.ndarray, square: np.ndarray) -> np.ndarray:
    """F / ‖∇f ⊙ Δ‖² in the column of the node's part, else 0: weights moved along it gain completeness most cheaply.

    Shape: (nodes, parts).
    """
    pull = np.divide(slope, square, where=square > 0, out=np.zeros_like(slope))
    part = np.searchsorted(grid.edges, nodes, side="right")
    return np.where(part[:, None] == np.arange(_PARTS), pull[:, None], 0)


@dataclass(frozen=True, eq=False)
class Certificate:
    """What is known of the error of one example's map.

    weights: those of the returned map.  cubic: whether they start from the cubic rule, else from the linear one.
    mix: how much of each part's `pulls` they hold.  before, after: the residual of completeness, signed, without and
    with the correction.  local: Σ over gaps of |∫F - its trapezoid|.  error: the map's estimated relative L2 error.
    moved: relative L2 length of the correction.  meets: whether the tolerance is met.
    """

    weights: np.ndarray
    cubic: bool
    mix: np.ndarray
    before: float
    after: float
    local: float
    error: float
    moved: float
    meets: bool


def certificate(path: Path, tol: float, correct: bool, floor: float) -> Certificate:
    """Picks the rule, corrects it if asked to, and says what is known.  floor: relative size of rounding errors."""
    cubic, error = _rule(path)
    weights = path.grid.cubic if cubic else path.grid.linear
    size, delta = path.length(weights), path.score[-1] - path.score[0]
    before = float(weights @ path.slope - delta)
    mix = _correction(path, -before, error) if correct else np.zeros(_PARTS)
    change = path.parts() @ mix
    gaps = np.diff(path.grid.nodes) * (path.slope[1:] + path.slope[:-1]) / 2
    noise = floor * float(np.abs(weights) @ np.abs(path.slope))
    # What the scores show to be missing in a gap, e, is missing in the map too: ‖error‖ ≥ |e| / √size, by Cauchy and
    # Schwarz. It is all that shows of a jump between two nodes.
    missing = np.diff(path.score) - gaps
    rounding = floor * np.abs(path.score).max()
    missed = float(np.sqrt((missing[np.abs(missing) > rounding] ** 2).sum() / path.size))
    error = max(error, missed)
    relative = error / size if size > 0 else float(error > 0)
    return Certificate(
        weights=weights + change,
        cubic=cubic,
        mix=mix,
        before=before,
        after=before + float(change @ path.slope),
        local=float(np.abs(missing).sum()),
        error=relative,
        moved=path.length(change) / size if size > 0 else 0.0,
        meets=tol > 0 and relative <= max(tol, floor) and abs(before) <= tol * abs(delta) + noise,
    )


def _rule(path: Path) -> tuple[bool, float]:
    """Whether the cubic rule suits this path, and the estimated L2 error of the map.

    d = ‖rule on all nodes - rule on every other‖. Where gradients move like a random walk the linear rule's error is
    d / √3, and no rule is better; where they are smooth it is d / 3, and the cubic rule's is far smaller.
    """
    linear, coarser = _steps(path, path.grid.linear, trapezoid_weights)
    cubic, _ = _steps(path, path.grid.cubic, spline_weights)
    if cubic < linear / 2:
        return True, cubic / _SMOOTH
    shrink = coarser / linear if linear > 0 else 1.0
    return False, linear / min(max(_RANDOM, shrink - 1), _SMOOTH)


def _steps(path: Path, weights: np.ndarray, rule: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
    """How far the map moves from every other node to all of them, and from every fourth node to every other."""
    nodes = path.grid.nodes
    half = every_other(len(nodes))
    quarter = half[every_other(len(half))]
    coarse = np.zeros((2, len(nodes)))
    coarse[0, half], coarse[1, quarter] = rule(nodes[half]), rule(nodes[quarter])
    return path.length(weights - coarse[0]), path.length(coarse[0] - coarse[1])


def _correction(path: Path, missing: float, most: float) -> np.ndarray:
    """How much of each part's `pulls` adds `missing` to Σ w F and moves the map least, by `most` at the utmost.

    A map is moved by no more than its error: what is missing beyond that stays missing, and is told. Shape: (parts,).
    """
    parts = path.parts()
    maps, gain = parts.T @ path.sketch, parts.T @ path.slope
    gram = maps @ maps.T
    gram[np.diag_indices(_PARTS)] += 1e-9 * np.trace(gram)
    mix: np.ndarray = np.linalg.lstsq(gram, gain, rcond=None)[0]
    total = float(gain @ mix)
    if not total > 0:
        return np.zeros(_PARTS)
    mix = mix * (missing / total)
    size = float(np.linalg.norm(mix @ maps))
    return mix * min(1.0, most / size) if size > 0 else mix


class _Sketch:
    """Signed sums of the entries of ∇f ⊙ Δ, `_SKETCH` of them, with the same signs for all; the entries if they are few.

    The expected squared length is that of ∇f ⊙ Δ.
    """

    def __init__(self, like: Tensor) -> None:
        signs = torch.randint(0, 2, (like[0].numel(),), generator=torch.Generator().manual_seed(0)) * 2 - 1
        self._signs = signs.to(like)

    def __call__(self, rows: Tensor) -> Tensor:
        """rows: (rows, size). Shape: (rows, sketch)."""
        if rows.shape[1] <= _SKETCH:
            return rows
        signed = torch.nn.functional.pad(rows * self._signs, (0, -rows.shape[1] % _SKETCH))
        return signed.reshape(len(rows), -1, _SKETCH).sum(1)


class _Group:
    """Examples whose pilots fit into the row budget together, led through the levels; each leaves when it may."""

    def __init__(self, walk: Walk, members: Sequence[int], sketch: _Sketch) -> None:
        self.walk, self.members, self.sketch = walk, members, sketch
        self.step = (walk.point - walk.base).flatten(1)
        self.floor = 64 * torch.finfo(walk.point.dtype).eps
        self.sums = self.step.new_zeros(len(members), 2 + _PARTS, self.step.shape[1])
        self.origin = self.step.new_zeros(len(members), self.step.shape[1])  # ∇f at α = 0
        self.paths: dict[int, Path] = {}
        self.found: dict[int, Certificate] = {}

    def run(self, sizes: Sequence[int], tol: float, correct: bool) -> None:
        kept = self._pilot(sizes[0])
        for level, count in enumerate(sizes):
            if level == 1:
                self._refine(kept, count)
                del kept
            elif level > 1:
                self._halve(count)
            for place in self._open():
                verdict = certificate(self.paths[place], tol, correct, self.floor)
                if verdict.meets or count == sizes[-1]:
                    self.found[place] = verdict

    def covectors(self) -> Tensor:
        """Σ w ∇f of each member, by the weights of its certificate. Shape: (members, size)."""
        rows = [np.concatenate([[not found.cubic, found.cubic], found.mix]) for _, found in sorted(self.found.items())]
        return torch.einsum("es,esd->ed", self.sums.new_tensor(np.stack(rows)), self.sums)

    def _open(self) -> list[int]:
        return [place for place in self.paths if place not in self.found]

    def _pilot(self, count: int) -> Tensor:
        """Gradients at the pilot's nodes, kept until they can be weighted. Shape: (members, count, size)."""
        grid = Grid.on(pilot(count))
        kept = self.step.new_empty(len(self.members), count, self.step.shape[1])
        facts: dict[int, np.ndarray] = {}
        for place, chosen, rows, gradient in self._visit(dict.fromkeys(range(len(self.members)), grid.nodes)):
            facts.setdefault(place, np.empty((count, rows.shape[1])))[chosen] = rows
            kept[place, chosen] = gradient
        for place, known in facts.items():
            self.paths[place] = Path.of(grid, known, self.step.shape[1])
            self._sum(place, grid, grid.nodes, known, kept[place])
        return kept

    def _refine(self, kept: Tensor, count: int) -> None:
        """The second level: the pilot's gradients are weighted anew, and given up."""
        grids, new = {}, {}
        for place in self._open():
            path = self.paths[place]
            old = path.grid.nodes
            new[place] = refine(old, path.changes(self.floor**2), count - len(old))
            grids[place] = Grid.on(np.sort(np.concatenate([old, new[place]])))
            self.sums[place] = 0
            self._sum(place, grids[place], old, np.column_stack([path.score, path.slope, path.square]), kept[place])
            self.origin[place] = kept[place, 0]
        self._add(grids, new)

    def _halve(self, count: int) -> None:
        """A later level: the running sums are scaled, since all old weights but that of node 0 are."""
        grids, new = {}, {}
        for place in self._open():
            grids[place], new[place], shift = self.paths[place].grid.halved(count)
            linear = self.sums[place, _LINEAR]
            self.sums[place, _CUBIC] = linear / 3
            self.sums[place, _LINEAR] = linear / 2 + shift * self.origin[place]
        self._add(grids, new)

    def _add(self, grids: dict[int, Grid], new: dict[int, np.ndarray]) -> None:
        """Gradients at the nodes `new` into the running sums, and what is known of them into the paths."""
        facts: dict[int, np.ndarray] = {}
        for place, chosen, rows, gradient in self._visit(new):
            facts.setdefault(place, np.empty((len(new[place]), rows.shape[1])))[chosen] = rows
            self._sum(place, grids[place], new[place][chosen], rows, gradient)
        for place, known in facts.items():
            self.paths[place] = self.paths[place].grown(grids[place], new[place], known)

    def _sum(self, place: int, grid: Grid, nodes: np.ndarray, facts: np.ndarray, gradient: Tensor) -> None:
        at = np.searchsorted(grid.nodes, nodes)
        weights = np.column_stack([grid.linear[at], grid.cubic[at], pulls(grid, nodes, facts[:, 1], facts[:, 2])])
        self.sums[place] += self.sums.new_tensor(weights).T @ gradient

    def _visit(self, wanted: dict[int, np.ndarray]) -> Iterator[tuple[int, np.ndarray, np.ndarray, Tensor]]:
        """(member, which of its wanted nodes, [f, F, ‖∇f ⊙ Δ‖², sketch], ∇f), a few nodes of one member at a time."""
        walk = self.walk
        counts = torch.zeros(len(walk.point), dtype=torch.long, device=self.step.device)
        table = self.step.new_zeros(len(walk.point), max(map(len, wanted.values()), default=0))
        place_of = {self.members[place]: place for place in wanted}
        for place, nodes in wanted.items():
            counts[self.members[place]] = len(nodes)
            table[self.members[place], : len(nodes)] = table.new_tensor(nodes)

        def points(example: Tensor, sample: Tensor) -> Tensor:
            moved = table[example, sample, None] * self.step[example]
            return walk.base[example] + moved.reshape(-1, *walk.base.shape[1:])

        for example, sample, score, gradient in walk.gradient_chunks(counts, points):
            gradient = gradient.flatten(1)
            moved = gradient * self.step[example]
            facts = torch.column_stack([score.to(moved), moved.sum(1), moved.square().sum(1), self.sketch(moved)])
            _check_finite(facts, example)
            rows, chosen = facts.cpu().numpy().astype(float), np.array(on_host(sample))
            for entry, first, last in runs(example):
                part = slice(first, last)
                yield place_of[entry], chosen[part], rows[part], gradient[part]


def _check_finite(facts: Tensor, example: Tensor) -> None:
    bad = ~facts.isfinite().all(1)
    if bool(bad.any()):
        raise ValueError(f"The model's gradient is not finite for example {int(example[bad][0])}; look for square roots, "
                         "logarithms or divisions at zero in the model, or take another baseline.")  # fmt: skip


def certified(walk: Walk, tol: float, most: int, correct: bool) -> Estimate:
    """Shares by the method of this module, with at most `most` gradients per example."""
    if walk.rows.create_graph:
        raise ValueError("integrated_gradients: nodes that are chosen on the way have no derivative; with create_graph=True "
                         "fix their number, as in integrated_gradients(steps=64).")  # fmt: skip
    sizes, sketch = levels(most), _Sketch(walk.point)
    together = max(1, walk.rows.budget // sizes[0])
    covector = torch.empty_like(walk.point)
    paths: list[Path] = []
    found: list[Certificate] = []
    for start in range(0, len(walk.point), together):
        members = range(start, min(start + together, len(walk.point)))
        group = _Group(walk, members, sketch)
        group.run(sizes, tol, correct)
        covector[start : members.stop] = group.covectors().reshape(-1, *walk.point.shape[1:])
        paths += [group.paths[place] for place in range(len(members))]
        found += [group.found[place] for place in range(len(members))]
    return Estimate(walk.shares(covector).values, covector, _details(walk.point, paths, found))


def _details(like: Tensor, paths: Sequence[Path], found: Sequence[Certificate]) -> dict[str, Any]:
    """The certificates as tensors, batch first; nodes and weights are filled up with zeros."""
    most = max(len(path.score) for path in paths)

    def each(values: Sequence[float]) -> Tensor:
        return like.new_tensor(np.array(values, dtype=float))

    def fill(rows: Sequence[np.ndarray]) -> Tensor:
        return like.new_tensor(np.stack([np.pad(row, (0, most - len(row))) for row in rows]))

    return {
        "residual": each([one.before for one in found]),
        "residual_corrected": each([one.after for one in found]),
        "local_error": each([one.local for one in found]),
        "map_error": each([one.error for one in found]),
        "correction": each([one.moved for one in found]),
        "nodes": fill([path.grid.nodes for path in paths]),
        "weights": fill([one.weights for one in found]),
        "evaluations": torch.tensor([len(path.score) for path in paths], device=like.device),
        "cubic": torch.tensor([one.cubic for one in found], device=like.device),
        "converged": torch.tensor([one.meets for one in found], device=like.device),
    }
