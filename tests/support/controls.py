"""Controls of the laws: versions of integrated gradients with one fault each, and the law that must find it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import pullback as pb
from pullback.attribution.methods.integrated_gradients.quadrature import gauss_legendre
from pullback.axioms import AxiomReport
from support.subjects import normal, smooth_net


def integrate(f: nn.Module, z: Tensor, target: Any, z0: Tensor, powers: Tensor | None = None, nodes: int = 40) -> Tensor:
    """Σ_i w_i ∇g along z₀ + t^p (z - z₀), coefficient by coefficient; p = 1 is integrated gradients."""
    t, w = (torch.as_tensor(column).to(z).reshape(-1, *[1] * z.ndim) for column in gauss_legendre(nodes))
    p = torch.ones_like(z[0]) if powers is None else powers.to(z)
    points = (z0 + t**p * (z - z0)).requires_grad_()  # (nodes, batch, *coeff)
    output = f(points.flatten(0, 1))
    index = torch.as_tensor(0 if target is None else target).expand(len(z)).repeat(nodes)
    (gradients,) = torch.autograd.grad(output[torch.arange(len(output)), index].sum(), points)
    return (z - z0) * (w * p * t ** (p - 1) * gradients).sum(0)


# Mutation controls: integrated gradients with one thing wrong, on a smooth network where its quadrature is exact ---------


def keeper(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
    return integrate(f, z, target, z0)


def loses_a_tenth(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
    return 0.9 * integrate(f, z, target, z0)


def hands_single_shares_on(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
    values = integrate(f, z, target, z0)
    single = ((z - z0).abs() > 1e-9).flatten(1).sum(1) == 1
    return torch.where(single.reshape(-1, 1, 1), values.roll(1, -1), values)


def spreads_a_tenth(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
    values = integrate(f, z, target, z0)
    return 0.9 * values + 0.1 * values.mean((1, 2), keepdim=True)


def looks_for_layers_without_bias(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
    odd = any(isinstance(m, nn.Linear) and m.bias is None for m in f.modules())
    return integrate(f, z, target, z0) * (1.002 if odd else 1)


def bends_with_the_score(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
    values = integrate(f, z, target, z0)
    return values * (1 + 0.003 * torch.tanh(values.sum((1, 2), keepdim=True)))


def takes_a_crooked_path(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
    index = torch.arange(z[0].numel()).reshape(z.shape[1:])
    return integrate(f, z, target, z0, 1 + index % 3)


def counts_its_batch(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
    return integrate(f, z, target, z0) * (1 + 1e-3 * len(z))


def draws(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
    return integrate(f, z, target, z0) * (1 + 1e-3 * torch.rand(()).to(z))


def knows_the_pixels(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
    return integrate(f, z, target, z0) * (1 if isinstance(f.transform, pb.transforms.DCT) else 1.002)


def measures_coefficients(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
    size = (z - z0).flatten(1).norm(dim=1).reshape(-1, 1, 1)
    return integrate(f, z, target, z0) * (1 + 0.003 * torch.tanh(size / 5))


def measures_the_signal(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
    size = f.transform.inverse(z).flatten(1).norm(dim=1).reshape(-1, 1, 1)
    return integrate(f, z, target, z0) * (1 + 0.003 * torch.tanh(size / 5))


CONTROLS: dict[Callable[..., Tensor], set[str]] = {
    keeper: set(),
    loses_a_tenth: {"completeness"},
    hands_single_shares_on: {"sensitivity"},
    spreads_a_tenth: {"dummy"},
    looks_for_layers_without_bias: {"implementation_invariance"},
    bends_with_the_score: {"linearity"},
    takes_a_crooked_path: {"symmetry"},
    counts_its_batch: {"batch_independence"},
    draws: {"determinism"},
    knows_the_pixels: {"coordinate_consistency"},
    measures_coefficients: {"affine_invariance"},
    measures_the_signal: {"input_shift_invariance"},
}


def judged(
    method: str | Callable[..., Tensor],
    axioms: str | list[str] = "all",
    dtype: torch.dtype = torch.float64,
    transform: str = "pixel",
) -> AxiomReport:
    """The report on a method, on a smooth network where the controls are exact, with a baseline that moves with x."""
    mean = lambda x: x.mean(-1, keepdim=True).expand_as(x)
    model, x = smooth_net((1, 10)).to(dtype), normal(2, 1, 10, dtype=dtype)
    return pb.axioms.check(model, x, 1, method=method, transform=transform, baseline=mean, axioms=axioms)


def surprises(axiom: str) -> list[str]:
    """Names of the controls on which the law has a wrong verdict, among those that break it and the keeper."""
    asked = [keeper, *(method for method, broken in CONTROLS.items() if axiom in broken)]
    return [method.__name__ for method in asked if judged(method, axiom).holds(axiom) is not (axiom not in CONTROLS[method])]
