"""Slow, plain formulas of what the benchmarks time: f∘T⁻¹ by automatic differentiation, one signal at a time."""

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pullback.attribution import Attribution
from pullback.attribution.noise import Keyed
from pullback.transforms import Layout, Transform

CHUNK = 8


@dataclasses.dataclass(frozen=True)
class Direct:
    """g(z) = f(T⁻¹ z)[target] around one signal x (1, *shape), from the baseline zero."""

    model: Callable[[Tensor], Tensor]
    transform: Transform
    x: Tensor
    target: int

    @property
    def z(self) -> Tensor:
        return self.transform(self.x)

    def values(self, z: Tensor) -> Tensor:
        """g at each row.  Shape: (rows,)."""
        with torch.no_grad():
            return torch.cat([self.model(self.transform.inverse(part))[:, self.target] for part in z.split(CHUNK)])

    def gradients(self, z: Tensor) -> Tensor:
        """∇g at each row, with autograd through T⁻¹.  Shape: that of z."""
        parts = []
        for part in z.split(CHUNK):
            points = part.detach().clone().requires_grad_()
            score = self.model(self.transform.inverse(points))[:, self.target].sum()
            parts += torch.autograd.grad(score, points)
        return torch.cat(parts)

    def noisy(self, samples: int, spread: float) -> Tensor:
        """T(x + δ), one row per sample: the numbers that the library draws for this signal and seed 0."""
        std = spread * (self.x.max() - self.x.min())
        return self.transform(self.x + std * self._drawn(samples, tuple(self.x.shape[1:]), Tensor.normal_))

    def unit(self, samples: int) -> Tensor:
        """(k + u_k) / samples, as a column for every axis of z."""
        drawn = self._drawn(samples, (1,), Tensor.uniform_, "alpha")[:, 0]
        alpha = (torch.arange(samples, device=drawn.device) + drawn) / samples
        return alpha.reshape(-1, *[1] * (self.z.ndim - 1))

    def _drawn(self, samples: int, shape: tuple[int, ...], draw: Callable[..., Any], stream: str = "") -> Tensor:
        sample = torch.arange(samples)
        return Keyed(self.x, 0).draw(torch.zeros_like(sample), sample, shape, draw, stream)


def _integrated(g: Direct, options: dict[str, Any]) -> Tensor:
    nodes, weights = np.polynomial.legendre.leggauss(options["steps"])
    column = lambda numbers: g.z.new_tensor(numbers).reshape(-1, *[1] * (g.z.ndim - 1))
    return g.z * (column(weights / 2) * g.gradients(column((nodes + 1) / 2) * g.z)).sum(0, keepdim=True)


def _noisy(statistic: Callable[[Tensor], Tensor]) -> Callable[[Direct, dict[str, Any]], Tensor]:
    return lambda g, options: statistic(g.gradients(g.noisy(options["samples"], options["spread"])))[None]


def _expected(g: Direct, options: dict[str, Any]) -> Tensor:
    return g.z * g.gradients(g.unit(options["samples"]) * g.z).mean(0, keepdim=True)


def _gradient_shap(g: Direct, options: dict[str, Any]) -> Tensor:
    ends = g.noisy(options["samples"], options["spread"])
    return (ends * g.gradients(g.unit(len(ends)) * ends)).mean(0, keepdim=True)


# ∇g-based: values (1, *coeff) from the formula in the method's own docstring.
FORMULAS: dict[str, Callable[[Direct, dict[str, Any]], Tensor]] = {
    "gradient": lambda g, options: g.gradients(g.z),
    "input_x_gradient": lambda g, options: g.z * g.gradients(g.z),
    "integrated_gradients": _integrated,
    "smoothgrad": _noisy(lambda rows: rows.mean(0)),
    "absgrad": _noisy(lambda rows: rows.abs().mean(0)),
    "squaregrad": _noisy(lambda rows: rows.square().mean(0)),
    "vargrad": _noisy(lambda rows: rows.var(0, correction=0)),
    "expected_gradients": _expected,
    "gradient_shap": _gradient_shap,
    "captum": lambda g, options: g.gradients(g.z).abs(),  # Saliency
}


def _worths(g: Direct, layout: Layout) -> dict[tuple[int, ...], float]:
    """v of every coalition of groups; the key says who is in."""
    coalitions = list(itertools.product((0, 1), repeat=len(layout.bands)))
    index = layout.index.to(g.x.device)
    masks = torch.tensor(coalitions, device=g.x.device, dtype=g.z.dtype)
    return dict(zip(coalitions, g.values(masks[:, index] * g.z).tolist()))


def gains(g: Direct, layout: Layout) -> Tensor:
    """What each group adds to f when it joins, for every order of joining.  Shape: (orders, groups)."""
    worth, players = _worths(g, layout), len(layout.bands)
    found = torch.zeros(math.factorial(players), players)
    for row, order in zip(found, itertools.permutations(range(players))):
        inside = [0] * players
        for player in order:
            before = worth[tuple(inside)]
            inside[player] = 1
            row[player] = worth[tuple(inside)] - before
    return found


def _shapley(g: Direct, layout: Layout) -> list[float]:
    return gains(g, layout).mean(0).tolist()


def _occlusion(g: Direct, layout: Layout) -> list[float]:
    index = layout.index.to(g.x.device)
    without = torch.cat([torch.where(index == group, 0, g.z) for group in range(len(layout.bands))])
    return (g.values(g.z) - g.values(without)).tolist()


# f-based: one value for each group; with all coalitions in its design, kernel_shap is the Shapley value.
GAMES: dict[str, Callable[[Direct, Layout], list[float]]] = {
    "occlusion": _occlusion,
    "shapley": _shapley,
    "kernel_shap": _shapley,
}


def formula(att: Attribution, g: Direct) -> tuple[Tensor, Tensor] | None:
    """(found, expected) for the first signal, in float; None where no formula is short (sampled games, certificates)."""
    method, options = att.settings["method"], att.settings["options"]
    if method in GAMES:
        layout = att.layout.group(options["by"])
        return layout.sum(att.values[:1]), torch.tensor([GAMES[method](g, layout)], device=att.values.device)
    if method not in FORMULAS or (method == "integrated_gradients" and options["steps"] is None):
        return None
    return att.values[:1], FORMULAS[method](g, options)


def carried(covector: Tensor, att: Attribution) -> Tensor:
    """What the pixel domain's gradient (batch, *shape) is in the domain of `att`, by autograd through T⁻¹."""
    z = att.coefficients.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(att.transform.inverse(z), z, covector.to(z))
    return att.displacement * gradient if att.settings["shares"] else gradient
