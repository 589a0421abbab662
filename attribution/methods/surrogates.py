"""Linear models of f on coalitions of coefficient groups, fitted in closed form: LIME and KernelSHAP."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.checks import check_count
from ..estimator import MethodClaim, register
from .coalitions import Game, Perturbation, Players, subsets

_MOST = 16  # players whose coalitions may all be enumerated


@register("lime")
@dataclass(frozen=True)
class LIME(Perturbation):
    """a_G = the coefficient of group G in the linear model of f that is best near x.

    Over coalitions m_i, in which each group is present with probability ½:
    minimise Σ_i w_i (f(T⁻¹ z_m) - b - ⟨m_i, a⟩)² / Σ_i w_i + ridge ‖a‖²,  w_i = exp(-d_i² / width²),
    d_i = 1 - √(share of groups present), the cosine distance between m_i and all present.

    by, block, value: as in `occlusion`.  samples: the number of coalitions.  width: of the kernel.
    ridge: at least 0; 0 gives the fit of least norm.
    Source: Ribeiro, Singh & Guestrin 2016, eq. (1) and §3.4, with a ridge in place of the sparse fit.
    Raises: ValueError where width is not above 0, ridge is negative or samples is below 2, or that lists the choices.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1) @ torch.tensor([2.0, -1.0, 0.0])
    >>> att = pb.attribute(f, torch.ones(1, 1, 3), method="lime(by=coefficient, samples=32, ridge=0)")
    >>> torch.allclose(att.values, torch.tensor([2.0, -1.0, 0.0]), atol=1e-5)
    True
    """

    by: str = "band"
    samples: int = 1000
    width: float = 0.25
    ridge: float = 0.0
    block: int = 8
    value: str = "baseline"
    claims = MethodClaim.LINEAR | MethodClaim.IMPLEMENTATION_INVARIANT
    kind = "share"
    examples = classmethod(lambda cls: [cls("coefficient", samples=64), cls("band", samples=32)])

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.name, "samples", self.samples, 2)
        if not self.width > 0 or not self.ridge >= 0:
            raise ValueError(f"lime: width must be above 0 and ridge at least 0, got {self.width} and {self.ridge}.")

    def evaluations(self, players: Players) -> int:
        return self.samples

    def play(self, game: Game) -> tuple[Tensor, dict[str, Any]]:
        return game.fitted(self.samples, lambda example: self._coalitions(game, example), self._fit), {}

    def _coalitions(self, game: Game, example: int) -> Tensor:
        """The first is x itself. Shape: (samples, players), bool."""
        present = game.evaluator.keyed.generator(example, "lime").random((self.samples, game.players.count)) < 0.5
        present[0] = True
        return torch.from_numpy(present)

    def _fit(self, m: Tensor, v: Tensor) -> Tensor:
        weights = torch.exp(-((1 - m.mean(1).sqrt()) ** 2) / self.width**2)
        weights = weights / weights.sum()
        v = v - v[0]  # exactly 0 for a constant f
        m, v = m - weights @ m, v - weights @ v  # removes the intercept
        gram = (m * weights[:, None]).T @ m
        return _solve(gram + self.ridge * torch.eye(len(gram)).to(gram), m.T @ (weights * v))


@register("kernel_shap")
@dataclass(frozen=True)
class KernelSHAP(Perturbation):
    """Shapley values of groups as a least-squares fit of f on coalitions S, weighted by the Shapley kernel.

    minimise Σ_S w(|S|) (v(S) - v(∅) - Σ_{G ∈ S} a_G)², w(s) = (n - 1) / (C(n, s) s (n - s)), with Σ a = f(x) - f(x₀).

    by, block: as in `shapley`.
    samples: the number of coalitions, in pairs S, N∖S with sizes drawn from the kernel. Where 2^n - 2 ≤ samples and
    n ≤ 16, each coalition is used once, and the fit is the exact Shapley value.
    Sources: Lundberg & Lee 2017, theorem 2; Covert & Lee 2021 (paired sampling).
    Raises: ValueError that lists the choices of by; when run, for fewer samples than players, which do not determine the fit.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1) @ torch.tensor([2.0, -1.0, 0.0])
    >>> att = pb.attribute(f, torch.ones(1, 1, 3), method="kernel_shap(by=coefficient, samples=16)")
    >>> torch.allclose(att.values, torch.tensor([2.0, -1.0, 0.0]), atol=1e-5)
    True
    """

    by: str = "band"
    samples: int = 1024
    block: int = 8
    claims = MethodClaim.COMPLETE | MethodClaim.LINEAR | MethodClaim.IMPLEMENTATION_INVARIANT
    kind = "share"
    examples = classmethod(lambda cls: [cls("scale", samples=64), cls("band", samples=64)])

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.name, "samples", self.samples, 2)

    def evaluations(self, players: Players) -> int:
        n = players.count
        if n > self.samples:
            got = f"got {self.samples}; take more samples or fewer players"
            raise ValueError(f"kernel_shap: samples must be at least the number of players, {n}, {got}.")
        return 2 + (2**n - 2 if self._whole(n) else self.samples // 2 * 2)

    def play(self, game: Game) -> tuple[Tensor, dict[str, Any]]:
        whole = self._whole(game.players.count)
        coalitions = lambda example: self._coalitions(game, example)
        return game.fitted(self.evaluations(game.players), coalitions, lambda m, v: _kernel_fit(m, v, whole)), {}

    def _whole(self, n: int) -> bool:
        """Whether every coalition is used."""
        return n <= _MOST and 2**n - 2 <= self.samples

    def _coalitions(self, game: Game, example: int) -> Tensor:
        """None, all, then those of the fit. Shape: (rows, players), bool."""
        n = game.players.count
        ends = np.array([[False] * n, [True] * n])
        if self._whole(n):
            return torch.from_numpy(np.concatenate([ends, subsets(n)[1:-1]]))
        generator = game.evaluator.keyed.generator(example, "kernel_shap")
        sizes = np.arange(1, n)
        probability = 1 / (sizes * (n - sizes))
        drawn = generator.choice(sizes, self.samples // 2, p=probability / probability.sum())
        order = generator.random((len(drawn), n)).argsort(1).argsort(1)
        first = order < drawn[:, None]
        return torch.from_numpy(np.concatenate([ends, np.stack([first, ~first], 1).reshape(-1, n)]))


def _kernel_fit(m: Tensor, v: Tensor, whole: bool) -> Tensor:
    """The weighted fit whose total is v(all) - v(none).  m: (rows, n), none and all first. Shape: (n,)."""
    n, total = m.shape[1], v[1] - v[0]
    even = total / n
    if len(m) == 2:
        return even.expand(n)
    inside, gain = m[2:], v[2:] - v[0]
    sizes = inside.sum(1)
    kernel = torch.ones_like(sizes)  # drawn coalitions follow the kernel already
    if whole:
        binomials = v.new_tensor([math.comb(n, int(size)) for size in sizes.tolist()])
        kernel = (n - 1) / (binomials * sizes * (n - sizes))
    # Relative to equal values, the constraint is that values total 0: fit on the players' deviations from their mean.
    centred, rest = inside - sizes[:, None] / n, gain - even * sizes
    gram = (centred * kernel[:, None]).T @ centred
    gram = gram + gram.diagonal().mean()  # the constraint leaves one direction empty: without this, 0 would be inverted
    deviation = _solve(gram, centred.T @ (kernel * rest))
    return even + deviation - deviation.mean()


def _solve(gram: Tensor, right: Tensor) -> Tensor:
    """The least-norm solution; right lies in the range of the positive semi-definite gram."""
    return torch.linalg.pinv(gram, rtol=1e3 * torch.finfo(gram.dtype).eps, hermitian=True) @ right
