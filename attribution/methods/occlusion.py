"""Occlusion: one group of coefficients is taken away at a time."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...transforms import Layout
from ..engine.row_index import RowIndex
from ..estimator import Estimator, MethodClaim, register
from .coalitions import Game, Perturbation, Players, check_players


@register("occlusion")
@dataclass(frozen=True)
class Occlusion(Perturbation):
    """a_G = f(x) - f(x without group G of coefficients), for each group, spread over its coefficients.

    by: "coefficient", "block", "band", "octave", "scale" or "orientation".
    block: with by="block", the side of a cell in samples; see `Players.of`.
    value: what replaces them: "baseline" (z₀), "zero", or "mean" (that of the band in this example).

    A group's value is spread in proportion to |z - what replaces it|, evenly where that is 0, so that sums over groups
    are the values. Dummy and symmetry hold for groups; they are claimed where groups are single coefficients.
    Model rows: groups + 1. Source: Zeiler & Fergus 2014, §4.2.
    Raises: ValueError that lists the choices of by and value, or where block is no whole number of at least 1.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1) @ torch.tensor([2.0, -1.0, 0.0])
    >>> pb.attribute(f, torch.ones(1, 1, 3), method="occlusion(by=coefficient)").values
    tensor([[[ 2., -1.,  0.]]])
    """

    by: str = "band"
    block: int = 8
    value: str = "baseline"
    kind = "share"

    def __post_init__(self) -> None:
        check_players("occlusion", self.by, self.block, self.value)

    @property
    def claims(self) -> MethodClaim:
        claims = MethodClaim.LINEAR | MethodClaim.IMPLEMENTATION_INVARIANT
        if self.value == "baseline":
            claims |= MethodClaim.SENSITIVE
        if self.by == "coefficient":
            claims |= MethodClaim.DUMMY | (MethodClaim.NONE if self.value == "mean" else MethodClaim.SYMMETRIC)
        return claims

    def players(self, layout: Layout) -> Players:
        return Players.of(layout, self.by, self.block)

    def evaluations(self, players: Players) -> int:
        return players.count + 1

    def play(self, game: Game) -> tuple[Tensor, dict[str, Any]]:
        def design(rows: RowIndex) -> Tensor:
            present = game.displacement.new_ones(len(rows), game.players.count)
            away = rows.sample > 0  # sample 0 is x itself
            present[away.nonzero()[:, 0], rows.sample[away] - 1] = 0
            return present

        values = game.values(self.evaluations(game.players), design)
        return values[:, :1] - values[:, 1:], {}

    @classmethod
    def examples(cls) -> Iterable[Estimator]:
        return [cls("coefficient"), cls("coefficient", value="mean"), cls("band"), cls("block", block=2, value="zero")]
