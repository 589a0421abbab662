"""Slow, plain formulas of the methods that look at f only, with coefficients present and absent."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from direct import Direct
from torch import Tensor

from pullback.attribution.methods.global_sensitivity import DESIGNS
from pullback.attribution.methods.smooth_masks import places
from pullback.transforms import Layout


def worth(g: Direct, layout: Layout, presence: np.ndarray) -> np.ndarray:
    """f with each group of `layout` present as far as `presence` (rows, groups) says.  Shape: (rows,), float64."""
    shown = torch.from_numpy(presence).to(g.z)[:, layout.index.to(g.z.device)]
    return g.values(shown * g.z).double().cpu().numpy()


def spread(g: Direct, layout: Layout, values: np.ndarray) -> Tensor:
    """A group's value goes to its coefficients in proportion to |z|.  Shape: (1, *coeff)."""
    index = layout.index.to(g.z.device)
    found = torch.zeros_like(g.z)
    for group, value in enumerate(values.tolist()):
        size = torch.where(index == group, g.z.abs(), 0)
        found += value * size / size.sum()
    return found


def gains(g: Direct, layout: Layout) -> Tensor:
    """What each group adds to f when it joins, for every order of joining.  Shape: (orders, groups)."""
    players = len(layout.bands)
    coalitions = list(itertools.product((0, 1), repeat=players))
    value = dict(zip(coalitions, worth(g, layout, np.array(coalitions, float)).tolist()))
    found = torch.zeros(math.factorial(players), players)
    for row, order in zip(found, itertools.permutations(range(players))):
        inside = [0] * players
        for player in order:
            before = value[tuple(inside)]
            inside[player] = 1
            row[player] = value[tuple(inside)] - before
    return found


def _shapley(g: Direct, layout: Layout, options: dict[str, Any]) -> np.ndarray:
    return gains(g, layout).mean(0).numpy()


def _occlusion(g: Direct, layout: Layout, options: dict[str, Any]) -> np.ndarray:
    players = len(layout.bands)
    whole, *without = worth(g, layout, np.concatenate([np.ones((1, players)), 1 - np.eye(players)]))
    return whole - np.array(without)


def _lime(g: Direct, layout: Layout, options: dict[str, Any]) -> np.ndarray:
    """Weighted least squares with an intercept, of least norm where coalitions are too few."""
    present = g.generator("lime").random((options["samples"], len(layout.bands))) < 0.5
    present[0] = True
    f = worth(g, layout, present.astype(float))
    weight = np.exp(-((1 - np.sqrt(present.mean(1))) ** 2) / options["width"] ** 2)
    centred = present - np.average(present, 0, weight), f - np.average(f, weights=weight)
    root = np.sqrt(weight)
    # Coalitions of next to no weight do not count: the square of this is the rank that single precision tells.
    return np.linalg.lstsq(root[:, None] * centred[0], root * centred[1], rcond=(1e3 * 2**-23) ** 0.5)[0]


def _sobol(g: Direct, layout: Layout, options: dict[str, Any]) -> np.ndarray:
    """Jansen's estimator: (f(A_i) - f(A_i with column G of B))² / 2, over the variance of f."""
    players, samples = len(layout.bands), options["samples"]
    points = DESIGNS[options["design"]](2 * players, seed=g.generator("sobol")).random(samples)
    a, b = points[:, :players], points[:, players:]
    at_a, at_b = worth(g, layout, a), worth(g, layout, b)
    swapped = []
    for player in range(players):
        mixed = a.copy()
        mixed[:, player] = b[:, player]
        swapped.append(((at_a - worth(g, layout, mixed)) ** 2).mean() / 2)
    return np.array(swapped) / np.concatenate([at_a, at_b]).var()


def _hsic(g: Direct, layout: Layout, options: dict[str, Any]) -> np.ndarray:
    """tr(K H L H) / (N - 1)², with every matrix written out."""
    players, n = len(layout.bands), options["samples"]
    present = DESIGNS[options["design"]](players, seed=g.generator("hsic")).random(n) >= 0.5
    f = worth(g, layout, present.astype(float))
    distance = np.abs(f[:, None] - f[None])
    apart = distance[distance > 1e-5 * np.abs(f).max()]  # equal presences have equal f, up to rounding
    similarity = np.exp(-((distance / np.quantile(apart, 0.5, method="lower")) ** 2) / 2)
    centre = np.eye(n) - 1 / n
    same = [present[:, None, player] == present[None, :, player] for player in range(players)]
    return np.array([np.trace(k @ centre @ similarity @ centre) for k in same]) / (n - 1) ** 2


# One value for each group, spread over its coefficients; with all coalitions in its design, kernel_shap is the Shapley value.
GAMES: dict[str, Callable[[Direct, Layout, dict[str, Any]], np.ndarray]] = {
    "occlusion": _occlusion,
    "shapley": _shapley,
    "kernel_shap": _shapley,
    "lime": _lime,
    "sobol": _sobol,
    "hsic": _hsic,
}


def game(name: str, g: Direct, options: dict[str, Any]) -> Tensor:
    """The values of GAMES[name], (1, *coeff)."""
    layout = g.transform.layout.group(options["by"])
    return spread(g, layout, GAMES[name](g, layout, options))


def rise(g: Direct, options: dict[str, Any]) -> Tensor:
    """Σ f m / Σ m - mean f over smooth masks: in each band a grid of random bits, shifted and interpolated linearly."""
    layout, side, dims = g.transform.layout, options["grid"] + 2, len(g.x.shape) - 2
    bits = len(layout.bands) * side**dims
    drawn = g.drawn(options["masks"], (bits + dims,), Tensor.uniform_, "rise")
    grids = (drawn[:, :bits] < options["p"]).to(g.z).unflatten(1, (len(layout.bands), -1))
    masks = torch.cat(
        [
            smooth(layout, grid, options["grid"] * places(layout).to(g.z), shift)[None]
            for grid, shift in zip(grids, drawn[:, bits:])
        ]
    )
    f = torch.cat([g.values(mask[None] * g.z) for mask in masks]).double()
    kept = masks.double()
    column = f.reshape(-1, *[1] * (kept.ndim - 1))
    return torch.where(kept.sum(0) > 0, (column * kept).sum(0) / kept.sum(0) - f.mean(), 0)[None]


def smooth(layout: Layout, grid: Tensor, place: Tensor, shift: Tensor) -> Tensor:
    """One mask: each coefficient reads the grid of its band at its own place, by the weights of the nodes around it.

    grid: (bands, nodes).  place: (dims, *coeff), in cells.  shift: (dims,), in cells. Shape: (*coeff).
    """
    index, dims = layout.index.flatten().to(grid.device), len(place)
    side = round(grid.shape[1] ** (1 / dims))
    node = torch.arange(side, device=grid.device)
    hats = lambda at, node: (1 - (at[:, None] - node).abs()).clamp(min=0)
    found = torch.zeros(index.shape, device=grid.device, dtype=grid.dtype)
    for band, values in enumerate(grid):
        mine = index == band
        first, *rest = place.flatten(1)[:, mine] + shift[:, None]
        read = hats(first, node) @ values.reshape(side, -1)  # one axis of the grid after another is summed over
        for axis in rest:
            read = (read.unflatten(1, (side, -1)) * hats(axis, node)[:, :, None]).sum(1)
        found[mine] = read[:, 0]
    return found.reshape(layout.index.shape)
