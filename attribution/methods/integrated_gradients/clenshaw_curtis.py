"""The rule for smooth paths: Clenshaw-Curtis nodes, mapped to α by an analytic function, and the error of the rule.

Where ∇f is analytic along the path, the error of this rule falls geometrically. Leaving nodes out cannot measure it: a rule
on half of them is worse by orders of magnitude. But each gradient comes with its score, and N + 1 values of f and of its
derivative F determine the Chebyshev coefficients of F up to degree 2N, twice as far as those of the gradients themselves.
They show the tail that the rule with N cells cannot integrate.
"""

import functools

import numpy as np

_POLE = 0.94  # of the map: nodes are almost equally spaced in the middle, and ρ is at least 1.42 for entire integrands
_GRADE = 0.75  # α = (1 - grade) u + grade u²: finer towards the baseline
_WINDOW = 2  # coefficients of F on each side over which their size is averaged
_DRAW = 0.2  # weight of the known residual in the estimate, on a logarithmic scale
_LEAST_SPREAD = 0.05  # the squared length of a sum of terms is at least this part of their squares' sum


def nodes(cells: int) -> np.ndarray:
    """`cells` + 1 nodes α from 0 to 1; those of a divisor of `cells` are among them."""
    return _map(cells)[0]


@functools.lru_cache(maxsize=64)
def weights(cells: int) -> np.ndarray:
    """Weights at `nodes`, changed least (in squares) so that they are exact where the gradient is linear in α."""
    plain, line = _plain(cells)
    missing = np.array([1, 0]) - line.T @ plain
    spread = plain[:, None] * line
    return np.asarray(plain + spread @ np.linalg.solve(line.T @ spread, missing))


@functools.lru_cache(maxsize=64)
def _plain(cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights of Clenshaw and Curtis on the map, and [1, 2α - 1] at the nodes."""
    alpha, speed = _map(cells)
    return _clenshaw_curtis(cells) * speed, np.column_stack([np.ones(cells + 1), 2 * alpha - 1])


def _without_line(sketch: np.ndarray, slope: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """g, F and f without the part of g that is linear in α; for the rest, `weights` are the plain ones."""
    alpha, (plain, line) = nodes(len(score) - 1), _plain(len(score) - 1)
    values, spread = np.column_stack([sketch, slope]), plain[:, None] * line
    fit = np.linalg.solve(line.T @ spread, spread.T @ values)
    rest = values - line @ fit
    return rest[:, :-1], rest[:, -1], score - np.column_stack([alpha, alpha**2 - alpha]) @ fit[:, -1]


def error(sketch: np.ndarray, slope: np.ndarray, score: np.ndarray, noise: float) -> float:
    """The expected L2 error of Σ w g with these `weights`.

    sketch: of g at the nodes, (nodes, sketch).  slope: F, the sum of each g.  score: f.  noise: rounding errors of f.

    With a_k the coefficients of g dα/ds, the error is Σ_p κ_p a_{N+p}, κ_p the error of the rule for T_{N+p}. The
    lengths |a_{N+p}| are those of F's coefficients times the ratio of both below N; the angles between the terms are
    those between a_k and a_{k+lag} below N. The estimate is the geometric mean of that for g and that for g without its
    part that is linear in α, which the weights integrate exactly: it is nearer to the truth than either.
    """
    rest = _without_line(sketch, slope, score)
    return float(np.sqrt(_tail(sketch, slope, score, noise) * _tail(*rest, noise)))


def _tail(sketch: np.ndarray, slope: np.ndarray, score: np.ndarray, noise: float) -> float:
    cells = len(score) - 1
    speed = _map(cells)[1][:, None]
    known, own = _coefficients(sketch * speed), _coefficients(slope[:, None] * speed)[:, 0]
    length = np.linalg.norm(known, axis=1)
    if not length.any():
        return 0.0
    beyond, ratio = _beyond(length, own, _from_scores(score, slope * speed[:, 0]), noise)
    terms = _missed(cells)[: len(beyond)] * beyond
    together = np.correlate(terms, terms, "full")[len(terms) - 1 :]
    square = together[0] + 2 * float(together[1:] @ _angles(known, length, len(terms))[1:])
    # The residual of completeness is the error along one direction, known exactly: the estimate is moved towards it.
    residual = abs(float(_plain(cells)[0] @ slope - (score[-1] - score[0])))
    drawn = np.clip(residual / max(np.sqrt(together[0]), np.finfo(float).tiny), 1e-3, 1e3) ** _DRAW
    return float(ratio * drawn * np.sqrt(max(square, _LEAST_SPREAD * together[0])))


def order(sketch: np.ndarray, slope: np.ndarray, score: np.ndarray, noise: float) -> float:
    """The power of k with which coefficients fall from degree N/3 on, the slower of those of g dα/ds and of F dα/ds.

    Arguments as of `error`. The scores show jumps between nodes too.
    """
    cells = len(score) - 1
    speed = _map(cells)[1]
    length = np.linalg.norm(_coefficients(sketch * speed[:, None]), axis=1)
    if not length.any():
        return 0.0
    low = np.arange(cells // 3, cells)
    found = [float(np.polyfit(np.log(low), np.log(_positive(length[low])), 1)[0])]
    scalar = _local(_from_scores(score, slope * speed))
    seen = np.arange(cells // 3, len(scalar) - _WINDOW)
    seen = seen[scalar[seen] > noise * 2 * seen]
    if len(seen) > 4:
        found.append(float(np.polyfit(np.log(seen), np.log(scalar[seen]), 1)[0]))
    return max(found)


@functools.lru_cache(maxsize=64)
def _map(cells: int) -> tuple[np.ndarray, np.ndarray]:
    """α and dα/ds at s = -cos(π j / cells)."""
    s = -np.cos(np.pi * np.arange(cells + 1) / cells)
    whole = np.arcsin(_POLE)
    u = (1 + np.arcsin(_POLE * s) / whole) / 2
    speed = _POLE / (2 * whole * np.sqrt(1 - (_POLE * s) ** 2)) * (1 - _GRADE + 2 * _GRADE * u)
    alpha = (1 - _GRADE) * u + _GRADE * u**2
    alpha[0], alpha[-1] = 0, 1
    return alpha, speed


def _clenshaw_curtis(cells: int) -> np.ndarray:
    """Weights of the interpolating polynomial at s = -cos(π j / cells). Source: Clenshaw & Curtis 1960."""
    from scipy.fft import dct  # imported here, as it takes long

    weights = np.asarray(dct(_integral(np.arange(cells + 1)) / (2 * cells), type=1))
    weights[1:-1] *= 2
    return weights


def _integral(degree: np.ndarray) -> np.ndarray:
    """∫ T_k ds over [-1, 1]."""
    even = degree % 2 == 0
    return np.where(even, 2 / np.where(even, 1 - degree.astype(float) ** 2, 1), 0)


@functools.lru_cache(maxsize=64)
def _missed(cells: int) -> np.ndarray:
    """∫ T_{N+p} less its value by the rule, p = 1, 2, …, 3N: on the nodes it equals a T of lower degree."""
    degree = cells + np.arange(1, 3 * cells + 1)
    alias = np.abs((degree + cells) % (2 * cells) - cells)
    return np.asarray(_integral(degree) - _integral(alias))


def _coefficients(rows: np.ndarray) -> np.ndarray:
    """Chebyshev coefficients 0…N of values at s = -cos(π j / N), (N + 1, …)."""
    from scipy.fft import dct  # imported here, as it takes long

    found = dct(rows[::-1], type=1, axis=0) / (len(rows) - 1)
    found[[0, -1]] /= 2
    return np.asarray(found)


def _from_scores(score: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """Coefficients 0…2N - 2 of df/ds, from f and df/ds at the nodes.

    On the nodes T_{2N-k} equals T_k, but their derivatives differ: f and df/ds together separate the two.
    """
    from scipy.fft import dst  # imported here, as it takes long

    cells = len(score) - 1
    sine = np.sin(np.pi * np.arange(1, cells) / cells)
    degree = np.arange(1, cells)
    values = _coefficients(score)
    # Against θ, df/dθ = -Σ k c_k sin kθ, and sin (2N - k)θ equals -sin kθ.
    turned = dst(speed[::-1][1:-1] * sine, type=1) / cells
    high = (degree * values[1:-1] - turned) / (2 * cells)
    c = np.concatenate([values[:1], values[1:-1] - high, values[-1:], high[::-1]])
    out = np.zeros(2 * cells + 1)
    for k in range(2 * cells - 1, 0, -1):
        out[k - 1] = out[k + 1] + 2 * k * c[k]
    out[0] /= 2
    return out[: 2 * cells - 1]


def _beyond(length: np.ndarray, own: np.ndarray, scalar: np.ndarray, noise: float) -> tuple[np.ndarray, float]:
    """Expected sizes of F's coefficients of degree N + 1, N + 2, …, 4N, and the ratio of the lengths of g's to them."""
    cells = len(length) - 1
    low, high = np.arange(cells // 2, cells - 1), np.arange(cells, len(scalar) - _WINDOW)
    ratio = float(np.exp(np.mean(np.log(_positive(length[low])) - np.log(_positive(_local(own)[low])))))
    level = np.log(_positive(_local(scalar)))
    floor = noise * 2 * np.arange(1, len(scalar) + 1)
    if len(high) < 3 or np.mean(np.exp(level[high]) > floor[high]) < 0.5:  # rounding errors: extrapolate from below N
        fall = np.polyfit(low, np.log(_positive(length[low])) - np.log(ratio), 1)
        return np.exp(np.polyval([min(fall[0], -0.01), fall[1]], np.arange(cells + 1, 4 * cells + 1))), ratio
    fall = np.polyfit(high, level[high], 1)
    rest = np.arange(len(scalar) - _WINDOW, 4 * cells + 1)
    tail = np.polyval([min(fall[0], -0.01), fall[1]], rest)
    return np.exp(np.concatenate([level[cells + 1 : rest[0]], tail])), ratio


def _local(scalar: np.ndarray) -> np.ndarray:
    """Root mean square over a window."""
    width = 2 * _WINDOW + 1
    return np.asarray(np.sqrt(np.convolve(scalar**2, np.full(width, 1 / width), "same")))


def _positive(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, np.finfo(values.dtype).tiny)


def _angles(known: np.ndarray, length: np.ndarray, count: int) -> np.ndarray:
    """Mean cosine of a_k and a_{k+lag} over the upper half of the degrees, by lag; 0 where there are too few pairs. (count,)"""
    upper = slice(len(length) // 2, len(length) - 2)
    unit = known[upper] / _positive(length[upper])[:, None]
    cosine = unit @ unit.T
    found = np.zeros(count)
    for lag in range(min(count, max(1, len(unit) * 2 // 3))):
        found[lag] = np.diagonal(cosine, lag).mean()
    return found
