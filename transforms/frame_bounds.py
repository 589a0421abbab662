"""Frame bounds and condition number of a linear transform, without its matrix."""

import math
from collections.abc import Callable

import numpy as np
import torch

from ..core.checks import check_count, check_number, check_seed, quoted
from .base import Transform, TransformClaim, check_transform
from .laws import Map
from .layout import Shape

Gram = Callable[[np.ndarray], np.ndarray]

_DENSE = 48  # up to this many samples, applying T to every unit vector is as fast as iterating


def frame_bounds(
    transform: Transform, *, tol: float = 1e-6, iterations: int = 300, seed: int = 0, device: torch.device | str = "cpu"
) -> tuple[float, float]:
    """(A, B): the largest A and the smallest B with A ‖x‖² ≤ ‖T x‖² ≤ B ‖x‖² for all signals x.

    They are the extreme eigenvalues of TᵀT, found by Lanczos iteration in double precision: T is applied and
    differentiated some dozen to some hundred times, and memory is that of 40 signals. Where T is bijective, A is
    computed from T⁻¹, which converges faster. The slow case is the lower bound of a padded wavelet frame, because very
    many eigenvalues lie just above it. Up to 48 samples the bounds are exact.

    tol: largest residual ‖TᵀT x - λ x‖ / B at which a bound λ is accepted. The error of λ is at most 2 tol · B, and far
    less if no other eigenvalue is near.  iterations: at most this many restarts.
    Orthonormal bases have A = B = 1; a tight frame A = B; A = 0 means that T loses signals.
    Raises: ValueError where T is not linear, or where the iteration does not converge.
    Source: Lehoucq, Sorensen & Yang 1998 (ARPACK, through SciPy); Christensen 2016, §5.1, for the bounds.

    >>> from pullback.transforms import get
    >>> A, B = frame_bounds(get("dwt(haar, level=2)", shape=(1, 16)))
    >>> round(A, 6), round(B, 6)
    (1.0, 1.0)
    """
    check_transform("frame_bounds", transform)
    if TransformClaim.LINEAR not in transform.claims:
        raise ValueError(f"frame_bounds: {transform.title} is not linear and has no frame bounds.")
    iterations, seed = check_count("frame_bounds", "iterations", iterations), check_seed("frame_bounds", seed)
    if not check_number("frame_bounds", "tol", tol, 0):
        raise ValueError(f"frame_bounds: expected tol > 0, got {quoted(tol)}.")
    forward = _gram(transform.analysis, transform.shape, device)
    sizes = math.prod(transform.shape), math.prod(transform.layout.shape)
    if TransformClaim.BIJECTIVE not in transform.claims or sizes[0] <= _DENSE:
        return _bounds(forward, sizes[0], tol, iterations, seed)
    backward = _gram(transform.synthesis, transform.layout.shape, device)
    return 1 / _largest(backward, sizes[1], tol, iterations, seed), _largest(forward, sizes[0], tol, iterations, seed)


def condition_number(
    transform: Transform, *, tol: float = 1e-6, iterations: int = 300, seed: int = 0, device: torch.device | str = "cpu"
) -> float:
    """√(B / A): how much more T can stretch one signal than another; infinite where A = 0.

    The arguments are those of `frame_bounds`.  Raises: ValueError as `frame_bounds` does.

    >>> from pullback.transforms import get
    >>> round(condition_number(get("color(ycbcr)", shape=(3, 4))), 4)
    1.7519
    """
    lower, upper = frame_bounds(transform, tol=tol, iterations=iterations, seed=seed, device=device)
    return float("inf") if lower == 0 else float((upper / lower) ** 0.5)


def _gram(map_: Map, shape: Shape, device: torch.device | str) -> Gram:
    """Rows (k, n) -> MᵀM of each for the linear map M; MᵀM x is the gradient of ½‖M x‖²."""

    def apply(rows: np.ndarray) -> np.ndarray:
        with torch.inference_mode(False), torch.enable_grad():
            x = torch.tensor(rows.reshape(-1, *shape), device=device).double().requires_grad_()
            z = map_(x)
            (out,) = torch.autograd.grad(z, x, z.detach())
        return out.cpu().numpy().reshape(rows.shape)

    return apply


def _bounds(gram: Gram, size: int, tol: float, iterations: int, seed: int) -> tuple[float, float]:
    """The smallest and the largest eigenvalue."""
    if size <= _DENSE:
        values = np.linalg.eigvalsh(gram(np.eye(size)))
        return float(values[0]), float(values[-1])
    upper = _largest(gram, size, tol, iterations, seed)
    # Lanczos stops by a relative criterion, which an eigenvalue of 0 never meets: search for 2B - A instead of A.
    shifted = lambda rows: 2 * upper * rows - gram(rows)
    return max(0.0, 2 * upper - _largest(shifted, size, tol, iterations, seed)), upper


def _largest(gram: Gram, size: int, tol: float, iterations: int, seed: int) -> float:
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh  # imported here, as it takes long

    operator = LinearOperator((size, size), matvec=gram, dtype=np.float64)
    start = np.random.default_rng(seed).standard_normal(size)
    options = {"which": "LA", "v0": start, "ncv": 40, "tol": tol, "maxiter": iterations, "return_eigenvectors": False}
    try:
        (value,) = eigsh(operator, 1, **options)
    except ArpackNoConvergence:
        found = f"the Lanczos iteration did not converge to {tol:g} in {iterations} restarts"
        raise ValueError(f"frame_bounds: {found}; raise tol or iterations, or take smaller signals.") from None
    return float(value)
