"""What is known of the error of one example's map, from numbers on the host: nodes, scores, slopes and sketches."""

from dataclasses import dataclass

import numpy as np

from . import clenshaw_curtis as spectral
from .quadrature import every_other, halve, trapezoid_weights

PARTS = 4  # of the path, each of which the correction weights by itself
_RANDOM, _SMOOTH = 3**0.5, 3.0  # how much further than its error a rule moves when every other node is left out
_ORDER = -1.3  # coefficients that fall faster than this power of their degree belong to a gradient without jumps
_FEWEST = 8  # cells from which on this power is looked at


@dataclass(frozen=True, eq=False)
class Grid:
    """Nodes from 0 to 1 and their weights, and where the path's parts meet.

    cells: of the rule for smooth paths, `spectral`; 0 where the weights are those of the piecewise linear interpolant.
    """

    nodes: np.ndarray
    weights: np.ndarray
    edges: np.ndarray
    cells: int = 0

    @classmethod
    def on(cls, nodes: np.ndarray) -> "Grid":
        edges = np.quantile(nodes, np.linspace(0, 1, PARTS + 1)[1:-1], method="lower")
        return cls(nodes, trapezoid_weights(nodes), edges)

    @classmethod
    def smooth(cls, cells: int) -> "Grid":
        """The nodes of the rule for smooth paths. Its parts are the same for all multiples of a number of cells."""
        nodes = spectral.nodes(cells)
        return cls(nodes, spectral.weights(cells), spectral.nodes(PARTS)[1:-1], cells)

    def halved(self, count: int) -> tuple["Grid", np.ndarray, float]:
        """The next level, of `count` nodes; its new nodes; and what node 0 weighs more than half of what it did."""
        new, shift = halve(self.nodes, count)
        nodes = np.sort(np.concatenate([self.nodes, new]))
        return Grid(nodes, trapezoid_weights(nodes), self.edges), new, shift


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

    def noise(self, floor: float) -> float:
        """What rounding alone could make of a difference of scores."""
        return float(floor * np.abs(self.score).max())

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
    return np.where(part[:, None] == np.arange(PARTS), pull[:, None], 0)


@dataclass(frozen=True, eq=False)
class Certificate:
    """What is known of the error of one example's map.

    weights: those of the returned map.  smooth: whether the gradient moves without jumps.  mix: how much of each part's
    `pulls` the weights hold.  before, after: the residual of completeness, signed, without and with the correction.
    local: Σ over gaps of |∫F - its trapezoid|.  error: the map's estimated relative L2 error.  moved: relative L2 length
    of the correction.  meets: whether the tolerance is met.
    """

    weights: np.ndarray
    smooth: bool
    mix: np.ndarray
    before: float
    after: float
    local: float
    error: float
    moved: float
    meets: bool


def certificate(path: Path, tol: float, correct: bool, floor: float) -> Certificate:
    """Corrects the rule if asked to, and says what is known.  floor: relative size of rounding errors."""
    weights, score = path.grid.weights, path.score
    size, delta = path.length(weights), score[-1] - score[0]
    before = float(weights @ path.slope - delta)
    error, smooth = _leaving_out(path), is_smooth(path, floor)
    if smooth:
        error = min(error, spectral.error(path.sketch, path.slope, score, path.noise(floor)))
    # What the scores show to be missing in a gap, e, is missing in the map too: ‖error‖ ≥ |e| / √size, by Cauchy and
    # Schwarz. It is all that shows of a jump between two nodes; on a smooth path only the sum over all gaps is small.
    gaps = np.diff(path.grid.nodes) * (path.slope[1:] + path.slope[:-1]) / 2
    missing = np.array([before]) if smooth else np.diff(score) - gaps
    seen = np.abs(missing) > path.noise(floor)
    missed = float(np.sqrt((missing[seen] ** 2).sum() / path.size))
    mix = _correction(path, -before, error if smooth else max(error, missed)) if correct else np.zeros(PARTS)
    error = max(error, missed)
    change = path.parts() @ mix
    error = max(error, floor / 64 * float(np.abs(weights) @ np.sqrt(path.square)))
    relative = error / size if size > 0 else float(error > 0)
    noise = floor * float(np.abs(weights) @ np.abs(path.slope)) + path.noise(floor) / 8
    return Certificate(
        weights=weights + change,
        smooth=smooth,
        mix=mix,
        before=before,
        after=before + float(change @ path.slope),
        local=float(np.abs(np.diff(score) - gaps).sum()),
        error=relative,
        moved=path.length(change) / size if size > 0 else 0.0,
        meets=tol > 0 and relative <= max(tol, floor) and abs(before) <= tol * abs(delta) + noise,
    )


def is_smooth(path: Path, floor: float) -> bool:
    """Whether coefficients fall so fast that the gradient has no jumps: where it has, they fall like 1 / k."""
    if path.grid.cells < _FEWEST:
        return False
    return spectral.order(path.sketch, path.slope, path.score, path.noise(floor)) < _ORDER


def _leaving_out(path: Path) -> float:
    """The estimated L2 error of the map, from d = ‖rule on all nodes - rule on every other‖, both piecewise linear.

    Where gradients move like a random evaluator the error is d / √3, and no rule is better; where they are smooth it is d / 3.
    """
    nodes = path.grid.nodes
    half = every_other(len(nodes))
    quarter = half[every_other(len(half))]
    coarse = np.zeros((2, len(nodes)))
    coarse[0, half], coarse[1, quarter] = trapezoid_weights(nodes[half]), trapezoid_weights(nodes[quarter])
    finest, coarser = path.length(trapezoid_weights(nodes) - coarse[0]), path.length(coarse[0] - coarse[1])
    shrink = coarser / finest if finest > 0 else 1.0
    return finest / min(max(_RANDOM, shrink - 1), _SMOOTH)


def _correction(path: Path, missing: float, most: float) -> np.ndarray:
    """How much of each part's `pulls` adds `missing` to Σ w F and moves the map least, by `most` at the utmost.

    A map is moved by no more than its error: what is missing beyond that stays missing, and is told. Shape: (parts,).
    """
    parts = path.parts()
    maps, gain = parts.T @ path.sketch, parts.T @ path.slope
    gram = maps @ maps.T
    gram[np.diag_indices(PARTS)] += 1e-9 * np.trace(gram)
    mix: np.ndarray = np.linalg.lstsq(gram, gain, rcond=None)[0]
    total = float(gain @ mix)
    if not total > 0:
        return np.zeros(PARTS)
    mix = mix * (missing / total)
    size = float(np.linalg.norm(mix @ maps))
    return mix * min(1.0, most / size) if size > 0 else mix
