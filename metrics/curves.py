"""Areas below curves of the model's answer, while coefficients come back or go in the order of a map."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..attribution import Attribution
from .base import Needs, Scores, register
from .judged import Judged
from .selection import Budgets, Selection
from .selection_error import OverBudgets

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.75, 1.0)


def mean_height(curve: Tensor, share: Tensor) -> Tensor:
    """The area below a curve by the trapezoidal rule, over its width.  curve, share: (batch, points). Shape: (batch,)."""
    return torch.trapezoid(curve, share, dim=1) / (share[:, -1] - share[:, 0])


@dataclass(frozen=True)
class _Area(OverBudgets):
    """A curve over the share of coefficients that are selected, from none on.

    budgets: where the curve is read, in (0, 1].  by: of what, see `selection.counts`; the width of a step is what was bought.
    answer: "score", "probability" or "margin".
    """

    within_domain = True
    budgets: tuple[float, ...] = SHARES

    def cost(self, attribution: Attribution) -> int:
        return len(self.budgets) + 2 * (self.answer != "score")

    def curve(self, judged: Judged, ranking: str, removed: bool) -> tuple[Tensor, Tensor]:
        """The answer from no budget on, and the share of coefficients of each point, (batch, 1 + budgets)."""
        asked = [Selection(ranking, budget, self.by, removed) for budget in self.budgets]
        found = getattr(judged.answers(asked), self.answer)
        start = judged.at_ends(self.answer)[0 if removed else 1]
        return torch.cat([start[None], found]).T, self.shares(judged, asked)

    def shares(self, judged: Judged, asked: list[Selection]) -> Tensor:
        """The share that each selection has bought, 0 first, (batch, 1 + budgets)."""
        share = judged.known.new_tensor(self.budgets)[:, None].expand(-1, len(judged.ends))
        if self.by in ("count", "coefficients"):
            transform = judged.attribution.transform
            of = torch.Size(transform.shape if self.by == "count" else transform.layout.shape).numel()
            share = judged.numbers(asked).to(judged.known) / of
        return torch.cat([torch.zeros_like(share[:1]), share]).T

    def area(self, curve: Tensor, share: Tensor) -> Scores:
        """The mean height of a curve."""
        return Scores(mean_height(curve, share), curve, (0.0, *self.budgets))


@register("insertion")
@dataclass(frozen=True)
class Insertion(_Area):
    """The area below (f(x_S) - f(x₀)) / (f(x) - f(x₀)) while S, the first coefficients by |a|, grows from none to all.

    The other coefficients stay at the baseline of the map. It depends more on how well the transform compacts energy than on
    the map, so compare it with that of |z - z₀|, or take `gain`. Sufficiency is f(x) - f(x_S), so it says the same.
    """

    formula = "∫ (f(x_S) - f(x₀)) / (f(x) - f(x₀)) d|S|, S by |a|, the others at the baseline of the map"
    source = "Petsiuk, Das & Saenko 2018 (RISE), section 4.2; in units of f(x) - f(x₀)"
    better = "higher"

    def measure(self, judged: Judged) -> Scores:
        curve, share = self.curve(judged, "attribution", removed=False)
        start, unit = judged.at_ends(self.answer)[1], judged.difference_of(self.answer)
        return self.area((curve - start[:, None]) / unit[:, None], share)


@register("deletion")
@dataclass(frozen=True)
class Deletion(_Area):
    """The area below (f(x without S) - f(x₀)) / (f(x) - f(x₀)) while S, the first coefficients by |a|, grows from none to all.

    The removed coefficients go to the baseline of the map. Comprehensiveness is f(x) - f(x without S), so it says the same.
    """

    formula = "∫ (f(x without S) - f(x₀)) / (f(x) - f(x₀)) d|S|, S by |a|, removed to the baseline of the map"
    source = "Petsiuk, Das & Saenko 2018 (RISE), section 4.2; in units of f(x) - f(x₀)"
    better = "lower"

    def measure(self, judged: Judged) -> Scores:
        curve, share = self.curve(judged, "attribution", removed=True)
        start, unit = judged.at_ends(self.answer)[1], judged.difference_of(self.answer)
        return self.area((curve - start[:, None]) / unit[:, None], share)


@register("srg")
@dataclass(frozen=True)
class SymmetricRelevanceGain(_Area):
    """SRG = ∫ (f without the q smallest - f without the q largest) dq / |f(x) - f(x₀)|, by signed a.

    Exactly -SRG for -a, and so 0 on average for random maps, whatever the model is. For methods within one domain: in a domain
    that does not suit the model, large values of both signs cancel, the two curves part, and the number grows beyond 1.
    `details` has both curves, (batch, points).
    """

    formula = "∫ (f(x without the q smallest) - f(x without the q largest)) dq / |f(x) - f(x₀)|, by signed a"
    source = "Blücher, Vielhaben & Strodthoff 2024"
    better = "higher"
    chance = 0.0
    needs = Needs.SIGNED
    by: Budgets = "coefficients"

    def cost(self, attribution: Attribution) -> int:
        return super().cost(attribution) + len(self.budgets)

    def measure(self, judged: Judged) -> Scores:
        (most, share), (least, _) = (self.curve(judged, each, removed=True) for each in ("signed", "least_first"))
        unit = judged.difference_of(self.answer).abs()[:, None]
        found = self.area((least - most) / unit, share)
        return Scores(found.value, found.curve, found.axis, {"most_first": most, "least_first": least})


@register("rate_fidelity")
@dataclass(frozen=True)
class RateFidelity(OverBudgets):
    """1 - |f(x_S) - f(x)| / |f(x) - f(x₀)| at several budgets, and its mean; S by |a|.

    1 where the selection alone gives f(x), 0 at f(x₀), negative beyond. The budget is a share of the samples (by=count), of the
    energy of x - x₀ (by=energy), or of the bits that the samples take (by=bits), in which frames and bases have one unit.
    `details` has "kept", the signed share (f(x_S) - f(x₀)) / (f(x) - f(x₀)), (batch, budgets).
    """

    formula = "mean over budgets of 1 - |f(x_S) - f(x)| / |f(x) - f(x₀)|, S by |a|"
    source = "this project; rate: Krichevsky & Trofimov 1981; kept share: Brüsch et al. 2025 (FreqRISE)"
    better = "higher"
    by: Budgets = "bits"

    def cost(self, attribution: Attribution) -> int:
        return len(self.budgets) + 2 * (self.answer != "score")

    def measure(self, judged: Judged) -> Scores:
        asked = [Selection("attribution", budget, self.by) for budget in self.budgets]
        found, (at_x, at_base) = getattr(judged.answers(asked), self.answer), judged.at_ends(self.answer)
        unit = judged.difference_of(self.answer)
        return self.scores((1 - (found - at_x).abs() / unit.abs()).T, kept=((found - at_base) / unit).T)
