"""How far the model's answer moves when the selected coefficients alone are kept, and when they alone are removed."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..attribution import Attribution
from ..core.checks import check_choice, is_number, quoted
from .base import Metric, Scores, register
from .judged import ANSWERS, Answer, Judged
from .selection import BUDGETS, BY, Budgets, Selection


def selection_errors(
    judged: Judged, ranking: str, budgets: tuple[float, ...], by: Budgets, answer: Answer = "score"
) -> dict[str, Tensor]:
    """The two halves and their mean, each (batch, budgets), in units of |f(x) - f(x₀)|.

    kept: |f(x_S) - f(x)|.  removed: |f(x without S) - f(x₀)|.  error: the mean of both.  answer: which number f is.
    """
    asked = [Selection(ranking, budget, by, removed) for removed in (False, True) for budget in budgets]
    kept, removed = getattr(judged.answers(asked), answer).unflatten(0, (2, -1))
    (at_x, at_base), unit = judged.at_ends(answer), judged.difference_of(answer).abs()
    halves = {"kept": (kept - at_x).abs() / unit, "removed": (removed - at_base).abs() / unit}
    curves = halves | {"error": (halves["kept"] + halves["removed"]) / 2}
    return {name: curve.T.contiguous() for name, curve in curves.items()}


@dataclass(frozen=True)
class OverBudgets(Metric):
    """A metric that keeps and removes selections of several budgets.

    budgets: shares in (0, 1].  by: of what, "count", "energy" or "bits", see `selection.counts`.
    answer: which number f is: "score", or the "probability" of the target's class, or its "margin" over the next one.
    """

    budgets: tuple[float, ...] = BUDGETS
    by: Budgets = "count"
    answer: Answer = "score"

    def __post_init__(self) -> None:
        given: Any = self.budgets if isinstance(self.budgets, list | tuple) else (self.budgets,)
        if not given or not all(is_number(each) and 0 < each <= 1 for each in given):
            raise ValueError(f"{self.name}: expected budgets in (0, 1], such as [0.05, 0.1]; got {quoted(self.budgets)}.")
        object.__setattr__(self, "budgets", tuple(map(float, given)))
        check_choice(self.name, "by", self.by, BY)
        check_choice(self.name, "answer", self.answer, ANSWERS)

    def scores(self, curve: Tensor, **details: Tensor) -> Scores:
        """The mean over the budgets, and the curve.  curve: (batch, budgets)."""
        return Scores(curve.mean(1), curve, self.budgets, details)


@register("selection_error")
@dataclass(frozen=True)
class SelectionError(OverBudgets):
    """E = ½ (|f(x_S) - f(x)| + |f(x without S) - f(x₀)|) / |f(x) - f(x₀)|, the mean over budgets; S by |a|.

    x_S = T⁻¹(z₀ + 1_S ⊙ (z - z₀)). 0 where S holds everything that matters. It measures distances, not signed differences:
    in a domain that does not suit the model, large values of both signs cancel, and signed curves reward that.
    Insertion and deletion are its halves: `details` has "kept" and "removed", (batch, budgets).
    """

    formula = "mean over budgets of ½ (|f(x_S) - f(x)| + |f(x without S) - f(x₀)|) / |f(x) - f(x₀)|, S by |a|"
    source = "this project; halves: Petsiuk, Das & Saenko 2018 (RISE), section 4.2"
    better = "lower"

    def cost(self, attribution: Attribution) -> int:
        return 2 * len(self.budgets) + 2 * (self.answer != "score")

    def measure(self, judged: Judged) -> Scores:
        found = selection_errors(judged, "attribution", self.budgets, self.by, self.answer)
        return self.scores(found.pop("error"), **found)


@register("gain")
@dataclass(frozen=True)
class Gain(OverBudgets):
    """E of the ranking by |z - z₀|, which never sees the model, less E of the ranking by |a|; of the same example.

    0 where |a| ranks as |z - z₀| does: then the map shows how the transform compacts energy, not what the model reads.
    """

    formula = "E(ranking by |z - z₀|) - E(ranking by |a|)"
    source = "this project; control: Brüsch et al. 2025 (FreqRISE)"
    better = "higher"

    def cost(self, attribution: Attribution) -> int:
        return 4 * len(self.budgets) + 2 * (self.answer != "score")

    def measure(self, judged: Judged) -> Scores:
        asked = (self.budgets, self.by, self.answer)
        own, blind = (selection_errors(judged, each, *asked)["error"] for each in ("attribution", "coefficient"))
        return self.scores(blind - own, blind=blind, own=own)
