"""Rules on [0, 1]: fixed ones, and the nested grids of the certified method. Nodes and weights live on the host."""

from collections.abc import Callable

import numpy as np
from scipy.interpolate import CubicSpline

Nodes = tuple[np.ndarray, np.ndarray]


def gauss_legendre(steps: int) -> Nodes:
    """Nodes and weights on [0, 1], exact for polynomials of degree 2 steps - 1."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return (nodes + 1) / 2, weights / 2


def trapezoid(steps: int) -> Nodes:
    """`steps` nodes on [0, 1], both ends included; weights sum to 1."""
    nodes = np.linspace(0, 1, steps)
    return nodes, trapezoid_weights(nodes)


def midpoint(steps: int) -> Nodes:
    """The middles of `steps` equal cells."""
    return (np.arange(steps) + 0.5) / steps, np.full(steps, 1 / steps)


def graded(steps: int) -> Nodes:
    """The middles of cells whose edges are α = u², u equally spaced: finer towards the baseline, where gradients move most.

    Exact for linear integrands; weights sum to 1.
    """
    edges = np.linspace(0, 1, steps + 1) ** 2
    return (edges[1:] + edges[:-1]) / 2, np.diff(edges)


RULES: dict[str, Callable[[int], Nodes]] = {
    "gauss_legendre": gauss_legendre,
    "trapezoid": trapezoid,
    "midpoint": midpoint,
    "graded": graded,
}


def trapezoid_weights(nodes: np.ndarray) -> np.ndarray:
    """Weights of the piecewise linear interpolant.  nodes: ascending, from 0 to 1."""
    half = np.diff(nodes) / 2
    return np.concatenate([half, [0]]) + np.concatenate([[0], half])


def spline_weights(nodes: np.ndarray) -> np.ndarray:
    """Weights of the cubic interpolant with continuous second derivatives (not-a-knot).  nodes: from 0 to 1."""
    return np.asarray(CubicSpline(nodes, np.eye(len(nodes)), axis=0).integrate(0, 1))


def every_other(count: int) -> np.ndarray:
    """Positions 0, 2, 4, … of `count` nodes, and the last, so that both ends stay."""
    return np.unique(np.append(np.arange(0, count, 2), count - 1))


def levels(evaluations: int) -> list[int]:
    """Sizes of nested grids: a pilot, a grid refined where the pilot says, then halvings up to `evaluations` nodes.

    >>> levels(50), levels(200)
    ([20, 50], [20, 50, 100, 200])
    """
    gaps = [evaluations - 1]
    while gaps[0] >= _FIRST:
        gaps.insert(0, gaps[0] // 2)
    first = gaps[0] + 1
    return [max(_LEAST, round(_PILOT * first)), *(count + 1 for count in gaps)]


def pilot(count: int) -> np.ndarray:
    """`count` nodes α = u^1.75 from 0 to 1."""
    return np.linspace(0, 1, count) ** _GRADE


def refine(nodes: np.ndarray, change: np.ndarray, extra: int) -> np.ndarray:
    """`extra` new nodes inside the gaps, equally spaced in each, where they lower the expected error most.

    A gap of width h over which the gradient changes by c (squared norm) adds c h² / 12 to the squared error if the
    gradient moves like a random walk, and 1/(k+1)² of it once k nodes stand inside.

    change: c of each gap.  It is rounded to quarters of an octave, so that rounding errors do not move nodes.
    """
    width = np.diff(nodes)
    positive = change > 0
    octave = np.log2(change, where=positive, out=np.zeros_like(change))
    error = (np.where(positive, 2 ** (np.round(4 * octave) / 4), 0) if positive.any() else 1) * width**2
    inside = np.zeros(len(width), dtype=int)
    for _ in range(extra):
        inside[np.argmax(error / (inside + 1) ** 2 - error / (inside + 2) ** 2)] += 1
    parts = [start + step * np.arange(1, k + 1) / (k + 1) for start, step, k in zip(nodes, width, inside)]
    return np.concatenate(parts)


def halve(nodes: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """The middles of all gaps, and one more node in the first gap where `count` nodes in all ask for it.

    Returns the new nodes, and how the trapezoid weight of the node at 0 differs from half of what it was: all other old
    weights are halved exactly, so that a running sum needs no old gradient but that one.
    """
    middles = (nodes[1:] + nodes[:-1]) / 2
    if count == len(nodes) + len(middles):
        return middles, 0.0
    return np.append(middles, middles[0] / 2), -float(middles[0]) / 4


_FIRST = 64  # gaps of the refined grid: fewer than this, at least half of it
_PILOT = 0.4  # of the refined grid; measured, as is the grade, in benchmarks/integrated_gradients.md
_LEAST = 5
_GRADE = 1.75
