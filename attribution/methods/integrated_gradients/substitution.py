"""A change of variable for paths whose gradient grows without bound, or nearly so, at an end: √x, norms, logarithms, RMSNorm.

There the gradient changes with log α and not with α. With α = e^(-κ u), a path from α = e^-κ to 1 is a path in u, and
the integrand ∇f dα/du is smooth where ∇f is a power of α. Singular at x: the same for 1 - α; at both ends: logit α is linear
in u. What lies beyond the last node follows from a power law, ∫₀^α ∇f = α ∇f(α) / p where ∇f ~ α^(p-1).

Source: the substitutions of Takahasi & Mori 1974 for singular ends, without their second exponential.
"""

from dataclasses import dataclass

import numpy as np

from .quadrature import trapezoid_weights

LADDER = 10.0 ** -np.array([3, 6, 9, 12, 16, 20, 24])  # distances from a singular end at which its gradient is read
SIDES = np.array([1.0, -1.0])  # distances from the baseline are α, those from x are α - 1
NEAR = (1e-6, 1e-4, 1e-3)  # the same where it is not finite at the end itself; the first at which it is finite after rounding
_STEADY, _CHANGING, _INFINITE = 0.05, 0.01, 1e-3  # error of an end's gap, relative to the map, above which the end is singular
_CANCELS = 1e-3  # part of the length of all gradients that counts as the size of a map which is smaller
_SEVERALFOLD = 4  # change of the length of the gradient over the gap of a singular end
_BEYOND = 1e-3  # share of the map that may lie beyond the last node, for each factor e of the distance
_LEAST_POWER = 0.02  # of an integrable end; with a smaller one, ∫ ∇f hardly converges


@dataclass(frozen=True)
class Substitution:
    """α as a function of u in [0, 1]: the identity, or logarithmic towards one end or both.

    depth: κ of the baseline's end and of x's end, 0 where an end is not singular.
    powers: 1/p of both ends.  outer: f(x₀) and f(x), from which the parts beyond the last nodes are known.
    """

    depth: tuple[float, float] = (0.0, 0.0)
    powers: tuple[float, float] = (0.0, 0.0)
    outer: tuple[float, float] = (0.0, 0.0)

    @property
    def active(self) -> bool:
        """Whether it is not the identity."""
        return any(self.depth)

    @property
    def sign(self) -> int:
        """-1 where u runs from x to the baseline."""
        return -1 if self.depth[0] and not self.depth[1] else 1

    def at(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """α, or α - 1 with a negative sign where that is exact and α is not; and |dα/du|."""
        first, last = self.depth
        if not self.active:
            return u, np.ones_like(u)
        if first and last:
            from scipy.special import expit  # imported here, as it takes long

            logit = (first + last) * u - first
            low, high = expit(logit), expit(-logit)
            return np.where(low <= high, low, -high), (first + last) * low * high
        near = np.exp(-(first + last) * u)
        far = -np.expm1(-(first + last) * u)
        low, high = (near, far) if first else (far, near)
        return np.where(low <= high, low, -high), (first + last) * near

    def beyond(self) -> np.ndarray:
        """Weights of ∇f dα/du at u = 0 and u = 1 for the parts of the path beyond them, (2,)."""
        if not all(self.depth):
            return np.array([0.0, sum(self.powers) / sum(self.depth)]) if self.active else np.zeros(2)
        places, speed = self.at(np.array([0.0, 1.0]))
        return np.array(self.powers) * np.abs(places) / speed

    def ends(self, score: np.ndarray) -> np.ndarray:
        """f at both ends of the path, in the order and with the sign of `score`, f at the nodes, (2,)."""
        return self.sign * np.array(self.outer)[:: self.sign] if self.active else score[[0, -1]]

    def diverges(self) -> np.ndarray:
        """Whether the integral may not exist beyond u = 0 and u = 1, (2,)."""
        return np.array(self.powers)[:: self.sign] * _LEAST_POWER >= 1

    def facts(self, rows: np.ndarray, u: np.ndarray) -> np.ndarray:
        """[f, F, ‖∇f ⊙ Δ‖², sketch] at nodes u, (nodes, …), with ∇f dα/du in place of ∇f, and f so that it is df/du."""
        speed = self.at(u)[1][:, None]
        return np.column_stack([self.sign * rows[:, :1], rows[:, 1:2] * speed, rows[:, 2:3] * speed**2, rows[:, 3:] * speed])


IDENTITY = Substitution()


def alpha(places: np.ndarray) -> np.ndarray:
    """α in [0, 1] of places as `Substitution.at` gives them."""
    return np.where(np.signbit(places), 1 + places, places)


def singular_ends(nodes: np.ndarray, facts: np.ndarray, infinite: np.ndarray) -> np.ndarray:
    """Whether the baseline's end and x's end are singular, (2,), from the facts at the nodes of a pilot.

    The increase of f over the first and the last gap is known. Where the gradients of its ends give another one, the same
    part of the gap's map is wrong. An end is singular if that is out of proportion to the whole map; less is enough if the
    gradient changes severalfold over the gap, or is not finite.  infinite: whether it is not; one beside it is in its place.
    """
    width, gap = np.diff(nodes)[[0, -1]], np.array([[0, 1], [-2, -1]])
    length, slope, rise = np.sqrt(facts[gap, 2]), facts[gap, 1], np.diff(facts[gap, 0], axis=1)[:, 0]
    wrong = width * length.mean(1) * np.abs(wrong_part(width * slope.mean(1), rise))
    weights = trapezoid_weights(nodes)
    # A map that nearly cancels along the path is compared with what cancels.
    size = max(float(np.linalg.norm(weights @ facts[:, 3:])), _CANCELS * float(weights @ np.sqrt(facts[:, 2])))
    changes = length.max(1) > _SEVERALFOLD * length.min(1)
    return np.asarray(wrong > np.where(infinite, _INFINITE, np.where(changes, _CHANGING, _STEADY)) * size)


def wrong_part(found: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """(found - exact) / the larger of both, in [-2, 2]; 0 where both are 0."""
    most = np.maximum(np.abs(found), np.abs(exact))
    return np.divide(found - exact, most, where=most > 0, out=np.zeros_like(most))


def followed(ends: np.ndarray, near: np.ndarray, pilot: np.ndarray, weights: np.ndarray) -> Substitution:
    """The substitution for singular `ends`, (2,).

    near: facts on the `LADDER` of each of them, one end after the other.  pilot: facts on the pilot, with its `weights`.
    """
    rest = weights.copy()
    rest[[0, -1]] *= ~ends
    size = float(np.linalg.norm(rest @ pilot[:, 3:]))
    depth, power = np.zeros((2, 2))
    for end, facts in zip(np.flatnonzero(ends), np.split(near, ends.sum())):
        depth[end], power[end] = _depth_and_power(facts, size, np.abs(facts[:, 0] - pilot[-end, 0]))
    return Substitution(tuple(depth.tolist()), tuple(power.tolist()), tuple(pilot[[0, -1], 0].tolist()))


def _depth_and_power(facts: np.ndarray, size: float, rise: np.ndarray) -> tuple[float, float]:
    """κ and 1/p of an end, from the facts on its `LADDER` and the size of the map elsewhere; 0 and 0 if none is finite.

    κ reaches the largest distance below which no factor e of the distance holds more than a small share of the map.
    rise: |f(end) - f| of each, from which p follows where only one is finite after rounding.
    """
    known = np.flatnonzero(np.isfinite(facts).all(1))
    if not len(known):
        return 0.0, 0.0
    distance = LADDER[known]
    mass = np.sqrt(facts[known, 2]) * distance
    large = np.flatnonzero(mass > _BEYOND * max(size, mass.max()))
    place = min(len(known) - 1, int(large[-1]) + 1 if len(large) else 0)
    pair = [place, place + 1] if place + 1 < len(known) else [place - 1, place]
    power = 1.0
    if len(known) == 1:
        power = float(distance[0] * abs(facts[known[0], 1]) / rise[known[0]]) if rise[known[0]] else power
    elif mass[pair].all():
        power = float(np.diff(np.log(mass[pair]))[0] / np.diff(np.log(distance[pair]))[0])
    return float(-np.log(distance[place])), 1 / max(power, _LEAST_POWER)
