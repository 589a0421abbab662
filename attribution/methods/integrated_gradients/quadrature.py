"""Fixed rules on [0, 1], and nested grids of nodes; nodes and weights are NumPy arrays."""

from collections.abc import Callable

import numpy as np

Nodes = tuple[np.ndarray, np.ndarray]
_FIRST = 64  # the refined grid has fewer gaps than this, and at least half as many
_LEAST = 4


def gauss_legendre(steps: int) -> Nodes:
    """Nodes and weights on [0, 1], exact for polynomials of degree 2 steps - 1."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return (nodes + 1) / 2, weights / 2


def trapezoid(steps: int) -> Nodes:
    """`steps` nodes on [0, 1], both ends included; weights sum to 1."""
    nodes = np.linspace(0, 1, steps)
    return nodes, trapezoid_weights(nodes)


def midpoint(steps: int) -> Nodes:
    """The midpoints of `steps` equal cells."""
    return (np.arange(steps) + 0.5) / steps, np.full(steps, 1 / steps)


def graded(steps: int) -> Nodes:
    """The midpoints of cells with edges α = u², u equally spaced: finer near the baseline, where gradients change most.

    Exact for linear integrands; weights sum to 1.
    """
    edges = np.linspace(0, 1, steps + 1) ** 2
    return (edges[1:] + edges[:-1]) / 2, np.diff(edges)


RULES: dict[str, Callable[[int], Nodes]] = {rule.__name__: rule for rule in (gauss_legendre, trapezoid, midpoint, graded)}


def trapezoid_weights(nodes: np.ndarray) -> np.ndarray:
    """Weights of the piecewise linear interpolant.  nodes: ascending, from 0 to 1."""
    half = np.diff(nodes) / 2
    return np.concatenate([half, [0]]) + np.concatenate([[0], half])


def every_other(count: int) -> np.ndarray:
    """Positions 0, 2, 4, … of `count` nodes, and the last, so that both ends stay."""
    return np.unique(np.append(np.arange(0, count, 2), count - 1))


def first_gaps(evaluations: int) -> int:
    """Gaps of the refined grid, from which halvings lead to `evaluations` nodes."""
    gaps = evaluations - 1
    while gaps >= _FIRST:
        gaps //= 2
    return gaps


def levels(evaluations: int, gaps: int) -> list[int]:
    """Sizes of nested grids: a pilot, a refined grid with that number of gaps, then halvings up to `evaluations` nodes.

    >>> levels(50, first_gaps(50)), levels(200, first_gaps(200)), levels(150, 49)
    ([17, 50], [17, 50, 100, 200], [17, 50, 100])
    """
    doublings = ((evaluations - 1) // gaps).bit_length() - 1
    last = min(evaluations - 1, ((gaps + 1) << max(doublings, 0)) - 1)
    return [cells(gaps) + 1, *((last >> k) + 1 for k in range(doublings, -1, -1))]


def cells(gaps: int) -> int:
    """Gaps of the pilot, a third of those of the refined grid."""
    return max(_LEAST, gaps // 3)


def refine(nodes: np.ndarray, change: np.ndarray, extra: int) -> np.ndarray:
    """`extra` new nodes inside the gaps, equally spaced in each, where they lower the expected error most.

    A gap of width h over which the gradient changes by c (squared norm) adds c h² / 12 to the squared error if the
    gradient moves like a random walk, and 1/(k+1)² of that with k nodes inside.

    change: c of each gap.  It is rounded to quarters of an octave, so that rounding errors do not move nodes.
    """
    width = np.diff(nodes)
    positive = change > 0
    octave = np.log2(change, where=positive, out=np.zeros_like(change))
    error = (np.where(positive, 2 ** (np.round(4 * octave) / 4), 0) if positive.any() else 1) * width**2
    inside = np.zeros(len(width), dtype=int)
    for _ in range(extra):
        inside[np.argmax(error / (inside + 1) ** 2 - error / (inside + 2) ** 2)] += 1
    return np.concatenate([start + step * np.arange(1, k + 1) / (k + 1) for start, step, k in zip(nodes, width, inside)])


def halve(nodes: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """The midpoints of all gaps, and one more node in the first gap if `count` nodes are wanted in all.

    Returns the new nodes, and the difference between the new trapezoid weight of the node at 0 and half of its old one.
    All other old weights are halved exactly, so that a running sum needs only the old gradient at 0.
    """
    middles = (nodes[1:] + nodes[:-1]) / 2
    if count == len(nodes) + len(middles):
        return middles, 0.0
    return np.append(middles, middles[0] / 2), -float(middles[0]) / 4
