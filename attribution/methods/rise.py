"""RISE: f of signals behind many random masks."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...core.checks import check_count
from ...transforms import Layout
from ..engine.row_index import RowIndex
from ..engine.row_sums import accumulate
from ..estimator import MethodClaim, register
from .coalitions import BY, Design, Game, Perturbation, Players
from .smooth_masks import SmoothMasks


@register("rise")
@dataclass(frozen=True)
class RISE(Perturbation):
    """a_k = Σ_i f(T⁻¹(m_i ⊙ z)) m_ik / Σ_i m_ik - f̄: how much higher f is where coefficient k is kept, over random masks.

    f̄ is the mean over the masks. The printed formula, without f̄ and divided by p, is not 0 for a constant f.

    masks: the number of masks.  p: the probability that a cell is kept.
    cells: "grid" (smooth masks: in each band, a random grid of `grid` cells per axis over the places of its coefficients,
    or over their frequencies where they have no place, shifted at random and interpolated linearly); or groups, as `by` in
    `occlusion`, whose values are spread over their coefficients.
    value: what replaces hidden coefficients, as in `occlusion`.
    Sources: Petsiuk, Das & Saenko 2018, eq. (6); on frequencies, Brüsch et al. 2025 (FreqRISE).
    Raises: ValueError or TypeError unless 0 < p < 1, masks, grid and block are whole numbers ≥ 1, cells and value are known.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1) @ torch.tensor([2.0, -1.0, 0.0])
    >>> att = pb.attribute(f, torch.ones(1, 1, 3), method="rise(masks=64, cells=coefficient)")
    >>> att.values.argsort(descending=True)
    tensor([[[0, 2, 1]]])
    """

    masks: int = 1000
    p: float = 0.5
    cells: str = "grid"
    grid: int = 7
    block: int = 8
    value: str = "baseline"
    claims = MethodClaim.LINEAR | MethodClaim.IMPLEMENTATION_INVARIANT
    kind = "sensitivity"
    examples = classmethod(lambda cls: [cls(masks=16, grid=2), cls(masks=16, cells="band")])

    def __post_init__(self) -> None:
        self._check("cells", self.cells, (*BY, "grid"))
        check_count(self.name, "masks", self.masks)
        check_count(self.name, "grid", self.grid)
        if not 0 < self.p < 1:
            raise ValueError(f"rise: p, the probability that a cell is kept, must lie in (0, 1), got {self.p}.")

    def players(self, layout: Layout) -> Players:
        return Players.of(layout, "coefficient" if self.cells == "grid" else self.cells, self.block)

    def evaluations(self, players: Players) -> int:
        return self.masks + 1

    def play(self, game: Game) -> tuple[Tensor, dict[str, Any]]:
        design, shape = self._smooth(game) if self.cells == "grid" else self._hard(game)
        whole = game.values(1, lambda rows: game.displacement.new_ones(len(rows), game.players.count))
        scores, mean = whole.new_zeros(len(whole), *shape), torch.zeros_like(whole[:, 0])
        kept = torch.zeros_like(scores)
        for rows, presence, value in game.chunks(self.masks, design):
            rise = value - whole[rows.example, 0]  # exactly 0 for a constant f
            accumulate(scores, rows, presence, rise)
            accumulate(kept, rows, presence)
            accumulate(mean, rows, rise)
        mean = mean.reshape(-1, *[1] * len(shape)) / self.masks
        found = torch.where(kept > 0, scores / kept.where(kept > 0, 1) - mean, 0)
        return found.expand(-1, *game.players.layout.shape).flatten(1) if self.cells == "grid" else found, {}

    def _hard(self, game: Game) -> tuple[Design, tuple[int, ...]]:
        """The design, and the shape of one presence."""
        draw, shape = game.evaluator.keyed.draw, (game.players.count,)
        return lambda rows: draw(rows, shape, Tensor.uniform_, "rise") < self.p, shape

    def _smooth(self, game: Game) -> tuple[Design, tuple[int, ...]]:
        """The design, and the shape of one mask."""
        draw, masks = game.evaluator.keyed.draw, SmoothMasks.on(game.players.layout, self.grid, game.displacement)

        def design(rows: RowIndex) -> Tensor:
            unit = draw(rows, (masks.bits + masks.dims,), Tensor.uniform_, "rise").to(game.displacement)
            return masks.of((unit[:, : masks.bits] < self.p).to(unit), unit[:, masks.bits :])

        return design, masks.shape
