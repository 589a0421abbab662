"""Whether the values of bands agree with what the model loses without them: with few players, each can be asked."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..attribution import Attribution
from ..attribution.methods.coalitions import Players, subsets
from ..attribution.methods.shapley import shapley_values
from ..core.checks import check_choice
from ..transforms.layout import GROUPINGS
from .base import Metric, Needs, Scores, register
from .judged import Judged
from .similarity import spearman

MOST_BANDS = 10  # 2^10 coalitions


@dataclass(frozen=True)
class _OverBands(Metric):
    """A metric of the sums of a map over bands.  by: the groups of bands, see `Layout.group`."""

    needs = Needs.SIGNED | Needs.SHARES | Needs.GROUPS

    def players(self, attribution: Attribution) -> Players:
        """The groups that hold coefficients."""
        return Players.of(attribution.layout, self.by)  # type: ignore[attr-defined]

    def __post_init__(self) -> None:
        check_choice(self.name, "by", self.by, GROUPINGS)  # type: ignore[attr-defined]


def scores_of(judged: Judged, players: Players, present: Tensor) -> Tensor:
    """f(T⁻¹(z₀ + m ⊙ (z - z₀))) for each coalition, (batch, coalitions).  present: (coalitions, players), bool."""
    own, many = judged.attribution, len(present)
    owner, absent = players.index.to(own.values.device), ~present.to(own.values.device)

    def points(part: slice) -> Tensor:
        row = torch.arange(part.start, part.stop, device=owner.device)
        example, mask = row // many, absent[row % many][:, owner]
        return own.transform.inverse(own.coefficients[example] - own.displacement[example] * mask)

    example = torch.arange(len(own), device=owner.device).repeat_interleave(many)
    return judged.at(example, points).score.reshape(len(own), many)


def sums(attribution: Attribution, players: Players) -> Tensor:
    """Σ a of each player, (batch, players)."""
    index = players.index.flatten().to(attribution.values.device).expand(len(attribution), -1)
    start = attribution.values.new_zeros(len(attribution), players.count)
    return start.scatter_add(1, index, attribution.values.flatten(1))


@register("band_deletion")
@dataclass(frozen=True)
class BandDeletion(_OverBands):
    """The rank correlation, over bands B, of Σ over B of a and f(x) - f(x without B); x without B has z₀ there.

    One band is absent at a time, so that the model never sees a signal of a few coefficients; it does not see redundant bands
    either. `details` has "bands", the sums, and "drops", each (batch, bands). NaN for a single band (pixels), and where all
    sums or all drops are equal.

    by: "band", "scale", "octave" or "orientation".  Raises: ValueError that lists these; for a map of sensitivities.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1).square().sum(1)
    >>> att = pb.attribute(f, torch.arange(8.0).reshape(1, 1, 8), transform="dwt(haar, level=2)")
    >>> float(pb.metrics.measure(f, att, "band_deletion")[0].value)
    1.0
    """

    by: str = "band"
    formula = "Spearman over bands B of Σ over B of a and f(x) - f(x without B)"
    source = "Hesse, Schaub-Meyer & Roth 2023 (FunnyBirds), single deletion; here of bands"
    better = "higher"
    chance = 0.0

    def cost(self, attribution: Attribution) -> int:
        return self.players(attribution).count

    def measure(self, judged: Judged) -> Scores:
        players = self.players(judged.attribution)
        drops = judged.known[0][:, None] - scores_of(judged, players, ~torch.eye(players.count, dtype=torch.bool))
        bands = sums(judged.attribution, players)
        return Scores(spearman(bands, drops.to(bands)), details={"bands": bands, "drops": drops})


@register("band_shapley_error")
@dataclass(frozen=True)
class BandShapleyError(_OverBands):
    """Σ over bands |Σ over B of a - φ_B| / Σ |φ_B|, φ the exact Shapley values of the bands, by all 2^bands coalitions.

    0 for Shapley values themselves, and for integrated gradients of a model that is linear, or quadratic with the bands apart.
    A band that is absent has the coefficients of z₀. `details` has "bands" and "shapley", each (batch, bands). NaN where every
    φ is 0.

    by: "scale", "band", "octave" or "orientation".  Raises: ValueError that lists these; for more than 10 groups; for a map
    of sensitivities.

    >>> import torch, pullback as pb
    >>> f = lambda x: x.flatten(1).prod(1)
    >>> att = pb.attribute(f, torch.ones(1, 1, 4), method="shapley(by=scale)", transform="dwt(haar, level=1)")
    >>> bool(pb.metrics.measure(f, att, "band_shapley_error")[0].value < 1e-5)
    True
    """

    by: str = "scale"
    formula = "Σ over B of |Σ over B of a - φ_B| / Σ |φ_B|, φ the Shapley values of the bands B"
    source = "Shapley 1953; Hama et al. 2023 (deviation from Shapley values)"
    better = "lower"

    def cost(self, attribution: Attribution) -> int:
        count = self.players(attribution).count
        if count > MOST_BANDS:
            advice = "group them, as by=scale or by=octave, or take fewer levels"
            raise ValueError(f"{self.name}: {count} groups by {self.by!r}; at most {MOST_BANDS} are enumerated; {advice}.")
        return 2**count

    def measure(self, judged: Judged) -> Scores:
        players = self.players(judged.attribution)
        worth = scores_of(judged, players, torch.from_numpy(subsets(players.count)))
        exact, bands = shapley_values(worth, players.count), sums(judged.attribution, players)
        size = exact.abs().sum(1)
        error = (bands - exact).abs().sum(1) / size.where(size > 0, torch.nan)
        return Scores(error, details={"bands": bands, "shapley": exact})
