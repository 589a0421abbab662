"""Frame bounds and condition number of a linear transform, without its matrix."""

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from .base import Claim, Transform
from .probe import Map

_DENSE = 48  # up to this many samples, applying T to every unit vector is as fast as iterating


def frame_bounds(transform: Transform, *, tol: float = 1e-4, iterations: int = 300, seed: int = 0,
                 device: torch.device | str = "cpu") -> tuple[float, float]:  # fmt: skip
    """(A, B): the largest A and the smallest B with A ‖x‖² ≤ ‖T x‖² ≤ B ‖x‖² for all signals x.

    They are the extreme eigenvalues of TᵀT, found by Lanczos iteration in double precision: T is applied and
    differentiated some dozen to some hundred times, and memory is that of 40 signals. Where T is bijective, A is
    taken from T⁻¹, which converges faster; the lower bound of a padded wavelet frame, where very many eigenvalues
    crowd just above it, is the slow case. Up to 48 samples they are exact.

    tol: largest residual ‖TᵀT x - λ x‖ / (λ ‖x‖) at which a bound λ is taken: its relative error is at most that, and
    about its square where no other eigenvalue is near.  iterations: at most this many restarts.
    Orthonormal bases have A = B = 1; a tight frame A = B; A = 0 means that T loses signals.

    Raises: ValueError where T is not linear, or where the iteration does not settle.
    Source: Lehoucq, Sorensen & Yang 1998 (ARPACK, through SciPy); Christensen 2016, §5.1, for the bounds.

    >>> from pullback.transforms import get
    >>> A, B = frame_bounds(get("dwt(haar, level=2)", shape=(1, 16)))
    >>> round(A, 6), round(B, 6)
    (1.0, 1.0)
    """
    if Claim.LINEAR not in transform.claims:
        raise ValueError(f"frame_bounds: {transform.spec} is not linear and has no frame bounds.")
    if iterations < 1 or not tol > 0:
        raise ValueError(
            f"frame_bounds: expected tol > 0 and iterations of at least 1, got {tol!r} and {iterations!r}."
        )
    forward = _gram(transform.analysis, transform.shape, device)
    upper = _extreme(forward, "LA", tol, iterations, seed, transform)
    if Claim.BIJECTIVE in transform.claims:
        backward = _gram(transform.synthesis, transform.layout.shape, device)
        return 1 / _extreme(backward, "LA", tol, iterations, seed, transform), upper
    return max(0.0, _extreme(forward, "SA", tol, iterations, seed, transform)), upper


def condition_number(transform: Transform, *, tol: float = 1e-4, iterations: int = 300, seed: int = 0,
                     device: torch.device | str = "cpu") -> float:  # fmt: skip
    """√(B / A): how much more T can stretch one signal than another; infinite where A = 0. Arguments as `frame_bounds`.

    >>> from pullback.transforms import get
    >>> round(condition_number(get("color(ycbcr)", shape=(3, 4))), 4)
    1.7519
    """
    lower, upper = frame_bounds(transform, tol=tol, iterations=iterations, seed=seed, device=device)
    return float("inf") if lower == 0 else float((upper / lower) ** 0.5)


def _gram(map_: Map, shape: tuple[int, ...], device: torch.device | str) -> LinearOperator:
    """x -> MᵀM x for the linear map M, which is the gradient of ½‖M x‖²."""
    size = torch.Size(shape).numel()

    def apply(vector: np.ndarray) -> np.ndarray:
        x = torch.as_tensor(vector.reshape(1, *shape), device=device).double().clone()
        with torch.inference_mode(False), torch.enable_grad():
            x.requires_grad_()
            z = map_(x)
            (out,) = torch.autograd.grad(z, x, z.detach())
        return out.cpu().numpy().reshape(-1)

    return LinearOperator((size, size), matvec=apply, dtype=np.float64)


def _extreme(operator: LinearOperator, end: str, tol: float, iterations: int, seed: int, transform: Transform) -> float:
    """The largest ("LA") or smallest ("SA") eigenvalue."""
    size = operator.shape[0]
    if size <= _DENSE:
        values = np.linalg.eigvalsh(np.stack([operator.matvec(unit) for unit in np.eye(size)]))
        return float(values[-1] if end == "LA" else values[0])
    start = np.random.default_rng(seed).standard_normal(size)
    try:
        values = eigsh(operator, 1, which=end, v0=start, ncv=min(size - 1, 40), tol=tol, maxiter=iterations,
                       return_eigenvectors=False)  # fmt: skip
    except ArpackNoConvergence:
        raise ValueError(f"frame_bounds: Lanczos iteration on {transform.spec} did not settle to {tol:g} in {iterations} "
                         "restarts; raise tol or iterations, or take smaller signals.") from None  # fmt: skip
    return float(values[0])
