"""Occlusion: one group of coefficients is removed at a time."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..engine.row_index import RowIndex
from ..estimator import MethodClaim, register
from .coalitions import Game, Perturbation, Players


@register("occlusion")
@dataclass(frozen=True)
class Occlusion(Perturbation):
    """a_G = f(x) - f(x without group G of coefficients), for each group, spread over its coefficients.

    by: "coefficient", "block", "band", "octave", "scale" or "orientation".
    block: with by="block", the side of a cell in samples; see `Players.of`.
    value: what replaces the coefficients: "baseline" (z₀), "zero", or "mean" (that of the band in this example).

    A group's value is spread in proportion to |z - its substitute|, evenly where that is 0: sums over groups are the values.
    Dummy and symmetry hold for groups; they are claimed where groups are single coefficients. Evaluations: groups + 1.

    Source: Zeiler & Fergus 2014, §4.2.
    Raises: ValueError that lists the choices of by and value; ValueError or TypeError unless block is a whole number ≥ 1.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1) @ torch.tensor([2.0, -1.0, 0.0])
    >>> pb.attribute(f, torch.ones(1, 1, 3), method="occlusion(by=coefficient)").values
    tensor([[[ 2., -1.,  0.]]])
    """

    by: str = "band"
    block: int = 8
    value: str = "baseline"
    kind = "share"
    examples = classmethod(
        lambda cls: [cls("coefficient"), cls("coefficient", value="mean"), cls("band"), cls("block", block=2, value="zero")]
    )

    @property
    def claims(self) -> MethodClaim:
        claims = MethodClaim.LINEAR | MethodClaim.IMPLEMENTATION_INVARIANT
        if self.value == "baseline":
            claims |= MethodClaim.SENSITIVE
        if self.by == "coefficient":
            claims |= MethodClaim.DUMMY if self.value == "mean" else MethodClaim.DUMMY | MethodClaim.SYMMETRIC
        return claims

    def evaluations(self, players: Players) -> int:
        return players.count + 1

    def play(self, game: Game) -> tuple[Tensor, dict[str, Any]]:
        def design(rows: RowIndex) -> Tensor:
            present = game.displacement.new_ones(len(rows), game.players.count)
            without = rows.sample > 0  # sample 0 is x itself
            present[without.nonzero()[:, 0], rows.sample[without] - 1] = 0
            return present

        values = game.values(self.evaluations(game.players), design)
        return values[:, :1] - values[:, 1:], {}
