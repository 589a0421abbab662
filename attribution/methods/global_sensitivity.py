"""How much f varies with the presence of each group of coefficients: Sobol indices and HSIC."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...core.checks import check_choice, check_count
from ..engine.row_index import RowIndex
from ..estimator import MethodClaim, register
from .coalitions import Game, Perturbation, Players, per_example, recent

DESIGNS = {"sobol": "Sobol", "halton": "Halton", "latin": "LatinHypercube"}  # the classes of scipy.stats.qmc


@dataclass(frozen=True)
class Designed(Perturbation):
    """A method whose presences are points of a space-filling design of the unit cube."""

    by: str = "band"
    samples: int = 64
    design: str = "sobol"
    block: int = 8
    value: str = "baseline"
    kind = "sensitivity"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.name, "samples", self.samples, 2)
        check_choice(self.name, "design", self.design, DESIGNS)
        if self.design == "sobol" and self.samples & (self.samples - 1):
            got = f"got samples={self.samples}; take {1 << self.samples.bit_length()}, or design='latin'"
            raise ValueError(f"{self.name}: design='sobol' is balanced for powers of two only, {got}.")

    def _design(self, game: Game, example: int, dims: int) -> Tensor:
        """The points for one example. Shape: (samples, dims), float64."""
        generator = game.evaluator.keyed.generator(example, self.name)
        from scipy.stats import qmc  # imported here, as it takes long

        return torch.from_numpy(getattr(qmc, DESIGNS[self.design])(dims, seed=generator).random(self.samples))


@register("sobol")
@dataclass(frozen=True)
class Sobol(Designed):
    """a_G = E[Var(f | all groups but G)] / Var(f), the total Sobol index of the presence m_G ~ U(0, 1) of group G.

    By Jansen's estimator, 1/2N Σ_i (f(A_i) - f(A_i with column G of B))² / Var(f): the rows of A and B are independent
    masks, and Var(f) is the variance of f over A and B. Not negative, without sign; 0 for a constant f.

    by, block, value: as in `occlusion`.  samples: N; a power of two for design="sobol".
    design: how A and B are drawn: "sobol", "halton" or "latin" (scrambled with the example's own seed).
    Evaluations: N (groups + 2). A group's value is spread over its coefficients; dummies are 0 for single coefficients.
    Sources: Jansen 1999; Saltelli et al. 2010, table 2 (f); for images, Fel et al. 2021; for wavelets, Kasmi et al. 2023.
    Raises: ValueError that lists the choices of by, value and design, or where samples does not suit the design.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1) @ torch.tensor([2.0, -1.0, 0.0])
    >>> att = pb.attribute(f, torch.ones(1, 1, 3), method="sobol(by=coefficient, samples=1024)")
    >>> torch.allclose(att.values, torch.tensor([0.8, 0.2, 0.0]), atol=0.01)  # 2² and 1² of 2² + 1²
    True
    """

    @property
    def claims(self) -> MethodClaim:
        single = self.by == "coefficient"
        return MethodClaim.IMPLEMENTATION_INVARIANT | (MethodClaim.DUMMY if single else MethodClaim.NONE)

    def evaluations(self, players: Players) -> int:
        return self.samples * (players.count + 2)

    def play(self, game: Game) -> tuple[Tensor, dict[str, Any]]:
        n, samples, like = game.players.count, self.samples, game.displacement
        pairs = per_example(recent(lambda example: self._design(game, example, 2 * n).to(like.dtype)))

        def design(rows: RowIndex) -> Tensor:
            kind = rows.sample // samples  # A, B, then A with one column of B
            a, b = pairs(rows.with_samples(lambda sample: sample % samples)).split(n, -1)
            swapped = kind[:, None] - 2 == torch.arange(n, device=kind.device)
            return torch.where((kind[:, None] == 1) | swapped, b, a)

        f = game.values(self.evaluations(game.players), design).reshape(-1, n + 2, samples)
        # Relative to the first value, so that a constant f has a variance of exactly 0.
        variance = (f[:, :2] - f[:, :1, :1]).flatten(1).var(1, correction=0)[:, None]
        total = (f[:, :1] - f[:, 2:]).square().mean(-1) / 2
        return torch.where(variance > 0, total / variance.where(variance > 0, 1), 0), {}

    examples = classmethod(lambda cls: [cls("coefficient", samples=4), cls("band", samples=4, design="latin")])


@register("hsic")
@dataclass(frozen=True)
class HSIC(Designed):
    """a_G = tr(K_G H L H) / (N - 1)², the dependence of f on whether group G is present.

    K_G compares presences, 1 where they agree and else 0; L compares values of f, exp(-(f - f')² / 2σ²) with σ the
    median distance; H centres. Not negative, without sign; 0 for a constant f. N does not grow with the number of groups,
    as it does for Sobol indices. N² numbers are held, for one example at a time.

    by, block, value: as in `occlusion`.  samples: N.
    design: how presences, each with probability ½, are drawn: "latin", "sobol" (N a power of two) or "halton".
    Sources: Gretton et al. 2005, definition 2; for images, Novello, Fel & Vigouroux 2022.
    Raises: ValueError that lists the choices of by, value and design, or where samples does not suit the design.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1) @ torch.tensor([2.0, -1.0, 0.0])
    >>> att = pb.attribute(f, torch.ones(1, 1, 3), method="hsic(by=coefficient, samples=64)")
    >>> att.values.argsort(descending=True)
    tensor([[[0, 1, 2]]])
    """

    samples: int = 512
    design: str = "latin"
    claims = MethodClaim.IMPLEMENTATION_INVARIANT
    examples = classmethod(lambda cls: [cls("coefficient", samples=32), cls("band", samples=32)])

    def evaluations(self, players: Players) -> int:
        return self.samples

    def play(self, game: Game) -> tuple[Tensor, dict[str, Any]]:
        presences = lambda example: self._design(game, example, game.players.count) >= 0.5
        return game.fitted(self.samples, presences, _hsic), {}


def _hsic(m: Tensor, f: Tensor) -> Tensor:
    """HSIC of each column of m (samples, players) with f (samples,). Shape: (players,)."""
    distance = (f[:, None] - f[None]).abs()
    # Equal presences have equal f up to rounding errors, which differ between batches and must not enter the median.
    apart = distance[distance > 64 * torch.finfo(f.dtype).eps * f.abs().max()]
    if not len(apart):
        return f.new_zeros(m.shape[1])
    similarity = torch.expm1(-0.5 * (distance / apart.median()) ** 2)  # L - 1: centring removes the 1 anyway
    # Centred, [m = m'] = 1 - m - m' + 2 m m' is 2 (m - m̄)(m' - m̄).
    centred = m - m.mean(0)
    return 2 * (centred * (similarity @ centred)).sum(0).clamp(min=0) / (len(f) - 1) ** 2
