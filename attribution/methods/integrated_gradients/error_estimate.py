"""The estimated error of one example's map, from its nodes, scores, slopes and sketches, in NumPy."""

from dataclasses import dataclass

import numpy as np

from . import clenshaw_curtis as spectral
from .quadrature import every_other, halve, trapezoid_weights
from .substitution import IDENTITY, Substitution, wrong_part

PARTS = 4  # parts of the path; the correction has one weight for each
_RANDOM, _SMOOTH = 3**0.5, 3.0  # how far a rule moves when every other node is left out, divided by its error
_ORDER = -1.3  # coefficients of a gradient without jumps fall faster than this power of their degree
_LARGE = 1 / 3  # a map with a larger relative error is not corrected, and its length says nothing of the true map's
_MOST_RATIO = 1e3  # of ‖∇f ⊙ Δ‖ to |F|, where a residual is read as an error of the map
_LARGEST = 1e36  # F / ‖∇f ⊙ Δ‖² that single precision holds with room
_FEWEST = 8  # cells that are needed to estimate this power


@dataclass(frozen=True, eq=False)
class Grid:
    """Nodes from 0 to 1, their weights, and the edges between the path's parts.

    cells: of the rule for smooth paths, `spectral`; 0 for the weights of the piecewise linear interpolant.
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
        """The grid of the rule for smooth paths. Its parts are the same for any number of cells."""
        nodes = spectral.nodes(cells)
        return cls(nodes, spectral.weights(cells), spectral.nodes(PARTS)[1:-1], cells)

    def halved(self, count: int) -> tuple["Grid", np.ndarray, float]:
        """The next level, with `count` nodes; its new nodes; and the new weight of node 0 less half of its old one."""
        new, shift = halve(self.nodes, count)
        nodes = np.sort(np.concatenate([self.nodes, new]))
        return Grid(nodes, trapezoid_weights(nodes), self.edges), new, shift


@dataclass(frozen=True, eq=False)
class Path:
    """The numbers that are kept of one example's path, without the gradients.

    score: f at each node.  slope: F = ⟨∇f, Δ⟩.  square: ‖∇f ⊙ Δ‖².  sketch: of ∇f ⊙ Δ, (nodes, sketch).
    With a `substitution`, the nodes are u, and ∇f stands for ∇f dα/du.
    """

    grid: Grid
    score: np.ndarray
    slope: np.ndarray
    square: np.ndarray
    sketch: np.ndarray
    size: int = 1  # of ∇f
    substitution: Substitution = IDENTITY

    @classmethod
    def of(cls, grid: Grid, facts: np.ndarray, size: int = 1, substitution: Substitution = IDENTITY) -> "Path":
        return cls(grid, facts[:, 0], facts[:, 1], facts[:, 2], facts[:, 3:], size, substitution)

    @property
    def places(self) -> np.ndarray:
        """α, or α - 1 with a negative sign, of each node."""
        return self.substitution.at(self.grid.nodes)[0]

    @property
    def speed(self) -> np.ndarray:
        """|dα/du| at each node."""
        return self.substitution.at(self.grid.nodes)[1]

    @property
    def weights(self) -> np.ndarray:
        """Those of the grid, and those for what lies beyond its first and its last node."""
        weights = self.grid.weights.copy()
        weights[[0, -1]] += self.substitution.beyond()
        return weights

    def grown(self, grid: Grid, new: np.ndarray, facts: np.ndarray) -> "Path":
        """The path on `grid`, whose nodes are those of this path and `new`, with `facts` at the new ones."""
        old = np.column_stack([self.score, self.slope, self.square, self.sketch])
        order = np.argsort(np.concatenate([self.grid.nodes, new]), kind="stable")
        return Path.of(grid, np.concatenate([old, facts])[order], self.size, self.substitution)

    def parts(self) -> np.ndarray:
        """`pulls` of all nodes. Shape: (nodes, parts)."""
        return pulls(self.grid, self.grid.nodes, self.slope, self.square)

    def length(self, weights: np.ndarray) -> float:
        """‖Σ w ∇f ⊙ Δ‖, from the sketches."""
        return float(np.linalg.norm(weights @ self.sketch))

    def missing(self) -> np.ndarray:
        """The increase of f over each gap, less its trapezoid."""
        return np.diff(self.score) - np.diff(self.grid.nodes) * (self.slope[1:] + self.slope[:-1]) / 2

    def noise(self, floor: float) -> float:
        """The largest difference of scores that may be a rounding error."""
        return float(floor * np.abs(self.score).max())

    def changes(self, floor: float) -> np.ndarray:
        """Squared change of the gradient over each gap; changes that may be rounding errors are all equal."""
        change: np.ndarray = (np.diff(self.sketch, axis=0) ** 2).sum(1)
        return np.maximum(change, floor * self.square.mean())


def pulls(grid: Grid, nodes: np.ndarray, slope: np.ndarray, square: np.ndarray) -> np.ndarray:
    """F / ‖∇f ⊙ Δ‖² in the column of the node's part, else 0, (nodes, parts): the cheapest direction to completeness.

    It is 0 too at nodes whose gradient is next to nothing, as that of a saturated softmax: single precision cannot hold it.
    """
    with np.errstate(over="ignore"):
        pull = np.divide(slope, square, where=square > 0, out=np.zeros_like(slope))
    pull = np.where(np.abs(pull) < _LARGEST, pull, 0)
    part = np.searchsorted(grid.edges, nodes, side="right")
    return np.where(part[:, None] == np.arange(PARTS), pull[:, None], 0)


@dataclass(frozen=True, eq=False)
class Certificate:
    """The error of one example's map; the fields are named as in the details of the result.

    weights: those of the returned map.  smooth: whether the gradient moves without jumps.  mix: the factor of each part's
    `pulls` in the weights.  residual, residual_corrected: of completeness, signed, without and with the correction.
    local_error: Σ over gaps of |∫F - its trapezoid|.  map_error: the map's estimated relative L2 error.
    correction: its relative L2 length.  converged: whether the tolerance is met.
    """

    weights: np.ndarray
    smooth: bool
    mix: np.ndarray
    residual: float
    residual_corrected: float
    local_error: float
    map_error: float
    correction: float
    converged: bool


def certificate(path: Path, tol: float, correct: bool, floor: float) -> Certificate:
    """Estimates the error, and corrects the rule if `correct`.  floor: relative size of rounding errors."""
    weights, smooth = path.weights, is_smooth(path, floor)
    size, delta = path.length(weights), float(np.diff(path.substitution.ends(path.score))[0])
    before = float(weights @ path.slope - delta)
    missing, (outside, lost) = path.missing(), _beyond(path)
    error = _leaving_out(path)
    doubt = np.zeros(len(weights)) if smooth else _doubtful(path, size)
    if smooth:
        error = min(error, spectral.error(path.sketch, path.slope, path.score, path.noise(floor)))
    error = float(np.hypot(max(error, path.length(doubt)), lost))
    # A residual e in one gap is an error of the map of at least |e| / √size, by Cauchy and Schwarz. Only this shows a jump
    # between two nodes. On a smooth path only the sum over all gaps is small.
    residuals = np.array([before]) if smooth else np.append(missing, outside)
    seen = np.abs(residuals) > path.noise(floor)
    missed = float(np.sqrt((residuals[seen] ** 2).sum() / path.size))
    missed = missed if smooth else max(missed, _end_gap(path, missing, path.noise(floor)))
    most = error if smooth else max(error, missed)
    # A residual must not be hidden in a map that is wrong.
    mix = _correction(path, -before, most) if correct and most <= _LARGE * size else np.zeros(PARTS)
    change = path.parts() @ mix
    rounding = floor * float(np.abs(weights) @ np.sqrt(path.square))
    error = max(error, missed, rounding / 64)
    relative = _relative(error, size, max(path.length(weights - doubt), abs(delta) / path.size**0.5), floor)
    noise = floor * float(np.abs(weights) @ np.abs(path.slope)) + path.noise(floor) / 8
    return Certificate(
        weights=weights + change,
        smooth=smooth,
        mix=mix,
        residual=before,
        residual_corrected=before + float(change @ path.slope),
        local_error=float(np.abs(np.append(missing, outside)).sum()),
        map_error=relative,
        correction=path.length(change) / size if size > 0 else 0.0,
        # A map that cancels along the path is rounding, and no grid makes it better.
        converged=tol > 0 and (relative <= max(tol, floor) or error <= rounding) and abs(before) <= tol * abs(delta) + noise,
    )


def _relative(error: float, size: float, likely: float, floor: float) -> float:
    """The error of a map of length `size` relative to it; a large one relative to the `likely` length of the true map."""
    if error <= _LARGE * size:
        return error / size if size > 0 else 0.0
    return error / max(likely, floor * error)


def _doubtful(path: Path, size: float) -> np.ndarray:
    """Weights (nodes,) of the part of the map that is likely wrong, from the gaps that hold a large part of it.

    The increase of f over a gap is known. Where the gradients of its ends give another one, that part of the gap's map
    is wrong. No comparison of rules shows an error as large as the map itself.
    """
    width, length = np.diff(path.grid.nodes), np.sqrt(path.square)
    large = width * (length[1:] + length[:-1]) / 2 > _LARGE * size
    found = width * (path.slope[1:] + path.slope[:-1]) / 2
    half = np.where(large, width / 2 * wrong_part(found, np.diff(path.score)), 0)
    return np.append(half, 0) + np.append(0, half)


def _end_gap(path: Path, missing: np.ndarray, noise: float) -> float:
    """The L2 error of the map in the first or the last gap, if that holds most of what is missing; else 0.

    A gap in which the gradient grows towards an end has a map in the direction of the gradient at its inner node.
    """
    ends = np.abs(missing[[0, -1]])
    most = (2 * ends**2 > (missing**2).sum()) & (ends > noise)
    return float((np.where(most, ends, 0) * _ratio(path)[[1, -2]]).max())


def _ratio(path: Path) -> np.ndarray:
    """‖∇f ⊙ Δ‖ / |F| at each node: how large an error of the map is, seen by its sum. From 1 / √size to `_MOST_RATIO`."""
    length = np.sqrt(path.square)
    ratio = length / np.maximum(np.abs(path.slope), length / _MOST_RATIO + np.finfo(float).tiny)
    return np.maximum(ratio, path.size**-0.5)


def _beyond(path: Path) -> tuple[np.ndarray, float]:
    """Residuals of completeness beyond the first and the last node, (2,), and the L2 error of the map there."""
    rule = path.substitution
    if not rule.active:
        return np.zeros(0), 0.0
    weight, slope, length = rule.beyond(), path.slope[[0, -1]], np.sqrt(path.square[[0, -1]])
    residual = (rule.ends(path.score) - path.score[[0, -1]]) * np.array([-1, 1]) - weight * slope
    lost = _ratio(path)[[0, -1]] * np.abs(residual) + np.where(rule.diverges(), weight * length, 0)
    return residual, float(np.linalg.norm(lost))


def is_smooth(path: Path, floor: float) -> bool:
    """Whether the gradient has no jumps: with jumps, its coefficients fall only like 1 / k."""
    if path.grid.cells < _FEWEST:
        return False
    return spectral.order(path.sketch, path.slope, path.score, path.noise(floor)) < _ORDER


def _leaving_out(path: Path) -> float:
    """The estimated L2 error of the map, from d = ‖rule on all nodes - rule on every other‖, both piecewise linear.

    Where gradients move like a random walk the error is d / √3, and no rule is better; where they are smooth it is d / 3.
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
    """The factors of the parts' `pulls` that add `missing` to Σ w F and move the map least, by at most `most`.

    A map is moved by no more than its error; what is still missing then is reported. Shape: (parts,).
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
