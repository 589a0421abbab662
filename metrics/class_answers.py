"""What becomes of a class where the first coefficients of a map alone are kept, or alone removed, at one budget.

p is the probability of the target's class at x, o that at x_S = T⁻¹(z₀ + 1_S ⊙ (z - z₀)); the class stays that of the target.
All are at one budget: where everything is kept, most of these numbers are perfect. NaN where p is the same at x and x₀.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nan

from ..attribution import Attribution
from ..core.checks import check_choice, check_number
from .base import Better, Metric, Needs, Scores, register
from .judged import Judged
from .selection import BY, Budgets, Selection


@dataclass(frozen=True)
class _AtBudget(Metric):
    """A metric of one selection.

    budget: the share that is selected, in (0, 1].  by: of what, see `selection.counts`.
    ranking: what selects, see `Selection`; another one than "attribution" is a control.
    """

    better: ClassVar[Better] = "higher"
    needs = Needs.CLASSES
    budget: float = 0.1
    by: Budgets = "count"
    ranking: str = "attribution"

    def __post_init__(self) -> None:
        check_choice(self.name, "by", self.by, BY)
        if check_number(self.name, "budget", self.budget, 0, 1) == 0:
            raise ValueError(f"{self.name}: expected a budget in (0, 1], got 0.")

    def cost(self, attribution: Attribution) -> int:
        return 3

    def selection(self, removed: bool = False) -> Selection:
        """What is kept, or removed."""
        return Selection(self.ranking, self.budget, self.by, removed)

    def kept(self, judged: Judged) -> tuple[Tensor, Tensor]:
        """p at x, NaN where it is not defined, and o."""
        p, o = judged.at_ends("probability"), judged.answers([self.selection()]).probability[0]
        return p[0].where(p[0] != p[1], nan), o


@register("average_drop")
@dataclass(frozen=True)
class AverageDrop(_AtBudget):
    """AD = max(0, p - o) / p of each example. SpeechBrain gives it times 100."""

    formula = "max(0, p - o) / p;  p, o: probability of the class at x and at x_S"
    source = "Chattopadhyay et al. 2018 (Grad-CAM++)"
    better = "lower"

    def measure(self, judged: Judged) -> Scores:
        p, o = self.kept(judged)
        return Scores((p - o).clamp(min=0) / p.where(p != 0, nan))


@register("average_increase")
@dataclass(frozen=True)
class AverageIncrease(_AtBudget):
    """AI = 1 where o > p, by however little, else 0. It rewards answers beyond that at x, so it does not rank domains."""

    formula = "1 where o > p, else 0;  p, o: probability of the class at x and at x_S"
    source = "Chattopadhyay et al. 2018 (Grad-CAM++)"
    within_domain = True

    def measure(self, judged: Judged) -> Scores:
        p, o = self.kept(judged)
        return Scores((o > p).to(o).where(~p.isnan(), nan))


@register("average_gain")
@dataclass(frozen=True)
class AverageGain(_AtBudget):
    """AG = max(0, o - p) / (1 - p). It rewards answers beyond that at x, so it does not rank domains; NaN where p = 1."""

    formula = "max(0, o - p) / (1 - p);  p, o: probability of the class at x and at x_S"
    source = "Zhang et al. 2024 (Opti-CAM)"
    within_domain = True

    def measure(self, judged: Judged) -> Scores:
        p, o = self.kept(judged)
        return Scores((o - p).clamp(min=0) / (1 - p).where(p != 1, nan))


@register("ff")
@dataclass(frozen=True)
class FaithfulnessOfSpectra(_AtBudget):
    """FF = p - (the probability at x without S). It rewards answers below that at x₀, so it does not rank domains.

    On annotated recordings, it has ranked methods against the truth (Bolaños et al. 2025, arXiv 2506.04391).
    """

    formula = "p - (probability of the class at x without S)"
    source = "Parekh et al. 2022 (L2I); SpeechBrain compute_faithfulness"
    within_domain = True

    def measure(self, judged: Judged) -> Scores:
        p = judged.at_ends("probability")
        left = judged.answers([self.selection(removed=True)]).probability[0]
        return Scores((p[0] - left).where(p[0] != p[1], nan))


@register("fid_in")
@dataclass(frozen=True)
class FidelityToInput(_AtBudget):
    """Fid-In = 1 where x_S has the same predicted class as x, else 0."""

    formula = "1 where argmax of the output is the same at x_S and x, else 0"
    source = "Paissan et al. 2024 (L-MAC); SpeechBrain compute_fidelity"

    def measure(self, judged: Judged) -> Scores:
        p, _ = self.kept(judged)
        found = judged.answers([self.selection()]).predicted[0]
        return Scores((found == judged.answers_at_ends.predicted[0]).to(p).where(~p.isnan(), nan))
